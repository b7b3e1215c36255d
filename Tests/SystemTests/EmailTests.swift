// Mail from draft to delivered, through nginx and a provider that plays along.
import Glibc
import JSON
import Messaging
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct EmailTests {
    @Test func `a campaign by mail goes from draft to delivered, and every mail says how to leave`() throws {
        try withMail(recipients: 6) { mail throws in
            let campaign = try mail.draft()
            // Nobody may be written to without an address in it.
            try mail.set(["postal_address": .null])
            let refused = try mail.post(campaign + "/start")
            #expect(refused.status == 422 && refused.code == "postal_address_missing", "\(refused.text)")
            try mail.set(["postal_address": "Shop\n1 Main Street"])
            let preflight = try mail.post(campaign + "/preflight").json
            #expect(preflight["can_start"] == true && preflight["sample"]?.array?.first?["subject"] == "For P1", "\(preflight.text)")
            #expect(preflight["waterfall"]?["recipients"] == 6 && preflight["estimated_seconds"] != nil)
            #expect(try mail.post(campaign + "/start").status == 200)
            try waitUntil("all are delivered", seconds: 40) { try mail.get(campaign).json["counts"]?["delivered"] == 6 }
            try waitUntil("it has finished") { try mail.get(campaign).json["status"] == "finished" }
            let taken = try mail.ledger()
            #expect(Set(taken.compactMap { $0["to"]?.string }) == Set((1...6).map { "p\($0)@example.com" }) && taken.count == 6)
            for message in taken {
                let link = message["headers"]?["List-Unsubscribe"]?.string ?? ""
                #expect(
                    link.hasPrefix("<\(mail.server.url)/u/") && link.hasSuffix(">") && link.utf8.count == mail.server.url.utf8.count + 71)
                #expect(message["headers"]?["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click")
                let url = String(link.dropFirst().dropLast())
                #expect(message["body"]?.string?.contains("1 Main Street\nUnsubscribe: \(url)") == true, "\(message.text)")
                #expect(message["html"]?.string?.contains("<a href=\"\(url)\" clicktracking=\"off\">Unsubscribe</a>") == true)
                #expect(message["subject"]?.string?.hasPrefix("For P") == true && message["channel"] == "email")
            }
            // What it looks like to whoever asks.
            let listed = try mail.get(campaign + "/messages").json["items"]?.array ?? []
            let shown = try mail.get("/api/messages/" + (listed.first?["id"]?.string ?? "")).json
            #expect(shown["subject"]?.string?.hasPrefix("For P") == true && shown["parts"] == 1, "\(shown.text)")
            #expect(shown["body"]?.string?.hasSuffix("1 Main Street\nUnsubscribe: \(mail.server.url)/u/…\n") == true, "\(shown.text)")
            #expect(shown["explanation"] == "The recipient's server took it.")
        }
    }

    @Test func `who left, complained or does not exist gets no second campaign`() throws {
        try withMail(recipients: 12) { mail throws in
            try mail.play(["undelivered": 0.3, "complaint": 0.3])
            try mail.run(mail.draft())
            let first = try mail.ledger()
            #expect(first.count == 12)
            let bounced = first.filter { $0["status"] == "undelivered" }.compactMap { $0["to"]?.string }
            func told(_ event: String) -> [String] {
                first.filter { $0["callbacks"]?.array?.contains { $0["status"]?.string == event } == true }.compactMap { $0["to"]?.string }
            }
            let complained = told("spamreport")
            #expect(!bounced.isEmpty && !complained.isEmpty)
            let left = try #require(first.compactMap { $0["to"]?.string }.first { !bounced.contains($0) && !complained.contains($0) })
            let answer = try mail.server.send("POST", "/sandbox/mail-events", json: ["to": .string(left), "event": "unsubscribe"])
            #expect(answer.json["answer"] == 204, "\(answer.text)")
            try mail.play([:])
            _ = try mail.server.send("DELETE", "/sandbox/ledger")
            let second = try mail.draft()
            try mail.run(second)
            let gone = Set(bounced + complained + [left])
            #expect(Set(try mail.ledger().compactMap { $0["to"]?.string }) == Set((1...12).map { "p\($0)@example.com" }).subtracting(gone))
            let reasons: [String] = try mail.owner.dynamic(
                "SELECT DISTINCT skip_reason FROM messages WHERE state = 'skipped' ORDER BY 1", [])
            #expect(reasons == ["opted_out", "suppressed"])
        }
    }

    @Test func `mail whose answer was lost is not sent again, and the events still tell of it`() throws {
        try withMail(recipients: 10) { mail throws in
            try mail.play(["bad_answer": 0.4, "server_error": 0.3, "callback_delay_ms": 10])
            let campaign = try mail.draft()
            try mail.run(campaign)
            let taken = try mail.ledger()
            #expect(Set(taken.compactMap { $0["to"]?.string }).count == taken.count)
            try waitUntil("what was taken is delivered") { try mail.get(campaign).json["counts"]?["delivered"]?.integer == taken.count }
            let counts = try mail.get(campaign).json["counts"]
            #expect(counts?["unknown"]?.integer == 10 - taken.count && taken.count < 10, "\(counts?.text ?? "")")
            #expect(try mail.owner.value("SELECT count(*) FROM look_ups", as: Int.self) == 0)
        }
    }

    @Test func `whoever dies once events are stored is told of them again, and that changes nothing`() throws {
        // Each process of the webhooks dies at its twentieth batch, before the provider hears that it was taken.
        try withMail(recipients: 40, variables: ["MUSTER_CRASH_AT": "after_mail_events:20"]) { mail throws in
            func processes() -> [pid_t?] { [mail.server.pid(of: "webhooks-1"), mail.server.pid(of: "webhooks-2")] }
            let before = processes()
            try mail.play(["duplicates": 1, "undelivered": 0.2, "complaint": 0.2, "callback_delay_ms": 10])
            let campaign = try mail.draft()
            try mail.run(campaign)
            try waitUntil("all ends are told") {
                let counts = try mail.get(campaign).json["counts"]
                return (counts?["delivered"]?.integer ?? 0) + (counts?["undelivered"]?.integer ?? 0) == 40
            }
            #expect(before != processes())
            let taken = try mail.ledger()
            let bounced = taken.filter { $0["status"] == "undelivered" }.count
            #expect(taken.count == 40 && bounced > 0)
            #expect(try mail.get(campaign).json["counts"]?["undelivered"]?.integer == bounced)
            func complained(_ message: JSONValue) -> Bool {
                message["callbacks"]?.array?.contains { $0["status"] == "spamreport" } == true
            }
            try waitUntil("each complaint counts once") {
                try mail.owner.value("SELECT count(*) FROM campaign_responses WHERE kind = 'complained'") == taken.filter(complained).count
            }
        }
    }

    @Test func `a campaign goes out through a relay, each mail whole and once`() throws {
        try withMail(recipients: 40, isRelay: true) { mail throws in
            let campaign = try mail.draft()
            try mail.run(campaign, waitsForEvents: false)
            let taken = try mail.ledger()
            #expect(taken.count == 40 && Set(taken.compactMap { $0["to"]?.string }).count == 40)
            let message = try #require(taken.first { $0["to"] == "p7@example.com" })
            #expect(message["subject"] == "For P7" && message["from"] == "team@shop.example")
            #expect(message["headers"]?["From"] == "Shop <team@shop.example>" && message["headers"]?["To"] == "<p7@example.com>")
            #expect(message["headers"]?["List-Unsubscribe"]?.string?.hasPrefix("<\(mail.server.url)/u/") == true, "\(message.text)")
            let rows: [String] = try mail.owner.dynamic("SELECT DISTINCT state || ' ' || provider_status FROM messages", [])
            #expect(rows == ["sent sent"])
            // What is reported on it is known by the name that it has there.
            let id = message["headers"]?["Message-ID"]?.string ?? ""
            let sid: String = try mail.owner.value("SELECT sid FROM messages WHERE to_address = 'p7@example.com'")
            #expect(id == "<\(sid)>" && sid.hasSuffix("@shop.example"))
        }
    }

    @Test func `a relay that refuses suppresses who does not exist, and one that is lost is not asked twice`() throws {
        try withMail(recipients: 30, isRelay: true) { mail throws in
            try mail.play(["reject": 0.2, "blocked": 0.2, "reset": 0.2, "too_many": 0.1])
            let campaign = try mail.draft()
            try mail.run(campaign, waitsForEvents: false)
            let states: [String] = try mail.owner.dynamic(
                "SELECT DISTINCT state || coalesce(' ' || error_code::text, '') FROM messages ORDER BY 1", [])
            #expect(states == ["failed 50101", "failed 50202", "sent", "unknown"])
            let taken = try mail.ledger().compactMap { $0["to"]?.string }
            #expect(taken.count == Set(taken).count)
            let expected: [String] = try mail.owner.dynamic("SELECT to_address FROM messages WHERE state IN ('sent', 'unknown')", [])
            #expect(Set(taken) == Set(expected))
            let held: [String] = try mail.owner.dynamic(
                "SELECT address FROM suppressions WHERE reason = 'bounce' AND channel = 'email'", [])
            let refused: [String] = try mail.owner.dynamic("SELECT to_address FROM messages WHERE error_code = 50101", [])
            #expect(Set(held) == Set(refused) && !held.isEmpty)
            #expect(try mail.owner.value("SELECT count(*) FROM look_ups", as: Int.self) == 0)
        }
    }

    @Test func `a relay without TLS is the operator's to name`() throws {
        try withMail(recipients: 1) { mail throws in
            let refused = try mail.post(
                "/api/senders",
                [
                    "name": "Relay", "channel": "email", "provider": "smtp", "from_email": "team@shop.example", "rate_parts_per_second": 1,
                    "credentials": ["host": "mail.internal", "security": "none"],
                ])
            #expect(refused.status == 422 && refused.code == "insecure_relay", "\(refused.text)")
        }
    }

    @Test func `a test mail reaches whoever asked, and its link leaves for nobody`() throws {
        try withMail(recipients: 1) { mail throws in
            let campaign = try mail.draft()
            #expect(try mail.post(campaign + "/test", ["to": "+12025550123"]).code == "bad_format")
            let contact: String = try mail.owner.value("SELECT id::text FROM contacts")
            #expect(try mail.post(campaign + "/test", ["to": "Me@Shop.example", "contact_id": .string(contact)]).status == 202)
            try waitUntil("it is there") { try mail.ledger().count == 1 }
            let message = try mail.ledger()[0]
            #expect(message["to"] == "me@shop.example" && message["subject"] == "For P1")
            let answer = try mail.server.send("POST", "/sandbox/mail-events", json: ["to": "me@shop.example", "event": "unsubscribe"])
            #expect(answer.json["answer"] == 204)
            #expect(try mail.owner.value("SELECT count(*) FROM consents WHERE channel = 'email' AND state = 'opted_out'") == 0)
        }
    }
}

/// A server with contacts by mail, and a key to ask it.
private struct MailServer {
    let server: ServerUnderTest
    let owner: Connection
    let token: String
    let sender: String
    let segment: String

    func post(_ path: String, _ json: JSONValue = [:]) throws -> TestAnswer { try server.send("POST", path, token: token, json: json) }
    func get(_ path: String) throws -> TestAnswer { try server.send("GET", path, token: token) }
    func play(_ faults: JSONValue) throws { _ = try server.send("POST", "/sandbox/faults", json: faults) }
    func ledger() throws -> [JSONValue] { try server.send("GET", "/sandbox/ledger").json["messages"]?.array ?? [] }
    func set(_ settings: JSONValue) throws {
        try owner.runDynamic("UPDATE workspaces SET settings = settings || $1::jsonb", [settings.text.sqlValue])
    }

    /// - Returns: the path of a campaign to everybody.
    func draft() throws -> String {
        let made = try post(
            "/api/campaigns",
            [
                "name": "Mail", "channel": "email", "segment_id": .string(segment), "sender_id": .string(sender),
                "subject": "For {{ first_name }}", "preheader": "News", "body": "Hi {{ first_name }}",
                "html": "<html><body><p>Hi {{ first_name }}</p></body></html>",
            ])
        return "/api/campaigns/" + (try #require(made.json["id"]?.string, "\(made.text)"))
    }

    /// To its end.
    func run(_ campaign: String, waitsForEvents: Bool = true) throws {
        #expect(try post(campaign + "/start").status == 200)
        try waitUntil("it has finished", seconds: 40) { try get(campaign).json["status"] == "finished" }
        if waitsForEvents {
            try waitUntil("events have come", seconds: 40) {
                try owner.value("SELECT count(*) = 0 FROM messages WHERE state = 'sent'")
                    && owner.value("SELECT count(*) = 0 FROM receipts WHERE due_at IS NOT NULL")
            }
        }
    }
}

/// - Parameter isRelay: over SMTP.
private func withMail(recipients: Int, isRelay: Bool = false, variables: [String: String] = [:], _ body: (MailServer) throws -> Void) throws
{
    try withServer([.campaigns, .webhooks, .worker, .sandbox], instances: variables.isEmpty ? 1 : 2, variables: variables) {
        server throws in
        let owner = try server.database.connect()
        let workspace = try owner.createWorkspace(settings: ["consent_mode": "opt_out", "postal_address": "Shop\n1 Main Street"])
        let token = try owner.createAPIKey(in: workspace).token
        var key: JSONObject = ["api_key": "SG.of-a-test"]
        let verifying = try server.send("POST", "/sandbox/mail-keys", json: .object(key)).json["public_key"]
        var credentials: JSONValue = ["api_key": "SG.of-a-test", "webhook_public_key": verifying ?? .null]
        if isRelay {
            let port = try server.send("POST", "/sandbox/mail-server", json: [:]).json["port"]
            credentials = ["host": "127.0.0.1", "port": port ?? .null, "security": "none", "username": "me", "password": "SG.secret"]
        }
        let made = try server.send(
            "POST", "/api/senders", token: token,
            json: [
                "name": "Mail", "channel": "email", "provider": isRelay ? "smtp" : "sendgrid", "from_email": "team@shop.example",
                "from_name": "Shop", "rate_parts_per_second": 200, "credentials": credentials,
            ])
        let sender = try #require(made.json["id"]?.string, "\(made.text)")
        #expect(!made.text.contains("SG."))
        key["events_url"] = made.json["event_webhook"]
        _ = try server.send("POST", "/sandbox/mail-keys", json: .object(key))
        let segment: String = try owner.transaction { db in
            try db.setWorkspace(workspace)
            try db.runDynamic(
                """
                INSERT INTO contacts (workspace_id, ordinal, email, first_name)
                SELECT current_workspace(), take_ordinals(1) + 1, 'p' || i || '@example.com', 'P' || i FROM generate_series(1, $1::int) i
                """, [recipients.sqlValue])
            let ids: [String] = try db.dynamic(
                """
                INSERT INTO segments (workspace_id, name, rule)
                VALUES (current_workspace(), 'Everybody', '{"version": 1, "timezone": "workspace", "match": {"all": []}}') RETURNING id::text
                """, [])
            return ids[0]
        }
        // Preflight looks at what the segment was calculated to be.
        try owner.execute(
            """
            INSERT INTO segment_members (workspace_id, segment_id, contact_id, entered_at)
            SELECT c.workspace_id, s.id, c.id, now() FROM contacts c, segments s;
            """)
        try body(MailServer(server: server, owner: owner, token: token, sender: sender, segment: segment))
    }
}
