// Values as rules read them, said once more and plainly.
import Foundation
import JSON
import Vocabulary

func naiveLower(_ text: String) -> String {
    String(
        String.UnicodeScalarView(
            text.unicodeScalars.map { scalar in
                // Simple lower-casing: one character becomes one. The full mapping of İ alone has two.
                scalar == "\u{130}" ? "i" : scalar.properties.lowercaseMapping.unicodeScalars.first!
            }))
}

func naiveText(_ value: JSONValue?) -> String? {
    switch value {
    case .string(let text): text.isEmpty ? nil : text
    case .bool(let truth): truth ? "true" : "false"
    case .integer, .real: NaiveDecimal(value)!.description
    default: nil
    }
}

func naiveText(_ text: String, _ op: String, _ wanted: JSONValue, _ lower: Bool) -> Bool {
    func fold(_ text: String) -> [Unicode.Scalar] {
        Array((lower ? naiveLower(text) : text).precomposedStringWithCanonicalMapping.unicodeScalars)
    }
    let text = fold(text)
    let list = (wanted.array ?? [wanted]).compactMap(\.string).map(fold)
    func contains(_ part: [Unicode.Scalar]) -> Bool {
        text.count >= part.count && (0...(text.count - part.count)).contains { Array(text[$0..<($0 + part.count)]) == part }
    }
    return switch op {
    case "is", "is_any_of": list.contains { $0 == text }
    case "contains", "contains_any_of": list.contains(where: contains)
    case "contains_all_of": list.allSatisfy(contains)
    case "starts_with": Array(text.prefix(list[0].count)) == list[0]
    case "ends_with": Array(text.suffix(list[0].count)) == list[0]
    default: false
    }
}

func naiveBoolean(_ value: JSONValue?) -> Bool? {
    switch value {
    case .bool(let truth): truth
    case .string(let text): ["true": true, "yes": true, "1": true, "false": false, "no": false, "0": false][text.lowercased()]
    case .integer, .real: ["1": true, "0": false][NaiveDecimal(value)!.description]
    default: nil
    }
}

func naiveTags(_ value: JSONValue?) -> [String]? {
    guard let elements = value?.array else { return nil }
    let texts = elements.compactMap(\.string)
    return texts.count == elements.count ? texts : nil
}

func naiveTags(_ tags: [String]?, _ op: String, _ wanted: JSONValue, _ lower: Bool) -> Bool {
    let count = tags?.count ?? 0
    if op == "is_empty" { return count == 0 }
    if op == "size" {
        let (key, value) = (wanted.object!.keys[0], wanted.object!.map(\.value)[0])
        return switch key {
        case "is": count == value.integer!
        case "at_least": count >= value.integer!
        case "at_most": count <= value.integer!
        case "more_than": count > value.integer!
        case "less_than": count < value.integer!
        default: count >= value.array![0].integer! && count <= value.array![1].integer!
        }
    }
    guard let tags else { return false }
    func fold(_ texts: [String]) -> Set<[Unicode.Scalar]> {
        Set(texts.map { Array((lower ? naiveLower($0) : $0).precomposedStringWithCanonicalMapping.unicodeScalars) })
    }
    let (own, list) = (fold(tags), fold(wanted.array?.compactMap(\.string) ?? []))
    return switch op {
    case "has_any_of": !own.isDisjoint(with: list)
    case "has_all_of": list.isSubset(of: own)
    case "is_exactly": own == list
    default: false
    }
}

/// An exact decimal: digits without zeros at either end, times ten to a power.
struct NaiveDecimal: Comparable, CustomStringConvertible {
    var isNegative = false
    var digits: [Int] = []
    var exponent = 0

    init?(_ value: JSONValue?) {
        switch value {
        case .integer(let number): self.init(text: String(number))
        case .real(let number): self.init(text: number.description)
        case .string(let text): self.init(text: text)
        default: return nil
        }
    }

    init?(text: String) {
        var rest = Array(text.unicodeScalars)
        guard rest.count < 400 else { return nil }
        if rest.first == "-" || rest.first == "+" { isNegative = rest.removeFirst() == "-" }
        var point: Int?
        while let next = rest.first, ("0"..."9").contains(next) || (next == "." && point == nil) {
            rest.removeFirst()
            if next == "." { point = digits.count } else { digits.append(Int(next.value) - 48) }
        }
        guard !digits.isEmpty else { return nil }
        exponent = (point ?? digits.count) - digits.count
        if let e = rest.first, e == "e" || e == "E" {
            let power = String(String.UnicodeScalarView(rest.dropFirst()))
            let bare = power.hasPrefix("+") || power.hasPrefix("-") ? String(power.dropFirst()) : power
            guard (1...3).contains(bare.unicodeScalars.count), bare.unicodeScalars.allSatisfy({ ("0"..."9").contains($0) }) else {
                return nil
            }
            exponent += Int(bare)! * (power.hasPrefix("-") ? -1 : 1)
            rest = []
        }
        guard rest.isEmpty else { return nil }
        while digits.last == 0 {
            digits.removeLast()
            exponent += 1
        }
        while digits.first == 0 { digits.removeFirst() }
        if digits.isEmpty { (isNegative, exponent) = (false, 0) }
    }

    static func == (a: NaiveDecimal, b: NaiveDecimal) -> Bool { !(a < b) && !(b < a) }
    static func < (a: NaiveDecimal, b: NaiveDecimal) -> Bool {
        if a.isNegative != b.isNegative { return a.isNegative }
        return a.isNegative ? smaller(b, a) : smaller(a, b)
    }
    private static func smaller(_ a: NaiveDecimal, _ b: NaiveDecimal) -> Bool {
        if a.digits.isEmpty || b.digits.isEmpty { return a.digits.isEmpty && !b.digits.isEmpty }
        let (first, second) = (a.digits.count + a.exponent, b.digits.count + b.exponent)
        return first != second ? first < second : a.digits.lexicographicallyPrecedes(b.digits)
    }

    var description: String {
        if digits.isEmpty { return "0" }
        var text = digits.map(String.init).joined()
        if exponent >= 0 {
            text += String(repeating: "0", count: exponent)
        } else {
            if text.count <= -exponent { text = String(repeating: "0", count: 1 - exponent - text.count) + text }
            text.insert(".", at: text.index(text.endIndex, offsetBy: exponent))
        }
        return (isNegative ? "-" : "") + text
    }
}

/// Days and hours of one zone, by Foundation.
struct NaiveCalendar {
    private var calendar = Calendar(identifier: .gregorian)
    init(_ zone: String) { calendar.timeZone = TimeZone(identifier: zone)! }

    private func date(_ instant: Instant) -> Date { Date(timeIntervalSince1970: Double(instant.microseconds / 1_000_000)) }
    private func instant(_ date: Date, _ microseconds: Int64 = 0) -> Instant {
        Instant(microseconds: Int64(date.timeIntervalSince1970.rounded()) * 1_000_000 + microseconds)
    }

    /// Days since 1970 of the calendar day on which an instant falls.
    func dayNumber(_ instant: Instant) -> Int {
        let parts = calendar.dateComponents([.year, .month, .day], from: date(instant))
        return Day(year: parts.year!, month: parts.month!, day: parts.day!)!.daysSince1970
    }
    func startOfDay(_ number: Int) -> Instant {
        let day = Day(daysSince1970: number)
        return instant(calendar.date(from: DateComponents(year: day.year, month: day.month, day: day.day))!)
    }
    func hour(_ instant: Instant) -> Int { calendar.component(.hour, from: date(instant)) }
    /// 1 is Monday; 1 January 1970 was a Thursday.
    func weekday(_ number: Int) -> Int { ((number + 3) % 7 + 7) % 7 + 1 }

    func first(_ unit: String, _ number: Int) -> Int {
        let day = Day(daysSince1970: number)
        return switch unit {
        case "day": number
        case "week": number - (weekday(number) - 1)
        case "month": Day(year: day.year, month: day.month, day: 1)!.daysSince1970
        case "quarter": Day(year: day.year, month: (day.month - 1) / 3 * 3 + 1, day: 1)!.daysSince1970
        default: Day(year: day.year, month: 1, day: 1)!.daysSince1970
        }
    }
    func next(_ unit: String, _ first: Int) -> Int {
        var number = first + 1
        while self.first(unit, number) != number { number += 1 }
        return number
    }

    /// `length` like `30d`: elapsed time, or months and years at the same time of day.
    func moved(_ instant: Instant, _ length: String, _ sign: Int) -> Instant {
        let number = length.prefix { $0.isNumber }
        let amount = sign * Int(number)!
        let unit = String(length.dropFirst(number.count))
        let rest = instant.microseconds % 1_000_000
        switch unit {
        case "mo": return self.instant(calendar.date(byAdding: .month, value: amount, to: date(instant))!, rest)
        case "y": return self.instant(calendar.date(byAdding: .month, value: amount * 12, to: date(instant))!, rest)
        default:
            let seconds = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800][unit]!
            return instant + Double(amount * seconds)
        }
    }

    /// ISO 8601 with the zone's own time where the text names none.
    func instant(ofText text: String?) -> Instant? {
        guard let text, text.utf8.count >= 10, let day = Day(String(text.prefix(10))) else { return nil }
        if text.count == 10 { return startOfDay(day.daysSince1970) }
        if let instant = Instant(rfc3339: text) { return instant }
        guard let local = Instant(rfc3339: text.count == 16 ? text + ":00Z" : text + "Z") else { return nil }
        let seconds = Int(((local.microseconds / 1_000_000) % 86_400 + 86_400) % 86_400)
        let parts = DateComponents(
            year: day.year, month: day.month, day: day.day, hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60)
        let fraction = (local.microseconds % 1_000_000 + 1_000_000) % 1_000_000
        return instant(calendar.date(from: parts)!) + Double(fraction) / 1_000_000
    }

    func dayNumber(ofText text: String?) -> Int? {
        guard let text, let instant = instant(ofText: text) else { return nil }
        return Instant(rfc3339: text) == nil ? Day(String(text.prefix(10)))!.daysSince1970 : dayNumber(instant)
    }
}
