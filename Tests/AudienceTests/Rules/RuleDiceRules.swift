// Random rules, with every leaf of the language.
@testable import Audience
import JSON
import Vocabulary

extension RuleDice {
    /// They mean the same to PostgreSQL and to Foundation, and neither takes long over them.
    private static let patterns = ["^a", "c$", "[0-9]", "^.$", "b|x", "^(abc|bc)$", "%", "a.b", "^[a-c]+$", "^[^0-9]*$", "e?x", "00%"]

    // MARK: Rules

    mutating func rule() -> JSONValue {
        ["version": 1, "timezone": .string(pick(["workspace", "workspace", "contact", "Asia/Kolkata", "UTC"])), "match": node(3)]
    }

    private mutating func node(_ depth: Int) -> JSONValue {
        if depth == 0 || chance(45) { return leaf() }
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: return ["all": nodes(depth)]
        case 1: return ["any": nodes(depth)]
        case 2: return ["none": nodes(depth)]
        case 3: return ["not": node(depth - 1)]
        default: return ["at_least": .integer(Int64.random(in: 0...3, using: &generator)), "of": nodes(depth)]
        }
    }
    private mutating func nodes(_ depth: Int) -> JSONValue {
        .array((0..<Int.random(in: 0...3, using: &generator)).map { _ in node(depth - 1) })
    }

    private mutating func leaf() -> JSONValue {
        if isInsideEvent { return propertyLeaf() }
        switch Int.random(in: 0..<22, using: &generator) {
        case 0..<9: return fieldLeaf()
        case 9..<12: return eventLeaf()
        case 12..<14: return aggregateLeaf()
        case 14..<16: return sequenceLeaf()
        case 16..<18: return historyLeaf()
        case 18 where !segments.isEmpty:
            return chance(40)
                ? ["segment": .string(pick(segments))]
                : ["segment": .string(pick(segments)), "was": true, "within": window()]
        case 19:
            return !lists.isEmpty && chance(30)
                ? ["list": .string(pick(lists))]
                : ["consent": .string(pick(["sms", "email"])), "state": .string(pick(["opted_in", "opted_out", "unknown"]))]
        case 20: return engagementLeaf()
        default:
            let ends = [Int64.random(in: 0..<10_000, using: &generator), Int64.random(in: 0..<10_000, using: &generator)].sorted()
            return ["bucket": ["salt": .string(pick(Self.texts)), "from": .integer(ends[0]), "to": .integer(ends[1])]]
        }
    }

    private mutating func fieldLeaf() -> JSONValue {
        let field = pick(Self.types.keys.sorted())
        var leaf: JSONObject = ["field": .string(field)]
        let type = FieldType(rawValue: Self.types[field]!)!
        let op = pick(RuleParser.operators(type))
        leaf["op"] = .string(op)
        switch op {
        case "is" where type == .phone, "is_not" where type == .phone: leaf["value"] = .string(number())
        case "is_any_of" where type == .phone, "is_none_of" where type == .phone: leaf["value"] = [.string(number()), .string(number())]
        default: leaf["value"] = operand(op, type)
        }
        if type == .text || type == .tags || type == .email, chance(25) { leaf["case"] = "sensitive" }
        if chance(20) { leaf["missing"] = chance(50) ? "match" : "no_match" }
        return .object(leaf)
    }

    /// What contacts may have; other texts are refused.
    private mutating func number() -> String { pick(["+1204", "+1212", "+1876"]) + "555000\(Int.random(in: 0...9, using: &generator))" }

    // MARK: Deeds

    private mutating func condition() -> JSONValue {
        isInsideEvent = true
        defer { isInsideEvent = false }
        return node(1)
    }

    private mutating func propertyLeaf() -> JSONValue {
        let type = pick([FieldType.text, .number, .boolean, .time, .tags])
        let op = pick(RuleParser.operators(type))
        var leaf: JSONObject = ["field": .string(pick(["amount", "kind", "o.k", "when", "absent"])), "op": .string(op)]
        leaf["value"] = operand(op, type)
        if chance(20) { leaf["missing"] = chance(50) ? "match" : "no_match" }
        return .object(leaf)
    }

    private mutating func count() -> JSONValue {
        if chance(20) { return ["between": .array([pick([0, 1]), pick([1, 2, 3])])] }
        return [pick(["is", "at_least", "at_most", "more_than", "less_than"]): .integer(Int64.random(in: 0...3, using: &generator))]
    }

    private mutating func eventLeaf() -> JSONValue {
        var leaf: JSONObject = ["event": .string(pick(Self.eventNames))]
        if chance(50) { leaf["count"] = count() }
        if chance(50) { leaf["within"] = window() }
        if chance(40) { leaf["where"] = condition() }
        if chance(30) { leaf["which"] = .string(pick(["any", "first", "last"])) }
        return .object(leaf)
    }

    private mutating func aggregateLeaf() -> JSONValue {
        let function = pick(["sum", "avg", "min", "max", "count", "distinct"])
        let op = pick(RuleParser.operators(.number))
        var leaf: JSONObject = ["aggregate": .string(function), "event": .string(pick(Self.eventNames)), "op": .string(op)]
        if function != "count" || chance(50) { leaf["of"] = .string(pick(["amount", "kind", "o.k"])) }
        leaf["value"] = operand(op, .number)
        if chance(40) { leaf["within"] = window() }
        if chance(30) { leaf["where"] = condition() }
        return .object(leaf)
    }

    private mutating func sequenceLeaf() -> JSONValue {
        let steps = (0..<Int.random(in: 2...4, using: &generator)).map { index -> JSONValue in
            var step: JSONObject = ["event": .string(pick(["order", "visit"]))]
            if index > 0, chance(50) { step["after"] = .string(length()) }
            if chance(20) { step["where"] = condition() }
            return .object(step)
        }
        return chance(50) ? ["sequence": .array(steps)] : ["sequence": .array(steps), "within": window()]
    }

    private mutating func historyLeaf() -> JSONValue {
        let field = pick(Self.recorded)
        if chance(30) { return ["field": .string(field), "changed": window()] }
        func one() -> JSONValue {
            switch Self.types[field]! {
            case "number": pick(numbers)
            case "boolean": .bool(chance(50))
            case "date", "time": time()
            case "text" where field == "status": .string(pick(["new", "ABC", "1"]))
            default: .string(pick(Self.texts))
            }
        }
        var leaf: JSONObject = ["field": .string(field), "was": chance(50) ? one() : [one(), one()], "within": window()]
        if chance(20) { leaf["case"] = "sensitive" }
        return .object(leaf)
    }

    private mutating func engagementLeaf() -> JSONValue {
        var leaf: JSONObject = [
            "campaign": .string(campaigns.isEmpty || chance(40) ? "*" : pick(campaigns)),
            "did": .string(pick(EngagementLeaf.Deed.allCases).rawValue),
        ]
        if chance(60) { leaf["within"] = window() }
        return .object(leaf)
    }

    // MARK: Operands

    private mutating func operand(_ op: String, _ type: FieldType) -> JSONValue? {
        switch op {
        case "is_known", "is_unknown", "is_true", "is_false", "is_empty": return nil
        case "is_any_of", "is_none_of", "contains_any_of", "contains_all_of", "has_any_of", "has_all_of", "has_none_of", "is_exactly":
            return type == .number ? .array(several(numbers)) : .array(several(Self.texts).map { .string($0) })
        case "size": return count()
        case "matches": return .string(pick(Self.patterns))
        case "domain_is":
            return chance(50) ? .string(pick(["example.com", "EXAMPLE.com", "@example.com"])) : ["mail.example.com", "example.org"]
        case "country_is": return chance(50) ? .string(pick(["US", "de"])) : .array([.string(pick(["CA", "JM"])), "GB"])
        case "within", "not_within", "anniversary_within": return window()
        case "day_of_week_is": return [pick(["monday", "friday", 6, 7]), pick([1, 2, "sunday"])]
        case "hour_is": return .array(several([0, 3, 12, 22, 23]))
        case "between" where type.rawValue != "number": return .array(times())
        case "between", "not_between":
            // Two that doubles cannot tell apart would be refused as a reversed range.
            let pair = [pick(numbers), pick([0, 1, -1, 12.5])].sorted { $0.real! < $1.real! }
            return .array(pair)
        case "on", "not_on", "before", "after": return time()
        case "does_not_contain" where chance(40): return .array(several(Self.texts).map { .string($0) })
        default: return type == .number ? pick(numbers) : .string(pick(Self.texts))
        }
    }
    private var numbers: [JSONValue] { Self.numbers }
    private static let numbers: [JSONValue] = [0, 1, -1, 1.5, 12.5, 1000, 1e20, 0.1, 9_007_199_254_740_992, 3]

    private mutating func length() -> String { pick(["1d", "30d", "36h", "90m", "2w", "1mo", "1y", "3mo", "10s"]) }

    private mutating func time() -> JSONValue {
        switch Int.random(in: 0..<8, using: &generator) {
        case 0..<3: return .string(pick(Self.days))
        case 3: return .string(pick(Self.instants))
        case 4: return ["ago": .string(length())]
        case 5: return ["ahead": .string(length())]
        case 6:
            let unit = JSONValue.string(pick(["day", "week", "month", "quarter", "year"]))
            return chance(50) ? ["start_of": unit] : ["start_of": unit, "plus": .string(pick(["-1d", "-1mo", "2w", "36h", "-1y"]))]
        default: return ["field": .string(isInsideEvent ? "when" : pick(["last_contacted_at", "attributes.m", "created_at"]))]
        }
    }

    /// Two times in an order that is not refused.
    private mutating func times() -> [JSONValue] {
        let pair = [time(), time()]
        func isReversed(_ pair: [JSONValue]) -> Bool {
            let rule: JSONValue = ["match": ["event": "a", "within": ["between": .array(pair)]]]
            do { _ = try RuleParser.parse(rule, context: RuleContext()) } catch let faults as Faults {
                return faults.list.contains { $0.code == "reversed_range" }
            } catch {}
            return false
        }
        return isReversed(pair) ? pair.reversed() : pair
    }

    private mutating func window() -> JSONValue {
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: return ["last": .string(length())]
        case 1:
            return [
                "calendar": .string(pick(["this", "last", "next"])), "unit": .string(pick(["day", "week", "month", "quarter", "year"])),
            ]
        case 2: return ["between": .array(times())]
        case 3: return ["since": time()]
        default: return ["until": time()]
        }
    }
}
