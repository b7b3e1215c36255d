// Times and windows in the naive reading.
import JSON
import Vocabulary

extension NaiveRule {
    /// A day's number, or an instant.
    enum Point { case day(Int), instant(Instant) }

    func point(_ json: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Point? {
        if let text = json.string {
            if let day = Day(text) { return .day(day.daysSince1970) }
            return .instant(Instant(rfc3339: text)!)
        }
        if let ago = json["ago"]?.string { return .instant(calendar.moved(now, ago, -1)) }
        if let ahead = json["ahead"]?.string { return .instant(calendar.moved(now, ahead, 1)) }
        if let unit = json["start_of"]?.string {
            let start = calendar.startOfDay(calendar.first(unit, calendar.dayNumber(now)))
            guard let plus = json["plus"]?.string else { return .instant(start) }
            let sign = plus.hasPrefix("-") ? -1 : 1
            let length = plus.hasPrefix("-") ? String(plus.dropFirst()) : plus
            // A day here is one of the calendar.
            if length.hasSuffix("d") {
                return .instant(calendar.startOfDay(calendar.dayNumber(start) + sign * Int(length.dropLast())!))
            }
            return .instant(calendar.moved(start, length, sign))
        }
        let raw = value(json["field"]!.string!, contact)
        return NaiveCalendar(workspaceZone).instant(ofText: raw?.string).map { .instant($0) }
    }

    /// From and to, both included; `nil`: no such end. The outer `nil`: an end is missing.
    func window(_ json: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> (Point?, Point?)? {
        if let last = json["last"]?.string { return (.instant(calendar.moved(now, last, -1)), .instant(now)) }
        if let period = json["calendar"]?.string {
            let unit = json["unit"]!.string!
            var first = calendar.first(unit, calendar.dayNumber(now))
            if period == "last" { first = calendar.first(unit, first - 1) }
            if period == "next" { first = calendar.next(unit, first) }
            return (.day(first), .day(calendar.next(unit, first) - 1))
        }
        if let pair = json["between"]?.array {
            guard let from = point(pair[0], contact, calendar), let to = point(pair[1], contact, calendar) else { return nil }
            return (from, to)
        }
        if let since = json["since"] { return point(since, contact, calendar).map { ($0, nil) } }
        return point(json["until"]!, contact, calendar).map { (nil, $0) }
    }

    func isNotBefore(_ time: Instant, _ point: Point, _ calendar: NaiveCalendar) -> Bool {
        switch point {
        case .day(let day): time >= calendar.startOfDay(day)
        case .instant(let other): time >= other
        }
    }

    func isNotAfter(_ time: Instant, _ point: Point, _ calendar: NaiveCalendar) -> Bool {
        switch point {
        case .day(let day): time < calendar.startOfDay(day + 1)
        case .instant(let other): time <= other
        }
    }

    func times(_ time: Instant, _ op: String, _ wanted: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let day = calendar.dayNumber(time)
        func notBefore(_ point: Point) -> Bool { isNotBefore(time, point, calendar) }
        func notAfter(_ point: Point) -> Bool { isNotAfter(time, point, calendar) }
        switch op {
        case "on":
            switch point(wanted, contact, calendar) {
            case .day(let other): return day == other
            case .instant(let other): return day == calendar.dayNumber(other)
            case nil: return false
            }
        case "before": return point(wanted, contact, calendar).map { !notBefore($0) } ?? false
        case "after": return point(wanted, contact, calendar).map { !notAfter($0) } ?? false
        case "between", "within":
            guard let (from, to) = window(op == "between" ? ["between": wanted] : wanted, contact, calendar) else { return false }
            return (from.map(notBefore) ?? true) && (to.map(notAfter) ?? true)
        case "anniversary_within": return anniversary(day, wanted, contact, calendar)
        case "day_of_week_is": return weekdays(wanted).contains(calendar.weekday(day))
        case "hour_is": return (wanted.array ?? [wanted]).contains { $0.integer == calendar.hour(time) }
        default: return false
        }
    }

    func dates(_ day: Int, _ op: String, _ wanted: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        func number(_ point: Point) -> Int {
            switch point {
            case .day(let day): day
            case .instant(let instant): calendar.dayNumber(instant)
            }
        }
        let other = ["on", "before", "after"].contains(op) ? point(wanted, contact, calendar).map(number) : nil
        switch op {
        case "on": return other.map { day == $0 } ?? false
        case "before": return other.map { day < $0 } ?? false
        case "after": return other.map { day > $0 } ?? false
        case "between", "within":
            guard let (from, to) = window(op == "between" ? ["between": wanted] : wanted, contact, calendar) else { return false }
            return (from.map { day >= number($0) } ?? true) && (to.map { day <= number($0) } ?? true)
        case "anniversary_within": return anniversary(day, wanted, contact, calendar)
        case "day_of_week_is": return weekdays(wanted).contains(calendar.weekday(day))
        case "hour_is": return (wanted.array ?? [wanted]).contains { $0.integer == 0 }
        default: return false
        }
    }

    /// Every day of the window is looked at.
    private func anniversary(_ day: Int, _ wanted: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        guard let ends = window(wanted, contact, calendar) else { return false }
        guard let from = ends.0, let to = ends.1 else { return true }
        func number(_ point: Point) -> Int {
            switch point {
            case .day(let day): day
            case .instant(let instant): calendar.dayNumber(instant)
            }
        }
        let born = Day(daysSince1970: day)
        var look = number(from)
        while look <= number(to) {
            let it = Day(daysSince1970: look)
            if (it.month, it.day) == (born.month, born.day) { return true }
            if (born.month, born.day) == (2, 29), (it.month, it.day) == (3, 1), !Day.isLeap(it.year) { return true }
            look += 1
        }
        return false
    }

    private func weekdays(_ wanted: JSONValue) -> [Int] {
        let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        return (wanted.array ?? [wanted]).map { $0.integer ?? names.firstIndex(of: $0.string!)! + 1 }
    }
}
