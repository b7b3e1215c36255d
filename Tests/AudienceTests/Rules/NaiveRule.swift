// A second reading of the rule language: one contact, straight from the JSON, as slowly and plainly as it can be said.
// It shares nothing with the compiler but the text of the language.
import Foundation
import JSON
import Vocabulary

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

    func holds(_ node: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        func each(_ key: String) -> [Bool] { node[key]!.array!.map { holds($0, contact, calendar) } }
        if node["all"] != nil { return !each("all").contains(false) }
        if node["any"] != nil { return each("any").contains(true) }
        if node["none"] != nil { return !each("none").contains(true) }
        if let child = node["not"] { return !holds(child, contact, calendar) }
        if node["of"] != nil, node["aggregate"] == nil { return each("of").filter { $0 }.count >= node["at_least"]!.integer! }
        if node["was"] != nil, node["field"] != nil { return was(node, contact, calendar) }
        if node["changed"] != nil { return changed(node, contact, calendar) }
        if node["field"] != nil { return fieldLeaf(node, contact, calendar) }
        return deedLeaf(node, contact, calendar)
    }

    /// Of the contact, or inside `where` of the event.
    func value(_ key: String, _ contact: NaiveContact) -> JSONValue? {
        if let properties = contact.properties { return value(at: key.split(separator: ".").map(String.init), in: properties) }
        if !key.hasPrefix("attributes.") { return contact.columns[key] }
        return value(at: key.split(separator: ".").dropFirst().map(String.init), in: contact.attributes)
    }

    func value(at path: [String], in json: JSONValue?) -> JSONValue? {
        var value = json
        for key in path { value = value?[key] }
        return value
    }

    // MARK: Fields

    private func fieldLeaf(_ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let key = leaf["field"]!.string!
        let type = contact.properties == nil ? types[key]! : typeOfProperty(leaf)
        return test(value(key, contact), type, leaf, contact, calendar)
    }

    /// Nobody declares the type of a property: the operator and what it is compared with say which is meant.
    private func typeOfProperty(_ leaf: JSONValue) -> String {
        let sample = leaf["value"]?.array?.first ?? leaf["value"]
        let isNumber = sample?.real != nil
        switch leaf["op"]!.string! {
        case "is_true", "is_false": return "boolean"
        case "has_any_of", "has_all_of", "has_none_of", "is_exactly", "is_empty", "size": return "tags"
        case "on", "not_on", "before", "after", "within", "not_within", "anniversary_within", "day_of_week_is", "hour_is": return "time"
        case "less_than", "at_most", "more_than", "at_least", "not_between": return "number"
        case "between": return isNumber ? "number" : "time"
        default: return isNumber ? "number" : "text"
        }
    }

    func test(
        _ raw: JSONValue?, _ type: String, _ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar
    ) -> Bool {
        let (op, wanted) = (leaf["op"]!.string!, leaf["value"] ?? .null)
        let lower = leaf["case"]?.string != "sensitive"
        let positives = [
            "is_unknown": "is_known", "is_not": "is", "is_none_of": "is_any_of", "does_not_contain": "contains",
            "not_between": "between", "not_on": "on", "not_within": "within", "has_none_of": "has_any_of",
        ]
        let positive = positives[op] ?? op
        let known: Bool
        var answer: Bool
        switch type {
        case "text", "email", "phone":
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
            answer = truth == (positive == "is_true")
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
        if positives[op] != nil { answer.toggle() }
        if let missing = leaf["missing"]?.string, !known { return missing == "match" }
        return answer
    }

    func compare(_ number: NaiveDecimal, _ op: String, _ wanted: JSONValue) -> Bool {
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
}
