// JSON as plain values: parsed once, then free of any handle or lifetime, and Sendable.

/// A JSON value (RFC 8259). Integers keep all 64 bits; other numbers are doubles.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case real(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

/// Members in the order in which they were written. Equality ignores the order, as RFC 8259, section 4, wants.
public struct JSONObject: Sendable, Hashable, Sequence, ExpressibleByDictionaryLiteral {
    public private(set) var members: [(key: String, value: JSONValue)] = []

    public init() {}
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (key, value) in elements { self[key] = value }
    }
    /// - Precondition: keys are unique, as the parser has made sure.
    init(unique members: [(key: String, value: JSONValue)]) { self.members = members }

    /// Objects are small: a scan beats hashing.
    public subscript(key: String) -> JSONValue? {
        get { members.first { isSameText($0.key, key) }?.value }
        set {
            if let index = members.firstIndex(where: { isSameText($0.key, key) }) {
                if let newValue { members[index].value = newValue } else { members.remove(at: index) }
            } else if let newValue {
                members.append((key, newValue))
            }
        }
    }
    public var keys: [String] { members.map(\.key) }
    public var count: Int { members.count }
    public var isEmpty: Bool { members.isEmpty }
    @discardableResult
    public mutating func removeValue(forKey key: String) -> JSONValue? {
        let old = self[key]
        self[key] = nil
        return old
    }
    public func makeIterator() -> IndexingIterator<[(key: String, value: JSONValue)]> { members.makeIterator() }

    public static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.count == b.count && a.members.allSatisfy { b[$0.key] == $0.value }
    }
    public func hash(into hasher: inout Hasher) {
        hasher.combine(members.count)
        hasher.combine(members.reduce(0) { $0 ^ $1.key.hashValue })
    }
}

/// Unit by unit (RFC 8259, section 8.3). Swift's `==` would take "é" in one character for "é" in two: keys that a
/// document may have both, and that PostgreSQL keeps apart.
func isSameText(_ a: String, _ b: String) -> Bool {
    a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8)
}

// Not by nil: in `found ? value : nil` that would mean a null that was found.
extension JSONValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .real(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (key, value) in elements { object[key] = value }
        self = .object(object)
    }

    public init(_ value: String?) { self = value.map { .string($0) } ?? .null }
    public init(_ value: Int?) { self = value.map { .integer(Int64($0)) } ?? .null }

    public var isNull: Bool { self == .null }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var integer: Int? { if case .integer(let value) = self { Int(value) } else { nil } }
    /// Any number; integers are converted.
    public var real: Double? {
        switch self {
        case .real(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    public subscript(key: String) -> JSONValue? { object?[key] }

    /// The value at an RFC 6901 pointer.
    public subscript(pointer pointer: String) -> JSONValue? {
        guard !pointer.isEmpty else { return self }
        var value = self
        for part in pointer.unicodeScalars.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let key = unescapedPointerPart(part)
            switch value {
            case .object(let object):
                guard let next = object[key] else { return nil }
                value = next
            case .array(let array):
                guard let index = Int(key), "\(index)" == key, array.indices.contains(index) else { return nil }
                value = array[index]
            default: return nil
            }
        }
        return value
    }
}

/// A pointer made of parts, each escaped (RFC 6901, section 3).
public func jsonPointer(_ base: String, _ part: some CustomStringConvertible) -> String {
    var escaped = ""
    for scalar in part.description.unicodeScalars {
        switch scalar {
        case "~": escaped += "~0"
        case "/": escaped += "~1"
        default: escaped.unicodeScalars.append(scalar)
        }
    }
    return base + "/" + escaped
}

private func unescapedPointerPart(_ part: Substring.UnicodeScalarView) -> String {
    var text = String.UnicodeScalarView()
    var rest = part.makeIterator()
    while let scalar = rest.next() {
        guard scalar == "~" else { text.append(scalar); continue }
        switch rest.next() {
        case "0": text.append("~")
        case "1": text.append("/")
        case let other:
            text.append("~")
            if let other { text.append(other) }
        }
    }
    return String(text)
}
