import Foundation
import JSON
import PostgreSQL
import Runtime
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// A database that finds itself on another server, and a provider that has what a test says.
private struct Restored {
    let db: Connection
    let worker: Connection
    let scene: Scene
    let configuration: Configuration

    func run() throws -> [String: Int] { Dictionary(uniqueKeysWithValues: try Reconciliation(worker, configuration).run()) }
    func isHeld() throws -> Bool { try worker.one(RestoreSQL.isHeld) }
    func move() throws { try db.execute("UPDATE known_server SET timeline = '0000000F'") }
    func work() throws -> Int { try worker.all(LedgerSQL.campaignsToSend).count }
    func reasons() throws -> [String] {
        try db.dynamic("SELECT kind || ' ' || (subject ->> 'reason') FROM notices ORDER BY kind, id", [])
    }
}

/// - Parameters:
///   - messages: what the provider has: whom, and with which text, in pages of two; `nil`: it refuses to tell.
///   - hoursAgo: when it took the first of them; each further one as long before.
private func withRestored(
    contacts: Int = 4, has messages: [(to: Int, body: String)]? = [], hoursAgo: Double = 0.0003, reply: String? = nil,
    prepare: (Scene, Connection) throws -> Void = { _, _ in },
    _ body: (Restored) throws -> Void
) throws {
    let shown = messages?.enumerated().map { index, message -> JSONValue in
        [
            "sid": .string("SM" + String(repeating: "0", count: 30) + String(10 + index)), "body": .string(message.body),
            "to": .string("+1202" + String(5_550_000 + message.to)), "from": "+12025550100", "direction": "outbound-api",
            "status": "delivered", "num_segments": "1", "date_created": .string(rfc2822(.now() + Double(index + 1) * -3600 * hoursAgo)),
        ]
    }
    let server = try ScriptedServer { request, _ in
        if shown != nil, request.line.contains("To=%2B12025550100") {
            let reply: JSONValue = [
                "sid": "SM11111111111111111111111111111111", "body": .string(reply ?? ""), "to": "+12025550100", "from": "+12025550004",
                "direction": "inbound", "status": "received", "date_created": .string(rfc2822(.now())),
            ]
            let answer = JSONValue.object(["messages": .array(reply["body"] == "" ? [] : [reply])]).text
            return .send("HTTP/1.1 200 OK\r\nContent-Length: \(answer.utf8.count)\r\n\r\n\(answer)")
        }
        guard let shown, request.line.contains("From=%2B12025550100") else {
            return .send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
        }
        let page = request.line.contains("Page=1") ? Array(shown.dropFirst(2)) : Array(shown.prefix(2))
        let account = "AC" + String(repeating: "0", count: 32)
        let next: JSONValue =
            shown.count > 2 && !request.line.contains("Page=1")
            ? .string("/2010-04-01/Accounts/\(account)/Messages.json?From=%2B12025550100&Page=1") : .null
        let answer = JSONValue.object(["messages": .array(page), "next_page_uri": next]).text
        return .send("HTTP/1.1 200 OK\r\nContent-Length: \(answer.utf8.count)\r\n\r\n\(answer)")
    }
    defer { server.stop() }
    let key = FileManager.default.temporaryDirectory.appendingPathComponent("key-\(Vocabulary.UUID.v7())")
    try Foundation.Data(Foundation.Data(repeating: 7, count: 32).base64EncodedString().utf8).write(to: key)
    defer { try? FileManager.default.removeItem(at: key) }
    try withOwnDatabase { database in
        let db = try database.connect()
        let scene = try Scene(db, contacts: contacts)
        try prepare(scene, db)
        let configuration = try Configuration.load([
            "MUSTER_DATABASE": database.conninfo(as: .worker), "MUSTER_SEALING_KEY_FILE": key.path, "MUSTER_TWILIO_URL": server.url,
            "MUSTER_PUBLIC_URL": "https://muster.example.com",
        ])
        try body(Restored(db: db, worker: try database.connect(as: .worker), scene: scene, configuration: configuration))
    }
}

@Suite struct ReconciliationTests {
    @Test(arguments: ["system_identifier = 1", "timeline = '0000000F'", "database_oid = 1", "held_at = now()"])
    func `nothing is sent, and nothing starts, where the database finds itself elsewhere`(difference: String) throws {
        try withRestored(prepare: { scene, db in try scene.freeze(db) }) { restored in
            #expect(try !restored.isHeld() && restored.work() == 1)
            try restored.db.execute("UPDATE known_server SET \(difference)")
            #expect(try restored.isHeld() && restored.work() == 0)
            try restored.db.execute(
                """
                INSERT INTO campaigns (workspace_id, name, channel, segment_id, sender_id, body, status, scheduled_at)
                SELECT workspace_id, 'Later', channel, segment_id, sender_id, body, 'scheduled', now() FROM campaigns
                """)
            #expect(try restored.worker.all(ScheduleSQL.due).isEmpty && restored.worker.all(DueOccurrenceSQL.due).isEmpty)
            #expect(try restored.run()["senders_asked"] == 1)
            #expect(try !restored.isHeld() && restored.work() == 1)
            #expect(try restored.run() == ["held": 0])
        }
    }

    @Test func `a copy of the database on the same server sends nothing`() throws {
        try withOwnDatabase { database throws in
            let copy = database.name + "_copy"
            let postgres = try Connection(
                database.conninfo(as: .superuser).replacingOccurrences(of: "dbname=\(database.name)", with: "dbname=postgres"))
            try postgres.execute("CREATE DATABASE \(copy) OWNER muster_owner TEMPLATE \(database.name)")
            defer { try? postgres.execute("DROP DATABASE \(copy) WITH (FORCE)") }
            let conninfo = database.conninfo(as: .worker).replacingOccurrences(of: "dbname=\(database.name)", with: "dbname=\(copy)")
            #expect(try Connection(conninfo).one(RestoreSQL.isHeld))
        }
    }

    @Test func `what the provider has is sent, what it has not is sent later, and the counts agree`() throws {
        // One of the four is known already, and one was in somebody's hand.
        try withRestored(
            has: [(1, "Hi P1"), (2, "Hi P2"), (3, "Hi P3")],
            prepare: { scene, db in
                try scene.freeze(db)
                try db.execute(
                    """
                    UPDATE workspaces SET settings = settings || '{"monthly_limits": {"sms_parts": 300}}';
                    UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now() + interval '60 seconds'
                     WHERE to_address LIKE '%2';
                    UPDATE messages SET state = 'started', body = 'Hi P3', parts = 1, attempt = 1, started_at = now(),
                           lease_token = uuid_v7(), lease_until = now() + interval '60 seconds' WHERE to_address LIKE '%3';
                    UPDATE messages SET state = 'sent', sid = 'SM00000000000000000000000000000012', sent_at = now(), lease_token = NULL, lease_until = NULL
                     WHERE state = 'started';
                    """)
            }
        ) { restored in
            try restored.move()
            let counts = try restored.run()
            #expect(counts["messages_shown"] == 3 && counts["found"] == 2 && counts["skipped_in_doubt"] == 0, "\(counts)")
            #expect(try restored.scene.states(restored.db) == ["sent": 3, "pending": 1])
            #expect(try restored.db.value("SELECT used FROM month_usage") == 3)
            #expect(
                try restored.db.value(
                    "SELECT count(*) = 2 AND bool_and(r.status = 'delivered' AND m.attempt = 1 AND m.sid = r.sid AND m.body LIKE 'Hi P_') FROM receipts r JOIN messages m ON m.id = r.message_id"
                ))
            #expect(try restored.db.all(RollupSQL.differences, restored.scene.workspace, restored.scene.campaign).isEmpty)
            #expect(try restored.reasons() == [] && restored.work() == 1)
        }
    }

    /// What it writes down itself is newer than the instant to which the server was restored.
    @Test func `however often it is begun anew, it asks for all that was sent since the restored instant`() throws {
        try withRestored(
            has: [(1, "Hi P1"), (2, "Hi P2")], hoursAgo: 2,
            prepare: { scene, db in
                try scene.freeze(db)
                try db.execute(
                    """
                    UPDATE messages SET state = 'started', body = 'Hi P4', parts = 1, attempt = 1, started_at = now() - interval '5 hours',
                           lease_token = uuid_v7(), lease_until = now() WHERE to_address LIKE '%4';
                    """)
            }
        ) { restored in
            try restored.move()
            let since = try restored.worker.one(RestoreSQL.begin)
            // It has moved on what it found first, and died.
            try restored.db.execute("UPDATE messages SET started_at = now(), attempt = 1 WHERE to_address LIKE '%3'")
            #expect(try restored.worker.one(RestoreSQL.begin) == since)
            let counts = try restored.run()
            #expect(counts["messages_shown"] == 2 && counts["found"] == 2, "\(counts)")
            #expect(try restored.scene.states(restored.db) == ["sent": 2, "unknown": 1, "pending": 1])
            #expect(try restored.db.value("SELECT restored_from IS NULL FROM known_server"))
        }
    }

    @Test func `where nothing was ever started, it asks for all since the first audience was frozen`() throws {
        try withRestored(prepare: { scene, db in try scene.freeze(db) }) { restored in
            try restored.db.execute("UPDATE known_server SET known_since = now() + interval '1 day', timeline = '0000000F'")
            let since = try restored.worker.one(RestoreSQL.begin)
            #expect(try restored.db.value("SELECT min(created_at) FROM messages", as: Vocabulary.Instant.self) == since)
        }
    }

    @Test func `while sending is held nothing that was in hand starts`() throws {
        try withRestored(prepare: { scene, db in try scene.freeze(db) }) { restored in
            try restored.worker.inWorkspace(restored.scene.workspace) { worker in
                let lease = UUID.v7()
                let claimed = try restored.scene.claim(worker, lease: lease)
                try restored.move()
                #expect(try restored.scene.start(worker, claimed, lease: lease).map(\.state) == Array(repeating: "pending", count: 4))
            }
            #expect(try restored.scene.states(restored.db) == ["pending": 4])
        }
    }

    @Test func `a database that does not know where it was is held until it is released`() throws {
        try withRestored(prepare: { scene, db in try scene.freeze(db) }) { restored in
            try restored.db.execute("DELETE FROM known_server")
            #expect(try restored.isHeld())
            #expect(try restored.run()["senders_asked"] == 1)
            #expect(try !restored.isHeld())
        }
    }

    @Test func `what may have been sent is not sent`() throws {
        try withRestored(
            has: [(1, "Hi P1"), (2, "Hi nobody"), (3, "Hi")],
            prepare: { scene, db in
                try scene.freeze(db)
                try scene.withAnotherCampaign(db).freeze(db)
                // Paused at the restored instant, and perhaps resumed since.
                try db.execute("UPDATE campaigns SET status = 'paused', paused_at = now() WHERE body = 'Hi'")
            }
        ) { restored in
            try restored.move()
            let counts = try restored.run()
            #expect(counts["found"] == 2 && counts["skipped_in_doubt"] == 2, "\(counts)")
            let states: [String] = try restored.db.dynamic(
                "SELECT right(to_address, 1) || ' ' || p.body || ' ' || state FROM messages m JOIN campaigns p ON p.id = m.campaign_id WHERE right(to_address, 1) < '4' ORDER BY to_address, p.body",
                [])
            let other = "Hi {{ first_name | default: \"there\" }}"
            #expect(
                states == [
                    "1 Hi pending", "1 \(other) sent", "2 Hi skipped", "2 \(other) skipped", "3 Hi sent", "3 \(other) pending",
                ])
            #expect(try restored.db.value("SELECT count(*) = 2 FROM messages WHERE skip_reason = 'restored'"))
        }
    }

    @Test func `who has said no since is not written to`() throws {
        try withRestored(reply: "please stop texting me", prepare: { scene, db in try scene.freeze(db) }) { restored in
            try restored.db.execute(
                "UPDATE contacts SET phone = '+12025550004' WHERE phone LIKE '%4'; UPDATE messages SET to_address = '+12025550004' WHERE to_address LIKE '%4'"
            )
            for taken in [1, 0] {
                try restored.move()
                #expect(try restored.run()["replies_taken"] == taken)
            }
            #expect(try restored.db.value("SELECT address || ' ' || reason FROM suppressions") == "+12025550004 opt_out")
            _ = try restored.worker.transaction { db in
                try db.setWorkspace(restored.scene.workspace)
                return try restored.scene.claim(db)
            }
            #expect(try restored.scene.states(restored.db) == ["claimed": 3, "skipped/opted_out": 1])
        }
    }

    @Test(arguments: [true, false])
    func `where nobody can be asked, the campaign waits for a person`(isMail: Bool) throws {
        try withRestored(
            has: nil,
            prepare: { scene, db in
                if isMail { try scene.becomeMail(db) }
                try scene.freeze(db, isMail ? .email : .sms)
            }
        ) { restored in
            try restored.move()
            #expect(try restored.run()["campaigns_paused"] == 1)
            #expect(try restored.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused restored")
            #expect(try restored.reasons() == ["campaign.paused restored"])
            #expect(try !restored.isHeld() && restored.scene.states(restored.db) == ["pending": 4])
            // A second restore finds nothing new to say.
            try restored.move()
            #expect(try restored.run()["campaigns_paused"] == 0)
        }
    }

    @Test func `while the provider is silent, nothing is sent`() throws {
        try withRestored(prepare: { scene, db in try scene.freeze(db) }) { restored in
            try restored.move()
            var configuration = restored.configuration
            configuration.twilioURL = "http://127.0.0.1:9"
            #expect(throws: ProviderHistory.Silent.self) { try Reconciliation(restored.worker, configuration, pause: { _ in }).run() }
            #expect(try restored.isHeld() && restored.scene.status(restored.db) == "sending")
            #expect(try restored.run()["senders_asked"] == 1)
        }
    }

    @Test func `what would have started by itself does not`() throws {
        try withMessagingSite { site throws in
            let recurring = try site.recurringPath()
            try site.isDue()
            try site.owner.execute(
                """
                INSERT INTO campaigns (workspace_id, name, channel, segment_id, sender_id, body, status, scheduled_at, start_requested_at)
                SELECT workspace_id, v.name, channel, segment_id, sender_id, body, v.status, now() + v.ahead, now()
                  FROM campaigns, (VALUES ('past', 'scheduled', interval '-1 minute'), ('future', 'scheduled', '1 hour'),
                                          ('begun', 'freezing', '0')) v (name, status, ahead);
                INSERT INTO messages (workspace_id, campaign_id, kind, sender_id, channel, to_address, body, parts, due_at, created_at)
                SELECT workspace_id, id, 'test', sender_id, 'sms', '+12025550123', 'Hi', 1, now(), now() FROM campaigns WHERE name = 'Test';
                UPDATE known_server SET timeline = '0000000F'
                """)
            #expect(try site.settle() == 0)
            let configuration = try testConfiguration(database: site.database.conninfo(as: .worker))
            let counts = Dictionary(
                uniqueKeysWithValues: try Reconciliation(site.database.connect(as: .worker), configuration).run())
            #expect(
                counts["campaigns_unscheduled"] == 1 && counts["campaigns_cancelled"] == 1 && counts["occurrences_skipped"] == 1
                    && counts["tests_and_requests_skipped"] == 1, "\(counts)")
            let campaigns: [String] = try site.owner.dynamic(
                "SELECT name || ' ' || status || ' ' || coalesce(status_reason, '-') FROM campaigns ORDER BY name", [])
            #expect(campaigns == ["Test draft -", "begun cancelled restored", "future scheduled -", "past draft restored"])
            #expect(try site.occurrences() == ["restored"])
            #expect(try site.get(recurring).json["status"] == "active")
            let notices: [String] = try site.owner.dynamic("SELECT kind FROM notices ORDER BY kind", [])
            #expect(notices == ["campaign.restored", "campaign.restored", "recurring_campaign.skipped"])
            #expect(try site.settle() == 0)
        }
    }
}
