// What is asked for: each draft becomes the parameters that its action keeps.
internal import JSON
internal import Vocabulary

enum ActionKind: String, Sendable {
    case assign, tag, field, list, message, export
}

/// Owners for contacts: one person gets all, several take turns.
struct AssignDraft: BodyDecodable {
    let users: [UserID]
    let onlyUnassigned: Bool
    static let schema: Schema = .object([
        .required("user_ids", .array(.string(format: "uuid"), min: 1, max: 100), "Members of the workspace, who take turns"),
        .optional("only_unassigned", .boolean, "Leaves alone who belongs to somebody; false when absent"),
    ])
    init(_ body: JSONObject) throws {
        users = body.strings("user_ids").compactMap { UserID($0) }
        onlyUnassigned = body.bool("only_unassigned")
    }
    var parameters: JSONObject {
        ["user_ids": .array(users.map { .string($0.description) }), "only_unassigned": .bool(onlyUnassigned)]
    }
}

struct TagDraft: BodyDecodable {
    let add: [String]
    let remove: [String]
    private static let tags: Schema = .array(.string(min: 1, max: 100), max: 20)
    static let schema: Schema = .object([
        .optional("add", tags, "Tags to add"), .optional("remove", tags, "Tags to take off"),
    ])
    init(_ body: JSONObject) throws {
        // Of two that differ in case the first: contacts would get both.
        func tags(_ name: String) -> [String] {
            var seen: Set<String> = []
            return body.strings(name).compactMap(storedText).sorted().filter { seen.insert(simplyLowercased($0)).inserted }
        }
        (add, remove) = (tags("add"), tags("remove"))
        if add.isEmpty, remove.isEmpty { throw Fault(pointer: "/add", code: "empty", detail: "There is no tag to add or to remove.") }
        if let both = add.first(where: { tag in remove.contains { simplyLowercased($0) == simplyLowercased(tag) } }) {
            throw Fault(pointer: "/remove", code: "one_of_two", detail: "`\(both)` cannot be added and removed at once.")
        }
    }
    var parameters: JSONObject { ["add": .array(add.map { .string($0) }), "remove": .array(remove.map { .string($0) })] }
}

/// A value for a field: an attribute, or one of the columns that make sense for many at once.
struct SetFieldDraft: BodyDecodable {
    /// `status`, `timezone`, `country`, or `attributes.KEY`.
    let field: String
    /// In the form in which it is stored; null makes it missing.
    let value: JSONValue
    static let columns = ["status", "timezone", "country"]
    static let schema: Schema = .object([
        .required("field", .string(min: 1, max: 620), "status, timezone, country, or attributes.KEY"),
        .required("value", .any, "Text, number, boolean or an array of those; null makes it missing"),
    ])

    init(_ body: JSONObject) throws {
        field = normalizedNFC(body.string("field"))
        let given = body["value"]!
        if SetFieldDraft.columns.contains(field) {
            guard given.isNull || given.string != nil else {
                throw Fault(pointer: "/value", code: "wrong_type", detail: "Expected text or null.")
            }
            let column = field
            value = try checked(at: "/\(column)") {
                JSONValue(try ContactDraft([column: given]).texts[column] ?? nil)
            }
            return
        }
        let path = SetFieldDraft.path(field)
        guard field.hasPrefix("attributes."), (1...5).contains(path.count), !path.contains("") else {
            throw Fault(
                pointer: "/field", code: "unknown_field", detail: "Fields that can be set are status, timezone, country and attributes.KEY."
            )
        }
        if case .object = given { throw Fault(pointer: "/value", code: "wrong_type", detail: "Expected a single value.") }
        // As if it came with a contact: the same limits and the same form.
        let nested = path.reversed().reduce(given) { value, key in .object([key: value]) }
        value = try checked(at: path.reduce("/attributes") { jsonPointer($0, $1) }) {
            let attributes = try ContactDraft(["attributes": nested]).attributes
            return path.reduce(.object(attributes ?? [:])) { object, key in object[key] ?? .null }
        }
    }

    var parameters: JSONObject { ["field": .string(field), "value": value] }

    /// Keys into the attributes.
    static func path(_ field: String) -> [String] {
        field.split(separator: ".", omittingEmptySubsequences: false).dropFirst().map(String.init)
    }
}

/// Faults of the contact that `work` makes up, told where the value stands in the body.
private func checked(at place: String, _ work: () throws -> JSONValue) throws -> JSONValue {
    do { return try work() } catch let faults as Faults {
        var moved = Faults()
        for fault in faults.list {
            let isValue = fault.pointer.hasPrefix(place) || fault.code == "attributes_too_large"
            moved.add(isValue ? "/value" : "/field", fault.code, fault.detail)
        }
        throw moved
    }
}

struct ToListDraft: BodyDecodable {
    let list: ListID
    static let schema: Schema = .object([.required("list_id", .string(format: "uuid"), "Where they are added")])
    init(_ body: JSONObject) throws { list = body.id("list_id", as: ListID.self) }
    var parameters: JSONObject { ["list_id": .string(list.description)] }
}

struct MessageDraft: BodyDecodable {
    let name: String
    let sender: SenderID?
    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 200), "The campaign's name"),
        .optional("sender_id", .string(format: "uuid"), "Where it comes from"),
    ])
    init(_ body: JSONObject) throws {
        name = body.string("name")
        sender = body.optionalID("sender_id", as: SenderID.self)
    }
    var parameters: JSONObject { ["name": .string(name), "sender_id": JSONValue(sender?.description)] }
}

struct ExportDraft: BodyDecodable {
    let format: ExportFormat
    /// Field keys in their order; empty: all.
    let columns: [String]
    static let schema: Schema = .object([
        .optional("format", .string(oneOf: ["csv", "jsonl"]), "csv when absent"),
        .optional("columns", .array(.string(min: 1, max: 620), min: 1, max: 500), "Fields in their order; all when absent"),
    ])
    init(_ body: JSONObject) throws {
        format = body.optionalString("format").flatMap(ExportFormat.init(rawValue:)) ?? .csv
        columns = body.strings("columns").map(normalizedNFC)
    }
}
