// Sweeps for what time alone changes run beside the rounds that look at what people change.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct TimeSweepTests {
    private static let due = "UPDATE segments SET next_flip_at = now() - interval '1 minute'"

    private func waiting(_ site: AudienceSite) throws -> JSONValue {
        _ = try site.send("PUT", "/api/fields/attributes.at", json: ["type": "time"])
        return ["field": "attributes.at", "op": "before", "value": ["ago": "1h"]]
    }

    @Test func `a sweep marks whom time has changed for its segment, and nobody else`() throws {
        try withAudience { site throws in
            let match = try waiting(site)
            let now = Instant.now()
            for (name, minutes) in [("passed", -60.05), ("before", -90.0), ("later", -30.0)] {
                let at = JSONValue.string((now + minutes * 60).description)
                _ = try site.add(["name": .string(name), "attributes": ["at": at]])
            }
            let path = try site.live("Waiting", match)
            // As if it had been looked at ten minutes ago.
            try site.owner.execute("\(Self.due), swept_at = now() - interval '10 minutes'")
            let worker = try site.database.connect(as: .worker)
            #expect(try Freshness.sweep(site.workspace, worker))
            let marked: [String] = try site.owner.dynamic(
                """
                SELECT c.name FROM dirty_contacts d JOIN contacts c ON c.id = d.contact_id JOIN segments s ON d.reads = ARRAY['segment:' || s.id]
                 WHERE d.marked_at = s.created_at OR d.marked_at < now() - interval '50 seconds'
                """, [])
            #expect(marked == ["passed"])
            #expect(try !Freshness.sweep(site.workspace, worker), "it is done until the next flip")
            #expect(
                try site.owner.value(
                    "SELECT next_flip_at BETWEEN now() + interval '29 minutes' AND now() + interval '31 minutes' FROM segments"))
            try site.freshen()
            #expect(try site.members(path) == ["before", "passed"])
        }
    }

    @Test func `what people change is looked at while a sweep is under way`() throws {
        try withAudience { site throws in
            let path = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            let id = try #require(idOf(path).string.flatMap { SegmentID($0) })
            let (sweeper, worker) = (try site.database.connect(as: .worker), try site.database.connect(as: .worker))
            try sweeper.transaction { sweeper in
                try sweeper.setWorkspace(site.workspace)
                #expect(try sweeper.one(SweepSQL.tryWorkspace) && sweeper.one(SweepSQL.keepCalculationsAway, id))
                _ = try site.add(["name": "a", "status": "New"])
                _ = try Freshness.round(site.workspace, worker)
                #expect(try site.members(path) == ["a"])
            }
        }
    }

    @Test func `a flip that a look tells of beside a sweep is not forgotten`() throws {
        try withAudience { site throws in
            let match = try waiting(site)
            _ = try site.add(["name": "a", "attributes": ["at": .string(Instant.now().description)]])
            let id = try #require(idOf(try site.live("Waiting", match)).string.flatMap { SegmentID($0) })
            let rule: JSONValue = try site.owner.value("SELECT rule FROM segments")
            try site.owner.execute(Self.due)
            let (database, workspace) = (site.database, site.workspace)
            _ = try inParallel(2) { thread throws in
                // Only a superuser sees what others wait for.
                let (worker, watcher) = (try database.connect(as: .worker), try database.connect(as: .superuser))
                func isWaiting(_ state: String) throws -> Bool {
                    let found: [Bool] = try watcher.dynamic(
                        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND \(state)", [])
                    return found[0]
                }
                if thread == 0 {
                    try worker.transaction { looker in
                        try looker.setWorkspace(workspace)
                        try looker.execute("SELECT FROM segments FOR NO KEY UPDATE")
                        try waitUntil("the sweep has looked for the next flip") { try isWaiting("wait_event_type = 'Lock'") }
                        try looker.run(FreshnessSQL.flipsAt, id, Instant.now() + 600, rule)
                    }
                } else {
                    try waitUntil("the look is under way") { try isWaiting("state = 'idle in transaction'") }
                    #expect(try Freshness.sweep(workspace, worker))
                }
            }
            #expect(
                try site.owner.value(
                    "SELECT next_flip_at BETWEEN now() + interval '9 minutes' AND now() + interval '10 minutes' FROM segments"))
        }
    }

    @Test func `a sweep that took long rests, whatever looks tell of the next flip`() throws {
        try withAudience { site throws in
            let id = try #require(idOf(try site.live("Waiting", try waiting(site))).string.flatMap { SegmentID($0) })
            let rule: JSONValue = try site.owner.value("SELECT rule FROM segments")
            let worker = try site.database.connect(as: .worker)
            func next() throws -> Double {
                try site.owner.value("SELECT extract(epoch FROM next_flip_at - now())::float8 FROM segments")
            }
            func look(_ seconds: Double) throws {
                try worker.transaction { db in
                    try db.setWorkspace(site.workspace)
                    try db.run(FreshnessSQL.flipsAt, id, Instant.now() + seconds, rule)
                }
            }
            try worker.transaction { db in
                try db.setWorkspace(site.workspace)
                let now = Instant.now()
                try db.run(SweepSQL.swept, id, now, now + 5, now + 400, rule)
            }
            #expect((395...400).contains(try next()))
            try look(2)
            #expect((395...400).contains(try next()))
            try look(1)
            // The next one finds what was noted, and is not held up when it was quick itself.
            try worker.transaction { db in
                try db.setWorkspace(site.workspace)
                try db.run(SweepSQL.swept, id, Instant.now(), nil, nil, rule)
            }
            #expect((-5...2).contains(try next()))
        }
    }

    @Test func `what time changes does not stand behind an import`() throws {
        try withAudience { site throws in
            let match = try waiting(site)
            _ = try site.add(["name": "late", "attributes": ["at": .string((Instant.now() + -3603).description)]])
            let path = try site.live("Waiting", match)
            try site.owner.execute("DELETE FROM segment_members; \(Self.due), swept_at = now() - interval '10 minutes'")
            try site.owner.execute(
                """
                INSERT INTO contacts (workspace_id, ordinal, name)
                SELECT id, 10 + n, 'c' || n FROM workspaces, generate_series(1, 300) n
                """)
            let worker = try site.database.connect(as: .worker)
            #expect(try Freshness.sweep(site.workspace, worker))
            #expect(try Freshness.round(site.workspace, worker, batch: 100), "there is more")
            #expect(try site.members(path) == ["late"])
            #expect(try site.count("dirty_contacts") == 200)
        }
    }

    @Test func `while a calculation is at a segment it is not swept, and other segments are`() throws {
        try withAudience { site throws in
            let match = try waiting(site)
            let ids = try ["One", "Two"].map { try #require(idOf(try site.live($0, match)).string.flatMap { SegmentID($0) }) }
            try site.owner.execute(Self.due)
            try site.owner.execute("UPDATE segments SET next_flip_at = now() - interval '2 minutes' WHERE name = 'One'")
            let (holder, worker) = (try site.database.connect(), try site.database.connect(as: .worker))
            try holder.transaction { holder in
                _ = try holder.one(SegmentSQL.lockCalculation, ids[0])
                #expect(try Freshness.sweep(site.workspace, worker))
                #expect(try !Freshness.sweep(site.workspace, worker))
                #expect(try site.owner.value("SELECT array_agg(name) FROM segments WHERE next_flip_at <= now()") == ["One"])
            }
            #expect(try Freshness.sweep(site.workspace, worker))
        }
    }

    @Test func `workspaces are swept in the order in which they are due`() throws {
        try withAudience { site throws in
            _ = try site.live("Waiting", try waiting(site))
            try site.owner.execute(
                """
                INSERT INTO workspaces (name, timezone) VALUES ('Other', 'UTC');
                INSERT INTO segments (workspace_id, name, rule, schedule, state, calculated_at, next_flip_at)
                SELECT id, 'Other', '{}', 'live', 'ready', now(), now() - interval '1 hour' FROM workspaces WHERE name = 'Other';
                UPDATE segments SET next_flip_at = now() - interval '1 minute' WHERE name = 'Waiting'
                """)
            let worker = try site.database.connect(as: .worker)
            let due = try worker.all(SweepSQL.workspaces)
            #expect(due.count == 2 && due.last == site.workspace)
            try site.owner.execute("UPDATE segments SET next_flip_at = now() - interval '2 hours' WHERE name = 'Waiting'")
            #expect(try worker.all(SweepSQL.workspaces).first == site.workspace)
            try site.owner.execute("UPDATE segments SET archived_at = now() WHERE name = 'Waiting'")
            #expect(try worker.all(SweepSQL.workspaces).count == 1)
        }
    }
}
