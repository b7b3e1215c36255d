// How dates, numbers and money are written.
internal import Vocabulary

/// A pattern as C's strftime has it, as far as it is the same everywhere and in English.
struct DateFormat: Sendable, Hashable {
    private let pieces: [Piece]
    private enum Piece: Sendable, Hashable {
        case literal(String)
        case field(Character)
    }
    /// Without a leading zero where `-` stands behind the percent sign.
    private static let fields: Set<Character> = ["Y", "y", "m", "d", "e", "H", "I", "M", "S", "p", "B", "b", "A", "a", "j"]
    private static let unpadded: [Character: Character] = ["d": "D", "m": "N", "H": "K", "I": "L"]

    /// `nil` for a pattern with something behind `%` that it does not know.
    init?(_ pattern: String) {
        var pieces: [Piece] = []
        var rest = pattern[...]
        while let next = rest.popFirst() {
            guard next == "%" else {
                if case .literal(let text)? = pieces.last {
                    pieces[pieces.count - 1] = .literal(text + String(next))
                } else {
                    pieces.append(.literal(String(next)))
                }
                continue
            }
            switch rest.popFirst() {
            case "%": pieces.append(.literal("%"))
            case "-":
                guard let field = rest.popFirst().flatMap({ Self.unpadded[$0] }) else { return nil }
                pieces.append(.field(field))
            case let field?:
                guard Self.fields.contains(field) else { return nil }
                pieces.append(.field(field))
            case nil: return nil
            }
        }
        self.pieces = pieces
    }

    func text(_ time: LocalTime) -> String {
        let date = Day(daysSince1970: time.dayNumber)
        let second = Int((time.microseconds - LocalTime(dayNumber: time.dayNumber).microseconds) / 1_000_000)
        let hour = time.hour
        return pieces.map { piece in
            guard case .field(let field) = piece else {
                if case .literal(let text) = piece { return text }
                return ""
            }
            return switch field {
            case "Y": padded(date.year, 4)
            case "y": padded(date.year % 100, 2)
            case "m": padded(date.month, 2)
            case "N": String(date.month)
            case "d": padded(date.day, 2)
            case "D", "e": String(date.day)
            case "H": padded(hour, 2)
            case "K": String(hour)
            case "I": padded((hour + 11) % 12 + 1, 2)
            case "L": String((hour + 11) % 12 + 1)
            case "M": padded(second / 60 % 60, 2)
            case "S": padded(second % 60, 2)
            case "p": hour < 12 ? "AM" : "PM"
            case "B": Self.months[date.month - 1]
            case "b": String(Self.months[date.month - 1].prefix(3))
            case "A": Self.weekdays[time.weekday - 1]
            case "a": String(Self.weekdays[time.weekday - 1].prefix(3))
            default: padded(time.dayNumber - LocalTime(dayNumber: time.dayNumber).start(of: "year").dayNumber + 1, 3)
            }
        }.joined()
    }

    private func padded(_ value: Int, _ width: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ]
    private static let weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
}

/// The zone in which a date is written.
struct TemplateZone: Sendable, Hashable {
    let rules: TimeZoneRules
    static let utc = TemplateZone(rules: .utc)
    private init(rules: TimeZoneRules) { self.rules = rules }

    /// `nil` for a zone that tzdata does not have.
    init?(_ name: String) {
        guard let rules = TimeZoneRules(named: name) else { return nil }
        self.rules = rules
    }
    static func == (a: TemplateZone, b: TemplateZone) -> Bool { a.rules.name == b.rules.name }
    func hash(into hasher: inout Hasher) { hasher.combine(rules.name) }
}

/// `number: 2, ".", ","` writes 1234.5 as `1.234,50`. Halves are rounded away from zero.
struct NumberFormat: Sendable, Hashable {
    let decimals: Int
    let group: String
    let point: String

    func text(_ number: ExactDecimal, prefix: String = "") -> String {
        var digits = Array(number.description.utf8)
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { digits.removeFirst() }
        let end = digits.firstIndex(of: UInt8(ascii: ".")) ?? digits.count
        let fraction = digits[end...].dropFirst()
        var kept = digits[..<end] + fraction.prefix(decimals)
        kept += [UInt8](repeating: 48, count: max(0, decimals - fraction.count))
        if let next = fraction.dropFirst(decimals).first, next >= 53 { kept = Self.increased(kept)[...] }
        let whole = kept.dropLast(decimals)
        let sign = isNegative && kept.contains { $0 != 48 } ? "-" : ""
        let behind = decimals == 0 ? "" : point + String(decoding: kept.suffix(decimals), as: UTF8.self)
        return sign + prefix + grouped(Array(whole)) + behind
    }

    private static func increased(_ digits: ArraySlice<UInt8>) -> [UInt8] {
        var digits = Array(digits)
        for index in digits.indices.reversed() {
            if digits[index] != 57 {
                digits[index] += 1
                return digits
            }
            digits[index] = 48
        }
        return [49] + digits
    }

    private func grouped(_ digits: [UInt8]) -> String {
        guard !group.isEmpty else { return String(decoding: digits, as: UTF8.self) }
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += group }
            text.unicodeScalars.append(Unicode.Scalar(digit))
        }
        return text
    }
}

/// `money: "USD"` writes 1234.5 as `$1,234.50`; a currency without a sign of its own has its code in front.
struct Currency: Sendable, Hashable {
    let prefix: String
    let format: NumberFormat

    /// - Parameter code: three capital letters, ISO 4217. `nil` for anything else.
    init?(_ code: String) {
        guard code.utf8.count == 3, code.utf8.allSatisfy({ (65...90).contains($0) }) else { return nil }
        prefix = ["USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"][code] ?? code + " "
        format = NumberFormat(decimals: ["JPY", "KRW", "VND", "CLP", "ISK"].contains(code) ? 0 : 2, group: ",", point: ".")
    }
}
