import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Analytics

@Suite struct OverviewTests {
    @Test func `a period is whole days of the workspace, also where clocks change`() throws {
        try withDatabase { db in
            let workspace = try db.createWorkspace(timezone: "America/New_York")
            try db.setWorkspace(workspace)
            // Just after midnight of the 3rd of November there, and still the 3rd in UTC.
            let period = try db.one(OverviewSQL.period, Instant(rfc3339: "2026-11-03T05:10:00Z")!, 7)
            #expect(period.ends == Instant(rfc3339: "2026-11-04T05:00:00Z"))
            #expect(period.starts == Instant(rfc3339: "2026-10-28T04:00:00Z"))
            #expect(period.before == Instant(rfc3339: "2026-10-21T04:00:00Z"))
        }
    }

    @Test func `the overview adds up all campaigns, day by day, and sets the period before beside it`() throws {
        try withAnalytics(timezone: "Asia/Kolkata") { site in
            let now = Instant.now()
            let contacts = try site.contacts(9)
            func send(_ contacts: ArraySlice<ContactID>, daysAgo: Double, state: String) throws {
                let at = now - daysAgo * 86_400
                let campaign = try site.campaign(frozenAt: at)
                for contact in contacts { try site.message(.sent(contact, at: at, state: state), of: campaign, frozenAt: at) }
            }
            try send(contacts[0..<3], daysAgo: 0, state: "delivered")
            try send(contacts[3..<5], daysAgo: 2, state: "sent")
            try send(contacts[5..<9], daysAgo: 9, state: "undelivered")
            let body = try site.get("/api/analytics/overview?range=7d").json
            #expect(
                body["sent"] == 5 && body["delivered"] == 3 && body["recipients"] == 5 && body["contacts"] == 9 && body["campaigns"] == 2)
            #expect(body["previous"]?["sent"] == 4 && body["previous"]?["undelivered"] == 4 && body["previous"]?["campaigns"] == 1)
            let points = body["timeline"]?.array ?? []
            #expect(points.count == 7 && points.last?["sent"] == 3 && points[4]["sent"] == 2)
            #expect(points.allSatisfy { $0["at"]?.string?.hasSuffix("T18:30:00.000000Z") == true })
            for group in ["week", "month"] {
                let points = try site.get("/api/analytics/overview?range=7d&group=\(group)").json["timeline"]?.array ?? []
                #expect(points.reduce(0) { $0 + ($1["sent"]?.integer ?? 0) } == 5, "\(group)")
            }
            #expect(try site.get("/api/analytics/overview?range=90d").json["sent"] == 9)
            #expect(try site.get("/api/analytics/overview?range=2d").status == 422)
        }
    }

    @Test func `what came of messages of an earlier period makes no rate larger than 1 or negative`() {
        let figures = Figures([
            Count("frozen", "", 2), Count("skipped", "opted_out", 5), Count("sent", "", 1), Count("delivered", "", 3),
            Count("failed", "30003", 2), Count("replied", "", 2),
        ])
        let rates = figures.body["rates"]
        #expect(
            rates?["delivery_rate"] == 1.0 && rates?["failure_rate"] == 1.0 && rates?["reply_rate"] == 1.0 && rates?["click_rate"] == 0.0)
        let late = Figures([Count("skipped", "opted_out", 5), Count("undelivered", "30003", 2)]).body["rates"]
        #expect(late?["delivery_rate"] == .null && late?["failure_rate"] == 1.0)
    }

    @Test func `figures of one's own are recorded and listed by name, newest first`() throws {
        try withAnalytics { site in
            for (name, value, at) in [("visits", 10, "2026-11-01"), ("visits", 12, "2026-11-02"), ("orders", 1, "2026-11-03")] {
                let made = try site.post(
                    "/api/analytics", ["name": .string(name), "value": .integer(Int64(value)), "occurred_at": .string(at + "T00:00:00Z")])
                #expect(made.status == 201)
            }
            #expect(try site.post("/api/analytics", ["name": "visits", "value": "many"]).code == "wrong_type")
            let all = try site.get("/api/analytics?limit=2").json
            #expect(all["items"]?.array?.compactMap { $0["name"]?.string } == ["orders", "visits"])
            let cursor = all["pagination"]?["next_cursor"]?.string ?? ""
            #expect(try site.get("/api/analytics?limit=2&cursor=\(cursor)").json["items"]?.array?.compactMap { $0["value"]?.real } == [10])
            #expect(try site.get("/api/analytics?name=visits").json["items"]?.array?.compactMap { $0["value"]?.real } == [12, 10])
        }
    }
}
