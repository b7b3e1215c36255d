import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct ExperimentSendTests {
    private static let three = [("a", 1, "A {{ first_name }}"), ("b", 2, "B {{ first_name }}"), ("c", 5, "C {{ first_name }}")]

    @Test func `shares are what percent and weights say, within chance, whoever else was drawn`() throws {
        let seed = Int.random(in: 0...Int(Int32.max))
        try withDatabase { db throws in
            let (people, test, bounds) = (40_000, 2500, [1250, 3750])
            let rows: [JSONValue] = try db.dynamic(
                """
                SELECT json_build_object('place', coalesce(variant_slice($1, $2::int, $3::int[], c.id), -1),
                           'held', bucket_of($1::text, c.id) < 5000, 'count', count(*))
                  FROM (SELECT md5($4::int || ':' || i)::uuid AS id FROM generate_series(1, $5::int) i) c
                 GROUP BY coalesce(variant_slice($1, $2::int, $3::int[], c.id), -1), bucket_of($1::text, c.id) < 5000
                """, [CampaignID.new().sqlValue, test.sqlValue, bounds.sqlValue, seed.sqlValue, people.sqlValue])
            for (place, share) in [(-1, 0.75), (0, 0.25 * 0.125), (1, 0.25 * 0.25), (2, 0.25 * 0.625)] {
                for isHeld in [true, false] {
                    let count = rows.first { $0["place"]?.integer == place && $0["held"]?.bool == isHeld }?["count"]?.integer ?? 0
                    let (mean, share) = (Double(people) * share / 2, share / 2)
                    // Five standard deviations.
                    #expect(abs(Double(count) - mean) < 5 * (mean * (1 - share)).squareRoot(), "\(place) \(isHeld) \(count), seed \(seed)")
                }
            }
        }
    }

    @Test func `every weight has its slices, and none more`() throws {
        try withMessagingSite { site throws in
            for weights in [[1, 1000, 1000, 1000, 1000], [1, 1], [1000, 1, 1000], [333, 333, 333]] {
                let scene = try site.scene.withAnotherCampaign(site.owner)
                try scene.addExperiment(site.owner, weights.enumerated().map { ("v\($0)", $1, nil) })
                let bounds: [Int] = try site.owner.inWorkspace(scene.workspace) { db in
                    try db.value("SELECT bounds FROM experiment_plan($1)", scene.campaign.sqlValue)
                }
                let ends = bounds + [10_000]
                for (place, weight) in weights.enumerated() {
                    let slices = ends[place] - (place == 0 ? 0 : ends[place - 1])
                    let exact = 10_000 * Double(weight) / Double(weights.reduce(0, +))
                    #expect(abs(Double(slices) - exact) <= 1 && slices > 0, "\(weights) \(bounds)")
                }
            }
        }
    }

    @Test func `everybody gets the text of their variant, and who is held out gets none`() throws {
        try withSending(
            contacts: 300,
            prepare: { scene, db in
                try db.runDynamic("UPDATE campaigns SET holdout_basis_points = 2000 WHERE id = $1", [scene.campaign.sqlValue])
                try scene.addExperiment(db, Self.three)
            }
        ) { sending in
            let before = try sending.scene.places(sending.db)
            try sending.run()
            let states = try sending.states()
            let held = try #require(states["skipped/holdout"])
            #expect(states["sent"] == 300 - held && sending.provider.ledger.count == 300 - held)
            #expect(try sending.scene.isRight(sending.provider.ledger, sending.db))
            #expect(Set(sending.provider.ledger.map { $0.body.first! }) == ["A", "B", "C"])
            #expect(before.values.filter { $0.place == nil }.count == held)
            let after = try sending.scene.places(sending.db)
            #expect(before.allSatisfy { after[$0]?.place == $1.place })
            #expect(try sending.status() == "finished")
        }
    }

    @Test func `a message that is put off, interrupted or tried again by hand keeps its variant`() throws {
        try withSending(
            contacts: 120, rate: 400, prepare: { scene, db in try scene.addExperiment(db, Self.three) },
            script: { request, number in
                switch number % 5 {
                case 1: .refuse(status: 429, code: 20429, headers: "Retry-After: 0.02\r\n")
                case 2 where number < 60: .refuse(status: 400, code: 21610)
                default: .accept
                }
            }
        ) { sending in
            try sending.race(workers: 2) {
                for _ in 0..<4 {
                    Thread.sleep(forTimeInterval: 0.03)
                    try sending.tryToMove(CampaignSQL.pause)
                    try sending.cutConnections()
                    try sending.tryToMove(CampaignSQL.resume)
                }
                try waitUntil("nothing is left", seconds: 60) {
                    try sending.db.execute(
                        "UPDATE messages SET lease_until = now() - interval '1 second' WHERE lease_until < now() + interval '50 seconds'")
                    _ = try sending.db.one(LedgerSQL.rescue, 1000, nil)
                    return try sending.status() == "finished"
                }
            }
            let failed = try #require(try sending.states()["failed"])
            // Who was refused because they had opted out has opted in again.
            try sending.db.execute("DELETE FROM suppressions; UPDATE consents SET state = 'opted_in'")
            try sending.db.inWorkspace(sending.scene.workspace) { db in
                let retried = try db.one(ByHandSQL.retry, sending.scene.campaign, nil, ["failed"], nil, 1000)
                #expect(retried == failed)
                try db.run(ByHandSQL.reopen, sending.scene.campaign)
            }
            try sending.run()
            #expect(try sending.states()["failed"] == nil)
            #expect(try sending.scene.isRight(sending.provider.ledger, sending.db))
        }
    }

    @Test func `a mail has the subject of its variant, and the campaign's where that has none`() throws {
        try withSending(
            contacts: 60,
            prepare: { scene, db in
                try db.inWorkspace(scene.workspace) { db in
                    try db.run(ExperimentSQL.set, scene.campaign, 10_000, "none", nil, nil)
                    try db.run(
                        ExperimentSQL.addVariants, scene.campaign, ["a", "b"], [1, 1], [nil, "B"], ["New for {{ first_name }}", nil],
                        [nil, nil], [nil, nil])
                }
            }
        ) { sending in
            try sending.becomeMail()
            try sending.run(seconds: 3)
            let wrong: [String] = try sending.db.inWorkspace(sending.scene.workspace) { db in
                try db.dynamic(
                    """
                    SELECT e.subject FROM messages m
                      JOIN email_contents e ON e.message_id = m.id JOIN contacts c ON c.id = m.contact_id
                     WHERE e.subject <> (ARRAY['New for ', 'For '])[variant_of(m.campaign_id, m.contact_id) + 1] || c.first_name
                    """, [])
            }
            #expect(wrong.isEmpty)
            let subjects: [String] = try sending.db.dynamic(
                "SELECT DISTINCT split_part(subject, ' ', 1) FROM email_contents ORDER BY 1", [])
            #expect(subjects == ["For", "New"])
        }
    }

    @Test func `a test shows the variant that was asked for, else the campaign's own text`() throws {
        try withMessagingSite { site throws in
            try site.scene.addExperiment(site.owner, [("a", 1, nil), ("b", 1, "B {{ first_name }}")])
            let contact = JSONValue.string(site.scene.contacts[1].description)
            func body(_ variant: String?) throws -> String? {
                var test: JSONObject = ["to": "+12025550188", "contact_id": contact]
                test["variant"] = variant.map { .string($0) }
                let answer = try site.post(site.campaign + "/test", .object(test))
                guard let message = answer.header("location") else { return answer.code }
                return try site.get(message).json["body"]?.string
            }
            let own = try #require(try body(nil))
            #expect(try body("a") == own)
            #expect(try body("b") == "B P2" && own != "B P2")
            #expect(try body("c") == "not_found")
            #expect(try body("") == "empty")
        }
    }

    @Test func `a test by mail shows the variant that was asked for`() throws {
        try withSending(
            contacts: 1,
            prepare: { scene, db in
                try db.inWorkspace(scene.workspace) { db in
                    try db.run(ExperimentSQL.set, scene.campaign, 10_000, "none", nil, nil)
                    try db.run(
                        ExperimentSQL.addVariants, scene.campaign, ["a", "b"], [1, 1], [nil, nil], ["First", "Second"], [nil, nil],
                        [nil, nil])
                }
            }
        ) { sending in
            try sending.becomeMail()
            try sending.db.execute("UPDATE campaigns SET subject = 'Own'")
            let scene = sending.scene
            var expected: [String: String] = [:]
            try sending.db.inWorkspace(scene.workspace) { db in
                for (variant, subject) in [(nil, "Own"), ("a", "First"), ("b", "Second")] {
                    let message = MessageID.new()
                    let address = "\(subject.lowercased())@shop.example"
                    _ = try db.one(CampaignSQL.insertTest, message, scene.campaign, nil, scene.sender, .email, address, "?", 1)
                    if let variant, let found = try db.first(ExperimentSQL.variant, scene.campaign, variant) {
                        try db.run(ExperimentSQL.testVariant, message, scene.campaign, found.place)
                    }
                    expected[message.description] = subject
                }
            }
            try sending.run(seconds: 3)
            let rows: [JSONValue] = try sending.db.dynamic(
                """
                SELECT json_build_array(m.id, e.subject) FROM messages m JOIN email_contents e ON e.message_id = m.id WHERE m.kind = 'test'
                """, [])
            let sent = Dictionary(uniqueKeysWithValues: rows.compactMap { $0.array }.map { ($0[0].string!, $0[1].string!) })
            #expect(sent == expected)
        }
    }

    @Test func `a variant that does not parse any more pauses the campaign before anybody gets anything`() throws {
        try withSending(contacts: 20, prepare: { scene, db in try scene.addExperiment(db, [("a", 1, "Hi"), ("b", 1, "{% nonsense %}")]) }) {
            sending in
            try sending.round()
            #expect(try sending.status() == "paused" && sending.provider.requestCount == 0)
            #expect(try sending.db.value("SELECT status_reason FROM campaigns", as: String.self) == "template_failed")
        }
    }
}
