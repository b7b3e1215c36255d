internal import JSON
public import Web

public let suppressionRoutes: [Route] = [
    .get(
        "/api/suppressions", pageOfSuppressions, needs: .readAudience,
        query: QueryParameter.paging + [
            QueryParameter("channel", .string(oneOf: ["sms", "email"]), "Only this channel's"),
            QueryParameter("reason", .string(oneOf: SuppressionDraft.reasons), "Only these"),
            QueryParameter("address", .string(max: 254), "Exactly this address"),
        ], "One page of suppressed addresses, newest first"),
    .post(
        "/api/suppressions", createSuppression, needs: .writeAudience, body: SuppressionDraft.schema,
        "Never write to this address, whatever consent says"),
    .get("/api/suppressions/{id}", readSuppression, needs: .readAudience, "A suppressed address"),
    .delete("/api/suppressions/{id}", deleteSuppression, needs: .writeAudience, "Let this address be written to again"),
]
