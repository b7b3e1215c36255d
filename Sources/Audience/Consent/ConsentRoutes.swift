internal import JSON
public import Web

public let consentRoutes: [Route] = [
    .get(
        "/api/consent", pageOfConsent, needs: .readAudience,
        query: QueryParameter.paging + [
            QueryParameter("contact_id", .string(format: "uuid"), "Only this contact's"),
            QueryParameter("channel", .string(oneOf: ["sms", "email"]), "Only this channel's"),
        ], "One page of the consent ledger, newest first"),
    .post(
        "/api/consent", recordConsent, needs: .writeAudience, body: ConsentDraft.schema,
        "Record that somebody opted in or out"),
    .get("/api/contacts/{id}/consent", readConsent, needs: .readAudience, "What holds for a contact, per channel"),
]
