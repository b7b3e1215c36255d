// Random rules over random dirty contacts: the compiled statement and the naive reading must agree on each.
@testable import Audience
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

/// SplitMix64: a seed that is printed is a run that can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Makes values, contacts and rules.
struct RuleDice {
    var generator: SeededGenerator
    static let types: [String: String] = [
        "attributes.t": "text", "attributes.n": "number", "attributes.b": "boolean", "attributes.d": "date",
        "attributes.m": "time", "attributes.g": "tags", "attributes.o.k": "text", "email": "email", "tags": "tags",
        "last_contacted_at": "time",
    ]
    private static let texts = [
        "abc", "ABC", "bc", "a", "Straße", "İstanbul", "istanbul", "ΣΊΣΥΦΟΣ", "σίσυφοσ", "é", "É", "😀", "100%", "a_b", "\\", "1",
        "1.5", "true", "[", "-", "x y", "%", "\u{212B}", "ǅ", "NULL", "{}", "\"", "'; DROP TABLE contacts; --",
    ]
    private static let days = [
        "2024-02-29", "2023-03-01", "2026-03-08", "2026-11-01", "2026-11-20", "2026-11-21", "2026-11-22", "2025-11-21",
        "2026-12-31", "1969-12-31", "2026-01-31",
    ]
    private static let instants = [
        "2026-11-21T03:30:00Z", "2026-11-21T03:30:00+05:30", "2026-11-20T23:59:59.999999Z", "2026-03-08T05:00:00Z",
        "2026-03-08T03:59:59-05:00", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-21T12:34:56Z",
    ]
    private static let localTimes = ["2026-03-08T12:00", "2026-11-01T23:30:00", "2026-11-20 22:30:00.5", "2026-10-21T00:00"]
    private static let dirt: [JSONValue] = [
        .null, "", true, false, 0, 1, -1, 1.5, 3.0, 1e20, 0.1, -2.5e-7, 9_007_199_254_740_993, "1", "0", "yes", "No", "TRUE", "12.50", "+7",
        "5.", ".5", "1e3", "1e400", "1e4000", "NaN", "Infinity", "-", "2023-02-29", "2026-13-01", "2026-02-30T10:00", "2026-11-21T24:00",
        "0000-01-01", [], ["a"], ["A", "b"], ["a", 1], [1, 2], ["k": "v"], ["x y", "%"], [["a"]], ["abc", "É"], ["NULL", "a,b", "\"{"],
    ]

    mutating func pick<T>(_ values: [T]) -> T { values.randomElement(using: &generator)! }
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
    mutating func several<T>(_ values: [T]) -> [T] { (0...Int.random(in: 0...2, using: &generator)).map { _ in pick(values) } }

    mutating func value() -> JSONValue {
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<4: pick(Self.dirt)
        case 4..<7: .string(pick(Self.texts).precomposedStringWithCanonicalMapping)
        case 7: .string(pick(Self.days))
        case 8: .string(pick(Self.instants))
        default: .string(pick(Self.localTimes))
        }
    }

    mutating func contact() -> NaiveContact {
        var contact = NaiveContact()
        var attributes = JSONObject()
        for key in ["t", "n", "b", "d", "m", "g"] where chance(85) { attributes[key] = value() }
        if chance(70) { attributes["o"] = chance(70) ? ["k": value()] : value() }
        contact.attributes = .object(attributes)
        contact.columns["tags"] = .array(chance(50) ? [] : several(Self.texts).map { .string($0.precomposedStringWithCanonicalMapping) })
        if chance(60) { contact.columns["last_contacted_at"] = .string(pick(Self.instants)) }
        if chance(60) { contact.zone = pick(["Asia/Tokyo", "America/New_York", "Europe/Berlin", "Not/AZone"]) }
        return contact
    }

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
        let field = pick(Self.types.keys.sorted())
        var leaf: JSONObject = ["field": .string(field)]
        let type = FieldType(rawValue: Self.types[field]!)!
        let op = pick(RuleParser.operators(type).filter { $0 != "matches" && $0 != "domain_is" })
        leaf["op"] = .string(op)
        leaf["value"] = operand(op, type)
        if type == .text || type == .tags, chance(25) { leaf["case"] = "sensitive" }
        if chance(20) { leaf["missing"] = chance(50) ? "match" : "no_match" }
        return .object(leaf)
    }

    private mutating func operand(_ op: String, _ type: FieldType) -> JSONValue? {
        switch op {
        case "is_known", "is_unknown", "is_true", "is_false", "is_empty": return nil
        case "is_any_of", "is_none_of", "contains_any_of", "contains_all_of", "has_any_of", "has_all_of", "has_none_of", "is_exactly":
            return type == .number ? .array(several(numbers)) : .array(several(Self.texts).map { .string($0) })
        case "size":
            return [pick(["is", "at_least", "at_most", "more_than", "less_than"]): .integer(Int64.random(in: 0...3, using: &generator))]
        case "within", "not_within", "anniversary_within": return window()
        case "day_of_week_is": return [pick(["monday", "friday", 6, 7]), pick([1, 2, "sunday"])]
        case "hour_is": return .array(several([0, 3, 12, 22, 23]))
        case "between" where type.rawValue != "number": return [time(), time()]
        case "between", "not_between":
            let pair = [pick(numbers), pick(numbers)].sorted { $0.real! < $1.real! }
            return .array(pair)
        case "on", "not_on", "before", "after": return time()
        case "does_not_contain" where chance(40): return .array(several(Self.texts).map { .string($0) })
        default: return type == .number ? pick(numbers) : .string(pick(Self.texts))
        }
    }
    private let numbers: [JSONValue] = [0, 1, -1, 1.5, 12.5, 1000, 1e20, 0.1, 9_007_199_254_740_992, 3]

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
        default: return ["field": .string(pick(["last_contacted_at", "attributes.m"]))]
        }
    }

    private mutating func window() -> JSONValue {
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: return ["last": .string(length())]
        case 1:
            return [
                "calendar": .string(pick(["this", "last", "next"])), "unit": .string(pick(["day", "week", "month", "quarter", "year"])),
            ]
        case 2: return ["between": [time(), time()]]
        case 3: return ["since": time()]
        default: return ["until": time()]
        }
    }
}

@Suite struct RulePropertyTests {
    /// Repeat a failure with MUSTER_RULE_SEED=…; try more with MUSTER_RULE_CASES=….
    @Test func `compiled rules and the naive reading agree on random rules over random dirty contacts`() throws {
        let environment = ProcessInfo.processInfo.environment
        let seed = environment["MUSTER_RULE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        let cases = environment["MUSTER_RULE_CASES"].flatMap { Int($0) } ?? 20_000
        var dice = RuleDice(generator: SeededGenerator(state: seed))
        let zone = "America/New_York"
        let now = Instant(rfc3339: "2026-11-21T12:34:56.5Z")!
        try withWorld(zone: zone) { world in
            for (key, type) in RuleDice.types where key.hasPrefix("attributes.") {
                try world.field(String(key.dropFirst("attributes.".count)), FieldType(rawValue: type)!)
            }
            var contacts: [String: NaiveContact] = [:]
            for index in 0..<100 {
                let contact = dice.contact()
                let name = "c\(index)"
                try world.contact(
                    name, contact.attributes, timezone: contact.zone, tags: contact.columns["tags"]!.array!.compactMap(\.string),
                    lastContacted: contact.columns["last_contacted_at"]?.string.flatMap { Instant(rfc3339: $0) })
                contacts[name] = contact
            }
            let naive = NaiveRule(types: RuleDice.types, workspaceZone: zone, now: now)
            let scope = RuleScope(workspace: world.workspace, zone: zone, now: now)
            for number in 0..<(cases / contacts.count) {
                let rule = dice.rule()
                let parsed: Rule
                do {
                    parsed = try RuleLibrary.parse(rule, world.db)
                } catch let faults as Faults {
                    // Random ends of a span may be the wrong way round.
                    if faults.list.allSatisfy({ $0.code == "reversed_range" }) { continue }
                    throw faults
                }
                let compiled = RuleCompiler.compile(parsed, scope)
                let found: [String] = try world.db.dynamic("SELECT c.name FROM contacts c WHERE \(compiled.predicate)", compiled.values)
                let expected = contacts.filter { naive.matches(rule, $0.value) }.map(\.key)
                let differences = Set(found).symmetricDifference(expected).sorted()
                if let first = differences.first {
                    Issue.record(
                        """
                        seed \(seed), rule \(number): \(rule.text)
                        contact \(contacts[first]!.attributes.text) \(contacts[first]!.columns) in \(contacts[first]!.zone ?? "no zone")
                        found by \(found.contains(first) ? "SQL" : "the naive reading") only
                        \(compiled.predicate)
                        \(compiled.values)
                        """)
                    return
                }
            }
        }
    }
}
