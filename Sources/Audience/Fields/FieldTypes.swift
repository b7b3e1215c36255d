// What a value could be read as. Types are discovered from all values seen (rules, "Values and their conversion").
public import JSON
internal import Vocabulary

/// Types that a value converts to, as the bits of `fields.may_be`.
public struct FieldTypes: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }
    public static let number = FieldTypes(rawValue: 1)
    public static let boolean = FieldTypes(rawValue: 2)
    public static let date = FieldTypes(rawValue: 4)
    public static let time = FieldTypes(rawValue: 8)
    public static let tags = FieldTypes(rawValue: 16)
    public static let all: FieldTypes = [.number, .boolean, .date, .time, .tags]

    /// `nil` for a missing value, which says nothing.
    public init?(of value: JSONValue) {
        switch value {
        case .null, .object: return nil
        case .bool: self = .boolean
        case .integer, .real: self = .number
        case .array(let elements): self = elements.allSatisfy { $0.string != nil } ? .tags : []
        case .string(let text):
            if text.isEmpty { return nil }
            self.init(ofText: Array(text.utf8)[...])
        }
    }

    /// Of a text that is not empty.
    init(ofText bytes: ArraySlice<UInt8>) {
        var types: FieldTypes = []
        if isDecimal(bytes) { types.insert(.number) }
        if bytes.count <= 5, isBooleanText(bytes) { types.insert(.boolean) }
        if bytes.count >= 10, (48...57).contains(bytes.first!) {
            let text = String(decoding: bytes, as: UTF8.self)
            if bytes.count == 10, Day(text) != nil { types.formUnion([.date, .time]) }
            if bytes.count > 10, isTimeText(text) { types.insert(.time) }
        }
        self = types
    }
}

/// Decimal notation with an optional sign, fraction and exponent.
func isDecimal(_ bytes: ArraySlice<UInt8>) -> Bool {
    var index = bytes.startIndex
    func digits() -> Int {
        let start = index
        while index < bytes.endIndex, (48...57).contains(bytes[index]) { index += 1 }
        return index - start
    }
    if index < bytes.endIndex, bytes[index] == 43 || bytes[index] == 45 { index += 1 }
    var count = digits()
    if index < bytes.endIndex, bytes[index] == 46 {
        index += 1
        count += digits()
    }
    guard count > 0 else { return false }
    if index < bytes.endIndex, bytes[index] == 69 || bytes[index] == 101 {
        index += 1
        if index < bytes.endIndex, bytes[index] == 43 || bytes[index] == 45 { index += 1 }
        let exponentDigits = digits()
        guard (1...3).contains(exponentDigits) else { return false }
    }
    return index == bytes.endIndex
}

/// Whether a decimal text is the one way to write its number, so that a JSON number loses nothing of it: "02134",
/// "1.50" and "+1" stay text.
func isCanonicalNumber(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard (1...16).contains(bytes.count) else { return false }
    var rest = bytes
    if rest.first == 45 { rest = rest.dropFirst() }
    let whole = rest.prefix { (48...57).contains($0) }
    guard !whole.isEmpty, whole.count == 1 || whole.first != 48 else { return false }
    rest = rest.dropFirst(whole.count)
    if rest.isEmpty { return !(bytes.first == 45 && whole.count == 1 && whole.first == 48) }
    guard rest.first == 46 else { return false }
    let fraction = rest.dropFirst()
    return !fraction.isEmpty && fraction.allSatisfy { (48...57).contains($0) } && fraction.last != 48
}

private func isBooleanText(_ bytes: ArraySlice<UInt8>) -> Bool {
    ["true", "false", "yes", "no", "1", "0"].contains(String(decoding: bytes, as: UTF8.self).lowercased())
}

/// ISO 8601 with date and time, with or without a zone.
func isTimeText(_ text: String) -> Bool {
    if Instant(rfc3339: text) != nil { return true }
    // Without a zone, and perhaps without seconds: read in the workspace's zone.
    return Instant(rfc3339: text + "Z") != nil || (text.utf8.count == 16 && Instant(rfc3339: text + ":00Z") != nil)
}

/// The attributes of a contact as field keys with what their values may be: nested keys are joined by dots.
public func fieldTypes(of attributes: JSONObject) -> [String: FieldTypes] {
    var found: [String: FieldTypes] = [:]
    func walk(_ object: JSONObject, _ prefix: String) {
        for (key, value) in object {
            if case .object(let inner) = value { walk(inner, "\(prefix).\(key)") }
            if let types = FieldTypes(of: value) { found["\(prefix).\(key)"] = types }
        }
    }
    walk(attributes, "attributes")
    return found
}
