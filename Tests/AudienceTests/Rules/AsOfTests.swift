// A rule about a past instant finds whom it would have found then.
@testable import Audience
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private enum PastSQL {
    static let now = Statement<Instant>("SELECT clock_timestamp()")
    static let change = """
        UPDATE contacts SET attributes = $2::jsonb, tags = $3::text[], status = $4, updated_at = clock_timestamp()
         WHERE workspace_id = current_workspace() AND name = $1
        """
    static let consent = """
        SELECT record_consent(id, 'sms', $2, 'test', at => clock_timestamp()) IS NULL FROM contacts
         WHERE workspace_id = current_workspace() AND name = $1
        """
    static let leave = """
        DELETE FROM segment_members m USING contacts c
         WHERE m.workspace_id = current_workspace() AND c.workspace_id = current_workspace() AND c.id = m.contact_id AND c.name = $1
        """
}

@Suite struct AsOfTests {
    /// Repeat a failure with MUSTER_RULE_SEED=…
    @Test func `whatever changed since, a rule finds as of an instant whom it found at that instant`() throws {
        let seed = ProcessInfo.processInfo.environment["MUSTER_RULE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        var dice = RuleDice(generator: SeededGenerator(state: seed))
        try withWorld(zone: "Europe/Berlin") { world in
            for (key, type) in RuleDice.types where key.hasPrefix("attributes.") {
                try world.field(String(key.dropFirst("attributes.".count)), FieldType(rawValue: type)!)
            }
            let names = (0..<20).map { "c\($0)" }
            for name in names {
                let contact = dice.contact()
                try world.contact(name, contact.attributes, tags: contact.columns["tags"]!.array!.compactMap(\.string))
            }
            let segment = try world.db.one(WorldSQL.segment, "Read", ["version": 1, "match": ["all": []]])
            let rules: [JSONValue] =
                (0..<25).map { _ in dice.rule() }
                + ([
                    ["consent": "sms", "state": "opted_in"], ["consent": "sms", "state": "unknown"],
                    ["segment": .string(segment.description)],
                    ["event": "bought", "count": ["at_least": 2]],
                    ["not": ["event": "bought", "which": "last", "where": ["field": "n", "op": "is", "value": 1]]],
                    ["aggregate": "sum", "of": "n", "event": "bought", "op": "at_least", "value": 2],
                    ["segment": .string(segment.description), "was": true, "within": ["last": "1d"]],
                    ["field": "status", "was": "New", "within": ["last": "1d"]], ["field": "status", "changed": ["last": "1d"]],
                ] as [JSONValue]).map { ["version": 1, "match": $0] }
            let parsed = try rules.compactMap { rule -> Rule? in
                do { return try RuleLibrary.parse(rule, world.db) } catch let faults as Faults {
                    guard faults.list.allSatisfy({ $0.code == "reversed_range" }) else { throw faults }
                    return nil
                }
            }
            func found(_ rule: Rule, _ now: Instant, isPast: Bool) throws -> [String] {
                let compiled = RuleCompiler.compile(
                    rule, RuleScope(workspace: world.workspace, zone: world.zone, now: now, isPast: isPast))
                return try world.db.dynamic(
                    "SELECT c.name FROM \(compiled.relation) WHERE \(compiled.predicate) ORDER BY 1", compiled.values)
            }
            var then: [(instant: Instant, found: [[String]])] = []
            for _ in 0..<10 {
                for _ in 0..<6 {
                    let name = dice.pick(names)
                    switch Int.random(in: 0..<6, using: &dice.generator) {
                    case 0..<3:
                        let contact = dice.contact()
                        try world.db.runDynamic(
                            PastSQL.change,
                            [
                                name.sqlValue, contact.attributes.sqlValue, contact.columns["tags"]!.array!.compactMap(\.string).sqlValue,
                                dice.pick(["New", "Won", nil] as [String?]).sqlValue,
                            ])
                    case 3: try world.event(name, "bought", at: try world.db.one(PastSQL.now).description, ["n": 1])
                    case 4:
                        let _: [Bool] = try world.db.dynamic(
                            PastSQL.consent, [name.sqlValue, dice.pick(["opted_in", "opted_out"]).sqlValue])
                    default:
                        try world.db.runDynamic(PastSQL.leave, [name.sqlValue])
                        if dice.chance(70) { try world.db.run(WorldSQL.member, segment, world.ids[name]!, try world.db.one(PastSQL.now)) }
                    }
                }
                let now = try world.db.one(PastSQL.now)
                then.append((now, try parsed.map { try found($0, now, isPast: false) }))
            }
            #expect(Set(then.map(\.found)).count > 5, "seed \(seed): too little changed")
            for (instant, expected) in then {
                for (index, rule) in parsed.enumerated() {
                    let past = try found(rule, instant, isPast: true)
                    #expect(past == expected[index], "seed \(seed): \(rule.json.text)")
                }
            }
        }
    }
}
