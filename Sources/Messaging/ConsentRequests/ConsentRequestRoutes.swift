// Double opt-in: somebody is asked once, at the address itself, and confirms there.
internal import JSON
public import Web

public let consentRequestRoutes: [Route] = [
    .get(
        "/api/consent-requests", listConsentRequests, needs: .readAudience,
        query: QueryParameter.paging + [
            QueryParameter("contact_id", .string(format: "uuid"), "Only this contact's"),
            QueryParameter("state", .string(oneOf: ConsentRequestDraft.states), "Only requests in this state"),
        ], "One page of requests for consent, newest first"),
    .post(
        "/api/consent-requests", createConsentRequest, needs: .writeAudience, body: ConsentRequestDraft.schema,
        "Ask somebody to confirm their consent, by one message without any marketing"),
    .get("/api/consent-requests/{id}", readConsentRequest, needs: .readAudience, "One request, with its messages"),
    .post("/api/consent-requests/{id}/cancel", cancelConsentRequest, needs: .writeAudience, "Wait for no answer any more"),
    .post(
        "/api/consent-requests/{id}/remind", remindOfConsentRequest, needs: .writeAudience,
        "Ask once more, once, a day after the first message at the earliest"),
]

/// The page that the link in a request by e-mail leads to. GET only shows, because scanners follow every link; POST confirms.
public let confirmationRoutes: [Route] = [
    .get(
        "/c/{token}", showConfirmation, needs: .anyone, limit: .unlimited, openQuery: true,
        "What somebody is asked to agree to, and the button to do so"),
    .post("/c/{token}", confirmConsent, needs: .anyone, limit: .unlimited, openQuery: true, "Confirm consent, once"),
]
