// `Idempotency-Key` on POST: the same key and body within 24 hours gives the first answer again.
// The answer is stored in the transaction of the effect. A request that still runs holds an advisory lock, which a
// crash releases by itself, so no half-done key can block a retry.
internal import JSON
internal import PostgreSQL
internal import Secrets
internal import Vocabulary

struct IdempotencyKey {
    let key: String
    let route: String
    let bodyHash: [UInt8]

    /// A structured-field string, with or without its quotes (draft-ietf-httpapi-idempotency-key-header).
    /// - Returns: `nil` when the request has none.
    init?(_ call: Call) throws {
        guard call.request.method == "POST", var text = call.request.header("idempotency-key") else { return nil }
        if text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") { text = String(text.dropFirst().dropLast()) }
        guard (1...255).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Problem.badRequest("bad_idempotency_key", "Idempotency-Key is 1 to 255 visible ASCII characters.")
        }
        key = text
        route = call.route.method.rawValue + " " + call.request.path
        // An upload is larger than what is kept in memory and can be read once only: its length stands for it.
        let length = call.request.contentLength ?? 0
        let body = length > Call.bodyLimit ? Array("upload of \(length)".utf8) : try call.rawBody()
        // The query is a part of what is asked; in `route` it could be longer than an index takes.
        bodyHash = Hash.sha256(call.request.rawQuery.isEmpty ? body : Array("\(call.request.rawQuery)\n".utf8) + body)
    }

    /// Runs `handle` once per key. Must be called inside the request's transaction, after authorisation.
    func once(as actor: UUID, _ db: Connection, _ handle: () throws -> Response) throws -> Response {
        guard try db.one(WebSQL.lockIdempotencyKey, actor, route, key) else {
            throw Problem.conflict("still_running", "A request with this Idempotency-Key is still running.")
        }
        if let stored = try db.first(WebSQL.storedAnswer, actor, route, key) {
            guard stored.bodyHash == bodyHash else {
                throw Problem(
                    422, "idempotency_key_reused", "Key used before",
                    "This Idempotency-Key came with another body before; take a new one.")
            }
            return try replay(stored)
        }
        _ = try db.run(WebSQL.forgetOldAnswer, actor, route, key)
        let response = try handle()
        let bytes: [UInt8]? = if case .bytes(let bytes) = response.body, !response.holdsSecret { bytes } else { nil }
        var headers = response.headers.map { JSONValue.array([.string($0.name), .string($0.value)]) }
        if let type = response.contentType { headers.append(["Content-Type", .string(type)]) }
        if response.holdsSecret { headers.append(["Muster-Secret-Withheld", "true"]) }
        _ = try db.run(
            WebSQL.storeAnswer, actor, route, key, bodyHash, response.status, JSONText(JSONValue.array(headers)), bytes)
        return response
    }

    private func replay(_ stored: StoredAnswer) throws -> Response {
        var response = Response(status: stored.status, contentType: nil, body: stored.body.map { .bytes($0) } ?? .none)
        for pair in try JSONValue(parsing: stored.headers.bytes).array ?? [] {
            guard let pair = pair.array, let name = pair.first?.string, let value = pair.last?.string else { continue }
            if name == "Content-Type" { response.contentType = value } else { response.headers.append((name, value)) }
        }
        if response.headers.contains(where: { $0.name == "Muster-Secret-Withheld" }) {
            throw Problem.conflict(
                "secret_shown_once", "This was done by an earlier request with the same key; its secret is not kept.")
        }
        return response.with("Idempotency-Replayed", "true")
    }
}
