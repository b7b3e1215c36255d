// What the evaluator says of time, against what happens when time passes.
@testable import Audience
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

extension World {
    /// Names of those whom a rule finds when each is evaluated alone, from facts as they are loaded.
    func findOneByOne(_ rule: Rule, among contacts: [String: NaiveContact], at now: Vocabulary.Instant) throws -> Set<String> {
        let scope = RuleScope(workspace: workspace, zone: zone, now: now)
        // Thousands of small questions: planning each would take longer than answering it.
        try db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        let found = try contacts.filter { try RuleEvaluator(rule, .load(rule, scope, ContactID($0.value.id)!, db)).matches(at: now) }
        try db.execute("SET LOCAL plan_cache_mode = auto")
        return Set(found.keys)
    }
}

@Suite struct FlipPropertyTests {
    private typealias Instant = Vocabulary.Instant

    /// Where clocks change at midnight, or by less than an hour.
    private static let zones = ["America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "America/St_Johns"]
    /// Near changes of clocks there, the end of February and of the year.
    private static let nows = [
        "2026-11-01T05:30:00Z", "2026-03-08T06:59:59.999999Z", "2028-02-29T23:00:00Z", "2026-12-31T23:59:59Z", "2018-11-04T02:59:59Z",
        "2026-03-28T21:59:59Z", "2026-03-31T12:00:00Z",
    ].map { Instant(rfc3339: $0)! }

    /// Repeat a failure with MUSTER_RULE_SEED=…; try more with MUSTER_RULE_CASES=….
    @Test func `before the next flip nothing flips, and a certain one does`() throws {
        let environment = ProcessInfo.processInfo.environment
        let seed = environment["MUSTER_RULE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        let cases = environment["MUSTER_RULE_CASES"].flatMap { Int($0) } ?? 20_000
        var dice = RuleDice(generator: SeededGenerator(state: seed))
        try withWorld(zone: "America/New_York") { world in
            let contacts = try world.populate(20, &dice)
            var flips = (certain: 0, possible: 0, never: 0)
            // Flips that are certain are rare; by chance there may be few of them among the first.
            for number in 0..<(cases / 5) where number < cases / 50 || flips.certain <= 5 || flips.never <= 5 {
                var json = dice.rule()
                if dice.chance(30) { json = ["version": 1, "timezone": .string(dice.pick(Self.zones)), "match": json["match"]!] }
                let rule = try RuleLibrary.parse(json, world.db)
                let now = dice.pick(dice.chance(30) ? Self.nows : RuleDice.moments)
                let name = dice.pick(contacts.keys.sorted())
                let scope = RuleScope(workspace: world.workspace, zone: world.zone, now: now)
                let evaluator = RuleEvaluator(rule, try .load(rule, scope, ContactID(contacts[name]!.id)!, world.db))
                let answer = evaluator.matches(at: now)
                let flip = evaluator.nextFlip(after: now)
                switch flip?.isCertain {
                case true?: flips.certain += 1
                case false?: flips.possible += 1
                case nil: flips.never += 1
                }
                func complain(_ at: Instant) {
                    Issue.record(
                        "seed \(seed), rule \(number), \(name) at \(at), from \(now), flip \(String(describing: flip)): \(json.text)")
                }
                if let flip {
                    #expect(flip.at > now)
                    if flip.isCertain, evaluator.matches(at: flip.at) == answer { complain(flip.at) }
                }
                for probe in probes(from: now, to: flip?.at ?? now + 4000 * 86_400, &dice) where evaluator.matches(at: probe) != answer {
                    complain(probe)
                    return
                }
            }
            #expect(flips.certain > 5 && flips.never > 5, "seed \(seed): \(flips)")
        }
    }

    /// Instants between two, more of them near the first, and at full quarters of hours, where days begin and clocks change.
    private func probes(from start: Instant, to end: Instant, _ dice: inout RuleDice) -> [Instant] {
        var probes = [start.adding(microseconds: 1), end.adding(microseconds: -1)]
        for _ in 0..<12 {
            let share = pow(Double.random(in: 0..<1, using: &dice.generator), dice.pick([1, 4, 12]))
            let probe = start.adding(microseconds: Int64(share * Double(end.microseconds - start.microseconds)))
            let quarter = probe.microseconds / 900_000_000 * 900_000_000
            probes += [probe] + [-1, 0, 1].map { Instant(microseconds: quarter + $0) }
        }
        return probes.filter { $0 > start && $0 < end }
    }
}
