internal import JSON
public import Web

public let explainRoutes: [Route] = [
    .post(
        "/api/segments/explain", explainRule, needs: .readAudience, limit: .heavy, body: ExplainRequest.schema,
        "Why a rule finds a contact or does not, node by node, before it is saved"),
    .get(
        "/api/segments/{id}/explain/{contact_id}", explainMembership, needs: .readAudience, limit: .heavy,
        "Why a contact is in a segment or is not, and when time alone changes it"),
]
