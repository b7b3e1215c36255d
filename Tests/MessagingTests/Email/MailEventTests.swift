import JSON
import PostgreSQL
import Secrets
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// What SendGrid tells, over the webhook and into the ledger.
@Suite struct MailEventTests {
    @Test func `mail goes from queued to delivered, whatever the order and however often it is told`() throws {
        try withMail { mail throws in
            #expect(try mail.tell([mail.event("delivered", 0), mail.event("processed", 0), mail.event("deferred", 1)]) == 204)
            #expect(try mail.tell([mail.event("delivered", 0), mail.event("delivered", 1)]) == 204)
            try mail.settle()
            #expect(try mail.states() == ["delivered", "delivered", "sent"])
            #expect(try mail.site.count("receipts") == 4)
        }
    }

    @Test func `a hard bounce ends its message and holds the address for good`() throws {
        try withMail { mail throws in
            #expect(try mail.tell([mail.event("bounce", 0, ["type": "bounce", "status": "5.1.1"])]) == 204)
            // Before anything is settled.
            #expect(try mail.suppressions() == ["p1@example.com bounce"])
            try mail.settle()
            #expect(try mail.states() == ["sent", "sent", "undelivered"])
            #expect(try mail.site.owner.value("SELECT error_code FROM messages WHERE error_code IS NOT NULL") == 50101)
        }
    }

    @Test func `a bounce behind the delivery leaves it delivered and holds the address all the same`() throws {
        try withMail { mail throws in
            #expect(try mail.tell([mail.event("delivered", 0)]) == 204)
            try mail.settle()
            #expect(try mail.tell([mail.event("bounce", 0, ["type": "bounce", "status": "5.1.1"])]) == 204)
            try mail.settle()
            #expect(try mail.states() == ["delivered", "sent", "sent"] && mail.suppressions() == ["p1@example.com bounce"])
        }
    }

    @Test func `soft bounces are counted, and the third holds the address`() throws {
        try withMail { mail throws in
            let blocked: JSONObject = ["type": "blocked", "status": "4.2.2"]
            #expect(try mail.tell([mail.event("bounce", 0, blocked)]) == 204)
            try mail.settle()
            #expect(try mail.states() == ["sent", "sent", "undelivered"] && mail.suppressions() == [])
            // Two that came back before, within the month and not.
            for days in [40, 3] {
                try mail.bouncedBefore(days: days)
                #expect(try mail.suppressions() == [])
            }
            try mail.bouncedBefore(days: 10, isTold: true)
            #expect(try mail.suppressions() == ["p1@example.com bounce"])
        }
    }

    @Test(arguments: [("spamreport", "complaint"), ("unsubscribe", "opt_out"), ("group_unsubscribe", "opt_out")])
    func `who complains or leaves gets nothing from then on, in consent as well`(_ event: String, _ reason: String) throws {
        try withMail { mail throws in
            #expect(try mail.tell([mail.event(event, 0), mail.event(event, 0)]) == 204)
            #expect(try mail.suppressions() == ["p1@example.com \(reason)"])
            let consents: [String] = try mail.site.owner.dynamic(
                "SELECT channel || ' ' || state || ' ' || source FROM consents WHERE contact_id = $1 ORDER BY 1",
                [mail.site.scene.contacts[0].sqlValue])
            #expect(consents == ["email opted_out provider", "sms opted_in test"])
            #expect(try mail.site.owner.value("SELECT count(*) FROM consent_events WHERE state = 'opted_out'") == 1)
            let responses: [String] = try mail.site.owner.dynamic("SELECT kind FROM campaign_responses ORDER BY 1", [])
            #expect(responses == (reason == "complaint" ? ["complained", "opted_out"] : ["opted_out"]))
            try mail.settle()
            #expect(try mail.states() == ["sent", "sent", "sent"])
        }
    }

    @Test func `opens and clicks of people are events of theirs, once each`() throws {
        try withMail { mail throws in
            let click = mail.event("click", 1, ["url": "https://shop.example/x"])
            #expect(
                try mail.tell([mail.event("open", 0), mail.event("open", 0), mail.event("open", 1, ["sg_machine_open": true]), click])
                    == 204)
            #expect(try mail.tell([click]) == 204)
            let events: [String] = try mail.site.owner.dynamic(
                """
                SELECT e.name || ' ' || c.first_name || coalesce(' ' || (e.properties ->> 'url'), '') FROM events e
                  JOIN contacts c ON c.id = e.contact_id WHERE e.properties ->> 'campaign_id' = $1 ORDER BY 1
                """, [mail.site.scene.campaign.description.sqlValue])
            #expect(events == ["message.clicked P2 https://shop.example/x", "message.opened P1"])
        }
    }

    @Test(
        arguments: [
            ("Bounced Address", "p1@example.com bounce"), ("Unsubscribed Address", "p1@example.com opt_out"),
            ("Spam Reporting Address", "p1@example.com complaint"), ("Recipient List over Package Quota", nil),
            ("Invalid", "p1@example.com bounce"), ("Invalid SMTPAPI header", nil), ("Spam Content (if Spam Checker app is enabled)", nil),
        ] as [(String, String?)])
    func `what SendGrid keeps back fails, and says the same of the address`(_ reason: String, _ suppression: String?) throws {
        try withMail { mail throws in
            #expect(try mail.tell([mail.event("dropped", 0, ["reason": .string(reason)])]) == 204)
            try mail.settle()
            #expect(try mail.states() == ["failed", "sent", "sent"] && mail.suppressions() == (suppression.map { [$0] } ?? []))
        }
    }

    @Test func `what is our own fault never holds an address, however often`() throws {
        try withMail { mail throws in
            for days in 1...3 { try mail.bouncedBefore(days: days, code: 50_700) }
            let ours: [JSONObject] = [["type": "blocked", "status": "5.7.1"], ["type": "blocked", "status": "4.2.2"], ["type": "odd"]]
            for (index, event) in ours.enumerated() { #expect(try mail.tell([mail.event("bounce", index, event)]) == 204) }
            try mail.settle()
            #expect(try mail.states() == ["undelivered", "undelivered", "undelivered"] && mail.suppressions() == [])
        }
    }

    @Test func `many who had left before do not make their campaign look filtered`() throws {
        try withMail(contacts: 25) { mail throws in
            #expect(try mail.tell((0..<25).map { mail.event("dropped", $0, ["reason": "Unsubscribed Address"]) }) == 204)
            try mail.settle()
            #expect(try mail.states() == Array(repeating: "failed", count: 25) && mail.suppressions().count == 25)
            #expect(try mail.site.owner.value("SELECT status FROM campaigns") == "sending")
        }
    }

    @Test(arguments: ["spamreport", "unsubscribe", "bounce", "delivered", "click"])
    func `what is told of another workspace's message leaves nothing and does nothing`(_ name: String) throws {
        try withMail { mail throws in
            let other = try Scene(mail.site.owner)
            try other.becomeMail(mail.site.owner, key: mail.key)
            var nameless = mail.event(name, 0, ["type": "bounce", "sg_event_id": "nameless"]).object ?? [:]
            nameless["muster_message_id"] = nil
            let unknown = mail.event(name, 0, ["type": "bounce", "muster_message_id": .string("\(MessageID.new())"), "sg_event_id": "u"])
            let events: [JSONValue] = [mail.event(name, 0, ["type": "bounce"]), unknown, .object(nameless)]
            #expect(try mail.post(body: JSONValue.array(events).text, sender: other.sender).status == 204)
            // To its own workspace, nor do the nameless ones say anything.
            #expect(try mail.post(body: JSONValue.array([unknown, .object(nameless)]).text).status == 204)
            #expect(try mail.site.count("receipts") == 0 && mail.suppressions() == [] && mail.site.count("events") == 0)
            #expect(try mail.site.owner.value("SELECT count(*) FROM consents WHERE state = 'opted_out'") == 0)
        }
    }

    @Test func `an old word to leave undoes no newer one to come back`() throws {
        try withMail { mail throws in
            try mail.site.owner.transaction { db in
                try db.setWorkspace(mail.site.scene.workspace)
                try db.runDynamic(
                    "SELECT record_consent($1, 'email', 'opted_in', 'test', at => $2::timestamptz)",
                    [mail.site.scene.contacts[0].sqlValue, "2026-11-10T00:00:00Z".sqlValue])
            }
            let before: Instant = Instant(rfc3339: "2026-11-01T00:00:00Z")!
            let old = mail.event("unsubscribe", 0, ["timestamp": .integer(before.microseconds / 1_000_000)])
            #expect(try mail.tell([old]) == 204)
            #expect(try mail.suppressions() == [])
            let sql = "SELECT state FROM consents WHERE channel = 'email' AND contact_id = $1"
            #expect(try mail.site.owner.value(sql, mail.site.scene.contacts[0].sqlValue, as: String.self) == "opted_in")
            #expect(try mail.tell([mail.event("group_unsubscribe", 0)]) == 204)
            #expect(try mail.suppressions() == ["p1@example.com opt_out"])
        }
    }

    @Test func `following the link to leave is no engagement, and nobody reads its token`() throws {
        try withMail { mail throws in
            let link = "\(WebhookSite.publicURL)/u/secret-token"
            #expect(try mail.tell([mail.event("click", 0, ["url": .string(link)])]) == 204)
            #expect(try mail.site.count("receipts") == 1 && mail.site.count("events") == 0 && mail.site.count("campaign_responses") == 0)
            #expect(try mail.site.owner.value("SELECT count(*) FROM receipts WHERE body LIKE '%secret-token%'") == 0)
        }
    }

    @Test func `the same event told by many at once is taken once`() throws {
        try withMail { mail throws in
            let body = JSONValue.array((0..<3).map { mail.event("open", $0) }).text
            nonisolated(unsafe) let shared = mail
            #expect(try inParallel(4) { _ in try shared.post(body: body).status } == [204, 204, 204, 204])
            #expect(try mail.site.count("receipts") == 3 && mail.site.count("events") == 3)
        }
    }

    @Test func `an event that the database refuses costs the others of a long batch nothing`() throws {
        try withMail(contacts: 250) { mail throws in
            try mail.site.owner.execute(
                "ALTER TABLE receipts ADD CONSTRAINT refused CHECK (message_id IS NULL OR message_id <> '\(mail.messages[120])')")
            #expect(try mail.tell(mail.messages.indices.map { mail.event("delivered", $0) }) == 204)
            #expect(try mail.site.count("receipts") == 249)
        }
    }

    @Test func `characters that are none, and elements that are none, cost the others nothing`() throws {
        try withMail { mail throws in
            let good = mail.event("delivered", 0).text
            func odd(_ index: Int, _ member: String) -> String { mail.event("delivered", index).text.dropLast() + ",\(member)}" }
            var bytes = Array("[\(odd(0, "\"reason\":\"\\ud83d x \\udc00 \\ud83d\\ude00 \\u0000\"")),".utf8)
            bytes += Array(odd(1, "\"reason\":\"").dropLast().utf8) + [0xFF, 0xC3] + Array("\"}]".utf8)
            #expect(try mail.post(body: bytes).status == 204)
            #expect(try mail.site.count("receipts") == 2)
            // Named twice: no JSON that we take.
            #expect(try mail.tell([mail.event("processed", 2)]) == 204)
            #expect(try mail.post(body: "[\(odd(1, "\"event\":\"open\"")),{\"a\":[}]").status == 400)
            #expect(try mail.post(body: "[\(odd(1, "\"event\":\"open\"")),\(mail.event("delivered", 2).text)]").status == 204)
            #expect(try mail.site.count("receipts") == 4, "\(good)")
            #expect(try mail.tell([mail.event("Delivered", 0), mail.event("deliver\u{0}ed", 0), mail.event("", 0)]) == 204)
            #expect(try mail.site.count("receipts") == 4)
        }
    }

    @Test func `one bad element costs the others nothing`() throws {
        try withMail { mail throws in
            let odd: [JSONValue] = [
                5, "x", [], [:], .null, ["event": 7], ["event": "delivered"], ["event": "delivered", "muster_message_id": "no id"],
                ["event": .string(String(repeating: "e", count: 100)), "muster_message_id": .string("\(MessageID.new())")],
                ["event": "delivered", "muster_message_id": .string("\(MessageID.new())"), "timestamp": "soon", "sg_message_id": 3],
                ["event": "something new", "muster_message_id": .string("\(mail.messages[2])"), "sg_event_id": "", "category": ["a"]],
            ]
            #expect(try mail.tell(odd + [mail.event("delivered", 0)]) == 204)
            try mail.settle()
            #expect(try mail.states() == ["delivered", "sent", "sent"])
            #expect(try mail.post(body: "{}").code == "bad_callback" && mail.post(body: "[").code == "bad_callback")
            #expect(try mail.tell([]) == 204)
        }
    }

    @Test func `an event for a sender of the account settles the messages of another`() throws {
        try withMail { mail throws in
            let other = SenderID.new()
            try mail.site.owner.runDynamic(
                """
                INSERT INTO senders (workspace_id, id, name, channel, provider, from_email, rate_parts_per_second, credentials)
                VALUES ($1, $2, 'Other', 'email', 'sendgrid', 'other@shop.example', 1, $3)
                """,
                [
                    mail.site.scene.workspace.sqlValue, other.sqlValue,
                    ProviderCredentials.sendGrid(SendGridCredentials(apiKey: "SG.x", webhookKey: base64Encode(mail.key.publicKey)))
                        .sealed(with: Scene.key, workspace: mail.site.scene.workspace, sender: other).sqlValue,
                ])
            #expect(try mail.post(mail.event("delivered", 0), sender: other).status == 204)
            try mail.settle()
            #expect(try mail.states() == ["delivered", "sent", "sent"])
        }
    }

    @Test func `what is not signed for this sender is refused, and leaves nothing`() throws {
        try withMail { mail throws in
            let event = mail.event("spamreport", 0)
            let body = JSONValue.array([event]).text
            let text = try Scene(mail.site.owner)
            let keyless = try Scene(mail.site.owner)
            try keyless.becomeMail(mail.site.owner)
            let refused: [(String, TestAnswer)] = try [
                ("another key", mail.post(body: body, key: SigningKey())), ("another body", mail.post(body: body, signed: "[]")),
                ("no sender", mail.post(body: body, sender: .new())), ("a sender of texts", mail.post(body: body, sender: text.sender)),
                ("a sender without a key", mail.post(body: body, sender: keyless.sender)),
                ("no signature", mail.site.responder.send("POST", mail.path(), json: [event])),
            ]
            for (name, answer) in refused { #expect(answer.status == 403, "\(name)") }
            #expect(try mail.site.count("receipts") == 0 && mail.suppressions() == [])
            // Nor does a callback of Twilio's kind reach a sender of mail.
            #expect(
                try mail.site.post(mail.site.path("status"), [("MessageSid", "SM1"), ("MessageStatus", "sent")], token: "").status == 403)
        }
    }
}

/// Three mails that SendGrid has taken.
private struct MailSite {
    let site: WebhookSite
    let key: SigningKey
    let messages: [MessageID]

    func event(_ name: String, _ index: Int, _ more: JSONObject = [:]) -> JSONValue {
        var event: JSONObject = [
            "event": .string(name), "email": .string("p\(index + 1)@example.com"), "timestamp": 1_900_000_000,
            "sg_event_id": .string("\(name)-\(index)-\(more["sg_machine_open"] == nil ? "" : "machine")"),
            "sg_message_id": .string("sid-\(index).recvd-x-1"), "muster_message_id": .string("\(messages[index])"),
            "muster_sender_id": .string("\(site.scene.sender)"),
        ]
        for (name, value) in more { event[name] = value }
        return .object(event)
    }

    func path(_ sender: SenderID? = nil) -> String { "/webhooks/sendgrid/\(sender ?? site.scene.sender)/events" }
    func tell(_ events: [JSONValue]) throws -> Int { try post(body: JSONValue.array(events).text).status }
    func post(_ event: JSONValue, sender: SenderID) throws -> TestAnswer { try post(body: JSONValue.array([event]).text, sender: sender) }

    func post(body: String, signed: String? = nil, sender: SenderID? = nil, key: SigningKey? = nil) throws -> TestAnswer {
        try post(body: Array(body.utf8), signed: signed, sender: sender, key: key)
    }

    func post(body: [UInt8], signed: String? = nil, sender: SenderID? = nil, key: SigningKey? = nil) throws -> TestAnswer {
        // As in production: a line break behind the batch, and an old time-stamp.
        let body = body + Array("\r\n".utf8)
        let signature = (key ?? self.key).signature(of: Array("1600000000".utf8) + (signed.map { Array($0.utf8) } ?? body))!
        return try site.responder.send(
            "POST", path(sender),
            headers: [
                ("X-Twilio-Email-Event-Webhook-Signature", base64Encode(signature)),
                ("X-Twilio-Email-Event-Webhook-Timestamp", "1600000000"),
            ], contentType: "application/json", body: body)
    }

    func settle() throws {
        let worker = try site.database.connect(as: .worker)
        defer { worker.close() }
        while try Settling.round(site.scene.workspace, worker) == Settling.batch {}
    }

    func states() throws -> [String] { try site.owner.dynamic("SELECT state FROM messages WHERE kind = 'campaign' ORDER BY state", []) }
    func suppressions() throws -> [String] {
        try site.owner.dynamic("SELECT address || ' ' || reason FROM suppressions WHERE channel = 'email' ORDER BY 1", [])
    }

    /// Another mail to the first contact came back so long ago; told now, its consequences are drawn.
    func bouncedBefore(days: Int, isTold: Bool = false, code: Int = 40_202) throws {
        let id = MessageID.new()
        try site.owner.runDynamic(
            """
            INSERT INTO messages (workspace_id, id, campaign_id, kind, sender_id, channel, to_address, body, parts, state, attempt, due_at,
                                  sid, sent_at, started_at, created_at, settled_at, error_code, provider_status, provider_rank)
            VALUES ($1, $2, uuid_v7(), 'test', $3, 'email', 'p1@example.com', 'x', 1, $5, 1, now(), $6, now(), now(),
                    now() - make_interval(days => $4), CASE WHEN $5 <> 'sent' THEN now() - make_interval(days => $4) END,
                    CASE WHEN $5 <> 'sent' THEN $7::int END, 'queued', 1)
            """,
            [
                site.scene.workspace.sqlValue, id.sqlValue, site.scene.sender.sqlValue, days.sqlValue,
                (isTold ? "sent" : "undelivered").sqlValue, "old-\(days)".sqlValue, code.sqlValue,
            ])
        guard isTold else { return }
        let event: JSONValue = [
            "event": "bounce", "type": "blocked", "status": "4.2.2", "email": "p1@example.com", "timestamp": 1_900_000_000,
            "sg_event_id": .string("old-\(days)"), "sg_message_id": .string("old-\(days)"), "muster_message_id": .string("\(id)"),
        ]
        #expect(try tell([event]) == 204)
        try settle()
    }
}

private func withMail(contacts: Int = 3, _ body: (MailSite) throws -> Void) throws {
    try withWebhooks(contacts: contacts) { site in
        let key = SigningKey()
        try site.scene.becomeMail(site.owner, key: key)
        try site.scene.freeze(site.owner, .email)
        // The arrows of the drawing, one by one.
        for state in ["claimed", "started"] {
            try site.owner.execute(
                """
                UPDATE messages SET state = '\(state)', lease_token = uuid_v7(), lease_until = now() + interval '1 hour', attempt = 1,
                       body = 'x', parts = 1, started_at = now()
                """)
        }
        try site.owner.execute(
            """
            UPDATE messages SET state = 'sent', lease_token = NULL, lease_until = NULL, sent_at = now(), provider_status = 'queued',
                   provider_rank = 1, sid = 'sid-' || (substring(to_address FROM '[0-9]+')::int - 1)
            """)
        let ordered: [MessageID] = try site.owner.dynamic("SELECT id FROM messages ORDER BY substring(to_address FROM '[0-9]+')::int", [])
        try body(MailSite(site: site, key: key, messages: ordered))
    }
}
