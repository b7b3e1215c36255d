// A value as it is stored, and how rules read it: the Swift side of the functions in migration 0021.
internal import JSON
public import Vocabulary

/// What is in a field, before anybody asks for a type. A missing value (absent, or null) is `nil` of this.
public enum FieldContent: Sendable, Hashable {
    case text(String)
    /// In decimal notation, as PostgreSQL writes it.
    case number(String)
    case boolean(Bool)
    /// An array of nothing but texts.
    case texts([String])
    /// Any other array or object, as JSON.
    case json(String)
    case instant(Instant)

    /// From the first letter of its JSON type and `#>> '{}'` of it: `nabc` would be the number `abc`.
    init?(tagged text: String) {
        // By bytes: a mark that follows the letter would be one character with it.
        let rest = String(decoding: text.utf8.dropFirst(), as: UTF8.self)
        switch text.utf8.first {
        case UInt8(ascii: "s"): self = .text(rest)
        case UInt8(ascii: "n"): self = .number(rest)
        case UInt8(ascii: "b"): self = .boolean(rest == "true")
        case UInt8(ascii: "a"):
            let elements: [JSONValue]?
            do { elements = try JSONValue(parsing: rest, limits: .trusted).array } catch { elements = nil }
            let texts = elements?.compactMap(\.string)
            self = texts != nil && texts?.count == elements?.count ? .texts(texts ?? []) : .json(rest)
        default: self = .json(rest)
        }
    }

    /// `text_of`: numbers in their shortest form; arrays, objects and empty text are no text.
    var text: String? {
        switch self {
        case .text(let text): text.isEmpty ? nil : text
        case .number(let text): ExactDecimal(text: text)?.description
        case .boolean(let truth): truth ? "true" : "false"
        case .texts, .json, .instant: nil
        }
    }

    /// `number_of`: a number, or text in decimal notation within the same limits.
    var number: ExactDecimal? {
        switch self {
        case .number(let text): return ExactDecimal(text: text)
        case .text(let text):
            let bytes = text.utf8
            guard bytes.count < 400 else { return nil }
            if let mark = bytes.firstIndex(where: { $0 == UInt8(ascii: "e") || $0 == UInt8(ascii: "E") }) {
                let power = bytes[bytes.index(after: mark)...].drop { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") }
                guard power.count <= 3 else { return nil }
            }
            return ExactDecimal(text: text)
        default: return nil
        }
    }

    /// `boolean_of`: the numbers 1 and 0 count like the texts.
    var boolean: Bool? {
        switch self {
        case .boolean(let truth): return truth
        case .number(let text):
            let number = ExactDecimal(text: text)
            return number == ExactDecimal(1) ? true : number == .zero ? false : nil
        case .text(let text):
            switch simplyLowercased(text) {
            case "true", "yes", "1": return true
            case "false", "no", "0": return false
            default: return nil
            }
        default: return nil
        }
    }

    /// `tags_of`.
    var tags: [String]? { if case .texts(let texts) = self { texts } else { nil } }

    /// `time_of`.
    /// - Parameter zone: of times that were written without one.
    func instant(_ zone: TimeZoneRules) -> Instant? {
        switch self {
        case .instant(let instant): instant
        case .text(let text): WrittenTime(text)?.instant(zone)
        default: nil
        }
    }

    /// `date_of`: days since 1970.
    /// - Parameter zone: in which a time with an offset falls on a day.
    func day(_ zone: TimeZoneRules) -> Int? {
        switch self {
        case .instant(let instant): zone.local(instant).dayNumber
        case .text(let text): WrittenTime(text)?.day(zone)
        default: nil
        }
    }

    /// Whether it converts to a type. Empty tags are missing too.
    func isKnown(as type: FieldType, _ moment: RuleMoment) -> Bool {
        switch type {
        case .text, .email, .phone: text != nil
        case .number, .money: number != nil
        case .boolean: boolean != nil
        case .date: day(moment.zone) != nil
        case .time: instant(moment.readingZone) != nil
        case .tags: !(tags ?? []).isEmpty
        }
    }
}

/// An ISO 8601 day or time in the forms that `time_of` and `date_of` take.
struct WrittenTime {
    /// The day that the text names.
    private let dayNumber: Int
    /// Its day and time as written.
    private let local: LocalTime
    /// Seconds east of UTC; `nil` for a text without an offset.
    private let offset: Int?

    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 10, let day = Day(String(decoding: bytes[..<10], as: UTF8.self)) else { return nil }
        dayNumber = day.daysSince1970
        var rest = bytes[10...]
        guard let separator = rest.popFirst() else {
            (local, offset) = (LocalTime(dayNumber: dayNumber), nil)
            return
        }
        guard [UInt8(ascii: " "), UInt8(ascii: "T"), UInt8(ascii: "t")].contains(separator), let hour = rest.takeTwoDigits(),
            rest.popFirst() == UInt8(ascii: ":"), let minute = rest.takeTwoDigits(), hour < 24, minute < 60
        else { return nil }
        var microseconds = Int64(hour * 3600 + minute * 60) * 1_000_000
        if rest.first == UInt8(ascii: ":") {
            rest = rest.dropFirst()
            guard let second = rest.takeTwoDigits(), second <= 60, let fraction = rest.takeFraction() else { return nil }
            // A leap second is the next minute's first, and nothing of it may be left over.
            guard second < 60 || fraction == 0 else { return nil }
            microseconds += Int64(second) * 1_000_000 + fraction
        }
        local = LocalTime(microseconds: LocalTime(dayNumber: dayNumber).microseconds + microseconds)
        guard let sign = rest.popFirst() else {
            offset = nil
            return
        }
        switch sign {
        case UInt8(ascii: "Z"), UInt8(ascii: "z"): offset = 0
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            guard let hours = rest.takeTwoDigits(), hours < 15 else { return nil }
            if rest.first == UInt8(ascii: ":") { rest = rest.dropFirst() }
            guard let minutes = rest.takeTwoDigits(), minutes < 60 else { return nil }
            offset = (hours * 3600 + minutes * 60) * (sign == UInt8(ascii: "-") ? -1 : 1)
        default: return nil
        }
        guard rest.isEmpty else { return nil }
    }

    private var fixed: Instant? { offset.map { Instant(microseconds: local.microseconds - Int64($0) * 1_000_000) } }

    func instant(_ zone: TimeZoneRules) -> Instant { fixed ?? zone.instant(local) }
    func day(_ zone: TimeZoneRules) -> Int { fixed.map { zone.local($0).dayNumber } ?? dayNumber }
}

extension ArraySlice<UInt8> {
    fileprivate mutating func takeTwoDigits() -> Int? {
        guard count >= 2, prefix(2).allSatisfy({ (48...57).contains($0) }) else { return nil }
        defer { self = dropFirst(2) }
        return Int(self[startIndex] - 48) * 10 + Int(self[startIndex + 1] - 48)
    }

    /// Microseconds of `.` and 1 to 30 digits, rounded as PostgreSQL does, by way of a double; 0 where there is no point.
    fileprivate mutating func takeFraction() -> Int64? {
        guard first == UInt8(ascii: ".") else { return 0 }
        let digits = dropFirst().prefix { (48...57).contains($0) }
        guard (1...30).contains(digits.count), let fraction = Double("0." + String(decoding: digits, as: UTF8.self)) else { return nil }
        self = dropFirst(1 + digits.count)
        return Int64((fraction * 1_000_000).rounded(.toNearestOrEven))
    }
}
