// Recommendations: what the workspace's own data says, with the figures that say it.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct RecommendationTests {
    /// 400 contacts: a quarter golden; colours say nothing. So many of twenty answer.
    private func fill(_ site: AudienceSite, golden: Int, others: Int) throws {
        var csv = "external_id,name,phone,plan,colour\n"
        for n in 0..<400 {
            csv +=
                "c\(n),Person \(n),+1202555\(1000 + n),\(n % 4 == 0 ? "gold" : n % 4 == 1 ? "iron" : "tin"),\(n % 3 == 0 ? "red" : "blue")\n"
        }
        #expect(try site.upload(Array(csv.utf8)).status == 202)
        #expect(try site.work()["state"] == "succeeded")
        try site.owner.execute(
            """
            UPDATE contacts SET created_at = now() - interval '60 days';
            INSERT INTO campaigns (workspace_id, id, name, channel) VALUES ('\(site.workspace)', '0190f5c2-0000-7000-8000-000000000001', 'C', 'sms');
            INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, body, parts, state, attempt, sid,
                                  due_at, created_at, started_at, sent_at, settled_at)
            SELECT workspace_id, '0190f5c2-0000-7000-8000-000000000001', id, uuid_v7(), 'sms', phone, 'x', 1, 'delivered', 1, 'SM', t.at, t.at, t.at, t.at, t.at
              FROM contacts, (SELECT now() - interval '40 days') t (at);
            INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
            SELECT workspace_id, '0190f5c2-0000-7000-8000-000000000001', 'replied', id, now() - interval '39 days' FROM contacts
             WHERE (substr(external_id, 2)::int / 4) % 20 < CASE attributes ->> 'plan' WHEN 'gold' THEN \(golden) ELSE \(others) END;
            """)
    }

    private func items(_ site: AudienceSite) throws -> [JSONValue] {
        let answer = try site.send("GET", "/api/segments/recommendations")
        #expect(answer.status == 200, "\(answer.text)")
        return answer.json["items"]?.array ?? []
    }

    @Test func `a value whose people answer more often is recommended, with the figures`() throws {
        try withAudience { site throws in
            try fill(site, golden: 5, others: 2)
            let found = try items(site).filter { $0["kind"] == "value_makes_a_difference" }
            #expect(found.map { $0["name"] } == ["gold (attributes.plan)"])
            let gold = try #require(found.first)
            #expect(gold["rule"]?["match"] == ["field": "attributes.plan", "op": "is", "value": "gold"])
            #expect(gold["count"] == 100 && gold["exact"] == true && gold["low"] == 100 && gold["high"] == 100)
            let reason = gold["reason"]?.string ?? ""
            #expect(
                reason.contains("more often") && reason.contains("25.0 % (25 of 100;") && reason.contains("10.0 % (30 of 300;"), "\(reason)"
            )
            // What is recommended can be saved as it is.
            let saved = try site.send("POST", "/api/segments", json: ["name": gold["name"] ?? .null, "rule": gold["rule"] ?? .null])
            #expect(saved.status == 201)
        }
    }

    @Test func `what may be chance is not recommended`() throws {
        try withAudience { site throws in
            try fill(site, golden: 3, others: 2)
            #expect(try items(site).allSatisfy { $0["kind"] != "value_makes_a_difference" })
        }
    }

    @Test func `templates that find a useful share are recommended, unless there is such a segment`() throws {
        try withAudience { site throws in
            try fill(site, golden: 5, others: 2)
            func templates() throws -> [String: JSONValue] {
                Dictionary(
                    uniqueKeysWithValues: try items(site).filter { $0["template"]?.string != nil }.map {
                        ($0["template"]?.string ?? "", $0)
                    })
            }
            let found = try templates()
            // Everybody was asked for nothing: that needs attention however many they are. Nobody is new.
            #expect(found["never_asked"]?["kind"] == "needs_attention" && found["never_asked"]?["count"] == 400)
            #expect(
                found["likely_to_leave"]?["count"] == 55
                    && found["likely_to_leave"]?["reason"]?.string?.contains("13.8 % of all 400 contacts") == true)
            #expect(
                found["new_this_week"] == nil && found["never_messaged"] == nil && found["gone_quiet"] == nil,
                "nobody, and everybody, is no segment")
            #expect(try site.send("POST", "/api/segments", json: ["name": "L", "template": "likely_to_leave"]).status == 201)
            #expect(try templates()["likely_to_leave"] == nil)
        }
    }

    @Test func `of many contacts a sample is asked, and says so`() throws {
        try withAudience { site throws in
            #expect(try items(site) == [])
            try site.owner.transaction { db in
                try db.setWorkspace(site.workspace)
                try db.execute(
                    """
                    INSERT INTO contacts (workspace_id, ordinal, external_id, name, created_at)
                    SELECT current_workspace(), t.n + i, 'c' || i, CASE WHEN i % 10 <> 0 THEN 'N' END, now() - interval '60 days'
                      FROM (SELECT take_ordinals(5000) AS n) t, generate_series(1, 5000) i
                    """)
            }
            let answer = try site.send("GET", "/api/segments/recommendations").json
            #expect(answer["sampled"] == 2000 && answer["contacts"] == 5000)
            let never = try #require(answer["items"]?.array?.first { $0["template"] == "never_messaged" })
            #expect(
                never["count"] == 5000 && never["exact"] == false && never["reason"]?.string?.contains("a sample of 2000 contacts") == true)
            // Nobody has an address, so all are incomplete; of an estimate the bounds are told.
            let incomplete = try #require(answer["items"]?.array?.first { $0["template"] == "incomplete" })
            #expect(incomplete["high"] == 5000 && (incomplete["low"]?.integer ?? 0) > 4900)
        }
    }

    @Test func `only the workspace's own data is looked at`() throws {
        try withAudience { site throws in
            try fill(site, golden: 5, others: 2)
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            #expect(try site.send("GET", "/api/segments/recommendations", as: other).json["items"] == [])
        }
    }
}
