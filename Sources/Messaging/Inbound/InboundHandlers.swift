// What people write back, and the texts among it that may be opt-outs: somebody reads those, and decides.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

struct ReviewDecision: BodyDecodable {
    let decision: String

    static let schema: Schema = .object([
        .required(
            "decision", .string(oneOf: ["opt_out", "keep"]),
            "opt_out: the text ends consent, from when it was written; keep: it does not, and what it had paused goes on")
    ])

    init(_ body: JSONObject) throws { decision = body.string("decision") }
}

func pageOfInbound(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(InboundID.self)
    if let state = call.query("state") {
        return try call.page(InboundSQL.reviews, paging, at, id, paging.fetchLimit, state, call.query("intent"))
    }
    return try call.page(InboundSQL.page, paging, at, id, paging.fetchLimit, call.query("intent"))
}

func resolveInbound(_ call: Call) throws -> Response {
    let id: InboundID = try call.pathID("id")
    let draft = try call.body(ReviewDecision.self)
    let resolved = try call.transaction { db in
        let (user, key) = (call.actor.user, call.actor.apiKey)
        let outcome = try db.one(
            InboundSQL.resolve, id, draft.decision, user, key == nil ? "user" : "api_key", key?.uuid ?? user?.uuid)
        guard let outcome else { throw Problem.notFound("text that waits for a decision") }
        guard outcome == "resolved" else { throw Problem.conflict("already_resolved", "Somebody has decided this text already.") }
        try call.audit("inbound.resolved", "inbound", id.uuid, details: ["decision": .string(draft.decision)], in: db)
        return try db.one(InboundSQL.read, id)
    }
    return .json(resolved)
}
