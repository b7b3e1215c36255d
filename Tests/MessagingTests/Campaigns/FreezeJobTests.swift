import JSON
@testable import Jobs
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct FreezeJobTests {
    @Test func `freezing waits for the segment to be calculated since the start, then freezes once`() throws {
        try withMessagingSite(contacts: 4, consenting: 3) { site throws in
            #expect(try site.post(site.campaign + "/start").status == 200)
            // The segment was calculated before the start: not good enough.
            #expect(try work(site)["state"]?.string == "queued")
            #expect(try site.scene.status(site.owner) == "freezing")
            try site.owner.execute("UPDATE segments SET calculated_at = now()")
            let job = try work(site)
            #expect(job["state"]?.string == "succeeded")
            #expect(job["result"] == ["frozen": 4, "recipients": 3, "skipped": ["no_consent": 1]])
            #expect(try site.scene.status(site.owner) == "sending")
            #expect(try site.scene.toldPauses(site.owner) == [])
            #expect(try site.scene.states(site.owner) == ["pending": 3, "skipped/no_consent": 1])
            let counts = try site.get(site.campaign).json["counts"]
            #expect(counts?["frozen"]?.integer == 4 && counts?["waiting"]?.integer == 3 && counts?["skipped"]?.integer == 1)
        }
    }

    @Test func `a segment that cannot be calculated ends the campaign before anything is sent`() throws {
        try withMessagingSite { site throws in
            _ = try site.post(site.campaign + "/start")
            try site.owner.execute("UPDATE segments SET state = 'failed', problem = 'no such field'")
            // It may have failed before the start: the calculation that the start asked for decides.
            _ = try work(site)
            #expect(try site.scene.status(site.owner) == "freezing")
            try end("calculate_segment", site)
            _ = try work(site)
            let campaign = try site.get(site.campaign).json
            #expect(campaign["status"]?.string == "cancelled")
            #expect(campaign["status_reason"]?.string == "segment_failed")
            #expect(try site.scene.states(site.owner).isEmpty)
        }
    }

    @Test func `a segment that is archived ends the campaign before anything is sent`() throws {
        try withMessagingSite { site throws in
            _ = try site.post(site.campaign + "/start")
            try site.owner.execute("UPDATE segments SET archived_at = now(), calculated_at = now()")
            _ = try work(site)
            let campaign = try site.get(site.campaign).json
            #expect(campaign["status"]?.string == "cancelled" && campaign["status_reason"]?.string == "segment_archived")
            #expect(try site.scene.states(site.owner).isEmpty)
        }
    }

    @Test func `a campaign whose sender was suspended meanwhile is frozen and paused`() throws {
        try withMessagingSite { site throws in
            _ = try site.post(site.campaign + "/start")
            try site.owner.execute("UPDATE segments SET calculated_at = now()")
            try site.owner.execute("UPDATE senders SET status = 'suspended', status_reason = 'authentication_failed'")
            _ = try work(site)
            let campaign = try site.get(site.campaign).json
            #expect(campaign["status"]?.string == "paused" && campaign["status_reason"]?.string == "sender_suspended")
            #expect(try site.scene.toldPauses(site.owner) == ["sender_suspended"])
            #expect(try site.scene.states(site.owner) == ["pending": 3])
        }
    }

    @Test func `a campaign whose job has failed for good gets another one`() throws {
        try withMessagingSite(contacts: 5) { site throws in
            let maintenance = try site.database.connect(as: .maintenance)
            func rescue() throws -> Int { try rescueCampaigns.run(maintenance)[0].1 }
            _ = try site.post(site.campaign + "/start")
            try site.owner.execute("UPDATE segments SET calculated_at = now()")
            try site.owner.execute("UPDATE campaigns SET start_requested_at = now() - interval '2 minutes'")
            #expect(try rescue() == 0)
            try end("freeze_campaign", site)
            #expect(try rescue() == 1)
            #expect(try rescue() == 0)
            #expect(try work(site)["state"]?.string == "succeeded")
            #expect(try site.scene.states(site.owner) == ["pending": 5])

            _ = try site.post(site.campaign + "/cancel")
            try site.owner.execute("UPDATE campaigns SET cancelled_at = now() - interval '2 minutes'")
            try end("close_campaign", site)
            #expect(try rescue() == 1)
            #expect(try work(site)["state"]?.string == "succeeded")
            #expect(try site.scene.states(site.owner) == ["skipped/campaign_cancelled": 5])
            #expect(try rescue() == 0)
        }
    }

    @Test func `a test whose draft was deleted does not wait for ever`() throws {
        try withMessagingSite { site throws in
            let test = try site.post(site.campaign + "/test", ["to": "+12025550199"])
            let maintenance = try site.database.connect(as: .maintenance)
            func dropped() throws -> Int { try rescueCampaigns.run(maintenance)[1].1 }
            #expect(try dropped() == 0)
            #expect(try site.send("DELETE", site.campaign).status == 204)
            #expect(try dropped() == 1)
            #expect(try site.get(test.header("location") ?? "").json["skip_reason"] == "campaign_cancelled")
            #expect(try dropped() == 0)
        }
    }

    @Test func `a campaign that is cancelled while it freezes has no audience`() throws {
        try withMessagingSite { site throws in
            _ = try site.post(site.campaign + "/start")
            try site.owner.execute("UPDATE segments SET calculated_at = now()")
            #expect(try site.post(site.campaign + "/cancel").status == 200)
            _ = try work(site)
            #expect(try site.scene.states(site.owner).isEmpty)
            #expect(try site.scene.status(site.owner) == "cancelled")
        }
    }

    @Test func `closing a cancelled campaign leaves nothing pending`() throws {
        try withMessagingSite(contacts: 7) { site throws in
            try site.scene.freeze(site.owner)
            #expect(try site.post(site.campaign + "/cancel").status == 200)
            #expect(try work(site)["state"]?.string == "succeeded")
            #expect(try site.scene.states(site.owner) == ["skipped/campaign_cancelled": 7])
        }
    }

    /// Ends the open jobs of a kind as if all their attempts had failed.
    private func end(_ kind: String, _ site: MessagingSite) throws {
        try site.owner.execute("UPDATE jobs SET state = 'failed', finished_at = now() WHERE kind = '\(kind)' AND state = 'queued'")
    }

    /// Runs the campaign's own job that waits, as a worker does, and gives its row.
    private func work(_ site: MessagingSite) throws -> JSONValue {
        let configuration = try testConfiguration(database: site.database.conninfo(as: .worker))
        let db = try site.database.connect(as: .worker)
        try site.owner.execute("UPDATE jobs SET run_at = now() WHERE state = 'queued'")
        guard let claimed = try JobQueue(messagingJobs).take(db).first else {
            throw TestSupportError("no job waits")
        }
        Worker(configuration, messagingJobs, []).perform(claimed, db)
        return try site.owner.value(
            "SELECT jsonb_build_object('state', state, 'result', result) FROM jobs WHERE id = $1::uuid", claimed.id.sqlValue)
    }
}
