// What contacts did, in the naive reading: every event is looked at, every chain is tried.
import Foundation
import JSON
import Vocabulary

extension NaiveRule {
    func deedLeaf(_ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        if let steps = leaf["sequence"]?.array { return hasChain(steps[...], after: nil, leaf, contact, calendar) }
        if leaf["aggregate"] != nil { return aggregate(leaf, contact, calendar) }
        if leaf["event"] != nil { return event(leaf, contact, calendar) }
        if let campaign = leaf["campaign"]?.string { return did(campaign, leaf, contact, calendar) }
        if let segment = leaf["segment"]?.string {
            let stays = contact.stays[segment] ?? []
            if leaf["was"] == nil { return stays.contains { $0.to == nil } }
            return touches(stays.map { ($0.from, $0.to ?? now) }, leaf["within"]!, contact, calendar)
        }
        if let list = leaf["list"]?.string { return contact.lists.contains(list) }
        if let channel = leaf["consent"]?.string { return (contact.consents[channel] ?? "unknown") == leaf["state"]!.string! }
        let bucket = leaf["bucket"]!
        let slice = naiveBucket(bucket["salt"]!.string!.precomposedStringWithCanonicalMapping, contact.id)
        return bucket["from"]!.integer! <= slice && slice <= bucket["to"]!.integer!
    }

    // MARK: Events

    private func isIn(_ time: Instant?, _ window: JSONValue?, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        guard let window else { return true }
        return time.map { times($0, "within", window, contact, calendar) } ?? false
    }

    /// In the window, and `where` holds.
    private func counts(
        _ event: NaiveContact.Event, _ leaf: JSONValue, _ window: JSONValue?, _ contact: NaiveContact, _ calendar: NaiveCalendar
    ) -> Bool {
        guard isIn(event.at, window, contact, calendar) else { return false }
        guard let condition = leaf["where"] else { return true }
        var seen = contact
        seen.properties = event.properties
        return holds(condition, seen, calendar)
    }

    private func event(_ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        var events = contact.events.filter { $0.name == leaf["event"]!.string! }
        events.sort { ($0.at, $0.id) < ($1.at, $1.id) }
        switch leaf["which"]?.string {
        case "first": events = Array(events.prefix(1))
        case "last": events = Array(events.suffix(1))
        default: break
        }
        let count = events.filter { counts($0, leaf, leaf["within"], contact, calendar) }.count
        return leaf["count"].map { naiveCount(count, $0) } ?? (count > 0)
    }

    private func aggregate(_ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let path = leaf["of"]?.string?.split(separator: ".").map(String.init)
        let events = contact.events.filter { $0.name == leaf["event"]!.string! && counts($0, leaf, leaf["within"], contact, calendar) }
        let values = events.map { value(at: path ?? [], in: $0.properties) }
        let numbers = values.compactMap { NaiveDecimal($0) }
        let sum = numbers.reduce(NaiveDecimal(text: "0")!, +)
        var result: NaiveDecimal?
        // An average of n is compared as their sum, with n times the other side.
        var times = 1
        switch leaf["aggregate"]!.string! {
        case "sum": result = sum
        case "avg": (result, times) = (numbers.isEmpty ? nil : sum, numbers.count)
        case "min": result = numbers.min()
        case "max": result = numbers.max()
        case "count": result = NaiveDecimal(text: "\(path == nil ? events.count : values.compactMap { naiveText($0) }.count)")
        default:
            let texts = values.compactMap { naiveText($0) }.map { Array(naiveLower($0).unicodeScalars) }
            result = NaiveDecimal(text: "\(Set(texts).count)")
        }
        let op = leaf["op"]!.string!
        if op == "is_known" { return result != nil }
        let positive = ["is_not": "is", "not_between": "between", "is_unknown": "is_known"][op]
        if positive == "is_known" { return result == nil }
        let wanted = leaf["value"]!
        func scaled(_ json: JSONValue) -> JSONValue { .string((NaiveDecimal(json)! * times).description) }
        let other = wanted.array.map { .array($0.map(scaled)) } ?? scaled(wanted)
        let answer = result.map { compare($0, positive ?? op, other) } ?? false
        return positive == nil ? answer : !answer
    }

    private func hasChain(
        _ steps: ArraySlice<JSONValue>, after last: NaiveContact.Event?, _ leaf: JSONValue, _ contact: NaiveContact,
        _ calendar: NaiveCalendar
    ) -> Bool {
        guard let step = steps.first else { return true }
        return contact.events.contains { event in
            guard event.name == step["event"]!.string!, counts(event, step, leaf["within"], contact, calendar) else { return false }
            if let last {
                if event.id == last.id || event.at < last.at { return false }
                if let most = step["after"]?.string, event.at > calendar.moved(last.at, most, 1) { return false }
            }
            return hasChain(steps.dropFirst(), after: event, leaf, contact, calendar)
        }
    }

    // MARK: The past

    /// Whether one of the stretches of time, ends included, has a moment of the window that has come already.
    private func touches(
        _ stretches: [(Instant, Instant)], _ window: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar
    ) -> Bool {
        guard let (from, to) = self.window(window, contact, calendar) else { return false }
        let begin: Instant? =
            switch from {
            case .day(let day): calendar.startOfDay(day)
            case .instant(let instant): instant
            case nil: nil
            }
        if let begin, begin > now || !(to.map { isNotAfter(begin, $0, calendar) } ?? true) { return false }
        return stretches.contains { start, end in
            (begin.map { end >= $0 } ?? true) && (to.map { isNotAfter(start, $0, calendar) } ?? true)
        }
    }

    func was(_ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let key = leaf["field"]!.string!
        let (outer, path) = split(key)
        var stretches: [(Instant, Instant, JSONValue?)] = []
        var since = contact.created
        for change in contact.changes.filter({ $0.key == outer }).sorted(by: { $0.at < $1.at }) {
            stretches.append((since, change.at, value(at: path, in: change.before)))
            since = change.at
        }
        stretches.append((since, now, value(key, contact)))
        let wanted = leaf["was"]!.array ?? [leaf["was"]!]
        let held = stretches.filter { stretch in
            wanted.contains { wanted in
                let (op, operand) = equality(types[key]!, wanted)
                var test = JSONObject()
                (test["op"], test["value"], test["case"]) = (.string(op), operand, leaf["case"])
                return self.test(stretch.2, types[key]!, .object(test), contact, calendar)
            }
        }
        return touches(held.map { ($0.0, $0.1) }, leaf["within"]!, contact, calendar)
    }

    private func equality(_ type: String, _ wanted: JSONValue) -> (String, JSONValue?) {
        switch type {
        case "tags": return ("has_any_of", [wanted])
        case "boolean": return (wanted == true ? "is_true" : "is_false", nil)
        case "date": return ("on", wanted)
        case "time": return wanted.string.flatMap { Day($0) } != nil ? ("on", wanted) : ("between", [wanted, wanted])
        default: return ("is", wanted)
        }
    }

    func changed(_ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let (outer, path) = split(leaf["field"]!.string!)
        func seen(_ json: JSONValue?) -> JSONValue? {
            let value = value(at: path, in: json)
            return value == .null || value == "" ? nil : value
        }
        return contact.changes.contains {
            $0.key == outer && isIn($0.at, leaf["changed"], contact, calendar) && seen($0.before) != seen($0.after)
        }
    }

    /// The recorded key, and the path below it.
    private func split(_ key: String) -> (String, [String]) {
        guard key.hasPrefix("attributes.") else { return (key, []) }
        let keys = key.split(separator: ".").map(String.init)
        return (keys.prefix(2).joined(separator: "."), Array(keys.dropFirst(2)))
    }

    // MARK: Campaigns

    private func did(_ campaign: String, _ leaf: JSONValue, _ contact: NaiveContact, _ calendar: NaiveCalendar) -> Bool {
        let deed = leaf["did"]!.string!
        func isMeant(_ other: String) -> Bool { campaign == "*" || campaign == other }
        func hit(_ other: String, _ at: Instant?) -> Bool { at != nil && isMeant(other) && isIn(at, leaf["within"], contact, calendar) }
        switch deed {
        case "sent": return contact.messages.contains { hit($0.campaign, $0.sent) }
        case "delivered": return contact.messages.contains { $0.state == "delivered" && hit($0.campaign, $0.settled) }
        case "failed":
            return contact.messages.contains { ["failed", "undelivered"].contains($0.state) && hit($0.campaign, $0.settled) }
        default: break
        }
        if contact.responses.contains(where: { $0.kind == deed && hit($0.campaign, $0.at) }) { return true }
        switch deed {
        case "replied": return contact.replies.contains { hit($0.campaign, $0.at) }
        case "opted_out": return contact.replies.contains { $0.kind == "stop" && hit($0.campaign, $0.at) }
        case "opened", "clicked":
            return contact.events.contains { event in
                guard event.name == "message.\(deed)", let other = naiveText(event.properties["campaign_id"]) else { return false }
                return hit(other.lowercased(), event.at)
            }
        default: return false
        }
    }
}
