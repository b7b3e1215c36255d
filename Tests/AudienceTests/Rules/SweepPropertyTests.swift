// Between two instants, only candidates change their answer; and before the next flip nobody does.
@testable import Audience
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct SweepPropertyTests {
    private static let spans: [Double] = [0.000001, 1, 59, 3600, 20_000, 86_400, 90_000, 7 * 86_400, 31 * 86_400, 200 * 86_400]

    /// Repeat a failure with MUSTER_RULE_SEED=…
    @Test func `time changes the answer of candidates only, and of nobody before the next flip`() throws {
        let seed = ProcessInfo.processInfo.environment["MUSTER_RULE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        var dice = RuleDice(generator: SeededGenerator(state: seed))
        let base = Instant(rfc3339: "2026-11-21T12:34:56.5Z")!
        try withWorld(zone: "America/New_York") { world in
            for (key, type) in RuleDice.types where key.hasPrefix("attributes.") {
                try world.field(String(key.dropFirst("attributes.".count)), FieldType(rawValue: type)!)
            }
            for index in 0..<60 {
                let contact = dice.contact()
                try world.contact(
                    "c\(index)", contact.attributes, timezone: contact.zone, tags: contact.columns["tags"]!.array!.compactMap(\.string),
                    lastContacted: contact.columns["last_contacted_at"]?.string.flatMap { Instant(rfc3339: $0) })
                for name in ["seen", "bought"] where dice.chance(60) {
                    for _ in 0...Int.random(in: 0...2, using: &dice.generator) {
                        let ago = Double.random(in: -3600...40 * 86_400, using: &dice.generator).rounded()
                        try world.event("c\(index)", name, at: (base + -ago).description, ["amount": 3])
                    }
                }
            }
            var (timed, exact) = (0, 0)
            for number in 0..<250 {
                var json = dice.rule()
                if dice.chance(50) { json = ["version": 1, "timezone": json["timezone"]!, "match": eventRule(&dice)] }
                guard let rule = try? RuleLibrary.parse(json, world.db) else { continue }
                let start = base + Double.random(in: -86_400...86_400, using: &dice.generator)
                let end = start + dice.pick(Self.spans)
                func found(_ now: Instant) throws -> Set<String> {
                    let compiled = RuleCompiler.compile(rule, RuleScope(workspace: world.workspace, zone: world.zone, now: now))
                    let ids: [String] = try world.db.dynamic(
                        "SELECT c.id::text FROM contacts c WHERE \(compiled.predicate)", compiled.values)
                    return Set(ids)
                }
                func sweep(_ now: Instant, since: Instant) -> CompiledSweep? {
                    RuleCompiler.compileSweep(rule, RuleScope(workspace: world.workspace, zone: world.zone, now: now), since: since)
                }
                let before = try found(start)
                let changed = try before.symmetricDifference(found(end))
                guard let forward = sweep(end, since: start), let now = sweep(start, since: start) else {
                    #expect(changed.isEmpty, "seed \(seed), rule \(number) reads no time: \(json.text)")
                    continue
                }
                timed += 1
                let candidates: [ContactID] = try world.db.dynamic(forward.candidates.sql, forward.candidates.values)
                let missed = changed.subtracting(candidates.map(\.description))
                #expect(missed.isEmpty, "seed \(seed), rule \(number) from \(start) to \(end): \(json.text)")
                // Who changed in between was looked at then, and may have left the window since.
                let compiler = RuleCompiler(rule: rule, scope: RuleScope(workspace: world.workspace, zone: world.zone, now: end))
                if rule.match.timedLeaves.allSatisfy({ compiler.sweepsEdges($0) }) {
                    exact += 1
                    let moment = start + Double.random(in: 0...1, using: &dice.generator) * end.seconds(since: start)
                    let later = try found(moment).symmetricDifference(found(end)).subtracting(candidates.map(\.description))
                    #expect(later.isEmpty, "seed \(seed), rule \(number) from \(moment), swept from \(start) to \(end): \(json.text)")
                }
                let flips: [Instant?] = try world.db.dynamic(now.nextFlip.sql, now.nextFlip.values)
                #expect(flips[0].map { $0 > start } ?? true, "seed \(seed), rule \(number): \(json.text)")
                // An edge that moves by months is looked at once a minute; in between it may flip.
                if polls(rule) { continue }
                let flip = flips[0] ?? start + 400 * 86_400
                for _ in 0..<3 {
                    let moment = start + Double.random(in: 0..<1, using: &dice.generator) * (flip.seconds(since: start) - 0.000002)
                    let same = try moment <= start || found(moment) == before
                    #expect(same, "seed \(seed), rule \(number) at \(moment), from \(start), flip \(flip): \(json.text)")
                }
            }
            #expect(timed > 30 && exact > 15)
        }
    }

    @Test func `who changed between two sweeps, and left a window since, is a candidate`() throws {
        try withWorld(zone: "UTC") { world in
            try world.field("seen_at", .time)
            let written = try world.db.one(Self.now)
            let contact = try world.contact("a", ["seen_at": .string(written.description)], lastContacted: written)
            let segment = try world.db.one(WorldSQL.segment, "S", ["version": 1, "match": ["all": []]])
            _ =
                try world.db.dynamic(
                    "UPDATE contacts SET status = 'x', updated_at = now() WHERE id = $1::uuid RETURNING 1", [contact.sqlValue]) as [Int]
            _ =
                try world.db.dynamic(
                    """
                    INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
                    SELECT workspace_id, $2::uuid, id, unnest(ARRAY['entered', 'exited']), now() FROM contacts WHERE id = $1::uuid RETURNING 1
                    """, [contact.sqlValue, segment.sqlValue]) as [Int]
            try world.event("a", "message.clicked", at: written.description, ["campaign_id": "c", "when": .string(written.description)])
            let last: JSONValue = ["last": "20s"]
            for match in [
                ["field": "updated_at", "op": "within", "value": last], ["field": "attributes.seen_at", "op": "within", "value": last],
                ["field": "last_contacted_at", "op": "not_within", "value": last], ["field": "status", "changed": last],
                ["field": "status", "was": "x", "within": last], ["segment": .string(segment.description), "was": true, "within": last],
                ["campaign": "*", "did": "clicked", "within": last], ["event": "message.clicked", "within": last],
                ["event": "message.clicked", "where": ["field": "when", "op": "within", "value": last]],
            ] as [JSONValue] {
                let rule = try RuleLibrary.parse(["match": match], world.db)
                let scope = RuleScope(workspace: world.workspace, zone: "UTC", now: written + 60)
                let sweep = try #require(RuleCompiler.compileSweep(rule, scope, since: written + -10))
                let candidates: [ContactID] = try world.db.dynamic(sweep.candidates.sql, sweep.candidates.values)
                #expect(candidates == [contact], "\(match.text)")
            }
        }
    }
    private static let now = Statement<Instant>("SELECT now()")

    private func polls(_ rule: Rule) -> Bool {
        rule.match.timedLeaves.contains { leaf in
            switch leaf {
            case .field(let leaf): leaf.operation.motions.contains(.months)
            case .event(let leaf): [leaf.window?.motions.from, leaf.window?.motions.to].contains(.months)
            case .aggregate(let leaf): [leaf.window?.motions.from, leaf.window?.motions.to].contains(.months)
            default: true
            }
        }
    }

    private func eventRule(_ dice: inout RuleDice) -> JSONValue {
        let window: JSONValue = dice.pick([
            ["last": "30d"], ["last": "1mo"], ["since": ["ago": "20d"]], ["until": ["ago": "36h"]], ["last": "10s"],
            ["between": [["ago": "40d"], ["ago": "2w"]]], ["calendar": "this", "unit": "week"], ["calendar": "last", "unit": "month"],
            ["since": ["start_of": "month", "plus": "36h"]], ["between": ["2026-11-01", ["ahead": "1h"]]],
            ["until": ["field": "last_contacted_at"]],
        ])
        let name = JSONValue.string(dice.pick(["seen", "bought", "nothing"]))
        let leaf: JSONValue =
            dice.chance(70)
            ? [
                "event": name, "count": dice.pick([["is": 0], ["at_least": 2], ["at_most": 1]]), "within": window,
                "which": dice.pick(["any", "first", "last"]),
            ]
            : ["aggregate": "sum", "of": "amount", "event": name, "within": window, "op": "at_least", "value": 6]
        return dice.chance(50) ? leaf : ["not": leaf]
    }
}
