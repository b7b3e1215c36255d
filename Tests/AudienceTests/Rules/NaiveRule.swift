// A second reading of the rule language: one contact, straight from the JSON, as slowly and plainly as it can be said.
// It shares nothing with the compiler but the text of the language.
import Foundation
import JSON
import Vocabulary

/// A contact as the naive reading sees it.
struct NaiveContact {
    var columns: [String: JSONValue] = [:]
    var attributes: JSONValue = [:]
    var zone: String?
}

struct NaiveRule {
    /// By key, built-in ones included.
    let types: [String: String]
    let workspaceZone: String
    let now: Instant

    func matches(_ rule: JSONValue, _ contact: NaiveContact) -> Bool {
        var name = rule["timezone"]!.string!
        if name == "workspace" { name = workspaceZone }
        if name == "contact" { name = contact.zone.flatMap { TimeZone(identifier: $0)?.identifier } ?? workspaceZone }
        return holds(rule["match"]!, contact, NaiveCalendar(name))
    }

    private func holds(_ node: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        func each(_ key: String) -> [Bool] { node[key]!.array!.map { holds($0, contact, calendar) } }
        if node["all"] != nil { return !each("all").contains(false) }
        if node["any"] != nil { return each("any").contains(true) }
        if node["none"] != nil { return !each("none").contains(true) }
        if let child = node["not"] { return !holds(child, contact, calendar) }
        if node["of"] != nil { return each("of").filter { $0 }.count >= node["at_least"]!.integer! }
        return leaf(node, contact, calendar)
    }

    private func value(_ key: String, _ contact: NaiveContact) -> JSONValue? {
        if !key.hasPrefix("attributes.") { return contact.columns[key] }
        var value: JSONValue? = contact.attributes
        for part in key.split(separator: ".").dropFirst() { value = value?[String(part)] }
        return value
    }

    private func leaf(_ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let key = leaf["field"]!.string!
        let (op, wanted) = (leaf["op"]!.string!, leaf["value"] ?? .null)
        let raw = value(key, contact)
        let lower = leaf["case"]?.string != "sensitive"
        let negative = ["is_unknown", "is_not", "is_none_of", "does_not_contain", "not_between", "not_on", "not_within", "has_none_of"]
            .contains(op)
        let positive =
            [
                "is_unknown": "is_known", "is_not": "is", "is_none_of": "is_any_of", "does_not_contain": "contains",
                "not_between": "between", "not_on": "on", "not_within": "within", "has_none_of": "has_any_of",
            ][op] ?? op
        let known: Bool
        var answer: Bool
        switch types[key]! {
        case "text", "email":
            let text = naiveText(raw)
            known = text != nil
            answer = text.map { naiveText($0, positive, wanted, lower) } ?? false
        case "number":
            let number = NaiveDecimal(raw)
            known = number != nil
            answer = number.map { compare($0, positive, wanted) } ?? false
        case "boolean":
            let truth = naiveBoolean(raw)
            known = truth != nil
            answer = positive == "is_known" ? known : truth == (positive == "is_true")
        case "tags":
            let tags = naiveTags(raw)
            known = !(tags ?? []).isEmpty
            answer = naiveTags(tags, positive, wanted, lower)
        case "date":
            let day = calendar.dayNumber(ofText: raw?.string)
            known = day != nil
            answer = day.map { dates($0, positive, wanted, contact, calendar) } ?? false
        default:
            let instant = NaiveCalendar(workspaceZone).instant(ofText: raw?.string)
            known = instant != nil
            answer = instant.map { times($0, positive, wanted, contact, calendar) } ?? false
        }
        if positive == "is_known" { answer = known }
        if negative { answer.toggle() }
        if let missing = leaf["missing"]?.string, !known { return missing == "match" }
        return answer
    }

    private func compare(_ number: NaiveDecimal, _ op: String, _ wanted: JSONValue) -> Bool {
        func other(_ json: JSONValue) -> NaiveDecimal { NaiveDecimal(json)! }
        return switch op {
        case "is": number == other(wanted)
        case "is_any_of": wanted.array!.contains { number == other($0) }
        case "less_than": number < other(wanted)
        case "at_most": !(other(wanted) < number)
        case "more_than": other(wanted) < number
        case "at_least": !(number < other(wanted))
        case "between": !(number < other(wanted.array![0])) && !(other(wanted.array![1]) < number)
        default: false
        }
    }

    // MARK: Times

    /// A day's number, or an instant.
    private enum Point { case day(Int), instant(Instant) }

    private func point(_ json: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Point? {
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
    private func window(_ json: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> (Point?, Point?)? {
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

    private func times(_ time: Instant, _ op: String, _ wanted: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let day = calendar.dayNumber(time)
        func notBefore(_ point: Point) -> Bool {
            switch point {
            case .day(let other): time >= calendar.startOfDay(other)
            case .instant(let other): time >= other
            }
        }
        func notAfter(_ point: Point) -> Bool {
            switch point {
            case .day(let other): time < calendar.startOfDay(other + 1)
            case .instant(let other): time <= other
            }
        }
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

    private func dates(_ day: Int, _ op: String, _ wanted: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
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
