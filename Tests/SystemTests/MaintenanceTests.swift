// The chores, as their binary runs them: a timer sees the exit code, the journal the counts.
import Foundation
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private let programs = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()

/// Runs a chore and gives its exit code and what it logged.
@discardableResult
private func chore(_ name: String, _ database: TestDatabase) throws -> (status: Int32, log: String) {
    let process = Process()
    process.executableURL = programs.appendingPathComponent("muster-maintenance")
    process.arguments = [name]
    process.environment = ["MUSTER_DATABASE": database.conninfo(as: .maintenance)]
    process.standardInput = FileHandle.nullDevice
    let log = Pipe()
    process.standardError = log
    try process.run()
    let text = String(decoding: try log.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
}

@Suite struct MaintenanceTests {
    @Test(arguments: [
        "partitions", "purge", "sessions", "counters", "rollup", "plan-look-ups", "rescue", "refresh-segments", "profile-fields",
        "anchor-consent", "hold-sending", "release-sending",
    ])
    func `a chore may run again at once and finds nothing to do`(name: String) throws {
        try withOwnDatabase { database throws in
            for _ in 0..<2 {
                let (status, log) = try chore(name, database)
                #expect(status == 0 && log.contains("\"outcome\":\"done\""), "\(log)")
            }
        }
    }

    @Test func `what a cancelled job left behind is ended by the next night`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            let person = try db.createUser("member", in: workspace).id
            try db.execute("SELECT set_config('muster.workspace_id', '\(workspace)', false)")
            try db.runDynamic(
                """
                INSERT INTO contacts (workspace_id, ordinal, assigned_to) SELECT $1, n, $2 FROM generate_series(1, 1500) n
                """, [workspace.sqlValue, person.sqlValue])
            try db.runDynamic("INSERT INTO segments (workspace_id, name, rule) VALUES ($1, 'S', '{}')", [workspace.sqlValue])
            try db.runDynamic("INSERT INTO segments (workspace_id, name, rule) VALUES ($1, 'T', '{}')", [workspace.sqlValue])
            try db.execute(
                "INSERT INTO segment_members SELECT c.workspace_id, s.id, c.id, now() FROM contacts c CROSS JOIN segments s")
            try db.execute("DELETE FROM segments WHERE name = 'S'; DELETE FROM members")
            #expect(try db.value("SELECT count(*) FROM segment_members", as: Int.self) == 3000)
            let (status, log) = try chore("counters", database)
            #expect(status == 0 && log.contains("\"memberships_ended\":1500") && log.contains("\"contacts_released\":1500"), "\(log)")
            #expect(try db.value("SELECT count(*) FROM segment_members", as: Int.self) == 1500)
            #expect(try db.value("SELECT member_count FROM segments", as: Int.self) == 1500)
            #expect(try db.value("SELECT count(*) FROM contacts WHERE assigned_to IS NOT NULL", as: Int.self) == 0)
        }
    }

    @Test func `rows that came before their partition move into it, and the ledger is still in step`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            // As if nobody had made partitions for months.
            for table in ["messages", "receipts"] {
                try db.execute(
                    "DO $$ DECLARE p text; BEGIN FOR p IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '\(table)'::regclass AND inhrelid <> '\(table)_default'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$"
                )
            }
            try db.runDynamic(
                """
                INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, due_at, created_at)
                SELECT $1, uuid_v7(), uuid_v7(), uuid_v7(), 'sms', '+12025550100', at, at
                  FROM unnest(ARRAY[now(), date_trunc('month', now()) + interval '40 days', now() - interval '400 days']) at
                """, [workspace.sqlValue])
            try db.runDynamic(
                "INSERT INTO receipts (workspace_id, sender_id, sid, status, body) VALUES ($1, uuid_v7(), 'SM', 'sent', '')",
                [workspace.sqlValue])
            let (status, log) = try chore("partitions", database)
            #expect(status == 0, "\(log)")
            #expect(try db.value("SELECT count(*) FROM messages_default", as: Int.self) == 1)
            #expect(try db.value("SELECT count(*) FROM messages", as: Int.self) == 3)
            #expect(try db.value("SELECT count(*) FROM receipts_default", as: Int.self) == 0)
            #expect(try db.value("SELECT sum(messages)::int FROM campaign_stats WHERE measure = 'frozen'", as: Int.self) == 3)
            // What a partition has by itself: triggers and indexes.
            let refusal = try #require(throws: PostgresError.self) {
                try db.execute("UPDATE messages SET state = 'sent' WHERE created_at = (SELECT max(created_at) FROM messages)")
            }
            #expect(refusal.constraint == "message_follows_its_states")
            let plain = try db.value("SELECT to_char(now() AT TIME ZONE 'UTC', '\"messages_\"YYYY_MM')", as: String.self)
            let indexes: Int = try db.value("SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass", plain.sqlValue)
            #expect(indexes == (try db.value("SELECT count(*) FROM pg_index WHERE indrelid = 'messages'::regclass", as: Int.self)))
        }
    }

    @Test func `raw receipts and the audit log go after the days that their workspace keeps them, those to be settled stay`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let short = try db.createWorkspace(settings: ["retention_days_receipts": 3, "retention_days_audit": 3])
            let usual = try db.createWorkspace()
            for workspace in [short, usual] {
                for days in [1, 10, 29, 31, 200] {
                    try db.runDynamic(
                        """
                        INSERT INTO receipts (workspace_id, sender_id, sid, status, body, received_at, state, due_at)
                        SELECT $1, uuid_v7(), 'SM', 'sent', '', now() - make_interval(days => $2::int), s, CASE s WHEN 'parked' THEN now() END
                          FROM unnest(ARRAY['applied', 'parked']) s
                        """, [workspace.sqlValue, days.sqlValue])
                }
            }
            #expect(try chore("purge", database).status == 0)
            func left(_ workspace: WorkspaceID) throws -> String {
                try db.value(
                    "SELECT string_agg(state || ' ' || (now()::date - received_at::date), ', ' ORDER BY state, received_at DESC) FROM receipts WHERE workspace_id = $1",
                    workspace.sqlValue)
            }
            let parked = "parked 1, parked 10, parked 29, parked 31, parked 200"
            #expect(try left(short) == "applied 1, " + parked)
            #expect(try left(usual) == "applied 1, applied 10, applied 29, " + parked)
        }
    }

    @Test func `notices are kept for a year`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            for age in ["364 days", "366 days"] {
                try db.runDynamic(
                    """
                    INSERT INTO notices (workspace_id, kind, subject, detail, created_at)
                    VALUES ($1, 'test.noticed', '{}', $2::text, now() - $2::text::interval)
                    """, [workspace.sqlValue, age.sqlValue])
            }
            #expect(try chore("purge", database).status == 0)
            #expect(try db.value("SELECT string_agg(detail, ', ') FROM notices", as: String.self) == "364 days")
        }
    }

    @Test func `what was told to webhooks is kept for 30 days, and partitions that held nothing else go`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            try db.execute(
                "CREATE TABLE webhook_events_2020_01 PARTITION OF webhook_events FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')")
            try db.runDynamic(
                """
                WITH made AS (
                    INSERT INTO webhook_events (workspace_id, type, data, occurred_at)
                    SELECT $1, 'webhook.test', '{}', at
                      FROM unnest(ARRAY[now() - interval '29 days', now() - interval '31 days', '2020-01-15'::timestamptz]) at
                    RETURNING id, occurred_at)
                INSERT INTO webhook_deliveries (workspace_id, created_at, endpoint_id, event_id, type, due_at)
                SELECT $1, m.occurred_at, uuid_v7(), m.id, 'webhook.test', now() FROM made m
                """, [workspace.sqlValue])
            let (status, log) = try chore("purge", database)
            #expect(status == 0 && log.contains("\"webhook_partitions\":1"), "\(log)")
            let ages = try db.value(
                """
                SELECT concat_ws(' ', (SELECT string_agg((now()::date - occurred_at::date)::text, ',') FROM webhook_events),
                                      (SELECT string_agg((now()::date - created_at::date)::text, ',') FROM webhook_deliveries))
                """, as: String.self)
            #expect(ages == "29 29")
        }
    }

    @Test func `a chore that somebody stands in the way of does its other parts, and says so`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            try db.execute("DROP TABLE messages_\(try month(2, db)); DROP TABLE receipts_\(try month(2, db))")
            let holder = try database.connect()
            try holder.transaction { holder in
                try holder.execute("SELECT 1 FROM messages_default")
                let (status, log) = try chore("partitions", database)
                #expect(status == 1 && log.contains("messages"), "\(log)")
            }
            #expect(try db.value("SELECT to_regclass('receipts_\(try month(2, db))') IS NOT NULL"))
            #expect(try chore("partitions", database).status == 0)
            #expect(try db.value("SELECT to_regclass('messages_\(try month(2, db))') IS NOT NULL"))
        }
    }

    private func month(_ ahead: Int, _ db: Connection) throws -> String {
        try db.value("SELECT to_char(now() AT TIME ZONE 'UTC' + make_interval(months => $1), 'YYYY_MM')", ahead.sqlValue)
    }
}
