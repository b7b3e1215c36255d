internal import JSON
internal import Vocabulary
internal import Web

/// What is written of a new API key.
struct APIKeyDraft: BodyDecodable {
    let name: String
    let scopes: [String]
    let expiresAt: Instant?

    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 200), "What it is for"),
        .required("scopes", .array(.string(oneOf: Permission.scopes), min: 1, max: 50), "What it may; * is everything"),
        .optional("expires_at", .nullable(.string(max: 40, format: "date-time")), "When it ends; never when absent"),
    ])

    init(_ body: JSONObject) throws {
        name = storedText(body.string("name"))
        scopes = Set(body.strings("scopes")).sorted()
        expiresAt = body.optionalString("expires_at").flatMap { Instant(rfc3339: $0) }
        if name.isEmpty { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
    }

    /// - Throws: 422 when it would have ended before it began.
    func check(now: Instant) throws {
        guard let expiresAt, expiresAt <= now else { return }
        throw Problem.invalid("/expires_at", "in_past", "A key that has ended already is of no use.")
    }

    /// - Throws: 403 naming the scopes that its maker lacks.
    func check(within own: [String]) throws {
        let beyond = own.contains("*") ? [] : scopes.filter { !own.contains($0) }
        if !beyond.isEmpty { throw Problem.forbidden("A key holds no more than its maker, who lacks \(beyond.joined(separator: ", ")).") }
    }
}
