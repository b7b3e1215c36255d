import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct RecurringRouteTests {
    private func fault(_ answer: TestAnswer) -> String {
        let fault = answer.json["errors"]?.array?.first
        return (fault?["pointer"]?.string ?? "\(answer.status)") + " " + (fault?["code"]?.string ?? answer.code ?? "")
    }

    @Test func `what is wrong is told at its place`() throws {
        try withMessagingSite { site throws in
            let wrong: [(JSONObject, String)] = [
                (["every": "week"], "/weekdays required"),
                (["weekdays": ["monday"]], "/weekdays not_expected"),
                (["every": "week", "weekdays": ["mon"]], "/weekdays/0 not_one_of"),
                (["every": "month"], "/day_of_month required"),
                (["day_of_month": 3], "/day_of_month not_expected"),
                (["every": "month", "day_of_month": 32], "/day_of_month out_of_range"),
                (["every": "hour"], "/every not_one_of"),
                (["interval": 0], "/interval out_of_range"),
                (["at": "25:00"], "/at bad_format"),
                (["at": "09:60"], "/at bad_format"),
                (["time_zone": "Europe/Atlantis"], "/time_zone unknown_timezone"),
                (["time_zone": "CEST"], "/time_zone unknown_timezone"),
                (["starts_on": "2026-02-30"], "/starts_on bad_format"),
                (["starts_on": "1999-12-31"], "/starts_on out_of_range"),
                (["starts_on": "2030-01-02", "ends_on": "2030-01-01"], "/ends_on reversed_range"),
                (["starts_on": "2026-01-01", "ends_on": "2026-01-02"], "/ends_on no_occurrence"),
                (["ends_on": "2026-01-02"], "/ends_on no_occurrence"),
                (["ends_on": "2199-01-01", "ends_after": 3], "/ends_after not_expected"),
                (["ends_after": 0], "/ends_after out_of_range"),
                (["campaign_id": .string(CampaignID.new().description)], "/campaign_id not_found"),
            ]
            for (change, expected) in wrong {
                #expect(fault(try site.recur(change)) == expected)
            }
            #expect(try site.owner.value("SELECT count(*) FROM recurring_campaigns") == 0)
            let path = try site.recurringPath(["every": "week", "weekdays": ["sunday", "monday", "sunday"]])
            #expect(try site.get(path).json["weekdays"] == ["monday", "sunday"])
            #expect(fault(try site.send("PATCH", path, ["every": "month"])) == "/day_of_month required")
            let monthly = try site.send("PATCH", path, ["every": "month", "day_of_month": 31])
            #expect(monthly.status == 200 && monthly.json["weekdays"]?.isNull == true, "\(monthly.text)")
            #expect(fault(try site.send("PATCH", path, ["ends_on": "2026-01-01", "starts_on": "2025-01-01"])) == "/ends_on no_occurrence")
            #expect(try site.get(path).json["ends_on"]?.isNull == true)
        }
    }

    @Test func `the pattern has to be a draft that could start, and stays one while something recurs from it`() throws {
        try withMessagingSite { site throws in
            try site.owner.execute("UPDATE segments SET archived_at = now()")
            #expect(fault(try site.recur()) == "/campaign_id segment_archived")
            try site.owner.execute("UPDATE segments SET archived_at = NULL")
            let path = try site.recurringPath()
            #expect(try site.post(site.campaign + "/start").code == "pattern_in_use")
            #expect(
                try site.post(site.campaign + "/schedule", ["at": .string((Instant.now() + 3600).description)]).code == "pattern_in_use")
            #expect(try site.send("DELETE", site.campaign).code == "pattern_in_use")
            for statement in ["UPDATE campaigns SET status = 'freezing', start_requested_at = now()", "DELETE FROM campaigns"] {
                #expect(throws: PostgresError.self) { () throws in try site.owner.execute(statement) }
            }
            #expect(try site.send("PATCH", site.campaign, ["body": "Changed"]).status == 200)
            try site.isDue()
            try site.settle()
            #expect(try site.owner.value("SELECT body FROM campaigns WHERE status = 'freezing'") == "Changed")
            _ = try site.post(path + "/pause")
            #expect(try site.post(site.campaign + "/start").code == "pattern_in_use")
            _ = try site.post(path + "/end")
            #expect(try site.post(site.campaign + "/start").status == 200)
            #expect(fault(try site.recur()) == "/campaign_id not_a_draft")
        }
    }

    @Test func `another workspace sees nothing of it`() throws {
        try withMessagingSite { site throws in
            let path = try site.recurringPath()
            #expect(try site.get(path, as: site.stranger).status == 404)
            #expect(try site.get(path + "/occurrences", as: site.stranger).status == 404)
            #expect(try site.get(MessagingSite.recurring, as: site.stranger).json["items"] == [])
            #expect(fault(try site.recur(as: site.stranger)) == "/campaign_id not_found")
            #expect(try site.recur(as: site.viewer).status == 403)
            #expect(try site.get(MessagingSite.recurring, as: site.viewer).json["items"]?.array?.count == 1)
            #expect(try site.get(MessagingSite.recurring + "?status=paused").json["items"] == [])
        }
    }

    @Test func `a change counts from now on, and no day has two campaigns`() throws {
        try withMessagingSite { site throws in
            let path = try site.recurringPath(["time_zone": "UTC", "at": "00:00"])
            try site.isDue()
            try site.settle()
            let changed = try site.send("PATCH", path, ["at": "23:59"])
            #expect(changed.status == 200)
            #expect(try site.owner.value("SELECT next_at::date > now()::date AND next_at::time = '23:59' FROM recurring_campaigns"))
            #expect(try site.send("PATCH", path, ["name": "Other"], headers: [("If-Match", "\"v1\"")]).code == "version_mismatch")
            #expect(try site.send("DELETE", path).status == 204)
            #expect(try site.get(path).status == 404)
            #expect(try site.owner.value("SELECT count(*) FROM campaigns WHERE status = 'freezing'") == 1)
        }
    }

    @Test func `each occurrence may have an end of its own`() throws {
        try withMessagingSite { site throws in
            _ = try site.send("PATCH", site.campaign, ["send_until": .string((Instant.now() + 3600).description)])
            try site.owner.execute("UPDATE campaigns SET send_until = now() - interval '1 day'")
            #expect(fault(try site.recur()) == "/campaign_id out_of_range")
            _ = try site.recurringPath(["send_for_seconds": 7200])
            try site.isDue()
            try site.settle()
            #expect(
                try site.owner.value(
                    """
                    SELECT c.send_until = o.occurs_at + interval '2 hours' FROM recurring_occurrences o JOIN campaigns c ON c.id = o.campaign_id
                    """))
        }
    }
}
