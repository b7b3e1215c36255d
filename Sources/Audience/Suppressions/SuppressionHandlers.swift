internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// An address and why nobody writes to it.
struct SuppressionDraft: BodyDecodable {
    let channel: Channel
    let address: String
    let reason: String

    static let reasons = ["opt_out", "bounce", "complaint", "invalid", "manual"]
    static let schema: Schema = .object([
        .required("channel", .string(oneOf: ["sms", "email"]), "Which kind of address it is"),
        .required("address", .string(min: 1, max: 254), "Phone, in E.164 or national form; or e-mail address"),
        .optional("reason", .string(oneOf: reasons), "manual when absent"),
    ])

    init(_ body: JSONObject) throws {
        channel = Channel(rawValue: body.string("channel"))!
        address = body.string("address")
        reason = body.optionalString("reason") ?? "manual"
    }
}

func pageOfSuppressions(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: SuppressionID(UUID(high: .max, low: .max)))
    let address = call.query("address").map { EmailAddress($0)?.description ?? phoneQuery($0) }
    return try call.page(SuppressionSQL.page, paging, at, id, call.query("channel"), call.query("reason"), address, paging.fetchLimit)
}

/// Who is suppressed already stays so: the answer then is what is stored, which may have a graver reason.
func createSuppression(_ call: Call) throws -> Response {
    let draft = try call.body(SuppressionDraft.self)
    let stored = try call.transaction { db in
        let address = try normalAddress(draft.address, draft.channel, at: "/address", db)
        _ = try db.one(SuppressionSQL.suppress, draft.channel.rawValue, address, draft.reason)
        let stored = try db.one(SuppressionSQL.readByAddress, draft.channel.rawValue, address)
        try call.audit("suppression.created", "suppression", stored.id.uuid, details: ["reason": .string(draft.reason)], in: db)
        return stored
    }
    return .created(stored.json, at: "/api/suppressions/\(stored.id)")
}

func readSuppression(_ call: Call) throws -> Response {
    let id: SuppressionID = try call.pathID("id")
    guard let stored = try call.read({ db in try db.first(SuppressionSQL.read, id) }) else { throw Problem.notFound("suppression") }
    return .json(stored.json)
}

/// Consent stays what it is: whoever opted out must opt in again before a campaign reaches them.
func deleteSuppression(_ call: Call) throws -> Response {
    let id: SuppressionID = try call.pathID("id")
    try call.refuseIfMatch()
    try call.transaction { db in
        guard let reason = try db.first(SuppressionSQL.delete, id) else { throw Problem.notFound("suppression") }
        try call.audit("suppression.deleted", "suppression", id.uuid, details: ["reason": .string(reason)], in: db)
    }
    return .noContent
}

/// An address as it is stored and compared.
private func normalAddress(_ text: String, _ channel: Channel, at pointer: String, _ db: Connection) throws -> String {
    switch channel {
    case .email:
        guard let address = EmailAddress(text) else {
            throw Problem.invalid(pointer, "bad_email", "This is not an e-mail address.")
        }
        return address.description
    case .sms:
        do { return try phoneNumber(text, country: try db.one(ContactSQL.country)).description } catch let fault as PhoneFault {
            throw Problem.invalid(pointer, "bad_phone", fault.detail)
        }
    }
}
