// Values of operators: lists, numbers, lengths, times and windows.
internal import JSON
internal import Vocabulary

extension RuleParser {
    mutating func list(_ value: JSONValue, _ place: String) -> [JSONValue] {
        guard let list = value.array else {
            faults.add(place, "wrong_type", "Expected an array.")
            return []
        }
        if list.isEmpty { faults.add(place, "too_few", "At least one value.") }
        if list.count > RuleLimits.values { faults.add(place, "too_many", "At most \(RuleLimits.values) values; there are \(list.count).") }
        return list
    }

    mutating func texts(_ value: JSONValue, _ place: String) -> [String] {
        list(value, place).prefix(RuleLimits.values).enumerated().map { text($1, "\(place)/\($0)", 10_000) }
    }

    mutating func number(_ value: JSONValue, _ place: String) -> String {
        switch value {
        case .integer(let number): return String(number)
        case .real(let number) where number.isFinite: return number.description
        default:
            faults.add(place, "wrong_type", "Expected a number.")
            return "0"
        }
    }

    mutating func span(_ value: JSONValue?, _ place: String, signed: Bool = false) -> Span {
        let text = value?.string ?? ""
        var digits = Substring(text)
        let negative = signed && digits.hasPrefix("-")
        if negative { digits = digits.dropFirst() }
        let number = digits.prefix { $0.isASCII && $0.isNumber }
        let unit = String(digits.dropFirst(number.count))
        guard let amount = Int(number), amount <= 100_000, ["s", "m", "h", "d", "w", "mo", "y"].contains(unit),
            !(unit == "y" && amount > 1000), !(unit == "mo" && amount > 12_000)
        else {
            faults.add(place, "bad_format", "Expected a length like 30d; units are s m h d w mo y.")
            return Span(amount: 1, unit: "d")
        }
        return Span(amount: negative ? -amount : amount, unit: unit)
    }

    mutating func time(_ value: JSONValue, _ place: String) -> TimeExpression {
        if let text = value.string {
            if let day = Day(text) { return .day(day) }
            if let instant = Instant(rfc3339: text) { return .instant(instant) }
        }
        if let object = value.object, let key = object.keys.first {
            switch key {
            case "ago" where object.count == 1:
                dependencies.readsTime = true
                return .ago(span(object["ago"], place + "/ago"))
            case "ahead" where object.count == 1:
                dependencies.readsTime = true
                return .ahead(span(object["ahead"], place + "/ahead"))
            case "start_of", "plus":
                dependencies.readsTime = true
                onlyMembers(object, ["start_of", "plus"], place)
                let unit = object["start_of"]?.string ?? ""
                if !Self.calendarUnits.contains(unit) {
                    faults.add(place + "/start_of", "not_one_of", "Expected one of \(Self.calendarUnits.joined(separator: ", ")).")
                }
                return .startOf(unit, plus: object["plus"].map { span($0, place + "/plus", signed: true) })
            case "field" where object.count == 1:
                let name = text(object["field"], place + "/field", 300)
                if let (source, type) = resolve(name, ["op": "before"], place), type == .time || type == .date {
                    return .field(source, type)
                }
                faults.add(place + "/field", "wrong_type", "Expected a date or time field.")
                return .instant(Instant(microseconds: 0))
            default: break
            }
        }
        faults.add(place, "bad_time", "Expected a day, an RFC 3339 time, or an object with ago, ahead, start_of or field.")
        return .instant(Instant(microseconds: 0))
    }

    /// From one time to another. What is reversed whatever the moment and the zone is a window that holds next to nothing,
    /// which nobody means.
    mutating func between(_ pair: [JSONValue], _ place: String) -> Window {
        let (from, to) = (time(pair[0], place + "/0"), time(pair[1], place + "/1"))
        let isReversed =
            switch (from, to) {
            case (.day(let from), .day(let to)): from.daysSince1970 > to.daysSince1970
            case (.instant(let from), .instant(let to)): from > to
            default:
                if case .elapsed(let from) = TimeMotion(from), case .elapsed(let to) = TimeMotion(to) { from > to } else { false }
            }
        if isReversed, !context.isStored { faults.add(place, "reversed_range", "The earlier time comes first.") }
        return .between(from, to)
    }

    private static let calendarUnits = ["day", "week", "month", "quarter", "year"]

    mutating func window(_ value: JSONValue, _ place: String) -> Window {
        let object = value.object ?? [:]
        if object.count == 1, let last = object["last"] {
            dependencies.readsTime = true
            return .last(span(last, place + "/last"))
        }
        if object.count == 1, let since = object["since"] { return .since(time(since, place + "/since")) }
        if object.count == 1, let until = object["until"] { return .until(time(until, place + "/until")) }
        if object.count == 1, let pair = object["between"]?.array, pair.count == 2 {
            return between(pair, place + "/between")
        }
        if object["calendar"] != nil || object["unit"] != nil {
            dependencies.readsTime = true
            onlyMembers(object, ["calendar", "unit"], place)
            let offset = ["last": -1, "this": 0, "next": 1][object["calendar"]?.string ?? ""]
            if offset == nil { faults.add(place + "/calendar", "not_one_of", "Expected this, last or next.") }
            let unit = object["unit"]?.string ?? ""
            if !Self.calendarUnits.contains(unit) {
                faults.add(place + "/unit", "not_one_of", "Expected one of \(Self.calendarUnits.joined(separator: ", ")).")
            }
            return .calendar(offset ?? 0, unit: unit)
        }
        faults.add(place, "bad_window", "Expected an object with last, calendar and unit, between, since or until.")
        return .last(Span(amount: 1, unit: "d"))
    }
}
