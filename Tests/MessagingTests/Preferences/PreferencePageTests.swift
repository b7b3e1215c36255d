// A person's own page, over real FastCGI.
import Foundation
import JSON
import PostgreSQL
import Runtime
import Secrets
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct PreferencePageTests {
    private static let key = SealingKey([UInt8](repeating: 7, count: 32))!
    private static let form = "application/x-www-form-urlencoded"

    private func path(_ site: WebhookSite, _ contact: Int = 0, _ channel: Channel = .sms, workspace: WorkspaceID? = nil) -> String {
        let token = PreferenceToken(
            workspace: workspace ?? site.scene.workspace, contact: site.scene.contacts[contact], channel: channel)
        return "/u/" + token.text(key: Self.key)
    }

    private func post(_ site: WebhookSite, _ path: String, _ body: String, type: String = form) throws -> TestAnswer {
        try site.responder.send("POST", path, headers: [("User-Agent", "Phone")], contentType: type, body: Array(body.utf8))
    }

    /// Suppression and consent of a contact's address.
    private func standing(_ site: WebhookSite, _ contact: Int = 0, _ channel: String = "sms") throws -> String {
        try site.owner.value(
            """
            SELECT coalesce((SELECT s.reason || '/' || s.source FROM suppressions s WHERE s.workspace_id = c.workspace_id AND s.channel = $2
                                AND s.address = CASE $2 WHEN 'sms' THEN c.phone ELSE c.email END), 'free') || ' '
                || coalesce((SELECT k.state FROM consents k WHERE k.contact_id = c.id AND k.channel = $2), 'unknown')
              FROM contacts c WHERE c.id = $1
            """, site.scene.contacts[contact].sqlValue, channel.sqlValue)
    }

    /// Everybody has an e-mail address too, and what was recorded before happened earlier.
    private func prepare(_ site: WebhookSite) throws {
        try site.owner.execute("UPDATE contacts SET email = 'ada' || right(phone, 1) || '@mail.example.com'")
        try site.owner.execute("UPDATE consents SET occurred_at = now() - interval '1 day'")
        try site.owner.execute("UPDATE workspaces SET settings = settings || '{\"brand\": \"Ada <& Sons>\"}'")
    }

    @Test func `GET shows and changes nothing, and shows no whole address`() throws {
        try withWebhooks { site in
            try prepare(site)
            let before: String = try site.owner.value("SELECT md5(string_agg(e::text, '' ORDER BY e.id)) FROM consent_events e")
            for method in ["GET", "HEAD"] {
                let answer = try site.responder.send(method, path(site) + "?utm_source=x&List-Unsubscribe=One-Click")
                #expect(answer.status == 200 && answer.header("content-type") == "text/html; charset=utf-8")
                #expect(answer.header("cache-control") == "no-store" && answer.header("x-robots-tag")?.contains("noindex") == true)
                #expect(answer.header("content-security-policy")?.contains("default-src 'none'") == true)
                #expect(answer.header("set-cookie") == nil)
            }
            let page = try site.responder.send("GET", path(site)).text
            #expect(page.contains("Ada &lt;&amp; Sons&gt;") && !page.contains("<& Sons>"))
            #expect(page.contains("•••01") && !page.contains("2025550001") && !page.contains("ada1@") && page.contains("a•••@m•••.com"))
            #expect(!page.contains("<script") && !page.contains("http"))
            #expect(page.contains("value=\"stop:sms\"") && !page.contains("start:email") && page.contains("sign up with us"))
            #expect(try site.owner.value("SELECT md5(string_agg(e::text, '' ORDER BY e.id)) FROM consent_events e") == before)
        }
    }

    @Test(arguments: [
        (form, "List-Unsubscribe=One-Click"),
        (
            "multipart/form-data; boundary=b1",
            "--b1\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b1--\r\n"
        ),
    ])
    func `one click ends the channel of the link, as often as it comes, without a redirect`(type: String, body: String) throws {
        try withWebhooks { site in
            try prepare(site)
            for _ in 0..<3 {
                let answer = try post(site, path(site), body, type: type)
                #expect(answer.status == 200 && answer.header("location") == nil && answer.header("set-cookie") == nil)
            }
            #expect(try standing(site) == "opt_out/preferences opted_out")
            #expect(try standing(site, 0, "email") == "free unknown" && standing(site, 1) == "free opted_in")
            let entries: [JSONValue] = try site.owner.dynamic(
                "SELECT consent_json(e) FROM consent_events e WHERE e.state = 'opted_out'", [])
            #expect(entries.count == 1, "three clicks are one opt-out")
            #expect(entries[0]["actor"]?["kind"] == "person" && entries[0]["evidence"]?["one_click"] == true)
            #expect(entries[0]["evidence"]?["user_agent"] == "Phone" && entries[0]["evidence"]?["ip"]?.string != nil)
        }
    }

    @Test func `a person leaves with a reason, and comes back in words that are kept`() throws {
        try withWebhooks { site in
            try prepare(site)
            let left = try post(
                site, path(site), "action=stop%3Asms&reason=other&reason_text=Caf%C3%A9+%00" + String(repeating: "x", count: 600))
            #expect(left.status == 200 && left.text.contains("role=\"status\"") && left.text.contains("value=\"start:sms\""))
            #expect(try standing(site) == "opt_out/preferences opted_out")
            let entry: JSONValue = try site.owner.value("SELECT consent_json(e) FROM consent_events e WHERE e.state = 'opted_out'")
            #expect(entry["reason"] == "other" && entry["reason_text"]?.string?.hasPrefix("Café ") == true)
            #expect(entry["reason_text"]?.string?.unicodeScalars.count == 500)
            #expect(try post(site, path(site), "action=start%3Asms").text.contains("again"))
            #expect(try standing(site) == "free opted_in")
            let back: JSONValue = try site.owner.value(
                "SELECT consent_json(e) FROM consent_events e WHERE e.source = 'preferences' AND e.state = 'opted_in'")
            #expect(back["wording"]?.string?.contains("Send me text messages from Ada <& Sons>") == true)
            _ = try post(site, path(site, 1, .email), "action=stop:all&reason=bored")
            #expect(
                try standing(site, 1) == "opt_out/preferences opted_out" && standing(site, 1, "email") == "opt_out/preferences opted_out")
        }
    }

    @Test func `nobody lifts here what the team, a provider or a STOP by text said`() throws {
        try withWebhooks { site in
            try prepare(site)
            #expect(try site.reply("STOP").status == 200)
            #expect(try post(site, path(site), "action=start:sms").text.contains("text START"))
            #expect(try standing(site) == "opt_out/inbound opted_out")
            for (index, reason) in [("1", "complaint"), ("2", "manual")] {
                let contact = Int(index)!
                try site.owner.runDynamic(
                    """
                    INSERT INTO suppressions (workspace_id, channel, address, reason, source)
                    SELECT c.workspace_id, 'sms', c.phone, $2, 'api' FROM contacts c WHERE c.id = $1
                    """, [site.scene.contacts[contact].sqlValue, reason.sqlValue])
                #expect(try post(site, path(site, contact), "action=start:sms").text.contains("could not be changed"))
                #expect(try standing(site, contact) == "\(reason)/api opted_in")
            }
        }
    }

    @Test func `a wrong token, somebody who is gone and another workspace's get the same page`() throws {
        try withWebhooks { site in
            try prepare(site)
            let other = try Scene(site.owner)
            let right = path(site)
            try site.owner.runDynamic("DELETE FROM contacts WHERE id = $1", [site.scene.contacts[2].sqlValue])
            let wrong = [
                String(right.dropLast()) + (right.hasSuffix("A") ? "B" : "A"), "/u/x", "/u/" + String(repeating: "A", count: 66),
                path(site, 2),
                path(site, 0, .sms, workspace: other.workspace), path(site, 0, .sms, workspace: .new()),
            ]
            let first = try site.responder.send("GET", wrong[0])
            for target in wrong {
                for answer in try [site.responder.send("GET", target), post(site, target, "List-Unsubscribe=One-Click")] {
                    #expect(answer.status == 404 && answer.body == first.body, "\(target)")
                }
            }
            #expect(try standing(site) == "free opted_in")
            for (type, body) in [
                (Self.form, ""), (Self.form, "action=stop:fax"), (Self.form, "action=start:all"), ("application/json", "{}"),
                ("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nOne-Click\r\n--b--"),
            ] {
                #expect(try post(site, right, body, type: type).status == 400, "\(type) \(body)")
            }
            #expect(try standing(site) == "free opted_in")
        }
    }

    @Test func `a link begins no channel that its holder had not agreed to`() throws {
        try withWebhooks { site in
            try prepare(site)
            #expect(try post(site, path(site), "action=start:email").text.contains("could not be changed"))
            #expect(try standing(site, 0, "email") == "free unknown")
            // Nor by ending it first.
            _ = try post(site, path(site), "action=stop:email")
            #expect(try post(site, path(site), "action=start:email").text.contains("could not be changed"))
            #expect(try standing(site, 0, "email") == "opt_out/preferences opted_out")
            // The link of a mail is from there, and who had agreed may come back by any link.
            #expect(try post(site, path(site, 0, .email), "action=start:email").text.contains("again"))
            #expect(try standing(site, 0, "email") == "free opted_in")
            _ = try post(site, path(site), "action=stop:all")
            #expect(try post(site, path(site), "action=start:email").text.contains("again"))
            #expect(try standing(site, 0, "email") == "free opted_in" && standing(site) == "opt_out/preferences opted_out")
        }
    }

    /// As if everybody had got the campaign.
    private func send(_ site: WebhookSite) throws {
        try site.scene.freeze(site.owner)
        try site.owner.execute(
            """
            ALTER TABLE messages DISABLE TRIGGER message_follows_its_states;
            UPDATE messages SET state = 'sent', sid = 'SM' || id, attempt = 1, body = 'x', parts = 1, started_at = now(), sent_at = now();
            ALTER TABLE messages ENABLE TRIGGER message_follows_its_states;
            """)
    }

    @Test func `who was deleted leaves by an old message all the same, under whichever contact they are written to now`() throws {
        try withWebhooks { site in
            try prepare(site)
            try send(site)
            try site.owner.runDynamic("DELETE FROM contacts WHERE id = $1", [site.scene.contacts[0].sqlValue])
            let page = try site.responder.send("GET", path(site))
            #expect(page.status == 200 && page.text.contains("•••01") && page.text.contains("value=\"stop:sms\""))
            let back: ContactID = try site.owner.inWorkspace(site.scene.workspace) { db in
                try db.value(
                    """
                    INSERT INTO contacts (workspace_id, ordinal, phone) SELECT current_workspace(), take_ordinals(1) + 1, '+12025550001'
                    RETURNING id
                    """)
            }
            for _ in 0..<2 { #expect(try post(site, path(site), "List-Unsubscribe=One-Click").status == 200) }
            #expect(
                try site.owner.value("SELECT reason || '/' || source FROM suppressions WHERE address = '+12025550001'")
                    == "opt_out/preferences")
            #expect(
                try site.owner.value(
                    "SELECT count(*) FROM consent_events WHERE contact_id = $1 AND state = 'opted_out'", back.sqlValue) == 1)
            // Nobody there to agree to anything.
            #expect(try post(site, path(site), "action=start:sms").text.contains("could not be changed"))
        }
    }

    @Test func `who has no address any more leaves the one that their message went to, whoever has it now`() throws {
        try withWebhooks { site in
            try prepare(site)
            try send(site)
            try site.owner.execute(
                """
                UPDATE contacts SET email = NULL;
                UPDATE contacts SET phone = NULL, email = 'ada@mail.example.com' WHERE phone = '+12025550001';
                UPDATE contacts SET phone = '+12025550001' WHERE phone = '+12025550002';
                """)
            let page = try site.responder.send("GET", path(site)).text
            #expect(page.contains("•••01") && page.contains("value=\"stop:sms\""))
            #expect(try post(site, path(site), "List-Unsubscribe=One-Click").status == 200)
            #expect(try standing(site, 1) == "opt_out/preferences opted_out")
            let evidence: JSONValue = try site.owner.value(
                "SELECT evidence FROM consent_events WHERE contact_id = $1 AND state = 'opted_out'", site.scene.contacts[1].sqlValue)
            #expect(evidence["link_of_contact"]?.string == site.scene.contacts[0].description)
        }
    }

    @Test func `whoever got somebody's former number and opted in themselves does not leave with them`() throws {
        try withWebhooks { site in
            try prepare(site)
            try send(site)
            try site.owner.execute(
                """
                UPDATE contacts SET phone = '+12025550177' WHERE phone = '+12025550001';
                UPDATE contacts SET phone = '+12025550001' WHERE phone = '+12025550002';
                """)
            try site.owner.inWorkspace(site.scene.workspace) { db in
                try db.runDynamic(
                    "SELECT record_consent($1, 'sms', 'opted_in', 'inbound', NULL, '{}', now() + interval '1 s', 'marketing', NULL, NULL, 'person')",
                    [site.scene.contacts[1].sqlValue])
            }
            #expect(try post(site, path(site), "List-Unsubscribe=One-Click").status == 200)
            #expect(try standing(site) == "opt_out/preferences opted_out" && standing(site, 1) == "free opted_in")
        }
    }

    @Test func `who got another address leaves both, and who was erased is not remembered by theirs`() throws {
        try withWebhooks { site in
            try prepare(site)
            try send(site)
            try site.owner.runDynamic("UPDATE contacts SET phone = '+12025550177' WHERE id = $1", [site.scene.contacts[0].sqlValue])
            #expect(try post(site, path(site), "List-Unsubscribe=One-Click").status == 200)
            let left: [String] = try site.owner.dynamic("SELECT address FROM suppressions WHERE reason = 'opt_out' ORDER BY 1", [])
            #expect(left == ["+12025550001", "+12025550177"])
            try site.owner.inWorkspace(site.scene.workspace) { db in
                _ = try db.value("SELECT erase_addresses('+12025550002', NULL) IS NULL", as: Bool.self)
                try db.runDynamic("DELETE FROM contacts WHERE id = $1", [site.scene.contacts[1].sqlValue])
            }
            #expect(try post(site, path(site, 1), "List-Unsubscribe=One-Click").status == 404)
            #expect(try site.owner.value("SELECT count(*) FROM suppressions WHERE address = '+12025550002'") == 0)
        }
    }

    @Test func `no message starts any more once the page has answered`() throws {
        try withWebhooks { site in
            let db = try site.database.connect(as: .worker)
            try prepare(site)
            try site.scene.freeze(site.owner)
            try db.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                // All are claimed; one of them presses the button before they start.
                try site.scene.work(db)
            }
            #expect(try post(site, path(site), "List-Unsubscribe=One-Click").status == 200)
            let started = try db.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                return try site.scene.startAll(db)
            }
            #expect(started.count == 2)
            #expect(
                try site.owner.value("SELECT skip_reason FROM messages WHERE contact_id = $1", site.scene.contacts[0].sqlValue)
                    == "opted_out")
        }
    }
}
