import JSON
import Secrets
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Senders of mail and drafts of mail, as the API takes them.
@Suite struct MailSenderTests {
    private func sendGrid(_ changes: JSONObject = [:]) -> JSONValue {
        var draft: JSONObject = [
            "name": "Mail", "channel": "email", "provider": "sendgrid", "from_email": "Team@Shop.example", "from_name": "Shop",
            "rate_parts_per_second": 10, "credentials": ["api_key": "SG.a-secret-key"],
        ]
        for (name, value) in changes { draft[name] = value }
        return .object(draft)
    }
    private let relay: JSONObject = [
        "provider": "smtp", "credentials": ["host": "mail.shop.example", "username": "me", "password": "a-secret-password"],
    ]

    @Test func `credentials of mail go in, sealed, and never come out`() throws {
        try withMessagingSite { site throws in
            for (draft, secret) in [
                (sendGrid(), "SG.a-secret"), (sendGrid((["name": "Relay"] as JSONObject).merging(relay)), "a-secret-password"),
            ] {
                let made = try site.post("/api/senders", draft)
                #expect(made.status == 201, "\(made.text)")
                let path = try #require(made.header("location"))
                let changed = try site.send("PATCH", path, ["from_name": "The Shop", "reply_to": "help@shop.example"])
                #expect(
                    changed.status == 200 && changed.json["from_name"] == "The Shop" && changed.json["from_email"] == "team@shop.example")
                for answer in [made, changed, try site.get(path), try site.get("/api/senders")] { #expect(!answer.text.contains(secret)) }
                #expect(
                    try site.owner.value("SELECT bool_and(position($1 IN encode(credentials, 'escape')) = 0) FROM senders", secret.sqlValue)
                )
                let isSendGrid = draft["provider"] == "sendgrid"
                #expect((made.json["event_webhook"]?.string?.hasSuffix("/events") == true) == isSendGrid)
                #expect(made.json["inbound_webhook"]?.isNull == true && made.json["account_sid"]?.isNull == true)
            }
        }
    }

    @Test(
        arguments: [
            (["channel": "sms"], "/channel", "wrong_channel"), (["from_email": .null], "/from_email", "wrong_type"),
            (["from_email": "nobody"], "/from_email", "bad_format"), (["from_email": "team@größe.example"], "/from_email", "bad_character"),
            (["from_name": "Shop\r\nBcc: x"], "/from_name", "bad_character"), (["from": "+12025550111"], "/from", "sms_only"),
            (["credentials": [:]], "/credentials/api_key", "required"),
            (["credentials": ["api_key": "a secret key"]], "/credentials/api_key", "bad_character"),
            (
                ["credentials": ["api_key": "SG.a-secret", "webhook_public_key": .string(String(repeating: "A", count: 80))]],
                "/credentials/webhook_public_key", "bad_format"
            ),
            (["provider": "smtp", "credentials": [:]], "/credentials/host", "required"),
            (["provider": "smtp", "credentials": ["host": "a/b@c"]], "/credentials/host", "bad_format"),
            (["provider": "smtp", "credentials": ["host": "a.example", "username": "me"]], "/credentials/password", "required"),
            (["provider": "smtp", "credentials": ["host": "10.0.0.1", "security": "none"]], "/credentials/security", "insecure_relay"),
            (["provider": "smtp", "credentials": ["host": "a.example", "security": "ssl"]], "/credentials/security", "not_one_of"),
            (["provider": "twilio", "channel": "sms", "from": "+12025550111"], "/from_email", "email_only"),
        ] as [(JSONObject, String, String)])
    func `a sender of mail with a fault is refused at its place`(_ changes: JSONObject, _ pointer: String, _ code: String) throws {
        try withMessagingSite { site throws in
            let answer = try site.post("/api/senders", sendGrid(changes))
            #expect(answer.status == 422)
            let faults = answer.json["errors"]?.array ?? []
            #expect(faults.contains { $0["pointer"]?.string == pointer && $0["code"]?.string == code }, "\(answer.text)")
        }
    }

    @Test func `a change of a sender keeps to what its provider has`() throws {
        try withMessagingSite { site throws in
            let text = "/api/senders/\(site.scene.sender)"
            #expect(try site.send("PATCH", text, ["from_email": "a@b.example"]).code == "email_only")
            #expect(try site.send("PATCH", text, ["credentials": ["api_key": "SG.a-secret-key"]]).code == "required")
            let mail = try #require(try site.post("/api/senders", sendGrid()).header("location"))
            #expect(try site.send("PATCH", mail, ["from": "+12025550111"]).code == "sms_only")
            #expect(try site.send("PATCH", mail, ["credentials": ["api_key": "SG.another-key"]]).status == 200)
        }
    }

    @Test func `what only mail has is refused for texts, and the other way round`() throws {
        try withMessagingSite { site throws in
            for (name, value) in [("subject", "x"), ("preheader", "x"), ("html", "<p>x</p>")] {
                let made = try site.post("/api/campaigns", .object(["name": "x", "channel": "sms", name: .string(value)]))
                #expect(made.status == 422 && made.code == "email_only", "\(made.text)")
                #expect(try site.send("PATCH", site.campaign, .object([name: .string(value)])).code == "email_only")
            }
            let long = JSONValue.string(String(repeating: "x", count: 1601))
            #expect(try site.post("/api/campaigns", ["name": "x", "channel": "sms", "body": long]).code == "too_long")
            #expect(try site.send("PATCH", site.campaign, ["body": long]).code == "too_long")
            #expect(try site.post("/api/campaigns", ["name": "x", "channel": "email", "body": long]).status == 201)
        }
    }

    @Test func `preflight tells what mail costs, and whether a budget pays it`() throws {
        try withMessagingSite(contacts: 5) { site throws in
            try site.scene.becomeMail(site.owner)
            func report() throws -> JSONValue { try site.post(site.campaign + "/preflight").json }
            #expect(try report()["cost"] == .null)
            try site.owner.execute(
                """
                UPDATE workspaces SET settings = settings
                    || '{"prices": {"currency": "USD", "items": [{"channel": "email", "amount_micros": 1000}, {"channel": "sms", "amount_micros": 9}]}}';
                INSERT INTO campaign_budgets (workspace_id, campaign_id, amount, currency, budget_micros)
                SELECT workspace_id, id, 1, 'USD', 5000 FROM campaigns
                """)
            let told = try report()
            let line = told["cost"]?["by_country"]?.array?.first
            #expect(told["cost"]?["amount_micros"] == 5000 && told["cost"]?["unpriced"] == 0, "\(told.text)")
            #expect(line?["country"] == .null && line?["messages"] == 5 && line?["parts"] == 5)
            #expect(told["budget"]?["suffices"] == true)
            try site.owner.execute("UPDATE campaign_budgets SET budget_micros = 4999")
            #expect(try report()["budget"]?["suffices"] == false)
        }
    }

    @Test func `a draft of mail is kept part by part, and told what it lacks`() throws {
        try withMessagingSite { site throws in
            let made = try site.post(
                "/api/campaigns", ["name": "x", "channel": "email", "html": "<p>{{ first_name | default: \"you\" }}</p>"])
            let path = try #require(made.header("location"), "\(made.text)")
            #expect(made.json["html"]?.string?.hasPrefix("<p>") == true && made.json["subject"]?.isNull == true)
            #expect(try site.send("PATCH", path, ["html": "<p>{{ x"]).json["errors"]?.array?.first?["pointer"] == "/html")
            let faults = try site.post(path + "/preflight").json["faults"]?.array?.compactMap { $0["code"]?.string } ?? []
            #expect(Set(faults) == ["required", "postal_address_missing"], "\(faults)")
            let changed = try site.send(
                "PATCH", path,
                ["subject": "Hi", "preheader": "News", "body": "Text", "html": .null, "sender_id": .string("\(site.scene.sender)")])
            #expect(
                changed.json["html"]?.isNull == true && changed.json["subject"] == "Hi" && changed.json["preheader"] == "News",
                "\(changed.text)")
            #expect(try site.post(path + "/preflight").json["faults"]?.array?.contains { $0["code"] == "wrong_channel" } == true)
            #expect(try site.post(path + "/test", ["to": "me@shop.example"]).code == "wrong_channel")
            #expect(try site.get("/api/campaigns").json["items"]?.array?.allSatisfy { $0["html"] == nil } == true)
        }
    }
}

extension JSONObject {
    /// With the members of another.
    fileprivate func merging(_ other: JSONObject) -> JSONObject {
        var both = self
        for (name, value) in other { both[name] = value }
        return both
    }
}
