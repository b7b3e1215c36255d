import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct RecurringTests {
    private struct Died: Error {}

    @Test func `an occurrence becomes a campaign of its own, started, and the next one waits`() throws {
        try withMessagingSite { site throws in
            let created = try site.recur()
            #expect(created.status == 201 && created.json["status"] == "active", "\(created.text)")
            #expect(created.json["upcoming"]?.array?.count == 5 && created.json["upcoming"]?.array?.first == created.json["next_at"])
            let path = MessagingSite.recurring + "/" + created.json["id"]!.string!
            #expect(try site.settle() == 0)
            try site.isDue()
            #expect(try site.settle() == 1)
            let occurrence = try #require(try site.get(path + "/occurrences").json["items"]?.array?.first)
            #expect(occurrence["status"] == "started" && occurrence["campaign_status"] == "freezing", "\(occurrence.text)")
            let campaign = try site.get("/api/campaigns/" + occurrence["campaign_id"]!.string!).json
            let day: String = try site.owner.value("SELECT to_char(now() AT TIME ZONE 'Europe/Paris', 'YYYY-MM-DD')")
            #expect(campaign["name"]?.string == "Offers · \(day)" && campaign["recurring_id"] == created.json["id"], "\(campaign.text)")
            #expect(campaign["body"] == "Hi {{ first_name | default: \"there\" }}")
            let now = try site.get(path).json
            #expect(now["status"] == "active" && now["occurrences"]?["started"] == 1)
            #expect(try site.owner.value("SELECT next_at > now() FROM recurring_campaigns"))
            let jobs: [String] = try site.owner.dynamic("SELECT kind FROM jobs ORDER BY kind", [])
            #expect(jobs == ["calculate_segment", "freeze_campaign"])
            #expect(try site.get(site.campaign).json["status"] == "draft")
            #expect(try site.notices().isEmpty)
        }
    }

    @Test func `of workers at once one makes exactly one campaign`() throws {
        try withMessagingSite { site throws in
            _ = try site.recurringPath()
            for round in 1...5 {
                try site.isDue(since: "\(6 - round) seconds")
                _ = try inParallel(4) { [database = site.database] _ in try settleDue(try database.connect(as: .worker)) }
                #expect(try site.occurrences().count == round)
                #expect(try site.campaigns() == round + 1)
            }
        }
    }

    @Test func `whoever dies before the end leaves nothing, and the next one makes it`() throws {
        try withMessagingSite { site throws in
            _ = try site.recurringPath()
            try site.isDue()
            let db = try site.database.connect(as: .worker)
            #expect(throws: Died.self) { () throws in
                try db.transaction { db in
                    try settleDue(db)
                    #expect(try db.value("SELECT count(*) FROM campaigns", as: Int.self) == 2)
                    throw Died()
                }
            }
            #expect(try site.campaigns() == 1)
            #expect(try site.occurrences() == [])
            #expect(try settleDue(db) == 1)
            #expect(try site.occurrences() == ["freezing"])
        }
    }

    @Test func `the key of an occurrence keeps a second campaign out`() throws {
        try withMessagingSite { site throws in
            _ = try site.recurringPath()
            try site.isDue()
            let before: Instant = try site.owner.value("SELECT next_at FROM recurring_campaigns")
            try site.settle()
            try site.owner.runDynamic("UPDATE recurring_campaigns SET next_at = $1", [before.sqlValue])
            #expect(throws: PostgresError.self) { () throws in try site.settle() }
            #expect(try site.campaigns() == 2)
            // The worker then gives it up; what was made stays.
            let db = try site.database.connect(as: .worker)
            for due in try db.all(DueOccurrenceSQL.due) { try DueOccurrence.giveUp(due.recurring, in: due.workspace, db) }
            #expect(try site.occurrences() == ["freezing"])
            #expect(try site.owner.value("SELECT next_at > now() FROM recurring_campaigns"))
        }
    }

    @Test func `a rule that cannot be read any more pauses with a notice, and holds up nobody`() throws {
        try withMessagingSite { site throws in
            let broken = try site.recurringPath()
            _ = try site.recurringPath(["name": "Others"])
            try site.isDue()
            try site.owner.execute("UPDATE recurring_campaigns SET time_zone = 'Gone/Nowhere' WHERE name = 'Offers'")
            let db = try site.database.connect(as: .worker)
            for due in try db.all(DueOccurrenceSQL.due) {
                try alone("occurrence not started", due.recurring.description) {
                    try DueOccurrence.settle(due.recurring, in: due.workspace, db)
                } orElse: {
                    try DueOccurrence.giveUp(due.recurring, in: due.workspace, db)
                }
            }
            #expect(try site.occurrences() == ["freezing"])
            let states: [String] = try site.owner.dynamic("SELECT name || ' ' || status FROM recurring_campaigns ORDER BY 1", [])
            #expect(states == ["Offers paused", "Others active"])
            #expect(try site.notices().count == 1)
            let mended = try site.send("PATCH", broken, ["time_zone": "Europe/Paris"])
            #expect(mended.status == 200, "\(mended.text)")
            #expect(try site.post(broken + "/resume", [:]).json["status"] == "active")
        }
    }

    @Test func `a new name leaves an occurrence that is due as it is`() throws {
        try withMessagingSite { site throws in
            let path = try site.recurringPath()
            try site.isDue(since: "5 minutes")
            let due = try site.get(path).json["next_at"]
            #expect(try site.send("PATCH", path, ["name": "Renamed"]).json["next_at"] == due)
            #expect(try site.settle() == 1)
            #expect(try site.occurrences() == ["freezing"])
        }
    }

    @Test func `an occurrence's own end is judged, not that of the pattern`() throws {
        try withMessagingSite { site throws in
            try site.owner.execute("UPDATE campaigns SET send_until = now() - interval '1 day'")
            #expect(try site.recur().json["errors"]?.array?.first?["code"] == "out_of_range")
            let path = try site.recurringPath(["send_for_seconds": 3600])
            #expect(try site.send("PATCH", path, ["name": "Renamed"]).status == 200)
            #expect(try site.send("PATCH", path, ["send_for_seconds": .null]).json["errors"]?.array?.first?["code"] == "out_of_range")
        }
    }

    @Test func `what was missed by more than six hours is recorded as skipped, and told`() throws {
        try withMessagingSite { site throws in
            let path = try site.recurringPath(["starts_on": "2026-01-01"])
            try site.isDue(since: "7 hours")
            try site.settle()
            #expect(try site.occurrences() == ["missed_its_time"])
            let notice = try #require(try site.notices().first)
            #expect(notice["subject"]?["occurrences"] == 1 && notice["subject"]?["reason"] == "missed_its_time", "\(notice.text)")
            #expect(try site.campaigns() == 1)
            try site.isDue(since: "5 hours 59 minutes")
            try site.settle()
            #expect(try site.occurrences() == ["missed_its_time", "freezing"])
            // A year of silence: so many at a time, none of them sent, and one notice for each look.
            try site.owner.execute("DELETE FROM recurring_occurrences; DELETE FROM notices")
            _ = try site.send("PATCH", path, ["starts_on": "2020-01-01"])
            try site.isDue(since: "250 days 12 hours")
            var looks = 0
            while try site.owner.value("SELECT next_at < now() - interval '6 hours' FROM recurring_campaigns") {
                try site.settle()
                looks += 1
            }
            #expect(looks == 3)
            #expect(try Set(site.occurrences()) == ["missed_its_time"])
            #expect(try [249, 250, 251].contains(site.occurrences().count))
            #expect(try site.notices().map { $0["subject"]?["occurrences"]?.integer ?? 0 }.prefix(2) == [100, 100])
            #expect(try site.campaigns() == 2)
        }
    }

    @Test func `one that cannot start is skipped with the reason, leaves no campaign, and the recurrence goes on`() throws {
        try withMessagingSite { site throws in
            let path = try site.recurringPath()
            try site.owner.execute("UPDATE senders SET status = 'suspended', status_reason = 'authentication_failed'")
            try site.isDue()
            try site.settle()
            #expect(try site.occurrences() == ["sender_suspended"])
            #expect(try site.notices().first?["detail"] == "An occurrence of a recurring campaign was skipped: sender_suspended.")
            #expect(try site.campaigns() == 1)
            #expect(try site.get(path).json["status"] == "active")
            let listed = try site.get(path + "/occurrences").json["items"]?.array?.first
            #expect(listed?["status"] == "skipped" && listed?["reason"] == "sender_suspended" && listed?["campaign_id"]?.isNull == true)
            try site.owner.execute("UPDATE senders SET status = 'active', status_reason = NULL")
            try site.isDue()
            try site.settle()
            #expect(try site.occurrences() == ["sender_suspended", "freezing"])
        }
    }

    @Test func `what falls into a pause is not made up for`() throws {
        try withMessagingSite { site throws in
            let path = try site.recurringPath()
            let paused = try site.post(path + "/pause").json
            #expect(paused["status"] == "paused" && paused["next_at"]?.isNull == true && paused["upcoming"] == [])
            #expect(try site.post(path + "/pause").code == "wrong_state")
            #expect(try site.settle() == 0)
            let resumed = try site.post(path + "/resume").json
            #expect(resumed["status"] == "active" && resumed["paused_at"]?.isNull == true)
            #expect(try site.owner.value("SELECT next_at > now() FROM recurring_campaigns"))
            #expect(try site.post(path + "/resume").code == "wrong_state")
            #expect(try site.post(path + "/end").json["status"] == "ended")
            for action in ["pause", "resume", "end"] { #expect(try site.post("\(path)/\(action)").code == "wrong_state") }
            #expect(try site.send("PATCH", path, ["name": "Other"]).code == "wrong_state")
            #expect(throws: PostgresError.self) { () throws in
                try site.owner.execute("UPDATE recurring_campaigns SET status = 'active', next_at = now(), ended_at = NULL")
            }
            #expect(try site.occurrences() == [])
        }
    }

    @Test func `it ends by itself after its last occurrence, skipped ones counted`() throws {
        try withMessagingSite { site throws in
            let path = try site.recurringPath(["ends_after": 2])
            #expect(try site.get(path).json["upcoming"]?.array?.count == 2)
            try site.isDue(since: "7 hours")
            try site.settle()
            #expect(try site.get(path).json["upcoming"]?.array?.count == 1)
            try site.isDue()
            try site.settle()
            let ended = try site.get(path).json
            #expect(ended["status"] == "ended" && ended["next_at"]?.isNull == true && ended["ended_at"]?.isNull == false)
            #expect(try site.occurrences() == ["missed_its_time", "freezing"])
            let actions: [String] = try site.owner.dynamic(
                "SELECT action FROM audit_log WHERE action LIKE 'recurring%' ORDER BY occurred_at", [])
            #expect(actions == ["recurring_campaign.created", "recurring_campaign.ended"])
        }
    }
}
