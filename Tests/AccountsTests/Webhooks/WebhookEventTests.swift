// Events at their source: what each change tells, to whom, and that nobody pays who hears of nothing.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct WebhookEventTests {
    /// A workspace whose webhook hears of these.
    private func listening(
        _ types: [String], status: String = "active", as role: DatabaseRole = .responder, _ body: (Connection, WorkspaceID) throws -> Void
    ) throws {
        try withDatabase { db throws in
            let workspace = try db.createWorkspace()
            try db.setWorkspace(workspace)
            try db.runDynamic(
                """
                INSERT INTO webhook_endpoints (workspace_id, url, event_types, sealed_secret, status, status_reason, disabled_at)
                VALUES (current_workspace(), 'https://example.com', $1, '', $2::text, CASE WHEN $2 = 'disabled' THEN 'asked' END,
                        CASE WHEN $2 = 'disabled' THEN now() END)
                """, [types.sqlValue, status.sqlValue])
            try db.act(as: role)
            try body(db, workspace)
        }
    }

    private func insertContacts(_ count: Int, _ db: Connection) throws {
        try db.runDynamic(
            """
            INSERT INTO contacts (workspace_id, ordinal, phone)
            SELECT current_workspace(), f.first + n, '+1202' || lpad((5550000 + n)::text, 7, '0')
              FROM (SELECT take_ordinals($1::int) AS first) f CROSS JOIN generate_series(1, $1::int) n
            """, [count.sqlValue])
    }

    /// Types and data, each with how many are delivered.
    private func told(_ db: Connection) throws -> [(type: String, data: JSONValue)] {
        let types: [String] = try db.dynamic("SELECT type FROM webhook_events ORDER BY type, id", [])
        let data: [JSONValue] = try db.dynamic("SELECT data FROM webhook_events ORDER BY type, id", [])
        #expect(
            try db.value(
                "SELECT count(*) FROM webhook_events e JOIN webhook_deliveries d ON d.workspace_id = e.workspace_id AND d.event_id = e.id AND d.created_at = e.occurred_at AND d.type = e.type AND d.state = 'pending'",
                as: Int.self) == types.count)
        return Array(zip(types, data)).map { (type: $0.0, data: $0.1) }
    }

    @Test func `nobody listens, nothing is written: not for other types, disabled webhooks or other workspaces`() throws {
        func silent(_ db: Connection) throws {
            try insertContacts(3, db)
            try db.execute("UPDATE contacts SET version = version + 1 WHERE workspace_id = current_workspace()")
            try db.execute("DELETE FROM contacts WHERE workspace_id = current_workspace()")
            #expect(try db.value("SELECT count(*) FROM webhook_events", as: Int.self) == 0)
            #expect(try db.value("SELECT count(*) FROM webhook_deliveries", as: Int.self) == 0)
        }
        try listening(["campaign.finished"]) { db, _ in try silent(db) }
        try listening(["contact.created", "contact.updated", "contact.deleted"], status: "disabled") { db, _ in try silent(db) }
        try withDatabase { db throws in
            try db.setWorkspace(db.createWorkspace("Listening"))
            try db.execute(
                "INSERT INTO webhook_endpoints (workspace_id, url, event_types, sealed_secret) VALUES (current_workspace(), 'https://example.com', '{contact.created}', '')"
            )
            try db.setWorkspace(db.createWorkspace("Silent"))
            try db.act(as: .responder)
            try silent(db)
        }
    }

    @Test func `a thousand contacts of one statement are four events, that name each once and fit the protocol`() throws {
        try listening(["contact.created", "contact.deleted"]) { db, _ in
            try insertContacts(1000, db)
            let events = try told(db)
            #expect(events.map(\.type) == Array(repeating: "contact.created", count: 4))
            let ids = events.flatMap { $0.data["contact_ids"]?.array ?? [] }.compactMap(\.string)
            let stored: [String] = try db.dynamic("SELECT id::text FROM contacts WHERE workspace_id = current_workspace()", [])
            #expect(ids.count == 1000 && Set(ids) == Set(stored))
            #expect(try db.value("SELECT max(octet_length(webhook_body(e))) < 20000 FROM webhook_events e"))
            try db.execute("DELETE FROM contacts WHERE workspace_id = current_workspace()")
            #expect(try told(db).suffix(4).map(\.type) == Array(repeating: "contact.deleted", count: 4))
        }
    }

    @Test func `a contact is updated when its version is, and not when it was written to`() throws {
        try listening(["contact.updated"]) { db, _ in
            try insertContacts(2, db)
            try db.execute("UPDATE contacts SET last_contacted_at = now() WHERE workspace_id = current_workspace()")
            #expect(try told(db).isEmpty)
            try db.execute(
                "UPDATE contacts SET name = 'Ada', version = version + 1 WHERE workspace_id = current_workspace() AND ordinal % 2 = 0")
            let events = try told(db)
            #expect(events.count == 1 && events[0].data["contact_ids"]?.array?.count == 1)
        }
    }

    @Test func `a consent tells when it changes, with its channel and source and nobody's address`() throws {
        try listening(["consent.opted_in", "consent.opted_out"]) { db, _ in
            try insertContacts(1, db)
            func record(_ state: String) throws {
                try db.runDynamic(
                    "SELECT record_consent(c.id, 'sms', $1, 'form') FROM contacts c WHERE c.workspace_id = current_workspace()",
                    [state.sqlValue])
            }
            try record("opted_in")
            try record("opted_in")
            #expect(try told(db).map(\.type) == ["consent.opted_in"])
            try db.execute("UPDATE consents SET occurred_at = occurred_at - interval '1 hour' WHERE workspace_id = current_workspace()")
            try record("opted_out")
            let events = try told(db)
            #expect(events.map(\.type) == ["consent.opted_in", "consent.opted_out"])
            #expect(events[1].data["channel"] == "sms" && events[1].data["source"] == "form" && !events[1].data.text.contains("+1"))
        }
    }

    @Test func `a reply tells who wrote, what it means and of which campaign, but not the text`() throws {
        try listening(["contact.replied", "consent.opted_out"]) { db, _ in
            try insertContacts(1, db)
            func receive(_ sid: String, from: String, _ intent: String) throws {
                try db.runDynamic(
                    "SELECT receive_inbound(uuid_v7(), $1, $2, '+12025550199', 'my secret', $3)",
                    [sid.sqlValue, from.sqlValue, intent.sqlValue])
            }
            try receive("SM1", from: "+12029999999", "none")
            #expect(try told(db).isEmpty)
            try receive("SM2", from: "+12025550001", "stop")
            try receive("SM2", from: "+12025550001", "stop")
            let events = try told(db)
            #expect(events.map(\.type) == ["consent.opted_out", "contact.replied"])
            #expect(events[1].data["intent"] == "stop" && events[1].data["campaign_id"] == .null)
            #expect(!events[1].data.text.contains("secret") && !events[1].data.text.contains("+1202"))
        }
    }

    @Test func `a campaign tells each step`() throws {
        try listening(["campaign.started", "campaign.paused", "campaign.resumed", "campaign.finished", "campaign.cancelled"], as: .owner) {
            db, _ in
            try db.execute(
                """
                WITH sender AS (
                    INSERT INTO senders (workspace_id, name, channel, provider, from_number, rate_parts_per_second, account_sid, credentials)
                    VALUES (current_workspace(), 'S', 'sms', 'twilio', '+12025550199', 1, 'AC', '') RETURNING id)
                INSERT INTO campaigns (workspace_id, name, channel, segment_id, sender_id, body)
                SELECT current_workspace(), 'C', 'sms', uuid_v7(), s.id, 'Hi' FROM sender s
                """)
            func become(_ status: String, _ more: String) throws {
                try db.execute("UPDATE campaigns SET status = '\(status)', \(more) WHERE workspace_id = current_workspace()")
            }
            try become("freezing", "start_requested_at = now()")
            try become("sending", "frozen_at = now()")
            try become("sending", "name = 'Renamed'")
            try become("paused", "paused_at = now(), status_reason = 'sender_suspended'")
            try become("sending", "paused_at = NULL, status_reason = NULL")
            try become("finished", "finished_at = now()")
            let events = try told(db)
            #expect(events.map(\.type) == ["campaign.finished", "campaign.paused", "campaign.resumed", "campaign.started"])
            #expect(events[1].data["status_reason"] == "sender_suspended" && events[3].data["status"] == "sending")
        }
    }

    @Test func `messages tell what became of them, fifty to an event, each once, and test messages tell nothing`() throws {
        try listening(["message.sent", "message.delivered", "message.undelivered", "message.failed"]) { db, _ in
            try db.execute(
                """
                INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, due_at, created_at, kind)
                SELECT current_workspace(), c.id, uuid_v7(), uuid_v7(), 'sms', '+12025550100', now(), now(),
                       CASE WHEN n > 120 THEN 'test' ELSE 'campaign' END
                  FROM (SELECT uuid_v7() AS id) c CROSS JOIN generate_series(1, 125) n;
                UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now() WHERE workspace_id = current_workspace();
                UPDATE messages SET state = 'started', attempt = 1, started_at = now(), body = 'Hi', parts = 1
                 WHERE workspace_id = current_workspace();
                """)
            #expect(try told(db).isEmpty)
            try db.execute(
                "UPDATE messages SET state = 'sent', sid = 'SM', sent_at = now(), lease_token = NULL, lease_until = NULL WHERE workspace_id = current_workspace()"
            )
            let sent = try told(db)
            #expect(sent.map(\.type) == ["message.sent", "message.sent", "message.sent"])
            let messages = sent.flatMap { $0.data["messages"]?.array ?? [] }
            #expect(messages.count == 120 && Set(messages.compactMap { $0["id"]?.string }).count == 120)
            #expect(Set(messages[0].object?.keys.map { $0 } ?? []) == ["id", "campaign_id", "contact_id", "channel", "at", "error_code"])
            #expect(!sent[0].data.text.contains("+1202") && !sent[0].data.text.contains("Hi"))
            #expect(try db.value("SELECT max(octet_length(webhook_body(e))) < 20000 FROM webhook_events e"))
            try db.execute(
                """
                UPDATE messages SET state = 'undelivered', settled_at = now(), error_code = 30005
                 WHERE workspace_id = current_workspace() AND kind = 'campaign' AND id IN (SELECT m.id FROM messages m WHERE m.kind = 'campaign' LIMIT 7)
                """)
            let undelivered = try told(db).filter { $0.type == "message.undelivered" }
            #expect(undelivered.count == 1 && undelivered[0].data["messages"]?.array?.count == 7)
            #expect(undelivered[0].data["messages"]?.array?.first?["error_code"] == 30005)
            try db.execute("UPDATE messages SET provider_rank = 4 WHERE workspace_id = current_workspace()")
            #expect(try told(db).count == 4)
        }
    }

    @Test func `a callback that overtakes the answer tells that it was sent and that it arrived`() throws {
        try listening(["message.sent", "message.delivered"]) { db, _ in
            try db.execute(
                """
                INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, due_at, created_at)
                SELECT current_workspace(), uuid_v7(), uuid_v7(), uuid_v7(), 'sms', '+12025550100', now(), now();
                UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now() WHERE workspace_id = current_workspace();
                UPDATE messages SET state = 'started', attempt = 1, started_at = now(), body = 'Hi', parts = 1
                 WHERE workspace_id = current_workspace();
                UPDATE messages SET state = 'delivered', sid = 'SM', sent_at = now(), settled_at = now(), lease_token = NULL, lease_until = NULL
                 WHERE workspace_id = current_workspace();
                """)
            #expect(try told(db).map(\.type) == ["message.delivered", "message.sent"])
        }
    }

    @Test func `a segment tells who enters and leaves`() throws {
        try listening(["segment.entered", "segment.exited"], as: .worker) { db, _ in
            try insertContacts(300, db)
            try db.execute(
                """
                INSERT INTO segments (workspace_id, name, rule) VALUES (current_workspace(), 'S', '{}');
                INSERT INTO segment_members (workspace_id, segment_id, contact_id, entered_at)
                SELECT current_workspace(), s.id, c.id, now() FROM segments s, contacts c
                 WHERE s.workspace_id = current_workspace() AND c.workspace_id = current_workspace();
                DELETE FROM segment_members WHERE workspace_id = current_workspace()
                """)
            let events = try told(db)
            #expect(events.map(\.type) == ["segment.entered", "segment.entered", "segment.exited", "segment.exited"])
            #expect(events.prefix(2).flatMap { $0.data["contact_ids"]?.array ?? [] }.count == 300)
            try db.execute(
                """
                INSERT INTO segment_members (workspace_id, segment_id, contact_id, entered_at)
                SELECT current_workspace(), s.id, c.id, now() + interval '1 second' FROM segments s, contacts c
                 WHERE s.workspace_id = current_workspace() AND c.workspace_id = current_workspace() AND c.ordinal % 100 = 0;
                DELETE FROM segments WHERE workspace_id = current_workspace();
                DELETE FROM segment_members WHERE workspace_id = current_workspace()
                """)
            #expect(try told(db).count == 5)
        }
    }

    @Test func `a webhook that disables itself is told of, once, to people and to the other webhooks`() throws {
        try listening(["webhook.disabled"]) { db, _ in
            let id: String = try db.value(
                """
                INSERT INTO webhook_endpoints (workspace_id, url, event_types, sealed_secret)
                VALUES (current_workspace(), 'https://example.com', '{webhook.disabled}', '') RETURNING id::text
                """)
            #expect(try db.value("SELECT disable_webhook($1::uuid, 'gone')", id.sqlValue))
            #expect(try !db.value("SELECT disable_webhook($1::uuid, 'gone')", id.sqlValue, as: Bool.self))
            let events = try told(db)
            #expect(events.count == 1 && events[0].data["webhook_id"]?.string == id && events[0].data["reason"] == "gone")
            #expect(
                try db.value("SELECT kind || ' ' || (subject ->> 'webhook_id') FROM notices", as: String.self) == "webhook.disabled \(id)")
        }
    }

    @Test func `what waits for a webhook that is disabled or deleted fails, what waits for another does not`() throws {
        try listening(["contact.created"]) { db, _ in
            try db.execute(
                "INSERT INTO webhook_endpoints (workspace_id, url, event_types, sealed_secret, description) VALUES (current_workspace(), 'https://example.com', '{contact.created}', '', 'other')"
            )
            try insertContacts(1, db)
            #expect(try db.acting(as: .worker) { try $0.value("SELECT give_up_webhook_deliveries()", as: Int.self) } == 0)
            try db.execute("DELETE FROM webhook_endpoints WHERE workspace_id = current_workspace() AND description = 'other'")
            #expect(try db.acting(as: .worker) { try $0.value("SELECT give_up_webhook_deliveries()", as: Int.self) } == 1)
            #expect(
                try db.value("SELECT string_agg(state, ' ' ORDER BY state) FROM webhook_deliveries", as: String.self) == "failed pending")
        }
    }
}
