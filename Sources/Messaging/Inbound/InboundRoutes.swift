internal import JSON
public import Web

public let inboundRoutes: [Route] = [
    .get(
        "/api/inbound", pageOfInbound, needs: .readAudience,
        query: QueryParameter.paging + [
            QueryParameter("intent", .string(oneOf: ["stop", "start", "help", "review", "none"]), "Only texts that ask for this"),
            QueryParameter("state", .string(oneOf: ["open", "opt_out", "kept"]), "Only doubtful texts that wait, or were decided so"),
        ], "One page of what people wrote, newest first"),
    .post(
        "/api/inbound/{id}/resolve", resolveInbound, needs: .writeAudience, body: ReviewDecision.schema,
        "Decide whether a doubtful text is an opt-out"),
]
