import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct ConversionTests {
    private let sentAt = Instant(rfc3339: "2026-11-20T12:00:00Z")!

    private func tell(_ site: AnalyticsSite, _ contact: ContactID, secondsAfter: Double, _ name: String = "bought") throws {
        let answer = try site.post(
            "/api/events",
            [
                "contact": ["id": .string(contact.description)], "name": .string(name),
                "occurred_at": .string((sentAt + secondsAfter).description),
            ])
        #expect(answer.status == 202)
    }
    private func converted(_ site: AnalyticsSite, _ campaign: CampaignID) throws -> Int {
        try site.get("/api/campaigns/\(campaign)/analytics").json["converted"]?.integer ?? -1
    }

    @Test func `a goal counts from the sending to the end of the window, that instant excluded`() throws {
        try withAnalytics { site in
            let contacts = try site.contacts(5)
            let campaign = try site.campaign(frozenAt: sentAt - 60, goal: "bought", windowSeconds: 3600)
            for contact in contacts { try site.message(.sent(contact, at: sentAt), of: campaign, frozenAt: sentAt - 60) }
            try tell(site, contacts[0], secondsAfter: -0.001)
            try tell(site, contacts[1], secondsAfter: 0)
            try tell(site, contacts[2], secondsAfter: 3599.999)
            try tell(site, contacts[3], secondsAfter: 3600)
            try tell(site, contacts[4], secondsAfter: 10, "looked")
            #expect(try converted(site, campaign) == 2)
        }
    }

    @Test func `who did not get the campaign does not convert for it`() throws {
        try withAnalytics { site in
            let contacts = try site.contacts(3)
            let campaign = try site.campaign(frozenAt: sentAt, goal: "bought")
            try site.message(
                LedgerRow(contact: contacts[0], state: "skipped", skipReason: "no_consent", settledAt: sentAt), of: campaign,
                frozenAt: sentAt)
            try site.message(LedgerRow(contact: contacts[1], state: "pending"), of: campaign, frozenAt: sentAt)
            for contact in contacts { try tell(site, contact, secondsAfter: 10) }
            #expect(try converted(site, campaign) == 0)
        }
    }

    @Test func `a person converts once per campaign, at the earliest time that was told`() throws {
        try withAnalytics { site in
            let contact = try site.contacts(1)[0]
            let campaigns = try [0, 1].map { try site.campaign(frozenAt: sentAt - Double($0), goal: "bought") }
            for (index, campaign) in campaigns.enumerated() {
                try site.message(.sent(contact, at: sentAt), of: campaign, frozenAt: sentAt - Double(index))
            }
            try tell(site, contact, secondsAfter: 50)
            try tell(site, contact, secondsAfter: 20)
            try tell(site, contact, secondsAfter: 80)
            for campaign in campaigns {
                #expect(try converted(site, campaign) == 1)
                let at: Instant = try site.db.value(
                    "SELECT occurred_at FROM campaign_responses WHERE campaign_id = $1 AND kind = 'converted'", campaign.sqlValue)
                #expect(at == sentAt + 20)
            }
        }
    }

    @Test func `a batch attributes all of its events, in agreement with a recount`() throws {
        try withAnalytics { site in
            let contacts = try site.contacts(40)
            var random = SystemRandomNumberGenerator()
            let campaigns = try (0..<3).map { index in
                (
                    id: try site.campaign(
                        frozenAt: sentAt - Double(index), goal: ["bought", "looked", "bought"][index], windowSeconds: 600),
                    frozenAt: sentAt - Double(index)
                )
            }
            for campaign in campaigns {
                for contact in contacts where Bool.random(using: &random) {
                    try site.message(
                        .sent(contact, at: sentAt + Double.random(in: 0...900, using: &random)), of: campaign.id,
                        frozenAt: campaign.frozenAt)
                }
            }
            let events: [JSONValue] = (0..<300).map { _ in
                [
                    "contact": ["id": .string(contacts.randomElement(using: &random)!.description)],
                    "name": .string(["bought", "looked"].randomElement(using: &random)!),
                    "occurred_at": .string((sentAt + Double.random(in: 0...2000, using: &random)).description),
                ]
            }
            #expect(try site.post("/api/events", .array(events)).json["accepted"] == 300)
            for campaign in campaigns {
                let naive: Int = try site.db.value(
                    """
                    SELECT count(DISTINCT e.contact_id) FROM events e
                      JOIN campaigns c ON c.goal_event = e.name
                      JOIN messages m ON m.campaign_id = c.id AND m.contact_id = e.contact_id
                     WHERE c.id = $1 AND e.occurred_at >= m.sent_at AND e.occurred_at < m.sent_at + interval '600 seconds'
                    """, campaign.id.sqlValue)
                #expect(try converted(site, campaign.id) == naive)
            }
        }
    }
}
