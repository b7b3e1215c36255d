import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct LiftTests {
    private let frozenAt = Instant(rfc3339: "2026-11-20T12:00:00Z")!

    /// Newcombe 1998, table II, line 10: the score method without continuity correction.
    @Test(arguments: [
        (56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926), (0, 10, 0, 20, -0.1611, 0.2775), (10, 10, 0, 20, 0.6791, 1.0000),
    ])
    func `the interval of a difference is Newcombe's`(a: Int, m: Int, b: Int, n: Int, low: Double, high: Double) throws {
        let difference = try #require(Proportion(count: a, total: m).difference(from: Proportion(count: b, total: n)))
        #expect(abs(difference.low - low) < 6e-5 && abs(difference.high - high) < 6e-5, "\(difference)")
        #expect(abs(difference.value - (Double(a) / Double(m) - Double(b) / Double(n))) < 1e-12)
        let reverse = try #require(Proportion(count: b, total: n).difference(from: Proportion(count: a, total: m)))
        #expect(abs(reverse.low + difference.high) < 1e-12 && abs(reverse.high + difference.low) < 1e-12)
        #expect(Proportion(count: 1, total: 2).difference(from: Proportion(count: 0, total: 0)) == nil)
    }

    @Test func `both arms count in the same window, and whoever was in neither counts in none`() throws {
        try withAnalytics { site throws in
            let contacts = try site.contacts(12)
            let campaign = try site.campaign(frozenAt: frozenAt, goal: "bought", windowSeconds: 3600)
            func put(_ index: Int, _ row: LedgerRow) throws { try site.message(row, of: campaign, frozenAt: frozenAt) }
            func skip(_ index: Int, _ reason: String, at: Instant) throws {
                try put(index, LedgerRow(contact: contacts[index], state: "skipped", skipReason: reason, settledAt: at))
            }
            for index in 0..<4 { try skip(index, "holdout", at: frozenAt) }
            // Sent late, never sent for a reason that came later, and left out by the freezing itself.
            for index in 4..<8 { try put(index, .sent(contacts[index], at: frozenAt + 600)) }
            try skip(8, "opted_out", at: frozenAt + 5)
            try skip(9, "no_consent", at: frozenAt)
            try site.db.runDynamic(
                """
                INSERT INTO campaign_arms (workspace_id, campaign_id, arm, contacts)
                VALUES ($1, $2, 'treated', 5), ($1, $2, 'campaign', 4), ($1, $2, 'workspace', 3)
                """, [site.workspace.sqlValue, campaign.sqlValue])
            let events: [(Int, Double)] = [
                (0, -1), (1, 0), (2, 3599.9), (3, 3600),  // held out: the second and the third
                (4, 60), (5, 700), (5, 800), (6, 3700),  // treated: before its sending, after it, and after the window
                (8, 10), (9, 10), (10, 10),
            ]
            for (index, seconds) in events {
                let event: JSONValue = [
                    "contact": ["id": .string(contacts[index].description)], "name": "bought",
                    "occurred_at": .string((frozenAt + seconds).description),
                ]
                #expect(try site.post("/api/events", event).status == 202)
            }
            let answer = try site.get("/api/campaigns/\(campaign)/analytics").json
            // Credited are those whose sending came first: another number, which stays as it was.
            #expect(answer["converted"] == 2)
            let holdout = try #require(answer["holdout"])
            #expect(holdout["contacts"] == 4 && holdout["converted"] == 2 && holdout["rate"]?.real == 0.5, "\(holdout.text)")
            #expect(holdout["treated"]?["contacts"] == 5 && holdout["treated"]?["converted"] == 3, "\(holdout.text)")
            #expect(abs((holdout["lift"]?["difference"]?.real ?? 9) - 0.1) < 1e-12)
            #expect(abs((holdout["lift"]?["relative"]?.real ?? 9) - 0.2) < 1e-12)
            let difference = Proportion(count: 3, total: 5).difference(from: Proportion(count: 2, total: 4))!
            #expect(holdout["lift"]?["interval"] == [.real(difference.low), .real(difference.high)])
            #expect(holdout["by_scope"]?["campaign"]?["converted"] == 2 && holdout["by_scope"]?["campaign"]?["lift"] == holdout["lift"])
            // Whoever is held out of all campaigns answers another question.
            #expect(holdout["by_scope"]?["workspace"]?["contacts"] == 3 && holdout["by_scope"]?["workspace"]?["converted"] == 0)
            #expect(abs((holdout["by_scope"]?["workspace"]?["lift"]?["difference"]?.real ?? 9) - 0.6) < 1e-12)
            #expect(holdout["window_ends_at"]?.string == (frozenAt + 3600).description)
        }
    }

    @Test func `a conversion of somebody held out is credited to nobody`() throws {
        try withAnalytics { site throws in
            let contact = try site.contacts(1)[0]
            let campaign = try site.campaign(frozenAt: frozenAt, goal: "bought")
            // Everybody: a slice of all would be larger than any that may be set.
            try site.db.execute("UPDATE campaigns SET workspace_holdout_basis_points = 10000, workspace_holdout_salt = 'x'")
            try site.message(
                LedgerRow(contact: contact, state: "skipped", skipReason: "holdout", settledAt: frozenAt), of: campaign, frozenAt: frozenAt)
            try site.db.runDynamic(
                "INSERT INTO campaign_arms (workspace_id, campaign_id, arm, contacts) VALUES ($1, $2, 'treated', 1), ($1, $2, 'workspace', 1)",
                [site.workspace.sqlValue, campaign.sqlValue])
            for seconds in [5.0, 6.0] {
                _ = try site.post(
                    "/api/events",
                    [
                        "contact": ["id": .string(contact.description)], "name": "bought",
                        "occurred_at": .string((frozenAt + seconds).description),
                    ])
            }
            let answer = try site.get("/api/campaigns/\(campaign)/analytics").json
            #expect(answer["converted"] == 0)
            #expect(answer["holdout"]?["by_scope"]?["workspace"]?["converted"] == 1, "\(answer.text)")
            #expect(answer["holdout"]?["by_scope"]?["workspace"]?["lift"]?["difference"]?.real == -1)
            // Nobody was held out of this campaign by itself.
            #expect(answer["holdout"]?["contacts"] == 0 && answer["holdout"]?["lift"]?.isNull == true)
            #expect(answer["holdout"]?["by_scope"]?["campaign"]?.isNull == true)
        }
    }

    @Test func `without a holdout there is no lift, and without a goal no rate`() throws {
        try withAnalytics { site throws in
            let campaign = try site.campaign(frozenAt: frozenAt)
            #expect(try site.get("/api/campaigns/\(campaign)/analytics").json["holdout"]?.isNull == true)
            try site.db.runDynamic(
                "INSERT INTO campaign_arms (workspace_id, campaign_id, arm, contacts) VALUES ($1, $2, 'treated', 9), ($1, $2, 'workspace', 1)",
                [site.workspace.sqlValue, campaign.sqlValue])
            let holdout = try site.get("/api/campaigns/\(campaign)/analytics").json["holdout"]
            #expect(
                holdout?["by_scope"]?["workspace"]?["contacts"] == 1 && holdout?["rate"]?.isNull == true && holdout?["lift"]?.isNull == true
            )
            #expect(holdout?["converted"]?.isNull == true && holdout?["treated"]?["contacts"] == 9)
        }
    }
}
