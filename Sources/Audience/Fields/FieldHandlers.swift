internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What is declared of an attribute.
struct FieldDraft: BodyDecodable {
    let type: String
    let label: String?
    static let schema: Schema = .object([
        .required("type", .string(oneOf: FieldType.allCases.map(\.rawValue)), "How rules read its values"),
        .optional("label", .nullable(.string(max: 100)), "What people call it"),
    ])

    init(_ body: JSONObject) throws {
        type = body.string("type")
        label = body.optionalString("label").flatMap(storedText)
    }
}

/// Names and types of the fields that every contact has, as the statements take them.
let builtIn: (names: [String], types: [String]) = {
    let fields = RuleContext.builtIn.sorted { $0.key < $1.key }
    return (fields.map(\.key), fields.map(\.value.rawValue))
}()

func pageOfFields(_ call: Call) throws -> Response {
    let paging = try call.paging(sorts: ["key"])
    return try call.page(
        FieldSQL.page, paging, builtIn.names, builtIn.types, try paging.after(0, from: 0), try paging.after(1, from: ""),
        paging.fetchLimit)
}

func readField(_ call: Call) throws -> Response {
    let key = call.pathText("key")
    guard let field = try call.read({ db in try db.first(FieldSQL.read, builtIn.names, builtIn.types, key) }) else {
        throw Problem.notFound("field")
    }
    return .json(field.json).etag(version: field.version)
}

/// Tells which segments read the field, and whether they still can. With `dry_run` nothing else happens.
func declareField(_ call: Call) throws -> Response {
    let key = try attributeKey(call.pathText("key"))
    let draft = try call.body(FieldDraft.self)
    return try call.transaction { db in
        let version = try db.first(FieldSQL.lock, key)
        try call.checkIfMatch(version ?? 0)
        let readers = try FieldReaders.after(db, key, isTrial: call.query("dry_run") == "true") { db in
            try db.run(FieldSQL.declare, key, draft.type, draft.label)
        }
        if call.query("dry_run") == "true" { return .json(["segments_affected": readers.json]) }
        try readers.recalculate(db, by: call.actor.user)
        try call.audit("field.declared", "field", nil, details: ["key": .string(key), "type": .string(draft.type)], in: db)
        let field = try db.one(FieldSQL.read, builtIn.names, builtIn.types, key)
        var answer = try JSONValue(parsing: field.json.bytes, limits: .trusted).object ?? [:]
        answer["segments_affected"] = readers.json
        let response: Response = version == nil ? .created(.object(answer), at: fieldPath(key)) : .json(.object(answer))
        return response.etag(version: field.version)
    }
}

func undeclareField(_ call: Call) throws -> Response {
    let key = try attributeKey(call.pathText("key"))
    try call.transaction { db in
        guard let version = try db.first(FieldSQL.lock, key) else { throw Problem.notFound("field") }
        try call.checkIfMatch(version)
        let readers = try FieldReaders.after(db, key, isTrial: false) { db in
            try db.run(FieldSQL.forgetUnseen, key)
            try db.run(FieldSQL.undeclare, key)
        }
        try readers.recalculate(db, by: call.actor.user)
        try call.audit("field.undeclared", "field", nil, details: ["key": .string(key)], in: db)
    }
    return .noContent
}

/// A key may hold whatever a name may; in a path it is one part.
private func fieldPath(_ key: String) -> String {
    let safe = key.utf8.map { byte -> String in
        switch byte {
        case 48...57, 65...90, 97...122, 45, 46, 95, 126: String(UnicodeScalar(byte))
        default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
    }
    return "/api/fields/" + safe.joined()
}

/// - Throws: 409 for a field that every contact has, 422 for what is no attribute.
func attributeKey(_ text: String, at pointer: String = "/key") throws -> String {
    let key = normalizedNFC(text)
    if RuleContext.builtIn[key] != nil {
        throw Problem.conflict("built_in_field", "This field belongs to every contact; its type is fixed.")
    }
    let parts = key.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.first == "attributes", (2...6).contains(parts.count),
        parts.allSatisfy({ (1...100).contains($0.unicodeScalars.count) && !$0.unicodeScalars.contains("\0") })
    else {
        throw Problem.invalid(pointer, "bad_key", "An attribute's key is attributes.KEY, nested keys joined by dots.")
    }
    return key
}
