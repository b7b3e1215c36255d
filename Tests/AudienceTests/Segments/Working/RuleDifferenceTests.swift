@testable import Audience
import JSON
import TestSupport
import Testing

private func rule(_ match: JSONValue, zone: JSONValue = "workspace") -> JSONValue { ["version": 1, "timezone": zone, "match": match] }
private func field(_ name: String, _ value: JSONValue) -> JSONValue { ["field": .string(name), "op": "is", "value": value] }

@Suite struct RuleDifferenceTests {
    private func told(_ old: JSONValue, _ new: JSONValue) -> [String] {
        RuleDifference.between(rule(old), rule(new)).map { change in
            let from = change.from.map { $0 == change.pointer ? "" : " from \($0)" } ?? ""
            return "\(change.kind.rawValue) \(change.pointer)\(from): \(change.before?.text ?? "–") → \(change.after?.text ?? "–")"
        }
    }

    @Test func `a value that changed is told where it stands, and nothing else is`() {
        #expect(
            told(["all": [field("a", 1), field("b", 2)]], ["all": [field("a", 1), field("b", 3)]]) == ["changed /match/all/1/value: 2 → 3"])
        #expect(
            told(["field": "a", "op": "is", "value": 1], ["field": "a", "op": "is", "value": 1, "missing": "match"])
                == ["added /match/missing: – → \"match\""])
        #expect(
            RuleDifference.between(rule(["all": []]), rule(["all": []], zone: "contact")).map(\.json) == [
                ["change": "changed", "pointer": "/timezone", "before": "workspace", "after": "contact"]
            ])
    }

    @Test func `the order of conditions is no difference, and a condition among others is found where it went`() {
        #expect(
            told(
                ["any": [field("a", 1), ["all": [field("b", 1), field("c", 1)]]]],
                ["any": [["all": [field("c", 1), field("b", 1)]], field("a", 1)]]) == [])
        let b = field("b", 2)
        #expect(
            told(["all": [field("a", 1), b]], ["all": [b]]) == ["removed /match/all/0: {\"field\":\"a\",\"op\":\"is\",\"value\":1} → –"])
        #expect(
            told(["all": [field("a", 1), ["any": [b, field("c", 1)]]]], ["all": [field("a", 1), b, ["any": [field("c", 1)]]]])
                == ["moved /match/all/1 from /match/all/1/any/0: – → –"])
    }

    @Test func `conditions under another connective are the same conditions`() {
        #expect(told(["all": [field("a", 1)]], ["any": [field("a", 1)]]) == ["regrouped /match: \"all\" → \"any\""])
        #expect(
            told(["at_least": 1, "of": [field("a", 1)]], ["at_least": 2, "of": [field("a", 1)]])
                == ["regrouped /match: {\"at_least\":1} → {\"at_least\":2}"])
        #expect(told(["not": field("a", 1)], ["not": field("a", 2)]) == ["changed /match/not/value: 1 → 2"])
        #expect(
            told(field("a", 1), ["all": [field("b", 2), field("a", 1)]])
                == ["added /match/all/0: – → {\"field\":\"b\",\"op\":\"is\",\"value\":2}", "moved /match/all/1 from /match: – → –"])
        #expect(told(["not": field("a", 1)], field("a", 1)).map { $0.prefix(7) } == ["removed", "added /"])
    }

    @Test func `a condition inside an event is told by its own place`() {
        func event(_ amount: JSONValue) -> JSONValue {
            ["event": "order", "where": ["all": [["field": "amount", "op": "at_least", "value": amount]]]]
        }
        #expect(told(["all": [event(5)]], ["all": [event(9)]]) == ["changed /match/all/0/where/all/0/value: 5 → 9"])
        #expect(told(["event": "order"], ["event": "order", "count": ["at_least": 2]]) == ["added /match/count: – → {\"at_least\":2}"])
    }

    /// Whatever the rules: places are true, nothing differs from itself, and what differs is told.
    @Test func `every difference between random rules is there to be seen`() {
        for seed in 0..<2000 {
            var random = Seeded(UInt64(seed))
            let (a, b) = (rule(tree(&random, 3)), rule(tree(&random, 3)))
            #expect(RuleDifference.between(a, a) == [], "seed \(seed)")
            let changes = RuleDifference.between(a, b)
            #expect(changes.isEmpty == (sorted(a) == sorted(b)), "seed \(seed): \(a.text) and \(b.text)")
            for change in changes where change.kind != .regrouped {
                if let before = change.before { #expect(a[pointer: change.from ?? change.pointer] == before, "seed \(seed)") }
                if let after = change.after { #expect(b[pointer: change.pointer] == after, "seed \(seed)") }
                if change.kind == .moved {
                    #expect(sorted(a[pointer: change.from ?? ""] ?? .null) == sorted(b[pointer: change.pointer] ?? .null), "seed \(seed)")
                }
            }
        }
    }

    private func tree(_ random: inout Seeded, _ depth: Int) -> JSONValue {
        let kind = depth == 0 ? 9 : Int.random(in: 0..<10, using: &random)
        func children(_ random: inout Seeded) -> JSONValue {
            .array((0..<Int.random(in: 0..<4, using: &random)).map { _ in tree(&random, depth - 1) })
        }
        switch kind {
        case 0, 1: return ["all": children(&random)]
        case 2: return ["any": children(&random)]
        case 3: return ["none": children(&random)]
        case 4: return ["at_least": .integer(Int64.random(in: 0..<3, using: &random)), "of": children(&random)]
        case 5: return ["not": tree(&random, depth - 1)]
        default: return field(["a", "b"].randomElement(using: &random)!, .integer(Int64.random(in: 0..<3, using: &random)))
        }
    }

    /// One text for rules that mean the same.
    private func sorted(_ json: JSONValue) -> String {
        switch json {
        case .array(let elements): "[" + elements.map(sorted).sorted().joined(separator: ",") + "]"
        case .object(let object): "{" + object.map { "\($0.key):\(sorted($0.value))" }.sorted().joined(separator: ",") + "}"
        default: json.text
        }
    }
}
