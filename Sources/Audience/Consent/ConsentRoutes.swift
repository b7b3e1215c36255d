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
    .get(
        "/api/consent/verify", verifyConsent, needs: .readAudience, limit: .heavy,
        query: [QueryParameter("contact_id", .string(format: "uuid"), "Only this contact's entries")],
        "Whether the ledger is as it was recorded, or the first entry that is not"),
    .get(
        "/api/consent/reasons", countOptOutReasons, needs: .readAudience,
        query: [
            QueryParameter("from", .string(format: "date-time"), "Opt-outs at or after; 30 days before `to` when absent"),
            QueryParameter("to", .string(format: "date-time"), "Opt-outs before; now when absent"),
        ], "How many opted out for which reason"),
    .get("/api/contacts/{id}/consent", readConsent, needs: .readAudience, "What holds for a contact, per channel"),
]
