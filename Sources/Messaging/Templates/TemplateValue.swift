internal import JSON
internal import Vocabulary

/// What values are to a template.
enum TemplateValue {
    /// As it is written; empty where there is nothing.
    static func text(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): text
        case .integer(let number): String(number)
        case .real(let number): number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number)
        case .bool(let truth): truth ? "true" : "false"
        case .array(let values): values.map(text).joined(separator: ", ")
        case .null, .object: ""
        }
    }

    /// What a loop goes through: the values of a list, of an object its members as `key` and `value`, else the value alone.
    static func items(_ value: JSONValue) -> [JSONValue] {
        switch value {
        case .array(let values): values
        case .object(let object): object.map { ["key": .string($0.key), "value": $0.value] }
        case .null: []
        default: isBlank(value) ? [] : [value]
        }
    }

    /// Missing, white space, or an empty list or object.
    static func isBlank(_ value: JSONValue) -> Bool {
        switch value {
        case .null: true
        case .string(let text): !text.unicodeScalars.contains { !$0.properties.isWhitespace }
        case .array(let values): values.isEmpty
        case .object(let object): object.isEmpty
        case .bool, .integer, .real: false
        }
    }

    static func isTrue(_ value: JSONValue) -> Bool { value != false && !isBlank(value) }

    /// A number, or a text that is one in decimal notation.
    static func decimal(_ value: JSONValue) -> ExactDecimal? {
        switch value {
        case .integer(let number): ExactDecimal(text: String(number))
        case .real(let number): ExactDecimal(text: number.description)
        // No exponent: it would make a short text a long number.
        case .string(let text) where text.utf8.count <= 1000 && !text.utf8.contains { $0 | 32 == UInt8(ascii: "e") }:
            ExactDecimal(text: trimmed(text))
        default: nil
        }
    }

    /// Numbers by their value, also beside a text that is one; everything else as it is.
    static func areEqual(_ a: JSONValue, _ b: JSONValue) -> Bool {
        if a.real != nil || b.real != nil, let a = decimal(a), let b = decimal(b) { return a == b }
        return a == b
    }

    /// Numbers, and texts that both are, by their value, other texts by their code points; dates in ISO 8601 therefore by
    /// time. `nil`: they cannot be compared.
    static func isLess(_ a: JSONValue, _ b: JSONValue) -> Bool? {
        if let a = decimal(a), let b = decimal(b) { return a < b }
        guard let a = a.string, let b = b.string else { return nil }
        return a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
    }

    /// What clocks of the zone show at an instant (RFC 3339, or seconds since 1970), or a day or time without a zone.
    static func time(_ value: JSONValue, _ zone: TimeZoneRules) -> LocalTime? {
        if let seconds = value.integer {
            guard (-62_135_596_800...253_402_300_799).contains(seconds) else { return nil }
            return zone.local(Instant(microseconds: Int64(seconds) * 1_000_000))
        }
        guard let text = value.string.map({ trimmed($0) }), text.utf8.count <= 40 else { return nil }
        if let day = Day(text) { return LocalTime(dayNumber: day.daysSince1970) }
        if let instant = Instant(rfc3339: text) { return zone.local(instant) }
        let seconds = text.utf8.count == "2026-01-31T09:30".utf8.count ? ":00Z" : "Z"
        return Instant(rfc3339: text + seconds).map { LocalTime(microseconds: $0.microseconds) }
    }
}
