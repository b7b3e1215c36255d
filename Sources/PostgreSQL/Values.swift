// What goes into a statement and what comes out of it, in PostgreSQL's text format.
public import JSON
public import Vocabulary

/// A parameter as it travels.
public enum SQLValue: Sendable, Hashable {
    case null
    case text(String)
    case bytes([UInt8])
}

public protocol SQLEncodable {
    var sqlValue: SQLValue { get }
}

/// A value of one column.
public protocol SQLDecodable {
    /// - Parameter text: PostgreSQL's text form; `nil` means the text is not of this type.
    init?(sqlText text: UnsafeBufferPointer<UInt8>)
    static var sqlName: String { get }
    /// What NULL becomes; `nil`: it is an error.
    static var ofNull: Self? { get }
}
extension SQLDecodable {
    public static var ofNull: Self? { nil }
}

extension SQLValue: SQLEncodable { public var sqlValue: SQLValue { self } }

extension String: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(self) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) { self.init(decoding: text, as: UTF8.self) }
    public static var sqlName: String { "text" }
}

extension SQLEncodable where Self: FixedWidthInteger {
    public var sqlValue: SQLValue { .text(String(self)) }
}
extension SQLDecodable where Self: FixedWidthInteger {
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) {
        var value: Self = 0
        var digits = text[...]
        let negative = digits.first == UInt8(ascii: "-")
        if negative { digits = digits.dropFirst() }
        guard !digits.isEmpty else { return nil }
        for byte in digits {
            guard (48...57).contains(byte) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let digit = Self(byte - 48)
            let (sum, overflowed) = negative ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
            if overflow || overflowed { return nil }
            value = sum
        }
        self = value
    }
    public static var sqlName: String { "integer" }
}
extension Int: SQLEncodable, SQLDecodable {}
extension Int64: SQLEncodable, SQLDecodable {}
extension Int32: SQLEncodable, SQLDecodable {}

extension Double: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(isNaN ? "NaN" : isInfinite ? (self > 0 ? "Infinity" : "-Infinity") : description) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) { self.init(String(decoding: text, as: UTF8.self)) }
    public static var sqlName: String { "number" }
}

extension Bool: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(self ? "t" : "f") }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) {
        switch text.first {
        case UInt8(ascii: "t"): self = true
        case UInt8(ascii: "f"): self = false
        default: return nil
        }
    }
    public static var sqlName: String { "boolean" }
}

extension UUID: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(description) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) { self.init(utf8: text) }
    public static var sqlName: String { "uuid" }
}
extension ID: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(description) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) {
        guard let uuid = UUID(utf8: text) else { return nil }
        self.init(uuid)
    }
    public static var sqlName: String { "uuid" }
}

/// Connections run in UTC with ISO dates: `2026-11-21 03:30:00.123456+00`.
extension Instant: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(description) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) {
        self.init(rfc3339: String(decoding: text, as: UTF8.self) + ":00")
    }
    public static var sqlName: String { "timestamptz" }
}
extension Day: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(description) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) { self.init(String(decoding: text, as: UTF8.self)) }
    public static var sqlName: String { "date" }
}
extension E164: SQLEncodable { public var sqlValue: SQLValue { .text(description) } }
extension EmailAddress: SQLEncodable { public var sqlValue: SQLValue { .text(description) } }
extension Channel: SQLEncodable, SQLDecodable {}

/// Enumerations stored as text declare the conformance and are done.
extension SQLEncodable where Self: RawRepresentable, RawValue == String {
    public var sqlValue: SQLValue { .text(rawValue) }
}
extension SQLDecodable where Self: RawRepresentable, RawValue == String {
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) { self.init(rawValue: String(decoding: text, as: UTF8.self)) }
    public static var sqlName: String { "\(Self.self)" }
}

extension JSONValue: SQLEncodable, SQLDecodable {
    public var sqlValue: SQLValue { .text(text) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) {
        do { try self.init(parsing: Array(text), limits: .trusted) } catch { return nil }
    }
    public static var sqlName: String { "jsonb" }
}

/// JSON as PostgreSQL wrote it, on its way to the socket unparsed.
public struct JSONText: SQLEncodable, SQLDecodable, Sendable {
    public let bytes: [UInt8]
    public init(bytes: [UInt8]) { self.bytes = bytes }
    public init(_ value: JSONValue) {
        var bytes: [UInt8] = []
        value.write(into: &bytes)
        self.bytes = bytes
    }
    public var sqlValue: SQLValue { .text(String(decoding: bytes, as: UTF8.self)) }
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) { bytes = Array(text) }
    public static var sqlName: String { "json" }
}

extension Optional: SQLEncodable where Wrapped: SQLEncodable {
    public var sqlValue: SQLValue { self?.sqlValue ?? .null }
}

extension Optional: SQLDecodable where Wrapped: SQLDecodable {
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) {
        guard let value = Wrapped(sqlText: text) else { return nil }
        self = .some(value)
    }
    public static var sqlName: String { Wrapped.sqlName + " or NULL" }
    public static var ofNull: Self? { .some(.none) }
}

extension UInt8: SQLEncodable, SQLDecodable {}

/// `[UInt8]` is a bytea; other arrays are PostgreSQL's one-dimensional arrays.
extension Array: SQLEncodable where Element: SQLEncodable {
    public var sqlValue: SQLValue {
        if Element.self == UInt8.self { return .bytes(unsafeBitCast(self, to: [UInt8].self)) }
        return .text(arrayLiteral(map { $0.sqlValue }))
    }
}
extension Array: SQLDecodable where Element: SQLDecodable {
    public init?(sqlText text: UnsafeBufferPointer<UInt8>) {
        if Element.self == UInt8.self {
            guard let bytes = bytesOfHex(text) else { return nil }
            self = unsafeBitCast(bytes, to: [Element].self)
            return
        }
        guard let elements = arrayElements(text) else { return nil }
        var values: [Element] = []
        for element in elements {
            let value = element.map { bytes in bytes.withUnsafeBufferPointer { Element(sqlText: $0) } } ?? Element.ofNull
            guard let value else { return nil }
            values.append(value)
        }
        self = values
    }
    public static var sqlName: String { Element.self == UInt8.self ? "bytea" : Element.sqlName + "[]" }
}

/// `\x` and hex digits, PostgreSQL's output of bytea.
private func bytesOfHex(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    guard text.count >= 2, text.count % 2 == 0, text[0] == UInt8(ascii: "\\"), text[1] == UInt8(ascii: "x") else { return nil }
    func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 97...102: byte - 87
        default: nil
        }
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 2 - 1)
    for index in stride(from: 2, to: text.count, by: 2) {
        guard let high = digit(text[index]), let low = digit(text[index + 1]) else { return nil }
        bytes.append(high << 4 | low)
    }
    return bytes
}

/// The elements of `{a,"b c",NULL}`; `nil` elements are NULL.
private func arrayElements(_ text: UnsafeBufferPointer<UInt8>) -> [[UInt8]?]? {
    guard text.first == UInt8(ascii: "{"), text.last == UInt8(ascii: "}") else { return nil }
    var elements: [[UInt8]?] = []
    var index = 1
    let end = text.count - 1
    while index < end {
        var element: [UInt8] = []
        let quoted = text[index] == UInt8(ascii: "\"")
        if quoted {
            index += 1
            while index < end, text[index] != UInt8(ascii: "\"") {
                if text[index] == UInt8(ascii: "\\") { index += 1 }
                element.append(text[index])
                index += 1
            }
            index += 1
        } else {
            while index < end, text[index] != UInt8(ascii: ",") {
                element.append(text[index])
                index += 1
            }
        }
        elements.append(!quoted && element == Array("NULL".utf8) ? nil : element)
        index += 1
    }
    return elements
}

private func arrayLiteral(_ values: [SQLValue]) -> String {
    var text: [UInt8] = [UInt8(ascii: "{")]
    for (index, value) in values.enumerated() {
        if index > 0 { text.append(UInt8(ascii: ",")) }
        switch value {
        case .null: text += "NULL".utf8
        case .text(let element):
            text.append(UInt8(ascii: "\""))
            for byte in element.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { text.append(UInt8(ascii: "\\")) }
                text.append(byte)
            }
            text.append(UInt8(ascii: "\""))
        case .bytes(let bytes):
            text += "\"\\\\x".utf8
            text += hexDigits(bytes)
            text.append(UInt8(ascii: "\""))
        }
    }
    text.append(UInt8(ascii: "}"))
    return String(decoding: text, as: UTF8.self)
}

func hexDigits(_ bytes: [UInt8]) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    var hex: [UInt8] = []
    hex.reserveCapacity(bytes.count * 2)
    for byte in bytes {
        hex.append(digits[Int(byte >> 4)])
        hex.append(digits[Int(byte & 15)])
    }
    return hex
}
