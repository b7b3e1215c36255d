import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// A part to the United States costs a cent here, and 20 contacts of the scene have a number there.
private let prices = #"{"prices":{"currency":"USD","items":[{"channel":"sms","country":"US","amount_micros":10000}]}}"#

@Suite struct BudgetTests {
    @Test func `a budget pauses the campaign before the message that does not fit, and nothing is lost`() throws {
        try withSending(contacts: 50) { sending in
            try sending.db.execute("UPDATE workspaces SET settings = settings || '\(prices)'")
            try set(20, sending)
            try sending.run()
            #expect(sending.provider.ledger.count == 20)
            #expect(try sending.states() == ["sent": 20, "pending": 30])
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused budget_spent")
            #expect(try sending.db.value("SELECT spent_micros || ' ' || needed_micros FROM campaign_budgets") == "200000 10000")
            let notice: JSONValue = try sending.db.value("SELECT to_jsonb(n) FROM notices n")
            #expect(notice["kind"] == "campaign.paused" && notice["subject"]?["reason"] == "budget_spent", "\(notice.text)")
            try set(50, sending)
            try sending.move(CampaignSQL.resume)
            try sending.run()
            #expect(try sending.states() == ["sent": 50])
            #expect(try sending.status() == "finished")
            #expect(try sending.db.value("SELECT spent_micros FROM campaign_budgets") == 500_000)
        }
    }

    @Test func `a message that somebody has tried again is paid again`() throws {
        try withSending(contacts: 20) { sending in
            try sending.db.execute("UPDATE workspaces SET settings = settings || '\(prices)'")
            try set(20, sending)
            try sending.run()
            #expect(try sending.states() == ["sent": 20])
            try sending.db.execute(
                """
                UPDATE messages SET state = 'undelivered', provider_status = 'undelivered', provider_rank = 4, settled_at = now();
                UPDATE campaigns SET status = 'sending', finished_at = NULL;
                """)
            let scene = sending.scene
            try sending.db.transaction { db in
                try db.setWorkspace(scene.workspace)
                #expect(try db.one(ByHandSQL.retry, scene.campaign, nil, ["undelivered"], nil, 5) == 5)
            }
            try sending.run()
            #expect(sending.provider.ledger.count == 20)
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused budget_spent")
        }
    }

    @Test func `a message without a price does not go while there is a budget`() throws {
        try withSending(contacts: 10) { sending in
            try sending.db.execute("UPDATE workspaces SET settings = settings || '\(prices.replacing("US", with: "DE"))'")
            try set(1000, sending)
            try sending.run()
            #expect(try sending.states() == ["pending": 10])
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused price_unknown")
        }
    }

    /// Workers that race, answers that get lost, and messages that are turned away and tried again.
    @Test func `what is spent is what was started, once each, and never more than the budget`() throws {
        try withSending(
            contacts: 300, rate: 5000, body: "{{ attributes.note }}",
            script: { _, number in
                switch number % 7 {
                case 1: .refuse(status: 429, code: 20429, headers: "Retry-After: 0.02\r\n")
                case 2: .acceptAndHangUp
                case 3: .refuse(status: 400, code: 21211)
                default: .accept
                }
            }
        ) { sending in
            try sending.db.execute("UPDATE workspaces SET settings = settings || '\(prices)'")
            // One to four parts.
            try sending.db.execute(
                "UPDATE contacts SET attributes = jsonb_build_object('note', repeat('x', 100 + 150 * (substr(first_name, 2)::int % 4)))")
            try set(211, sending)
            try sending.race(workers: 3) {
                try waitUntil("the budget is spent", seconds: 60) { try sending.status() != "sending" }
            }
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused budget_spent")
            let spent: Int = try sending.db.value("SELECT spent_micros FROM campaign_budgets")
            // What was turned away gave up its text; its parts follow from the contact's.
            let started: Int = try sending.db.value(
                """
                SELECT sum(CASE substr(c.first_name, 2)::int % 4 WHEN 0 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN 3 ELSE 4 END)::int * 10000
                  FROM messages m JOIN contacts c ON c.id = m.contact_id WHERE m.attempt > 0
                """)
            #expect(spent == started)
            #expect(spent <= 2_110_000 && spent > 2_110_000 - 40_000)
            #expect(Set(sending.provider.ledger.map(\.to)).count == sending.provider.ledger.count)
            let states = try sending.states()
            #expect(states.values.reduce(0, +) == 300 && (states["pending"] ?? 0) > 0, "\(states)")
        }
    }

    @Test func `a budget without prices to count it against keeps a campaign from starting`() throws {
        try withMessagingSite { site throws in
            func start(_ settings: String) throws -> [String?] {
                try site.owner.execute("UPDATE workspaces SET settings = '\(settings)'")
                return try site.post(site.campaign + "/start").json["errors"]?.array?.map { $0["code"]?.string } ?? []
            }
            let made = try site.send("PATCH", site.campaign, ["budget": ["amount": 2, "currency": "USD"]])
            #expect(made.json["budget"] == ["amount": 2, "currency": "USD", "spent": ["amount": 0, "currency": "USD"]], "\(made.text)")
            #expect(try start("{}") == ["price_unknown"])
            #expect(try start(prices.replacing("USD", with: "EUR")) == ["currency_mismatch"])
            #expect(try start(prices.replacing("\"US\"", with: "\"CA\"")) == ["price_unknown"])
            let report = try site.post(site.campaign + "/preflight").json
            #expect(report["cost"]?["unpriced"] == 3 && report["budget"]?["suffices"]?.isNull == true, "\(report.text)")
            #expect(report["budget"]?["over_budget"]?.isNull == true)
            #expect(try site.send("PATCH", site.campaign, ["budget": ["amount": 2, "currency": "usd"]]).code == "bad_format")
            #expect(try start(prices) == [])
            #expect(try site.scene.status(site.owner) == "freezing")
        }
    }

    @Test func `a paused campaign's budget can be raised, and not below what is spent`() throws {
        try withMessagingSite { site throws in
            try site.owner.execute("UPDATE workspaces SET settings = settings || '\(prices)'")
            func put(_ amount: Int) throws -> TestAnswer {
                try site.send("PATCH", site.campaign, ["budget": ["amount": .integer(Int64(amount)), "currency": "USD"]])
            }
            #expect(try put(2).status == 200)
            try site.scene.freeze(site.owner)
            #expect(try put(3).code == "wrong_state")
            try site.owner.execute("UPDATE campaign_budgets SET spent_micros = 15000, needed_micros = 10000")
            _ = try site.post(site.campaign + "/pause")
            #expect(try site.post(site.campaign + "/resume").code == "budget_spent")
            #expect(try put(1).code == "out_of_range")
            #expect(try site.send("PATCH", site.campaign, ["budget": ["amount": 9, "currency": "EUR"]]).code == "currency_mismatch")
            #expect(
                try site.send("PATCH", site.campaign, ["budget": ["amount": 9, "currency": "USD"], "name": "X"]).code == "wrong_state")
            #expect(try site.send("PATCH", site.campaign, ["budget": ["amount": 9, "currency": "USD"]], as: site.viewer).status == 403)
            #expect(try put(3).json["budget"]?["spent"]?["amount"] == 2)
            #expect(try site.post(site.campaign + "/resume").json["status"] == "sending")
            _ = try site.post(site.campaign + "/pause")
            #expect(try site.send("PATCH", site.campaign, ["budget": .null]).json["budget"]?.isNull == true)
            #expect(try put(100).code == "wrong_state")
        }
    }

    @Test func `preflight tells what it costs by country, and whether the budget suffices`() throws {
        try withMessagingSite(contacts: 5, body: "Hi {{ name | default: \"there\" }}") { site throws in
            try site.owner.execute("UPDATE contacts SET phone = '+12045550000' WHERE first_name = 'P1'")
            try site.owner.execute("UPDATE contacts SET phone = '+491701234567' WHERE first_name = 'P2'")
            #expect(try site.post(site.campaign + "/preflight").json["cost"]?.isNull == true)
            try site.owner.execute(
                """
                UPDATE workspaces SET settings = '{"prices":{"currency":"USD","items":[
                    {"channel":"sms","country":"US","amount_micros":7900},{"channel":"sms","amount_micros":50001},
                    {"channel":"sms","country":"CA","amount_micros":8100},{"channel":"email","amount_micros":100}]}}'
                """)
            _ = try site.send("PATCH", site.campaign, ["budget": ["amount": 8, "currency": "USD"]])
            let report = try site.post(site.campaign + "/preflight").json
            #expect(report["cost"]?["amount_micros"]?.integer == 3 * 7900 + 8100 + 50001)
            // 8.1801 cents.
            #expect(report["cost"]?["total"] == ["amount": 9, "currency": "USD"])
            #expect(report["cost"]?["unpriced"] == 0 && report["cost"]?["exact"] == true)
            #expect(
                report["cost"]?["by_country"] == [
                    ["country": "US", "messages": 3, "parts": 3, "amount_micros": 23700],
                    ["country": "CA", "messages": 1, "parts": 1, "amount_micros": 8100],
                    ["country": "DE", "messages": 1, "parts": 1, "amount_micros": 50001],
                ], "\(report.text)")
            // 8 of 8.18 cents are enough for four of five.
            #expect(report["budget"] == ["left": ["amount": 8, "currency": "USD"], "suffices": false, "over_budget": 1])
            #expect(report["warnings"]?.array?.map { $0["code"]?.string } == ["over_budget"])
            #expect(report["can_start"] == true)
        }
    }

    @Test func `minor units are those of the currency`() {
        #expect(Money(amount: 3, currency: "USD").micros == 30_000 && Money(amount: 3, currency: "JPY").micros == 3_000_000)
        #expect(Money(amount: 3, currency: "KWD").micros == 3000)
        #expect(Money(micros: 30_001, currency: "USD").amount == 4 && Money(micros: 30_000, currency: "USD").amount == 3)
        #expect(Money(micros: 0, currency: "JPY").amount == 0 && Money(micros: 1, currency: "JPY").amount == 1)
    }

    private func set(_ cents: Int, _ sending: Sending) throws {
        try sending.db.inWorkspace(sending.scene.workspace) { db in
            _ = try db.run(BudgetSQL.set, sending.scene.campaign, cents, "USD", cents * 10_000)
        }
    }
}
