import Glibc
import JSON
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct WebhookTests {
    private let status: [(name: String, value: String)] = [
        ("MessageSid", "SM1"), ("MessageStatus", "undelivered"), ("ErrorCode", "30003"), ("To", "+12025550001"), ("SomethingNew", "é"),
    ]

    @Test func `a signed status is stored as it came`() throws {
        try withWebhooks { site in
            let message = MessageID.new()
            let answer = try site.post(site.path("status") + "?m=\(message)", status)
            #expect(answer.status == 204)
            #expect(answer.body.isEmpty)
            let stored: JSONValue = try site.owner.value("SELECT to_json(r) FROM receipts r")
            #expect(stored["message_id"]?.string == message.description)
            #expect(stored["sender_id"]?.string == site.scene.sender.description)
            #expect(stored["workspace_id"]?.string == site.scene.workspace.description)
            #expect(stored["sid"]?.string == "SM1")
            #expect(stored["status"]?.string == "undelivered")
            #expect(stored["error_code"]?.integer == 30003)
            #expect(stored["state"]?.string == "new")
            #expect(stored["body"]?.string == String(decoding: formEncoded(status.map { ($0.name, $0.value) }), as: UTF8.self))
        }
    }

    @Test func `callbacks that come while one is being stored share a transaction, in their order`() throws {
        try withWebhooks { site in
            // Only a superuser sees what others wait for.
            let (workspace, watching) = (site.scene.workspace, try site.database.connect(as: .superuser))
            // However long it takes until all wait.
            try watching.execute(
                "DO $$ BEGIN EXECUTE format('ALTER ROLE muster_responder IN DATABASE %I SET lock_timeout = 0', current_database()); END $$")
            try watching.execute(
                "DO $$ BEGIN EXECUTE format('ALTER ROLE muster_responder IN DATABASE %I SET statement_timeout = 0', current_database()); END $$"
            )
            let answers = Mutex<[Int]>([])
            func callBack(_ sid: String) {
                nonisolated(unsafe) let site = site
                startThread {
                    let answer = try? site.post(site.path("status"), [("MessageSid", sid), ("MessageStatus", "sent")])
                    answers.withLock { $0.append(answer?.status ?? 0) }
                }
            }
            try site.owner.transaction { db in
                try db.execute("LOCK TABLE receipts IN EXCLUSIVE MODE")
                callBack("SM1")
                try waitUntil("the first waits for the lock") {
                    try watching.value(
                        """
                        SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO receipts%'
                        """) == 1
                }
                for index in 2...4 {
                    callBack("SM\(index)")
                    try waitUntil("SM\(index) waits") { statusReceipts.waiting(workspace) == index - 1 }
                }
                // Nobody is told that it is stored before it is.
                #expect(answers.withLock { $0 } == [])
            }
            try waitUntil("all are answered") { answers.withLock { $0.count } == 4 }
            #expect(answers.withLock { $0 } == [204, 204, 204, 204])
            // Settled in the order in which they came, also where a batch ends between them.
            for time in ["received_at", "due_at"] {
                #expect(try site.owner.value("SELECT string_agg(sid, ' ' ORDER BY \(time)) FROM receipts") == "SM1 SM2 SM3 SM4")
            }
            #expect(try site.owner.value("SELECT count(DISTINCT xmin::text) FROM receipts") == 2)
        }
    }

    @Test func `what is not signed for this sender is refused, and leaves nothing`() throws {
        try withWebhooks { site in
            let target = site.path("status") + "?m=\(MessageID.new())"
            let right = TwilioSignature.sign(url: WebhookSite.publicURL + target, form: status, token: WebhookSite.token)
            let elsewhere = TwilioSignature.sign(url: "https://evil.example\(target)", form: status, token: WebhookSite.token)
            let other = try Scene(site.owner)
            let json = "application/json"
            let form = "application/x-www-form-urlencoded"
            let attempts: [(String, TestAnswer)] = try [
                ("another token", site.post(target, status, token: "guess")),
                ("an empty signature", site.post(target, status, signature: "")),
                ("a long signature", site.post(target, status, signature: String(repeating: "A", count: 5000))),
                ("a cut signature", site.post(target, status, signature: String(right.dropLast(4)))),
                ("another message", site.post(site.path("status") + "?m=\(MessageID.new())", status, signature: right)),
                ("another sender", site.post("/webhooks/twilio/\(other.sender)/status", status, signature: right)),
                ("no sender", site.post("/webhooks/twilio/\(SenderID.new())/status", status)),
                ("a malformed sender", site.post("/webhooks/twilio/1/status", status)),
                ("another body", site.post(target, status, signature: right, body: Array("MessageSid=SM1&MessageStatus=delivered".utf8))),
                ("JSON", site.post(target, status, signature: right, contentType: json)),
                (
                    "a key of the request's choice",
                    site.post(target, status, headers: [("X-Twilio-Webhooks-Signature-Settings", "key=k,algorithm=HMAC_SHA1")])
                ),
                ("another host", site.post(target, status, signature: elsewhere, headers: [("X-Forwarded-Host", "evil.example")])),
                ("no signature", site.responder.send("POST", target, contentType: form, body: Array("MessageSid=SM1".utf8))),
                (
                    "an unsigned reply",
                    site.post(
                        site.path("inbound"), [("MessageSid", "SM1"), ("From", "+12025550001"), ("To", "+1"), ("Body", "STOP")],
                        token: "guess")
                ),
            ]
            for (name, answer) in attempts { #expect(answer.status == 403, "\(name)") }
            #expect(try site.count("receipts") == 0)
            #expect(try site.count("inbound_messages") == 0)
            #expect(try site.count("suppressions") == 0)
        }
    }

    @Test func `a form that is no callback is refused with a reason, a huge one unread`() throws {
        try withWebhooks { site throws in
            #expect(try site.post(site.path("status"), [("MessageSid", "SM1")]).code == "bad_callback")
            #expect(
                try site.post(site.path("status"), [("MessageSid", String(repeating: "S", count: 100)), ("MessageStatus", "sent")]).status
                    == 400)
            #expect(try site.post(site.path("inbound"), [("MessageSid", "SM1")]).code == "bad_callback")
            #expect(try site.post(site.path("status"), status + [("Pad", String(repeating: "x", count: 70_000))]).status == 413)
            // An id or a code that is none is not worth losing the status for.
            let odd = [(name: "MessageSid", value: "SM1"), ("MessageStatus", "failed"), ("ErrorCode", "99999999999")]
            #expect(try site.post(site.path("status") + "?m=1%27%3B--", odd).status == 204)
            #expect(
                try site.owner.value("SELECT count(*) FROM receipts WHERE message_id IS NULL AND error_code IS NULL", as: Int.self) == 1)
        }
    }

    @Test func `a token that was changed counts at once`() throws {
        try withWebhooks { site in
            #expect(try site.post(site.path("status"), status).status == 204)
            let changed = SenderCredentials(accountSID: "AC1", authToken: "new", secondaryAuthToken: "next")
                .sealed(with: Scene.key, workspace: site.scene.workspace, sender: site.scene.sender)
            try site.owner.runDynamic("UPDATE senders SET credentials = $1", [changed.sqlValue])
            // The look-up that a refusal causes happens once a second.
            try site.owner.execute("SELECT pg_sleep(1.05)")
            #expect(try site.post(site.path("status"), status, token: "new").status == 204)
            #expect(try site.post(site.path("status"), status, token: "next").status == 204)
            #expect(try site.post(site.path("status"), status).status == 403)
        }
    }

    @Test func `STOP holds when its answer is given`() throws {
        try withWebhooks { site in
            try site.scene.freeze(site.owner)
            let answer = try site.reply("Please stop!", sid: "SM9")
            #expect(answer.status == 200)
            #expect(answer.header("Content-Type")?.hasPrefix("text/xml") == true)
            #expect(answer.text.hasSuffix("<Response></Response>"))
            #expect(
                try site.owner.value("SELECT reason || ' ' || source FROM suppressions WHERE address = '+12025550001'") == "opt_out inbound"
            )
            #expect(
                try site.owner.value("SELECT state || ' ' || source FROM consents WHERE contact_id = $1", site.scene.contacts[0].sqlValue)
                    == "opted_out inbound")
            // The message that was frozen before is not sent any more.
            try site.database.connect(as: .worker).transaction { db in
                try db.setWorkspace(site.scene.workspace)
                let claimed = try site.scene.claim(db)
                #expect(claimed.count == 3)
                #expect(claimed.filter(\.isSkipped).count == 1)
            }
            // Twilio may say it twice.
            #expect(try site.reply("Please stop!", sid: "SM9").status == 200)
            #expect(try site.count("inbound_messages") == 1)
            #expect(try site.owner.value("SELECT count(*) FROM consent_events WHERE state = 'opted_out'", as: Int.self) == 1)
        }
    }

    @Test func `a reply may come by GET, with the form in the signed query`() throws {
        try withWebhooks { site throws in
            let target = site.path("inbound") + "?MessageSid=SM1&From=%2B12025550002&To=%2B12025550100&Body=stop+please"
            let signature = TwilioSignature.sign(url: WebhookSite.publicURL + target, form: [], token: WebhookSite.token)
            #expect(try site.responder.send("GET", target, headers: [("X-Twilio-Signature", signature)]).status == 200)
            #expect(
                try site.owner.value("SELECT body || ' ' || intent FROM inbound_messages WHERE from_address = '+12025550002'")
                    == "stop please stop")
            #expect(try site.responder.send("GET", target + "&x=1", headers: [("X-Twilio-Signature", signature)]).status == 403)
        }
    }
}
