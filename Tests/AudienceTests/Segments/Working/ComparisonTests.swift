// Segments side by side, and one segment over time.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct ComparisonTests {
    /// Values of the score interval to ten digits, worked out by hand from the formula of 1927.
    @Test(arguments: [
        (0, 10, 0.0, 0.277532799862889), (10, 10, 0.722467200137111, 1.0), (5, 10, 0.236593090512564, 0.763406909487436),
        (1, 1000, 0.000176546371, 0.005642558598), (81, 263, 0.255288519878, 0.366209576983),
    ]) func `an interval is Wilson's`(count: Int, total: Int, low: Double, high: Double) throws {
        let interval = try #require(Proportion(count: count, total: total).interval)
        #expect(abs(interval.low - low) < 1e-6 && abs(interval.high - high) < 1e-6, "\(interval)")
    }

    @Test func `an interval holds its rate, shrinks with the number, and is nothing without one`() {
        #expect(Proportion(count: 0, total: 0).interval == nil && Proportion(count: 0, total: 0).rate == nil)
        for total in [1, 2, 7, 50, 10_000] {
            for count in Set([0, 1, total / 2, total]) {
                let share = Proportion(count: count, total: total)
                guard let rate = share.rate, let interval = share.interval else { continue }
                #expect(interval.low >= 0 && interval.low <= rate + 1e-12 && rate <= interval.high + 1e-12 && interval.high <= 1)
                if let larger = Proportion(count: count * 10, total: total * 10).interval {
                    #expect(larger.high - larger.low < interval.high - interval.low)
                }
            }
        }
    }

    /// One message to each of these, with what came of it.
    private func send(_ site: AudienceSite, _ contacts: [JSONValue], _ state: String, ago: String = "1 day", responses: [String] = [])
        throws
    {
        for contact in contacts {
            let campaign: String = try site.owner.value(
                """
                INSERT INTO campaigns (workspace_id, name, channel) VALUES ($1::uuid, 'C', 'sms') RETURNING id::text
                """, site.workspace.sqlValue)
            try site.owner.runDynamic(
                """
                INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, body, parts, state, attempt, sid,
                                      due_at, created_at, started_at, sent_at, settled_at)
                VALUES ($1::uuid, $2::uuid, $3::uuid, uuid_v7(), 'sms', '+12025550100', 'x', 1, $4, 1, 'SM', now(), now() - $5::interval,
                        now(), now() - $5::interval, CASE WHEN $4 IN ('delivered', 'undelivered', 'failed') THEN now() END)
                """, [site.workspace.sqlValue, .text(campaign), .text(contact.string ?? ""), .text(state), .text(ago)])
            for kind in responses {
                try site.owner.runDynamic(
                    "INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at) VALUES ($1::uuid, $2::uuid, $3, $4::uuid, now())",
                    [site.workspace.sqlValue, .text(campaign), .text(kind), .text(contact.string ?? "")])
            }
        }
    }

    @Test func `sizes, overlaps and what is only in one come from membership`() throws {
        try withAudience { site throws in
            // n from 1 to 12: low 1…8, high 5…12, even 2, 4 … 12.
            for n in 1...12 { _ = try site.add(["attributes": ["n": .integer(Int64(n)), "even": .bool(n % 2 == 0)]]) }
            let low = try site.segment("Low", ["field": "attributes.n", "op": "at_most", "value": 8])
            let high = try site.segment("High", ["field": "attributes.n", "op": "at_least", "value": 5])
            let even = try site.segment("Even", ["field": "attributes.even", "op": "is_true"])
            let nobody = try site.segment("Nobody", ["any": []])
            try site.calculate()
            let ids = [low, high, even].map { idOf($0).string ?? "" }
            let answer = try site.send("GET", "/api/segments/compare?ids=\(ids.joined(separator: ","))")
            #expect(answer.status == 200, "\(answer.text)")
            let segments = answer.json["segments"]?.array ?? []
            #expect(segments.map { $0["name"] } == ["Low", "High", "Even"])
            #expect(segments.map { $0["member_count"] } == [8, 8, 6] && segments.map { $0["only_here"] } == [2, 2, 0])
            #expect(answer.json["in_any"] == 12 && answer.json["in_all"] == 2)
            let overlaps = answer.json["overlaps"]?.array ?? []
            #expect(overlaps.map { $0["count"] } == [4, 4, 4])
            let shares: [Double?] = [4.0 / 12, 4.0 / 10, 4.0 / 10]
            #expect(overlaps.map { $0["jaccard"]?.real } == shares)
            #expect(overlaps.first?["segments"] == [idOf(low), idOf(high)])
            let empty = try site.send("GET", "/api/segments/compare?ids=\(idOf(nobody).string ?? ""),\(ids[0])").json
            #expect(empty["overlaps"]?.array?.first?["jaccard"] == 0.0 && empty["segments"]?.array?.first?["member_count"] == 0)
            #expect(empty["segments"]?.array?.first?["rates"]?["reply_rate"] == ["count": 0, "rate": .null, "low": .null, "high": .null])
        }
    }

    @Test func `rates are of the messages to members in the period, with their intervals`() throws {
        try withAudience { site throws in
            func add(_ plan: String, _ count: Int) throws -> [JSONValue] {
                try (0..<count).map { _ in try site.add(["attributes": ["plan": .string(plan)]])["id"] ?? .null }
            }
            let (gold, iron, both) = (try add("gold", 4), try add("iron", 2), try add("both", 1))
            func segment(_ plan: JSONValue) throws -> String {
                idOf(try site.segment(plan.string ?? "", ["field": "attributes.plan", "op": "is_any_of", "value": [plan, "both"]])).string
                    ?? ""
            }
            let ids = [try segment("gold"), try segment("iron")]
            try site.calculate()
            try send(site, gold, "delivered", responses: ["replied", "clicked"])
            try send(site, gold, "sent")
            try send(site, iron, "undelivered", responses: ["opted_out"])
            try send(site, both, "delivered", responses: ["converted"])
            try send(site, gold, "delivered", ago: "8 days", responses: ["replied"])
            let answer = try site.send("GET", "/api/segments/compare?range=7d&ids=\(ids.joined(separator: ","))").json
            let segments = answer["segments"]?.array ?? []
            func count(_ place: Int, _ rate: String) -> JSONValue? { segments[place]["rates"]?[rate]?["count"] }
            #expect(segments.map { $0["sent"] } == [9, 3])
            let names = ["delivery_rate", "reply_rate", "opt_out_rate", "click_rate", "conversion_rate"]
            #expect(names.map { count(0, $0) } == [5, 4, 0, 4, 1])
            #expect(names.map { count(1, $0) } == [1, 0, 2, 0, 1])
            let interval = try #require(Proportion(count: 4, total: 9).interval)
            #expect(segments[0]["rates"]?["reply_rate"]?["rate"]?.real == 4.0 / 9)
            #expect(
                segments[0]["rates"]?["reply_rate"]?["low"]?.real == interval.low
                    && segments[0]["rates"]?["reply_rate"]?["high"]?.real == interval.high)
            let longer = try site.send("GET", "/api/segments/compare?range=30d&ids=\(ids.joined(separator: ","))").json
            #expect(longer["segments"]?.array?.map { $0["sent"] } == [13, 3])
        }
    }

    @Test func `two to five different segments are compared, and only those that somebody sees`() throws {
        try withAudience { site throws in
            let paths = try (0..<6).map { try site.segment("S\($0)", ["all": []]) }
            let ids = paths.map { idOf($0).string ?? "" }
            func code(_ ids: [String]) throws -> String? {
                try site.send("GET", "/api/segments/compare?ids=\(ids.joined(separator: ","))").code
            }
            #expect(try site.send("GET", "/api/segments/compare").code == "required")
            #expect(try code([ids[0]]) == "too_few" && code([ids[0], ids[0]]) == "too_few" && code(ids) == "too_many")
            #expect(try code([ids[0], UUID.v7().description]) == "not_found" && code([ids[0], "x"]) == "bad_format")
            #expect(try code(Array(ids[..<5])) == nil)
            let other = try site.owner.createUser("manager", in: site.workspace).token
            try site.send("PUT", paths[1] + "/shares", json: ["sharing": "restricted"])
            let hidden = try site.send("GET", "/api/segments/compare?ids=\(ids[0]),\(ids[1])", as: other)
            #expect(hidden.code == "not_found" && !hidden.text.contains("S1"))
        }
    }

    @Test func `a trend goes back from what the segment is, day by day, and leaves no day out`() throws {
        try withAudience { site throws in
            try site.owner.execute("UPDATE workspaces SET timezone = 'Pacific/Auckland'")
            let path = try site.segment("S", ["all": []])
            for _ in 0..<3 { _ = try site.add(["name": "A"]) }
            try site.calculate()
            let id = idOf(path).string ?? ""
            // Five came nine local days ago, four of them went two days ago; the three of today are there.
            try site.owner.execute(
                """
                DELETE FROM segment_changes; UPDATE segments SET created_at = now() - interval '20 days', member_count = 4;
                INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
                SELECT '\(site.workspace)', '\(id)', uuid_v7(), 'entered', d.at
                  FROM (SELECT ((now() AT TIME ZONE 'Pacific/Auckland')::date - 9 + time '00:30') AT TIME ZONE 'Pacific/Auckland' AS at
                          FROM generate_series(1, 5)
                        UNION ALL SELECT now() FROM generate_series(1, 3)) d;
                INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
                SELECT '\(site.workspace)', '\(id)', uuid_v7(), 'exited',
                       ((now() AT TIME ZONE 'Pacific/Auckland')::date - 2 + time '23:59') AT TIME ZONE 'Pacific/Auckland' FROM generate_series(1, 4);
                """)
            let trend = try site.send("GET", path + "/trend").json
            #expect(trend["timezone"] == "Pacific/Auckland" && trend["group"] == "day" && trend["member_count"] == 4)
            let points = trend["points"]?.array ?? []
            #expect(points.count == 30)
            let today: String = try site.owner.value(
                "SELECT rfc3339(date_trunc('day', now() AT TIME ZONE 'Pacific/Auckland') AT TIME ZONE 'Pacific/Auckland')")
            #expect(points.last?["at"]?.string == today)
            #expect(points.suffix(11).map { $0["size"] } == [0, 5, 5, 5, 5, 5, 5, 5, 1, 1, 4])
            #expect(points.suffix(3).map { $0["exited"] } == [4, 0, 0] && points.last?["entered"] == 3)
            // Before it was there it had no size.
            #expect(points.first?["size"] == .null)
            let times = points.compactMap { $0["at"]?.string.flatMap { Instant(rfc3339: $0) } }
            let hours = zip(times, times.dropFirst()).map { $1.seconds(since: $0) / 3600 }
            #expect(hours.count == 29 && hours.allSatisfy { $0 >= 23 && $0 <= 25 })

            let weeks = try site.send("GET", path + "/trend?range=90d&group=week").json["points"]?.array ?? []
            #expect((13...14).contains(weeks.count) && weeks.last?["size"] == 4)
            let (entered, exited) = (weeks.compactMap { $0["entered"]?.integer }, weeks.compactMap { $0["exited"]?.integer })
            #expect(entered.reduce(0, +) == 8 && exited.reduce(0, +) == 4)
            #expect(try site.send("GET", path + "/trend?range=7d").json["points"]?.array?.count == 7)
            for query in ["range=1y", "group=month"] { #expect(try site.send("GET", path + "/trend?\(query)").code == "not_one_of") }
        }
    }
}
