// Whatever changes in whatever order, beside whatever runs: in the end live segments are what a calculation would give.
@testable import Audience
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private enum ChangeSQL {
    static let insert = """
        INSERT INTO contacts (workspace_id, ordinal, name, attributes, tags)
        SELECT current_workspace(), take_ordinals(1) + 1, $1, $2::jsonb, $3::text[]
        """
    static let change =
        "UPDATE contacts SET attributes = $2::jsonb, tags = $3::text[], updated_at = now() WHERE workspace_id = current_workspace() AND name = $1"
    static let delete = "DELETE FROM contacts WHERE workspace_id = current_workspace() AND name = $1"
    static let event = """
        INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
        SELECT current_workspace(), id, 'bought', now() - interval '1 day' * $2::float8, '{"amount": 3}' FROM contacts
         WHERE workspace_id = current_workspace() AND name = $1
        """
    static let consent = """
        SELECT 1 FROM (SELECT record_consent(id, 'sms', CASE WHEN $2::float8 < 1 THEN 'opted_in' ELSE 'opted_out' END, 'test')
                         FROM contacts WHERE workspace_id = current_workspace() AND name = $1) r
        """
    static let listed = """
        INSERT INTO list_members (workspace_id, list_id, contact_id)
        SELECT current_workspace(), l.id, c.id FROM lists l, contacts c
         WHERE l.workspace_id = current_workspace() AND c.workspace_id = current_workspace() AND c.name = $1 ON CONFLICT DO NOTHING
        """
    static let unlisted = """
        DELETE FROM list_members m USING contacts c
         WHERE m.workspace_id = current_workspace() AND c.workspace_id = current_workspace() AND c.id = m.contact_id AND c.name = $1
        """
}

@Suite struct FreshnessPropertyTests {
    /// Repeat a failure with MUSTER_RULE_SEED=… (threads interleave as they like).
    @Test func `any sequence of changes beside looks and calculations gives what a calculation at the end gives`() throws {
        let seed = ProcessInfo.processInfo.environment["MUSTER_RULE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        var dice = RuleDice(generator: SeededGenerator(state: seed))
        try withAudience { site throws in
            let list = try site.send("POST", "/api/lists", json: ["name": "List"]).json["id"]!
            for (key, type) in RuleDice.types where key.hasPrefix("attributes.") {
                _ = try site.send("PUT", "/api/fields/\(key)", json: ["type": .string(type)])
            }
            var paths: [String] = []
            for (name, match) in [
                ("Buyers", ["event": "bought", "count": ["at_least": 2], "within": ["last": "30d"]]),
                ("Not buyers", ["event": "bought", "count": ["is": 0]]),
                ("Spenders", ["aggregate": "sum", "of": "amount", "event": "bought", "op": "at_least", "value": 6]),
                ("Opted in", ["consent": "sms", "state": "opted_in"]), ("Listed", ["list": list]),
            ] as [(String, JSONValue)] { paths.append(try site.segment(name, match)) }
            while paths.count < 14 {
                let rule = dice.rule()
                let answer = try site.send("POST", "/api/segments", json: ["name": .string("Random \(paths.count)"), "rule": rule])
                if answer.status == 201 { paths.append("/api/segments/\(answer.json["id"]!.string!)") }
            }
            for depth in 0..<4 {
                let pair: [JSONValue] = [paths[depth], paths[paths.count - 1 - depth]].map { ["segment": idOf($0)] }
                paths.append(
                    try site.segment("Nested \(depth)", dice.pick([["any": .array(pair)], ["all": [["not": pair[0]], pair[1]]]])))
            }
            try site.calculate()
            let seeds = (0..<3).map { _ in dice.generator.next() }
            let database = site.database
            let (workspace, saved) = (site.workspace, paths)
            _ = try inParallel(6) { thread throws in
                let db = try database.connect(as: .worker)
                func inWorkspace(_ work: (Connection) throws -> Void) throws {
                    try db.transaction { db in
                        try db.setWorkspace(workspace)
                        try work(db)
                    }
                }
                switch thread {
                case 0..<3:
                    var dice = RuleDice(generator: SeededGenerator(state: seeds[thread]))
                    for _ in 0..<120 {
                        let name = "c\(Int.random(in: 0..<25, using: &dice.generator))"
                        let contact = dice.contact()
                        let tags = contact.columns["tags"]!.array!.compactMap(\.string)
                        let days = Double.random(in: 0...2, using: &dice.generator)
                        let (sql, values): (String, [SQLValue]) = dice.pick([
                            (ChangeSQL.insert, [name.sqlValue, contact.attributes.sqlValue, tags.sqlValue]),
                            (ChangeSQL.change, [name.sqlValue, contact.attributes.sqlValue, tags.sqlValue]),
                            (ChangeSQL.change, [name.sqlValue, contact.attributes.sqlValue, tags.sqlValue]),
                            (ChangeSQL.delete, [name.sqlValue]), (ChangeSQL.event, [name.sqlValue, days.sqlValue]),
                            (ChangeSQL.event, [name.sqlValue, days.sqlValue]), (ChangeSQL.consent, [name.sqlValue, days.sqlValue]),
                            (ChangeSQL.listed, [name.sqlValue]), (ChangeSQL.unlisted, [name.sqlValue]),
                        ])
                        // Several of one name are changed in any order: two changes may stop each other, and one of them is none then.
                        do { try inWorkspace { db in try db.runDynamic(sql, values) } } catch let error as PostgresError
                            where error.sqlState == .foreignKeyViolation || error.sqlState == .deadlockDetected
                        {}
                    }
                case 3, 4:
                    for _ in 0..<60 {
                        _ = try Freshness.sweep(workspace, db)
                        _ = try Freshness.round(workspace, db)
                    }
                default:
                    for path in saved + saved {
                        var calculation = SegmentCalculation(isRefresh: false) { work in try inWorkspace(work) }
                        _ = try calculation.calculate(try #require(idOf(path).string.flatMap { SegmentID($0) }))
                    }
                }
            }
            try site.freshen()
            try site.calculate()
            try site.freshen()
            let worker = try site.database.connect(as: .worker)
            var refresh = SegmentCalculation(isRefresh: true) { work in
                try worker.transaction { db in
                    try db.setWorkspace(workspace)
                    try work(db)
                }
            }
            for path in paths {
                let difference = try refresh.calculate(try #require(idOf(path).string.flatMap { SegmentID($0) }))
                let segment = try site.send("GET", path).text
                #expect(difference?.isEmpty != false, "seed \(seed): \(segment)")
            }
            #expect(refresh.counts.mended == 0 && refresh.counts.failed == 0)
            #expect(try MembershipInvariants.violations(site.owner) == [])
            #expect(try site.owner.value("SELECT count(*) FROM segment_changes", as: Int.self) > 50)
        }
    }

    @Test func `people flip when their time has come, without any change`() throws {
        try withAudience { site throws in
            for name in ["old", "late", "young"] { _ = try site.add(["name": .string(name)]) }
            try site.owner.execute(
                """
                INSERT INTO events (workspace_id, contact_id, name, occurred_at)
                SELECT workspace_id, id, 'bought', now() - interval '30 days' + CASE name WHEN 'late' THEN interval '2 seconds' ELSE interval '1 day' END
                  FROM contacts WHERE name <> 'old'
                """)
            let recent = try site.live("Bought in 30 days", ["event": "bought", "within": ["last": "30d"]])
            let known = try site.live("Known for 3 seconds", ["field": "created_at", "op": "before", "value": ["ago": "3s"]])
            let nested = try site.live("Gone quiet", ["all": [["not": ["segment": idOf(recent)]], ["segment": idOf(known)]]])
            #expect(try site.members(recent) == ["late", "young"])
            let db = try site.database.connect(as: .worker)
            func flipped() throws -> Bool {
                _ = try Freshness.sweep(site.workspace, db)
                _ = try Freshness.round(site.workspace, db)
                return try site.members(recent) == ["young"] && site.members(known).count == 3 && site.members(nested) == ["late", "old"]
            }
            try waitUntil("late has left and everybody is known") { try flipped() }
            // What lies ahead is known: the next who leaves does so in a day.
            let next = try #require(Instant(rfc3339: try site.send("GET", recent).json["next_flip_at"]?.string ?? ""))
            #expect((80_000...90_000).contains(next.seconds(since: .now())))
            #expect(try site.send("GET", known).json["next_flip_at"] == .null)
        }
    }
}
