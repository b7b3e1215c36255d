internal import JSON
internal import PostgreSQL
internal import Secrets
internal import Vocabulary
internal import Web

func listAPIKeys(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(APIKeyID.self)
    return try call.page(APIKeySQL.page, paging, at, id, paging.fetchLimit)
}

func createAPIKey(_ call: Call) throws -> Response {
    let draft = try call.body(APIKeyDraft.self)
    try draft.check(now: call.now)
    let token = APIKeyFormat.generate(.apiKey)
    let (id, key) = try call.transaction { db in
        try draft.check(within: try ownScopes(call.actor, db))
        let id = try db.one(
            APIKeySQL.insert, draft.name, APIKeyFormat.prefix(of: token), Hash.sha256(Array(token.utf8)), draft.scopes,
            call.actor.user, draft.expiresAt)
        try call.audit("api_key.created", "api_key", id.uuid, details: ["scopes": .array(draft.scopes.map { .string($0) })], in: db)
        return (id, try db.one(APIKeySQL.read, id))
    }
    var body = key.object ?? [:]
    body["token"] = .string(token)
    return Response.created(.object(body), at: "/api/api-keys/\(id)").secret()
}

func revokeAPIKey(_ call: Call) throws -> Response {
    let id: APIKeyID = try call.pathID("id")
    try call.refuseIfMatch()
    try call.transaction { db in
        guard try db.run(APIKeySQL.revoke, id) == 1 else { throw Problem.notFound("active API key") }
        try call.audit("api_key.revoked", "api_key", id.uuid, in: db)
    }
    return .noContent
}

private func ownScopes(_ actor: Actor, _ db: Connection) throws -> [String] {
    if let key = actor.apiKey { return try db.one(APIKeySQL.scopes, key) }
    return actor.role?.scopes ?? []
}
