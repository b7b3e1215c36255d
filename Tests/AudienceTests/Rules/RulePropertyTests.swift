// Random rules over random dirty contacts: the compiled statement, the evaluator for one contact and the naive reading must
// agree on each.
@testable import Audience
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct RulePropertyTests {
    private static let zone = "America/New_York"
    private static let contacts = 100
    private static let rules = 100
    /// Worlds are tried side by side: a million takes half an hour instead of one.
    private static let lanes = 2

    /// Repeat a failure with MUSTER_RULE_SEED=…; `make property` tries more, as many as MUSTER_RULE_CASES says.
    @Test(arguments: 1...lanes)
    func `compiled rules, the evaluator and the naive reading agree on random rules over random dirty contacts`(lane: Int) throws {
        let environment = ProcessInfo.processInfo.environment
        let given = environment["MUSTER_RULE_SEED"].flatMap { UInt64($0) }
        let cases = environment["MUSTER_RULE_CASES"].flatMap { Int($0) } ?? 20_000
        let worlds = max(1, cases / (Self.contacts * Self.rules))
        for _ in stride(from: lane, through: worlds, by: Self.lanes) {
            let seed = given ?? UInt64.random(in: 0...UInt64.max)
            guard try agree(seed) else { return }
            if given != nil { return }
        }
    }

    /// Tries every rule of one world on every contact of it. What is first found to differ is told.
    private func agree(_ seed: UInt64) throws -> Bool {
        var dice = RuleDice(generator: SeededGenerator(state: seed))
        var agreed = true
        try withWorld(zone: Self.zone) { world in
            let contacts = try world.populate(Self.contacts, &dice)
            let naive = NaiveRule(types: RuleDice.types, workspaceZone: Self.zone, now: RuleDice.now)
            let scope = RuleScope(workspace: world.workspace, zone: Self.zone, now: RuleDice.now)
            for number in 0..<Self.rules {
                let rule = dice.rule()
                let parsed = try RuleLibrary.parse(rule, world.db)
                let compiled = RuleCompiler.compile(parsed, scope)
                let found: [String] = try world.db.dynamic("SELECT c.name FROM contacts c WHERE \(compiled.predicate)", compiled.values)
                let alone = try world.findOneByOne(parsed, among: contacts, at: RuleDice.now)
                if let first = alone.symmetricDifference(found).sorted().first {
                    Issue.record(
                        """
                        seed \(seed), rule \(number): one by one \(alone.contains(first) ? "finds" : "misses") \(first): \(rule.text)
                        contact \(contacts[first]!)
                        \(compiled.predicate)
                        \(compiled.values)
                        """)
                    agreed = false
                    return
                }
                let expected = contacts.filter { naive.matches(rule, $0.value) }.map(\.key)
                guard let first = Set(found).symmetricDifference(expected).sorted().first else { continue }
                Issue.record(
                    """
                    seed \(seed), rule \(number): \(rule.text)
                    contact \(contacts[first]!)
                    found by \(found.contains(first) ? "SQL" : "the naive reading") only
                    \(compiled.predicate)
                    \(compiled.values)
                    """)
                agreed = false
                return
            }
        }
        return agreed
    }
}

extension World {
    /// Puts random contacts, with two of everything that rules can read.
    func populate(_ count: Int, _ dice: inout RuleDice) throws -> [String: NaiveContact] {
        for (key, type) in RuleDice.types where key.hasPrefix("attributes.") {
            try field(String(key.dropFirst("attributes.".count)), FieldType(rawValue: type)!)
        }
        for name in ["one", "two"] {
            dice.segments.append(try db.one(WorldSQL.segment, name, ["version": 1, "match": ["all": []]]).description)
            dice.lists.append(try db.one(WorldSQL.list, name).description)
            dice.campaigns.append(try campaign(name).description)
        }
        var contacts: [String: NaiveContact] = [:]
        for index in 0..<count {
            let contact = dice.contact(index)
            try put(contact, "c\(index)", number: index)
            contacts["c\(index)"] = contact
        }
        return contacts
    }
}
