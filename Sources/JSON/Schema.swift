// One description of a JSON body gives its validation and its documentation.
public import Vocabulary

/// One thing wrong with a request, and its place (RFC 6901; empty: the whole body).
public struct Fault: Error, Sendable, Hashable {
    public let pointer: String
    public let code: String
    public let detail: String
    public init(pointer: String, code: String, detail: String) {
        self.pointer = pointer
        self.code = code
        self.detail = detail
    }
}

/// All things wrong with a request.
public struct Faults: Error, Sendable {
    public private(set) var list: [Fault] = []
    public init() {}
    public mutating func add(_ pointer: String, _ code: String, _ detail: String) {
        list.append(Fault(pointer: pointer, code: code, detail: detail))
    }
    /// - Throws: itself, when there is any.
    public func check() throws(Faults) {
        if !list.isEmpty { throw self }
    }
}

/// What a JSON value may be.
public indirect enum Schema: Sendable {
    /// Lengths in Unicode scalars. `format` is one of uuid, date-time, date, email, e164, uri; all are checked.
    case string(min: Int = 0, max: Int = 1000, format: String? = nil, oneOf: [String] = [])
    case integer(ClosedRange<Int>)
    case number
    case boolean
    case array(Schema, min: Int = 0, max: Int)
    case object([Member])
    /// Free keys, all with values of one schema.
    case map(Schema, max: Int)
    case any
    case nullable(Schema)
    case oneOf([Schema])
    case described(Schema, String, example: JSONValue? = nil)
}

/// A member of an object.
public struct Member: Sendable {
    public let name: String
    public let schema: Schema
    public let isRequired: Bool
    public let description: String
    public static func required(_ name: String, _ schema: Schema, _ description: String) -> Member {
        Member(name: name, schema: schema, isRequired: true, description: description)
    }
    public static func optional(_ name: String, _ schema: Schema, _ description: String) -> Member {
        Member(name: name, schema: schema, isRequired: false, description: description)
    }
}

/// A type that is read from a validated body.
public protocol BodyDecodable {
    static var schema: Schema { get }
    /// Called after `schema` found no fault.
    init(_ body: JSONObject) throws
}

extension Schema {
    /// All faults of `value`, unknown members included.
    public func validate(_ value: JSONValue, at pointer: String = "") -> [Fault] {
        func fault(_ code: String, _ detail: String) -> [Fault] { [Fault(pointer: pointer, code: code, detail: detail)] }
        switch (self, value) {
        case (.any, _): return []
        case (.described(let schema, _, _), _): return schema.validate(value, at: pointer)
        case (.nullable(let schema), _): return value.isNull ? [] : schema.validate(value, at: pointer)
        case (.oneOf(let schemas), _):
            let all = schemas.map { $0.validate(value, at: pointer) }
            // The alternative that fits best explains best: one of the value's own kind, with the fewest faults.
            func misfit(_ faults: [Fault]) -> (Int, Int) {
                (faults.contains { $0.pointer == pointer && $0.code == "wrong_type" } ? 1 : 0, faults.count)
            }
            return all.min { misfit($0) < misfit($1) } ?? []
        case (.boolean, .bool), (.number, .integer), (.number, .real): return []
        case (.integer(let range), .integer(let number)):
            return range.contains(Int(number)) ? [] : fault("out_of_range", "From \(range.lowerBound) to \(range.upperBound).")
        case (.string(let min, let max, let format, let choices), .string(let text)):
            let length = text.unicodeScalars.count
            if length > max { return fault("too_long", "At most \(max) characters; it has \(length).") }
            if length < min { return fault(min == 1 ? "empty" : "too_short", "At least \(min) character\(min == 1 ? "" : "s").") }
            if text.unicodeScalars.contains("\0") { return fault("bad_character", "The character U+0000 cannot be stored.") }
            if !choices.isEmpty, !choices.contains(where: { isSameText($0, text) }) {
                return fault("not_one_of", "One of \(choices.joined(separator: ", ")).")
            }
            if let format, !matches(text, format) { return fault("bad_format", "Expected \(formatNames[format] ?? format).") }
            return []
        case (.array(let element, let min, let max), .array(let values)):
            if values.count > max { return fault("too_many", "At most \(max) items; there are \(values.count).") }
            if values.count < min { return fault("too_few", "At least \(min) item\(min == 1 ? "" : "s").") }
            return values.enumerated().flatMap { element.validate($1, at: jsonPointer(pointer, $0)) }
        case (.map(let element, let max), .object(let object)):
            if object.count > max { return fault("too_many", "At most \(max) members; there are \(object.count).") }
            return object.flatMap { element.validate($0.value, at: jsonPointer(pointer, $0.key)) }
        case (.object(let members), .object(let object)):
            var faults: [Fault] = []
            for member in members {
                if let value = object[member.name] {
                    faults += member.schema.validate(value, at: jsonPointer(pointer, member.name))
                } else if member.isRequired {
                    faults.append(
                        Fault(
                            pointer: jsonPointer(pointer, member.name), code: "required", detail: "`\(member.name)` is required."))
                }
            }
            for key in object.keys where !members.contains(where: { isSameText($0.name, key) }) {
                faults.append(
                    Fault(
                        pointer: jsonPointer(pointer, key), code: "unknown_member",
                        detail: "There is no member `\(key.prefix(100))` here."))
            }
            return faults
        default: return fault("wrong_type", "Expected \(typeName).")
        }
    }

    private var typeName: String {
        switch self {
        case .string: "a string"
        case .integer: "a whole number"
        case .number: "a number"
        case .boolean: "true or false"
        case .array: "an array"
        case .object, .map: "an object"
        case .any: "any value"
        case .nullable(let schema): schema.typeName + " or null"
        case .oneOf(let schemas): schemas.map(\.typeName).joined(separator: " or ")
        case .described(let schema, _, _): schema.typeName
        }
    }

    /// The same in JSON Schema 2020-12, which OpenAPI 3.1 uses.
    public var openAPI: JSONValue {
        switch self {
        case .any: return [:]
        case .boolean: return ["type": "boolean"]
        case .number: return ["type": "number"]
        case .integer(let range):
            var schema: JSONObject = ["type": "integer"]
            if range.lowerBound > Int.min { schema["minimum"] = .integer(Int64(range.lowerBound)) }
            if range.upperBound < Int.max { schema["maximum"] = .integer(Int64(range.upperBound)) }
            return .object(schema)
        case .string(let min, let max, let format, let choices):
            var schema: JSONObject = ["type": "string", "maxLength": .integer(Int64(max))]
            if min > 0 { schema["minLength"] = .integer(Int64(min)) }
            if let format { schema["format"] = .string(format) }
            if !choices.isEmpty { schema["enum"] = .array(choices.map { .string($0) }) }
            return .object(schema)
        case .array(let element, let min, let max):
            var schema: JSONObject = ["type": "array", "items": element.openAPI, "maxItems": .integer(Int64(max))]
            if min > 0 { schema["minItems"] = .integer(Int64(min)) }
            return .object(schema)
        case .map(let element, let max):
            return ["type": "object", "additionalProperties": element.openAPI, "maxProperties": .integer(Int64(max))]
        case .nullable(let schema): return ["anyOf": [schema.openAPI, ["type": "null"]]]
        case .oneOf(let schemas): return ["anyOf": .array(schemas.map(\.openAPI))]
        case .described(let schema, let description, let example):
            var object = schema.openAPI.object ?? [:]
            object["description"] = .string(description)
            if let example { object["examples"] = [example] }
            return .object(object)
        case .object(let members):
            var properties = JSONObject()
            for member in members {
                var schema = member.schema.openAPI.object ?? [:]
                if schema["description"] == nil { schema["description"] = .string(member.description) }
                properties[member.name] = .object(schema)
            }
            return [
                "type": "object", "additionalProperties": false, "properties": .object(properties),
                "required": .array(members.filter(\.isRequired).map { .string($0.name) }),
            ]
        }
    }
}

private let formatNames: [String: String] = [
    "uuid": "a UUID", "date-time": "a time like 2026-11-21T03:30:00Z", "date": "a date like 2026-11-21",
    "email": "an e-mail address", "e164": "a phone number like +12025550123", "uri": "a URL with http or https",
]

private func matches(_ text: String, _ format: String) -> Bool {
    switch format {
    case "uuid": UUID(text) != nil
    case "date-time": Instant(rfc3339: text) != nil
    case "date": Day(text) != nil
    case "email": EmailAddress(text) != nil
    case "e164": E164(text) != nil
    case "uri": text.hasPrefix("https://") || text.hasPrefix("http://")
    default: preconditionFailure("no check for the format \(format)")
    }
}

/// Reading members of a validated body: a mismatch is our own mistake.
extension JSONObject {
    public func string(_ key: String) -> String { self[key]!.string! }
    public func optionalString(_ key: String) -> String? { self[key]?.string }
    public func integer(_ key: String) -> Int { self[key]!.integer! }
    public func optionalInteger(_ key: String) -> Int? { self[key]?.integer }
    public func bool(_ key: String, default value: Bool = false) -> Bool { self[key]?.bool ?? value }
    public func strings(_ key: String) -> [String] { self[key]?.array?.compactMap(\.string) ?? [] }
    public func id<T>(_ key: String, as type: ID<T>.Type) -> ID<T> { ID<T>(string(key))! }
    public func optionalID<T>(_ key: String, as type: ID<T>.Type) -> ID<T>? { optionalString(key).flatMap { ID<T>($0) } }
}
