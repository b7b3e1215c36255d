import Foundation
import JSON
import PostgreSQL
import Runtime
import Secrets
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// What somebody answers who was asked: by text, or on the page.
@Suite struct ConfirmationTests {
    private static let form = "application/x-www-form-urlencoded"

    @Test(arguments: ["YES", "yes!", "Y", "Sí", "oui", "START", "I agree"])
    func `a YES confirms once, with both times, the text and its version in the ledger`(text: String) throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            try site.asked(0)
            #expect(try site.reply(text, sid: "SM1").text.contains("<Message>Ada &amp; Co: you are subscribed."))
            // The provider asks again, and the person says it again.
            #expect(try site.reply(text, sid: "SM1").text.contains("<Response></Response>"))
            _ = try site.reply(text)
            #expect(try site.states() == ["confirmed"])
            let entries: [JSONValue] = try site.owner.dynamic("SELECT consent_json(e) FROM consent_events e", [])
            #expect(entries.count == 1)
            let entry = entries[0]
            #expect(entry["state"] == "opted_in" && entry["source"] == "web_form" && entry["wording"] == "Offers <b>, four a month.")
            #expect(entry["actor"]?["kind"] == "person")
            let evidence = entry["evidence"]
            #expect(evidence?["sid"] == "SM1" && evidence?["text"] == .string(text) && evidence?["wording_version"] == "3")
            #expect(evidence?["page"] == "https://ada.example/join" && evidence?["address"] == "+12025550001")
            let times = try ["requested_at", "confirmed_at"].map { try #require(evidence?[$0]?.string.flatMap { Instant(rfc3339: $0) }) }
            #expect(times[0] < times[1])
            #expect(try site.owner.value("SELECT state FROM consents") == "opted_in")
            #expect(try site.owner.value("SELECT count(*) FROM consent_requests r JOIN consent_events e ON e.id = r.consent_event_id") == 1)
        }
    }

    @Test func `without a request a YES is what it was, and other words are nothing`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            for text in ["YES", "y", "I agree"] { #expect(try site.reply(text).text.contains("<Response></Response>")) }
            #expect(try site.count("consent_events") == 0)
            // It ends an opt-out, as before.
            _ = try site.reply("STOP")
            _ = try site.reply("YES")
            let states: [String] = try site.owner.dynamic("SELECT state FROM consent_events ORDER BY sequence", [])
            #expect(states == ["opted_out", "opted_in"])
        }
    }

    @Test func `only what was asked is answered: by this number, to this sender, before it is over`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            // Not sent yet.
            let id = try site.scene.request(of: 0, site.owner)
            _ = try site.reply("YES")
            #expect(try site.states() == ["pending"])
            try site.send(id)
            _ = try site.reply("YES", from: "+12025550002")
            #expect(try site.states() == ["pending"])
            for text in ["maybe", "no", "yes but not now", "help"] { _ = try site.reply(text) }
            #expect(try site.states() == ["pending"])
            try site.owner.execute("UPDATE contacts SET phone = '+12025559999' WHERE phone = '+12025550001'")
            _ = try site.reply("YES")
            #expect(try site.states() == ["pending"])
            try site.owner.execute("UPDATE contacts SET phone = '+12025550001' WHERE phone = '+12025559999'")
            try site.owner.execute("UPDATE consent_requests SET expires_at = now()")
            _ = try site.reply("YES")
            #expect(try site.states() == ["pending"] && site.count("consent_events") == 0)
        }
    }

    @Test func `a YES after a campaign's message answers that one, until the request was said again`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            func promote(_ contact: Int, by sender: SenderID) throws {
                try site.owner.runDynamic(
                    """
                    INSERT INTO messages (workspace_id, campaign_id, kind, contact_id, sender_id, channel, to_address, body, parts, state, attempt,
                                          due_at, created_at, started_at, sid, sent_at)
                    SELECT c.workspace_id, $3, 'campaign', c.id, $2, 'sms', c.phone, 'Reply YES for the offer', 1, 'sent', 1,
                           now(), now() - interval '9 days', clock_timestamp(), uuid_v7()::text, now()
                      FROM contacts c WHERE c.id = $1
                    """, [site.scene.contacts[contact].sqlValue, sender.sqlValue, site.scene.campaign.sqlValue])
            }
            // Before the request, or by somebody else: the YES is the request's.
            try promote(0, by: site.scene.sender)
            try site.asked(0)
            try promote(0, by: .new())
            _ = try site.reply("YES")
            #expect(try site.states() == ["confirmed"])
            try site.asked(1)
            try promote(1, by: site.scene.sender)
            _ = try site.reply("YES", from: "+12025550002")
            #expect(try site.states() == ["confirmed", "pending"])
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                let request: ConsentRequestID = try db.value("SELECT id FROM consent_requests WHERE state = 'pending'")
                let campaign = try db.one(ConsentRequestSQL.campaign, site.scene.sender)
                try db.run(ConsentRequestSQL.insertMessage, MessageID.new(), request, true, campaign, "A reminder. Reply YES.", 1)
            }
            try site.send(.new())
            _ = try site.reply("YES", from: "+12025550002")
            #expect(try site.states() == ["confirmed", "confirmed"])
        }
    }

    @Test func `a STOP ends what is asked, and a later YES does not bring it back`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            try site.asked(0)
            _ = try site.reply("STOP")
            #expect(try site.states() == ["refused"])
            _ = try site.reply("yes i agree")
            #expect(try site.owner.value("SELECT state FROM consents") == "opted_out")
            #expect(try site.states() == ["refused"])
        }
    }

    @Test func `of a STOP and a YES at once the STOP holds`() throws {
        try withWebhooks(contacts: 20, consenting: 0) { site in
            try site.begin()
            for index in 0..<20 { try site.asked(index) }
            nonisolated(unsafe) let site = site
            _ = try inParallel(4) { thread in
                for index in 0..<20 {
                    let from = "+12025550" + ["00", "0"][index + 1 < 10 ? 0 : 1] + "\(index + 1)"
                    _ = try site.reply(thread % 2 == 0 ? "STOP" : "I agree", from: from)
                }
            }
            let out: Int = try site.owner.value("SELECT count(*) FROM suppressions WHERE reason = 'opt_out'")
            #expect(out == 20)
            #expect(try site.owner.value("SELECT count(*) FROM consents WHERE state = 'opted_out'") == 20)
            #expect(Set(try site.states()).isSubset(of: ["refused", "confirmed"]))
            #expect(
                try site.owner.value("SELECT count(*) FROM consent_events WHERE state = 'opted_in'", as: Int.self)
                    == site.states().filter { $0 == "confirmed" }.count)
        }
    }

    // MARK: The page

    @Test func `GET shows what is agreed to and changes nothing, the button confirms once, with address and program`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            let path = try site.page()
            for method in ["GET", "HEAD", "GET"] {
                let answer = try site.responder.send(method, path + "?action=confirm")
                #expect(answer.status == 200 && answer.header("content-security-policy")?.contains("default-src 'none'") == true)
                #expect(answer.header("cache-control") == "no-store" && answer.header("set-cookie") == nil)
            }
            let page = try site.responder.send("GET", path).text
            #expect(page.contains("Offers &lt;b&gt;, four a month.") && page.contains("Ada &amp; Co") && page.contains("p•••@e•••.com"))
            #expect(!page.contains("p1@example.com") && !page.contains("<script") && !page.contains("http"))
            #expect(try site.states() == ["pending"] && site.count("consent_events") == 0)
            // Not what a mail program or a scanner posts.
            for body in ["", "List-Unsubscribe=One-Click", "action=stop"] { #expect(try site.press(path, body).status == 400) }
            #expect(try site.states() == ["pending"])
            for _ in 0..<2 { #expect(try site.press(path).text.contains("Thank you. It is confirmed.")) }
            #expect(try site.responder.send("GET", path).text.contains("confirmed"))
            let entries: [JSONValue] = try site.owner.dynamic("SELECT consent_json(e) FROM consent_events e", [])
            #expect(entries.count == 1 && entries[0]["channel"] == "email")
            #expect(entries[0]["evidence"]?["user_agent"] == "Phone" && entries[0]["evidence"]?["ip"]?.string != nil)
            #expect(entries[0]["evidence"]?["requested_at"]?.string != nil && entries[0]["evidence"]?["confirmed_at"]?.string != nil)
        }
    }

    @Test func `whoever confirmed and left later reads what holds now, and is not brought back by the old link`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            let path = try site.page()
            #expect(try site.press(path).text.contains("Thank you. It is confirmed."))
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.runDynamic("SELECT record_consent($1, 'email', 'opted_out', 'preferences')", [site.scene.contacts[0].sqlValue])
            }
            for answer in [try site.responder.send("GET", path), try site.press(path)] {
                #expect(answer.status == 200 && answer.text.contains("has ended since") && !answer.text.contains("Thank you"))
            }
            #expect(try site.count("consent_events") == 2)
            // Back again, and then held back at the address.
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.runDynamic("SELECT record_consent($1, 'email', 'opted_in', 'preferences')", [site.scene.contacts[0].sqlValue])
            }
            #expect(try site.responder.send("GET", path).text.contains("Thank you. It is confirmed."))
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.runDynamic("SELECT suppress('email', 'p1@example.com', 'complaint', 'provider')", [])
            }
            #expect(try site.responder.send("GET", path).text.contains("has ended since"))
        }
    }

    @Test func `twenty who press at once confirm once`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            let path = try site.page()
            nonisolated(unsafe) let site = site
            let answers = try inParallel(4) { _ in try (0..<5).map { _ in try site.press(path).status } }
            #expect(Set(answers.joined()) == [200])
            #expect(try site.count("consent_events") == 1)
        }
    }

    @Test func `a link that is over, cancelled or refused says so, and a wrong one says nothing`() throws {
        try withWebhooks(consenting: 0) { site in
            try site.begin()
            let path = try site.page()
            try site.owner.execute("UPDATE consent_requests SET expires_at = now()")
            #expect(try site.responder.send("GET", path).status == 410 && site.press(path).status == 410)
            try site.owner.execute("UPDATE consent_requests SET expires_at = now() + interval '1 day'")
            // Of another workspace, of no request, or with a bit changed.
            let token = String(path.dropFirst(3))
            let other = ConfirmationToken(workspace: WorkspaceID.new(), request: try site.request()).text(key: Scene.key)
            let none = ConfirmationToken(workspace: site.scene.workspace, request: .new()).text(key: Scene.key)
            let preference = PreferenceToken(workspace: site.scene.workspace, contact: site.scene.contacts[0], channel: .email)
            let changed = token.dropLast(2) + (token.hasSuffix("AA") ? "BA" : "AA")
            for wrong in [other, none, String(changed), String(token.dropLast()), "x", preference.text(key: Scene.key)] {
                let (got, pressed) = (try site.responder.send("GET", "/c/" + wrong), try site.press("/c/" + wrong))
                #expect(got.status == 404 && pressed.status == 404 && got.text == pressed.text, "\(wrong)")
            }
            #expect(try site.responder.send("GET", "/u/" + token).status == 404)
            // Who leaves is asked no more.
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.runDynamic("SELECT suppress('email', 'p1@example.com', 'complaint', 'provider')", [])
            }
            #expect(try site.press(path).status == 410)
            #expect(try site.states() == ["refused"] && site.count("consent_events") == 0)
        }
    }

    @Test func `the mail has the link, and the ledger does not`() throws {
        try withSending(contacts: 1) { sending in
            try sending.db.execute("UPDATE campaigns SET status = 'paused', paused_at = now()")
            try sending.becomeMail()
            try sending.db.execute("DELETE FROM consents")
            let text = ConsentRequestText.text(
                .email, brand: "Ada", wording: "Offers.", isReminder: false, postalAddress: "1 Main Street")
            let id = try sending.scene.request(of: 0, on: .email, text: text, sending.db)
            let token = ConfirmationToken(workspace: sending.scene.workspace, request: id).text(key: Scene.key)
            // Nobody is reached: it has been written, and waits.
            try sending.round()
            #expect(try sending.db.value("SELECT attempt FROM messages WHERE kind = 'request'", as: Int.self) > 0)
            let kept: String = try sending.db.value("SELECT body FROM messages WHERE kind = 'request'")
            #expect(!kept.contains(token) && kept.contains("\n/c/…\n"))
            let mail = ConsentRequestText.mail(
                kept, token: token, publicURL: "https://muster.example.com", unsubscribeURL: "https://muster.example.com/u/x")
            #expect(mail.text.contains("https://muster.example.com/c/\(token)\n") && mail.subject == "Please confirm your subscription")
            #expect(mail.text.contains("Offers.") && mail.text.contains("1 Main Street") && mail.refusal == nil)
            // What was kept by a release that wrote the server's name into it.
            let older = ConsentRequestText.mail(
                kept.replacing("/c/…", with: "https://old.example.com/c/…"), token: token, publicURL: "https://muster.example.com",
                unsubscribeURL: "https://muster.example.com/u/x")
            #expect(older.text == mail.text)
        }
    }
}

extension WebhookSite {
    /// Nobody has said anything, everybody has an e-mail address, and people know the workspace.
    fileprivate func begin() throws {
        try owner.execute(
            """
            UPDATE contacts SET email = lower(first_name) || '@example.com';
            UPDATE workspaces SET settings = settings || '{"brand": "Ada & Co"}';
            """)
    }

    fileprivate func asked(_ contact: Int) throws { try send(scene.request(of: contact, owner)) }

    /// As a worker would have.
    fileprivate func send(_ request: ConsentRequestID) throws {
        try owner.execute(
            """
            UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now() WHERE kind = 'request' AND state = 'pending';
            UPDATE messages SET state = 'started', attempt = 1, started_at = now() WHERE state = 'claimed';
            UPDATE messages SET state = 'sent', sid = 'SM' || id, sent_at = now(), lease_token = NULL, lease_until = NULL WHERE state = 'started';
            """)
    }

    fileprivate func states() throws -> [String] { try owner.dynamic("SELECT state FROM consent_requests ORDER BY id", []) }
    fileprivate func request() throws -> ConsentRequestID { try owner.value("SELECT id FROM consent_requests") }

    fileprivate func page() throws -> String {
        let id = try scene.request(of: 0, on: .email, owner)
        return "/c/" + ConfirmationToken(workspace: scene.workspace, request: id).text(key: Scene.key)
    }

    fileprivate func press(_ path: String, _ body: String = "action=confirm") throws -> TestAnswer {
        try responder.send(
            "POST", path, headers: [("User-Agent", "Phone")], contentType: "application/x-www-form-urlencoded", body: Array(body.utf8))
    }
}
