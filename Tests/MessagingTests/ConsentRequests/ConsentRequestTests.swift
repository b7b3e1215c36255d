import Foundation
import JSON
import PostgreSQL
import Runtime
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Asking, and what keeps somebody from being asked. What the person answers is `ConfirmationTests`.
@Suite struct ConsentRequestTests {
    @Test func `somebody is asked by one message that says who, what for, and how to confirm and to leave`() throws {
        try withMessagingSite(consenting: 0) { site throws in
            try site.owner.execute("UPDATE workspaces SET settings = settings || '{\"brand\": \"Ada\"}'")
            let made = try site.ask()
            #expect(made.status == 201 && made.json["state"] == "pending" && made.json["purpose"] == "marketing", "\(made.text)")
            let id = try #require(made.json["id"]?.string)
            let message: JSONValue = try site.owner.value("SELECT to_jsonb(m) FROM messages m")
            #expect(message["kind"] == "request" && message["state"] == "pending")
            #expect(
                message["body"]
                    == "Ada: Offers, four a month. Reply YES to confirm, STOP to end. Msg & data rates may apply. Reply HELP for help.")
            #expect(try site.get("/api/consent-requests/\(id)").json["messages"]?.array?.count == 1)
            #expect(try site.get("/api/consent-requests?state=pending").json["items"]?.array?.count == 1)
            #expect(try site.get("/api/consent-requests?state=expired").json["items"]?.array?.count == 0)
            // The campaign that the ledger wants is nobody's to see in lists, or to start.
            #expect(try site.get("/api/campaigns").json["items"]?.array?.count == 1)
            #expect(try site.post("/api/campaigns/\(message["campaign_id"]!.string!)/start").code == "wrong_state")
            // Nothing is known of them before they have answered.
            #expect(try site.owner.value("SELECT count(*) FROM consent_events") == 0)
            #expect(try site.ask(as: site.viewer).status == 403)
            #expect(try site.get("/api/consent-requests/\(id)", as: site.stranger).status == 404)
            #expect(try site.post("/api/consent-requests/\(id)/cancel", as: site.stranger).status == 404)
        }
    }

    @Test func `nobody is asked who has said no, who is being asked, or who was asked three times in 30 days`() throws {
        try withMessagingSite(consenting: 0) { site throws in
            let first = try #require(try site.ask().json["id"]?.string)
            #expect(try site.ask().code == "request_open")
            #expect(try site.ask(["purpose": "transactional"]).status == 201)
            #expect(try site.post("/api/consent-requests/\(first)/cancel").json["state"] == "cancelled")
            #expect(try site.post("/api/consent-requests/\(first)/cancel").code == "wrong_state")
            #expect(try site.ask().status == 201)
            try site.owner.execute("UPDATE consent_requests SET state = 'cancelled', ended_at = now() WHERE state = 'pending'")
            #expect(try site.ask().code == "too_many_requests")
            try site.owner.execute("UPDATE consent_requests SET requested_at = requested_at - interval '31 days'")
            // Whatever became of the requests, the address was written to.
            #expect(try site.ask().code == "too_many_requests")
            try site.owner.execute("UPDATE messages SET created_at = created_at - interval '31 days'")
            #expect(try site.ask().status == 201)
            // The others are not concerned.
            try site.owner.execute(
                "INSERT INTO suppressions SELECT workspace_id, uuid_v7(), 'sms', phone, 'manual', 'api' FROM contacts WHERE first_name = 'P2'"
            )
            #expect(try site.ask(contact: 1).code == "address_suppressed")
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.runDynamic("SELECT record_consent($1, 'sms', 'opted_out', 'call')", [site.scene.contacts[2].sqlValue])
            }
            #expect(try site.ask(contact: 2).code == "has_opted_out")
        }
    }

    @Test func `of many who ask at once one does`() throws {
        try withMessagingSite(consenting: 0) { site throws in
            nonisolated(unsafe) let site = site
            let answers = try inParallel(6) { _ in try site.ask().status }
            #expect(answers.filter { $0 == 201 }.count == 1 && answers.filter { $0 == 409 }.count == 5, "\(answers)")
            #expect(try site.owner.value("SELECT count(*) FROM messages") == 1)
        }
    }

    @Test func `several are asked at once through one sender, the first time and later`() throws {
        try withMessagingSite(contacts: 6, consenting: 0) { site throws in
            // As somebody else who asks at the moment holds it.
            let first = try site.owner.transaction { db in
                _ = try db.dynamic("SELECT status FROM senders FOR SHARE", []) as [String]
                return try site.ask(["purpose": "transactional"]).status
            }
            #expect(first == 201)
            try site.owner.execute("DELETE FROM consent_requests; DELETE FROM request_campaigns")
            nonisolated(unsafe) let site = site
            for purpose in ["marketing", "transactional"] {
                let answers = try inParallel(6) { index in try site.ask(["purpose": .string(purpose)], contact: index).status }
                #expect(answers == Array(repeating: 201, count: 6))
            }
            #expect(try site.owner.value("SELECT count(*) FROM request_campaigns") == 1)
        }
    }

    @Test func `an address that was written to three times is not asked under another contact either`() throws {
        try withMessagingSite(contacts: 4, consenting: 0) { site throws in
            var contact = site.scene.contacts[0]
            for _ in 0..<3 {
                #expect(try site.ask(["contact_id": .string(contact.description)]).status == 201)
                contact = try site.owner.transaction { db in
                    try db.setWorkspace(site.scene.workspace)
                    try db.runDynamic("DELETE FROM contacts WHERE id = $1", [contact.sqlValue])
                    return try db.value(
                        """
                        INSERT INTO contacts (workspace_id, ordinal, phone) VALUES (current_workspace(), take_ordinals(1) + 1, '+12025550001')
                        RETURNING id
                        """)
                }
            }
            #expect(try site.ask(["contact_id": .string(contact.description)]).code == "too_many_requests")
            try site.owner.runDynamic("UPDATE contacts SET phone = NULL WHERE id = $1", [contact.sqlValue])
            try site.owner.execute("UPDATE contacts SET phone = '+12025550001' WHERE phone = '+12025550002'")
            #expect(try site.ask(contact: 1).code == "too_many_requests")
            #expect(try site.ask(contact: 2).status == 201)
            // What never left reached nobody.
            try site.owner.execute(
                "UPDATE messages SET state = 'skipped', skip_reason = 'request_ended', settled_at = now() WHERE contact_id = '\(site.scene.contacts[0])'"
            )
            #expect(try site.ask(contact: 1).status == 201)
        }
    }

    @Test func `what cannot be asked is refused with all its faults`() throws {
        try withMessagingSite(consenting: 0) { site throws in
            #expect(
                try site.ask(["channel": "email"]).json["errors"]?.array?.map { $0["code"]?.string } == ["wrong_channel", "no_address"])
            #expect(try site.ask(["contact_id": .string(UUID().uuidString.lowercased())]).code == "not_found")
            #expect(try site.ask(["text": "  "]).code == "empty")
            #expect(try site.ask(["text": .string(String(repeating: "x", count: 601))]).code == "too_long")
            try site.owner.execute("UPDATE senders SET status = 'suspended', status_reason = 'test'")
            #expect(try site.ask().code == "sender_suspended")
            #expect(try site.owner.value("SELECT count(*) FROM consent_requests") == 0)
        }
    }

    @Test func `one reminder, a day after the message went out at the earliest`() throws {
        try withMessagingSite(consenting: 0) { site throws in
            let path = "/api/consent-requests/" + (try #require(try site.ask().json["id"]?.string))
            #expect(try site.post(path + "/remind").code == "too_early")
            try site.owner.execute(
                """
                UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now();
                UPDATE messages SET state = 'started', attempt = 1, started_at = now() - interval '23 hours';
                UPDATE messages SET state = 'sent', sid = 'SM1', sent_at = now() - interval '23 hours', lease_token = NULL, lease_until = NULL;
                """)
            #expect(try site.post(path + "/remind").code == "too_early")
            try site.owner.execute("UPDATE messages SET started_at = now() - interval '25 hours'")
            let reminded = try site.post(path + "/remind")
            #expect(reminded.json["reminded_at"]?.string != nil && reminded.json["messages"]?.array?.count == 2, "\(reminded.text)")
            #expect(try site.post(path + "/remind").code == "already_reminded")
            #expect(try site.owner.value("SELECT body FROM messages WHERE state = 'pending'", as: String.self).contains("A reminder."))
        }
    }

    @Test func `nobody is reminded at an address that is not theirs any more, or who has said no meanwhile`() throws {
        try withMessagingSite(contacts: 2, consenting: 0) { site throws in
            let path = "/api/consent-requests/" + (try #require(try site.ask().json["id"]?.string))
            try site.owner.execute(
                """
                UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now();
                UPDATE messages SET state = 'started', attempt = 1, started_at = now() - interval '25 hours';
                UPDATE messages SET state = 'sent', sid = 'SM1', sent_at = now() - interval '25 hours', lease_token = NULL, lease_until = NULL;
                UPDATE contacts SET phone = '+12025559999' WHERE phone = '+12025550001';
                """)
            #expect(try site.post(path + "/remind").code == "address_changed")
            try site.owner.execute("UPDATE contacts SET phone = '+12025550001' WHERE phone = '+12025559999'")
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.runDynamic("SELECT record_consent($1, 'sms', 'opted_out', 'call')", [site.scene.contacts[0].sqlValue])
            }
            #expect(try site.post(path + "/remind").code == "has_opted_out")
            #expect(try site.get(path).json["reminded_at"]?.isNull == true)
            #expect(try site.owner.value("SELECT count(*) FROM messages") == 1)
            #expect(try site.post(path + "/remind", as: site.stranger).status == 404)
        }
    }

    @Test func `what nobody answered within seven days has expired, and an end is an end`() throws {
        try withMessagingSite(consenting: 0) { site throws in
            let path = "/api/consent-requests/" + (try #require(try site.ask().json["id"]?.string))
            #expect(try expireConsentRequests.run(site.owner).map(\.1) == [0])
            try site.owner.execute("UPDATE consent_requests SET expires_at = now()")
            #expect(try site.post(path + "/cancel").code == "wrong_state")
            #expect(try expireConsentRequests.run(site.owner).map(\.1) == [1])
            #expect(try site.get(path).json["state"] == "expired")
            #expect(throws: PostgresError.self) { try site.owner.execute("UPDATE consent_requests SET state = 'cancelled'") }
        }
    }

    // MARK: What leaves

    @Test func `a request leaves once, before any consent and at any hour, and is unknown where its answer is lost`() throws {
        try withSending(contacts: 3, script: { _, _ in .acceptAndHangUp }) { sending in
            try sending.db.execute("DELETE FROM consents; UPDATE campaigns SET status = 'paused', paused_at = now()")
            try sending.scene.goToBed([0], sending.db)
            try sending.request(of: 0)
            try sending.round()
            #expect(sending.provider.ledger.map(\.to) == ["+12025550001"])
            #expect(try sending.db.value("SELECT state FROM messages WHERE kind = 'request'") == "unknown")
            try sending.round()
            #expect(sending.provider.requestCount == 1)
            // It counts nowhere: not for the campaign of requests, not for the month.
            #expect(try sending.db.value("SELECT count(*) FROM campaign_stats s JOIN request_campaigns r USING (campaign_id)") == 0)
        }
    }

    @Test func `a reminder waits for the hours of its place, as nobody has just asked for it`() throws {
        try withSending(contacts: 2) { sending in
            try sending.db.execute("DELETE FROM consents; UPDATE campaigns SET status = 'paused', paused_at = now()")
            try sending.scene.goToBed([0], sending.db)
            for index in 0..<2 { try sending.scene.request(of: index, isReminder: true, sending.db) }
            try sending.round()
            #expect(sending.provider.ledger.map(\.to) == ["+12025550002"])
            let wait: String = try sending.db.value(
                "SELECT to_char(due_at AT TIME ZONE $1, 'HH24:MI') FROM messages WHERE kind = 'request' AND state = 'pending'",
                zone(whereItIs: 2).sqlValue)
            #expect(wait == "08:00")
            try sending.db.execute(
                "UPDATE contacts SET timezone = '\(zone(whereItIs: 12))'; UPDATE messages SET due_at = now() WHERE state = 'pending'")
            try sending.round()
            #expect(sending.provider.ledger.map(\.to).sorted() == ["+12025550001", "+12025550002"])
        }
    }

    @Test func `a request that ended, or whose person said no, does not leave`() throws {
        try withSending(contacts: 4) { sending in
            try sending.db.execute("DELETE FROM consents; UPDATE campaigns SET status = 'paused', paused_at = now()")
            for index in 0..<4 { try sending.request(of: index) }
            let contacts = sending.scene.contacts
            try sending.db.transaction { db in
                try db.setWorkspace(sending.scene.workspace)
                try db.runDynamic(
                    "UPDATE consent_requests SET state = 'cancelled', ended_at = now() WHERE contact_id = $1", [contacts[0].sqlValue])
                try db.runDynamic("SELECT suppress('sms', '+12025550002', 'opt_out', 'inbound')", [])
                try db.runDynamic("SELECT record_consent($1, 'sms', 'opted_out', 'paper')", [contacts[2].sqlValue])
            }
            try sending.round()
            #expect(sending.provider.ledger.map(\.to) == ["+12025550004"])
            let reasons: [String] = try sending.db.dynamic(
                "SELECT skip_reason FROM messages WHERE kind = 'request' AND state = 'skipped' ORDER BY to_address", [])
            #expect(reasons == ["request_ended", "opted_out", "opted_out"])
            let states: [String] = try sending.db.dynamic("SELECT state FROM consent_requests ORDER BY address", [])
            #expect(states == ["cancelled", "refused", "pending", "pending"])
        }
    }
}

extension MessagingSite {
    func ask(_ changed: JSONObject = [:], contact: Int = 0, as user: TestUser? = nil) throws -> TestAnswer {
        var body: JSONObject = [
            "contact_id": .string(scene.contacts[contact].description), "channel": "sms", "sender_id": .string(scene.sender.description),
            "text": "Offers, four a month.", "text_version": "3", "source": "web_form", "evidence": ["page": "https://ada.example/join"],
        ]
        for (name, value) in changed { body[name] = value }
        return try post("/api/consent-requests", .object(body), as: user)
    }
}

extension Sending {
    func request(of contact: Int) throws { try scene.request(of: contact, db) }
}

extension Scene {
    /// As the route makes it.
    @discardableResult
    func request(
        of contact: Int, on channel: Channel = .sms, text: String = "Reply YES.", isReminder: Bool = false, _ db: Connection
    ) throws -> ConsentRequestID {
        let id = ConsentRequestID.new()
        try db.transaction { db in
            try db.setWorkspace(workspace)
            let address = try db.one(ConsentRequestSQL.lockAddress, contacts[contact], channel)
            try db.run(
                ConsentRequestSQL.insert, id, contacts[contact], channel, "marketing", address!, sender, "Offers <b>, four a month.", "3",
                "web_form",
                ["page": "https://ada.example/join"], nil)
            let campaign = try db.one(ConsentRequestSQL.campaign, sender)
            try db.run(ConsentRequestSQL.insertMessage, MessageID.new(), id, isReminder, campaign, text, 1)
        }
        return id
    }
}
