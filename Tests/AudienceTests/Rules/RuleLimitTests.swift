// A rule at every limit runs within the time that a preview has; one beyond is refused, and says why.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary
import Web

private func repeated(_ count: Int, _ node: (Int) -> JSONValue) -> JSONValue { .array((0..<count).map(node)) }

@Suite struct RuleLimitTests {
    private static let known: JSONValue = ["field": "name", "op": "is_known"]

    /// A few hundred contacts with events, so that no part of a plan is never executed; the time that previews have.
    private func withCrowd(_ body: (World) throws -> Void) throws {
        try withWorld(as: .owner) { world in
            try world.db.execute(
                """
                INSERT INTO contacts (workspace_id, ordinal, name, attributes)
                SELECT current_workspace(), 1000 + n, 'c' || n, jsonb_build_object('t', repeat('a', n)) FROM generate_series(1, 300) n;
                INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
                SELECT current_workspace(), c.id, 'e' || n, now() - n * interval '1 hour', '{"n": 1}'
                  FROM contacts c, generate_series(1, 10) n WHERE c.workspace_id = current_workspace();
                SET LOCAL statement_timeout = '15s';
                """)
            try world.field("t", .text)
            try world.db.act(as: .responder)
            try body(world)
        }
    }

    private func deep(_ depth: Int) -> JSONValue { depth == 1 ? Self.known : ["all": [deep(depth - 1)]] }

    @Test func `depth, nodes, values, steps and patterns go up to their limit and no further`() throws {
        try withCrowd { world throws in
            func faults(_ match: JSONValue) throws -> [String] { try world.faults(["match": match]) }
            #expect(try world.find(deep(12)).count == 300)
            #expect(try faults(deep(13)) == ["too_deep /rule/match" + String(repeating: "/all/0", count: 12)])
            #expect(try world.find(["any": repeated(499) { _ in Self.known }]).count == 300)
            #expect(try faults(["any": repeated(500) { _ in Self.known }]) == ["too_many_nodes /rule"])
            let names: (Int) -> JSONValue = { count in
                ["field": "name", "op": "is_any_of", "value": repeated(count) { .string("c\($0)") }]
            }
            #expect(try world.find(names(1000)).count == 300)
            #expect(try faults(names(1001)) == ["too_many /rule/match/value"])
            let pattern: (Int) -> JSONValue = { count in
                ["field": "attributes.t", "op": "matches", "value": .string(String(repeating: "a", count: count))]
            }
            #expect(try world.find(pattern(200)).count == 101)
            #expect(try faults(pattern(201)) == ["too_long /rule/match/value"])
            let steps: (Int) -> JSONValue = { count in
                [
                    "sequence": repeated(count) {
                        $0 == 0 ? ["event": .string("e\(count)")] : ["event": .string("e\(count - $0)"), "after": "1h"]
                    }
                ]
            }
            #expect(try world.find(steps(10)).count == 300)
            #expect(try faults(steps(11)) == ["too_many /rule/match/sequence"])
        }
    }

    @Test func `64 KiB of text are read and run, a byte more is refused`() throws {
        try withCrowd { world throws in
            func rule(_ bytes: Int) -> JSONValue {
                func made(_ filler: Int) -> JSONValue {
                    let texts =
                        (0..<7).map { JSONValue.string(String(repeating: "x", count: 9000 + $0)) } + [
                            .string(String(repeating: "y", count: filler))
                        ]
                    return [
                        "version": 1, "timezone": "workspace",
                        "match": ["not": ["field": "attributes.t", "op": "contains_any_of", "value": .array(texts)]],
                    ]
                }
                return made(1 + bytes - made(1).text.utf8.count)
            }
            #expect(rule(65_536).text.utf8.count == 65_536)
            #expect(try world.find(rule: rule(65_536)).count == 300)
            #expect(try world.faults(rule(65_537)) == ["rule_too_large /rule"])
        }
    }

    @Test func `the flat form has the same limits as the tree that it becomes`() throws {
        try withCrowd { world throws in
            let flat: (Int) -> JSONValue = { count in
                ["conditions": repeated(count) { _ in ["field": "name", "operator": "is_known"] }]
            }
            #expect(try world.find(rule: flat(499)).count == 300)
            #expect(try world.faults(flat(500)) == ["too_many_nodes /rule"])
        }
    }

    @Test(arguments: ["count", "where", "sum", "campaign", "history"])
    func `as many leaves about the past as a rule may have run within a preview's time`(_ kind: String) throws {
        try withCrowd { world throws in
            let leaf: (Int) -> JSONValue = { number in
                let name = JSONValue.string("e\(number)")
                switch kind {
                case "count": return ["event": name, "count": ["at_most": 5], "within": ["last": "30d"]]
                case "sum": return ["aggregate": "sum", "of": "n", "event": name, "op": "at_least", "value": 1]
                case "campaign": return ["campaign": "*", "did": "replied", "within": ["last": .string("\(number + 1)d")]]
                case "history": return ["field": "status", "was": .string("s\(number)"), "within": ["last": .string("\(number + 1)d")]]
                default: return ["event": name, "where": ["field": "n", "op": "is", "value": 1]]
                }
            }
            let count = kind == "where" ? 249 : 499
            let expected = ["campaign", "history"].contains(kind) ? 0 : 300
            do {
                #expect(try withinPreviewTime { try world.find(["any": repeated(count, leaf)]) }.count == expected)
            } catch let problem as Problem {
                // Each of these asks three questions; that many may be too many.
                #expect(kind == "history" && problem.code == "took_too_long")
            }
        }
    }

    @Test func `an expression that never ends is ended, and the preview says why`() throws {
        try withCrowd { world throws in
            // Whether four lengths, each twice, make an odd number: no, but only all of them tell.
            try world.contact("odd", ["t": .string(String(repeating: "a", count: 901) + "b")])
            let rule: JSONValue = ["field": "attributes.t", "op": "matches", "value": #"^(a+)(a+)(a+)(a+)\1\2\3\4b$"#]
            try world.db.execute("SET LOCAL statement_timeout = '500ms'")
            let problem = #expect(throws: Problem.self) { try withinPreviewTime { try world.find(rule) } }
            #expect(problem?.code == "took_too_long" && problem?.status == 422)
        }
    }
}
