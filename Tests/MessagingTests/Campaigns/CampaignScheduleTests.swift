import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct CampaignScheduleTests {
    private func later(_ seconds: Double) -> JSONValue { ["at": .string((Instant.now() + seconds).description)] }

    private func isDue(_ site: MessagingSite, since ago: String = "1 second") throws {
        try site.owner.execute("UPDATE campaigns SET scheduled_at = now() - interval '\(ago)' WHERE status = 'scheduled'")
    }

    /// What a worker does with campaigns that are due.
    private func work(_ site: MessagingSite) throws {
        let db = try site.database.connect(as: .worker)
        for due in try db.all(ScheduleSQL.due) { try DueCampaign.start(due.campaign, in: due.workspace, db) }
    }

    @Test func `a campaign is scheduled, put off, taken back, and starts by itself when its instant has come`() throws {
        try withMessagingSite { site throws in
            let scheduled = try site.post(site.campaign + "/schedule", later(3600))
            #expect(scheduled.status == 200 && scheduled.json["status"] == "scheduled", "\(scheduled.text)")
            #expect(try site.post(site.campaign + "/schedule", later(7200)).json["scheduled_at"] != scheduled.json["scheduled_at"])
            #expect(try site.send("PATCH", site.campaign, ["name": "Other"]).code == "wrong_state")
            #expect(try site.post(site.campaign + "/unschedule").json["status"] == "draft")
            #expect(try site.get(site.campaign).json["scheduled_at"]?.isNull == true)
            #expect(try site.post(site.campaign + "/unschedule").code == "wrong_state")
            _ = try site.post(site.campaign + "/schedule", later(3600))
            try work(site)
            #expect(try site.get(site.campaign).json["status"] == "scheduled")
            try isDue(site)
            _ = try inParallel(4) { [database = site.database] _ in
                let db = try database.connect(as: .worker)
                for due in try db.all(ScheduleSQL.due) { try DueCampaign.start(due.campaign, in: due.workspace, db) }
            }
            #expect(try site.get(site.campaign).json["status"] == "freezing")
            let jobs: [String] = try site.owner.dynamic("SELECT kind FROM jobs ORDER BY kind", [])
            #expect(jobs == ["calculate_segment", "freeze_campaign"])
            #expect(try site.post(site.campaign + "/schedule", later(3600)).code == "wrong_state")
        }
    }

    @Test func `what would keep it from starting is told when it is scheduled`() throws {
        try withMessagingSite { site throws in
            for at in ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] as [JSONValue] {
                #expect(try site.post(site.campaign + "/schedule", ["at": at]).code == "out_of_range")
            }
            #expect(try site.post(site.campaign + "/schedule", ["at": "tomorrow"]).code == "bad_format")
            try site.owner.execute("UPDATE segments SET archived_at = now()")
            #expect(try site.post(site.campaign + "/schedule", later(60)).code == "segment_archived")
        }
    }

    @Test func `it does not begin when its time is over`() throws {
        try withMessagingSite { site throws in
            func schedule(_ body: JSONValue) throws -> (status: Int, code: String?) {
                let answer = try site.post(site.campaign + "/schedule", body)
                return (answer.status, answer.json["errors"]?.array?.first?["pointer"]?.string)
            }
            let noon = LocalMinute(String((Instant.now() + 2 * 86_400).description.prefix(10)) + "T12:00")!
            _ = try site.send("PATCH", site.campaign, ["send_until": .string(noon.last.description)])
            for body in [
                ["at": .string(noon.last.description)], ["at": .string((noon.last + 1).description)], ["at_local": .string(noon.text)],
            ]
                as [JSONValue]
            {
                #expect(try schedule(body) == (422, "/send_until"), "\(body.text)")
            }
            #expect(try schedule(["at": .string((noon.last + -1).description)]).status == 200)
            _ = try site.post(site.campaign + "/unschedule")
            _ = try site.send("PATCH", site.campaign, ["send_until": .string((noon.last + 1).description)])
            #expect(try schedule(["at_local": .string(noon.text)]).status == 200)
        }
    }

    @Test func `one that can no longer start, or has missed its time, is a draft again and says why`() throws {
        try withMessagingSite { site throws in
            func outcome() throws -> [JSONValue?] {
                try work(site)
                let now = try site.get(site.campaign).json
                return [now["status"], now["status_reason"]]
            }
            _ = try site.post(site.campaign + "/schedule", later(60))
            try site.owner.execute("UPDATE senders SET status = 'suspended', status_reason = 'authentication_failed'")
            try isDue(site)
            #expect(try outcome() == ["draft", "sender_suspended"])
            try site.owner.execute("UPDATE senders SET status = 'active', status_reason = NULL")
            #expect(try site.post(site.campaign + "/schedule", later(60)).json["status_reason"]?.isNull == true)
            try isDue(site, since: "7 hours")
            #expect(try outcome() == ["draft", "missed_its_time"])
            _ = try site.post(site.campaign + "/schedule", later(60))
            try isDue(site, since: "5 hours")
            #expect(try outcome() == ["freezing", .null])
            #expect(try site.owner.value("SELECT count(*) FROM messages", as: Int.self) == 0)
        }
    }
}
