import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct MonthlyLimitTests {
    @Test func `the month's limit pauses the campaign before the message that does not fit, and nothing is lost`() throws {
        try withSending(contacts: 50) { sending in
            try limit(20, sending)
            try sending.run()
            #expect(sending.provider.ledger.count == 20)
            #expect(try sending.states() == ["sent": 20, "pending": 30])
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused monthly_limit_reached")
            let notice: JSONValue = try sending.db.value("SELECT to_jsonb(n) FROM notices n")
            #expect(notice["kind"] == "campaign.paused" && notice["subject"]?["reason"] == "monthly_limit_reached", "\(notice.text)")
            try limit(50, sending)
            try sending.move(CampaignSQL.resume)
            try sending.run()
            #expect(try sending.states() == ["sent": 50])
            #expect(try sending.status() == "finished")
            #expect(try used(sending) == 50)
        }
    }

    /// Workers that race, answers that get lost, messages that are turned away and tried again, of one to four parts.
    @Test func `what is taken of the month is what was started, once each, and never more than the limit`() throws {
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
            try sending.db.execute(
                "UPDATE contacts SET attributes = jsonb_build_object('note', repeat('x', 100 + 150 * (substr(first_name, 2)::int % 4)))")
            try limit(211, sending)
            // Two campaigns take from one month.
            let other = try sending.scene.withAnotherCampaign(sending.db)
            try other.freeze(sending.db)
            try sending.race(workers: 3) {
                try waitUntil("the month is used up", seconds: 60) {
                    try sending.db.value("SELECT count(*) FROM campaigns WHERE status = 'paused'") == 2
                }
            }
            let reasons: [String] = try sending.db.dynamic("SELECT DISTINCT status_reason FROM campaigns", [])
            #expect(reasons == ["monthly_limit_reached"])
            let taken = try #require(try used(sending))
            #expect(try taken == started(sending))
            #expect(taken <= 211 && taken > 211 - 4)
            #expect(try sending.db.value("SELECT count(*) FROM messages WHERE state = 'pending'", as: Int.self) > 0)
        }
    }

    @Test func `a limit that is set while messages start begins with all that were started`() throws {
        try withSending(contacts: 600, rate: 400) { sending in
            try sending.race(workers: 3) {
                try waitUntil("it sends", seconds: 30) { sending.provider.ledger.count > 60 }
                try limit(300, sending)
                try waitUntil("the month is used up", seconds: 60) { try sending.status() == "paused" }
            }
            #expect(try sending.db.value("SELECT count(*) FROM messages WHERE attempt > 0") == 300)
            #expect(try used(sending) == 300)
            #expect(sending.provider.ledger.count == 300)
        }
    }

    @Test func `limits that come and go while messages start hold nobody up, and the last one knows of all`() throws {
        try withSending(contacts: 400, rate: 300) { sending in
            let responder = try sending.database.connect(as: .responder)
            /// As the settings' route does it.
            func set(_ limits: JSONValue) throws {
                try responder.transaction { db in
                    try db.setWorkspace(sending.scene.workspace)
                    _ = try db.dynamic("SELECT hold_starts(current_workspace()) IS NULL", []) as [Bool]
                    _ = try db.dynamic("SELECT version FROM workspaces WHERE id = current_workspace() FOR UPDATE", []) as [Int]
                    try db.runDynamic(
                        "UPDATE workspaces SET settings = settings || jsonb_build_object('monthly_limits', $1::jsonb) WHERE id = current_workspace()",
                        [limits.sqlValue])
                }
            }
            try sending.race(workers: 3) {
                var isLimited = false
                while try sending.status() == "sending" {
                    isLimited.toggle()
                    try set(isLimited ? ["sms_parts": 100_000] : .null)
                    if isLimited, let used = try used(sending) { #expect(used <= 400) }
                }
            }
            #expect(try sending.states() == ["sent": 400])
            try set(["sms_parts": 401])
            let next = try sending.scene.withAnotherCampaign(sending.db)
            try next.freeze(sending.db)
            try work(sending, until: "paused", next)
            #expect(try next.states(sending.db) == ["sent": 1, "pending": 399])
        }
    }

    @Test func `what a worker holds from before there was a limit does not start uncounted`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            let lease = UUID.v7()
            let claimed = try scene.claim(db, lease: lease)
            try db.act(as: .owner)
            try set(["sms_parts": 100], db)
            try scene.work(db)
            #expect(try scene.start(db, claimed, lease: lease).map(\.state) == ["pending", "pending", "pending"])
        }
    }

    @Test func `tried again by hand it counts again, tried again by itself it does not`() throws {
        try withSending(
            contacts: 20,
            script: { _, number in number < 10 ? .refuse(status: 429, code: 20429, headers: "Retry-After: 0.02\r\n") : .accept }
        ) { sending in
            try limit(100, sending)
            try sending.run()
            #expect(try sending.states() == ["sent": 20])
            #expect(try sending.db.value("SELECT max(attempt) FROM messages", as: Int.self) > 1)
            #expect(try used(sending) == 20)
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
            // Nothing of the five has started again yet.
            #expect(try counted(sending) == 20)
            try sending.run()
            #expect(try used(sending) == 25)
            #expect(try counted(sending) == 25)
        }
    }

    @Test func `a limit begins with what this month has had, each time that it is set anew`() throws {
        try withSending(contacts: 10) { sending in
            try sending.run()
            try sending.db.execute(
                "UPDATE messages SET started_at = started_at - interval '40 days' WHERE id IN (SELECT id FROM messages LIMIT 3)")
            try limit(9, sending)
            #expect(try used(sending) == nil)
            let next = try sending.scene.withAnotherCampaign(sending.db)
            try next.freeze(sending.db)
            try work(sending, until: "paused", next)
            #expect(try used(sending) == 9)
            #expect(try next.states(sending.db) == ["sent": 2, "pending": 8])
            // Without a limit nothing is counted; the next one counts it from the ledger.
            try set(["emails": 5], sending.db)
            #expect(try used(sending) == nil)
            try sending.db.execute(
                "UPDATE campaigns SET status = 'sending', paused_at = NULL, status_reason = NULL WHERE status = 'paused'")
            try work(sending, until: "finished", next)
            #expect(try next.states(sending.db) == ["sent": 10])
            try limit(1000, sending)
            let last = try sending.scene.withAnotherCampaign(sending.db)
            try last.freeze(sending.db)
            try work(sending, until: "finished", last)
            #expect(try used(sending) == 7 + 10 + 10)
        }
    }

    @Test func `a new month resumes what the old one paused, once, and nothing else`() throws {
        try withSending(contacts: 10) { sending in
            try limit(4, sending)
            try sending.run()
            let mine = sending.scene.campaign
            func due() throws -> [CampaignID] {
                try sending.database.connect(as: .worker).all(MonthlyLimitSQL.due).map(\.campaign)
            }
            #expect(try due() == [])
            try MonthlyLimit.resume(mine, in: sending.scene.workspace, sending.database.connect(as: .worker))
            #expect(try sending.status() == "paused")
            // The month that has gone.
            for table in ["month_usage", "monthly_shortages"] {
                try sending.db.execute("UPDATE \(table) SET month = month - interval '1 month'")
            }
            try sending.db.execute("UPDATE messages SET started_at = started_at - interval '40 days' WHERE started_at IS NOT NULL")
            try sending.db.execute("UPDATE campaigns SET status_reason = NULL")
            #expect(try due() == [])
            try MonthlyLimit.resume(mine, in: sending.scene.workspace, sending.database.connect(as: .worker))
            #expect(try sending.status() == "paused")
            try sending.db.execute("UPDATE campaigns SET status_reason = 'monthly_limit_reached'")
            #expect(try due() == [mine])
            let (database, workspace) = (sending.database, sending.scene.workspace)
            _ = try inParallel(4) { _ in try MonthlyLimit.resume(mine, in: workspace, database.connect(as: .worker)) }
            #expect(try sending.status() == "sending")
            #expect(try sending.db.value("SELECT count(*) FROM audit_log WHERE action = 'campaign.resumed'") == 1)
            try sending.run()
            #expect(try sending.states() == ["sent": 8, "pending": 2])
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused monthly_limit_reached")
            let months: Int = try sending.db.value("SELECT count(*) FROM month_usage WHERE used = 4")
            #expect(months == 2)
        }
    }

    @Test func `resuming is refused while the month does not suffice, and allowed with a larger limit`() throws {
        try withMessagingSite { site throws in
            try set(["sms_parts": 5], site.owner)
            try site.scene.freeze(site.owner)
            try site.owner.execute(
                """
                UPDATE campaigns SET status = 'paused', paused_at = now(), status_reason = 'monthly_limit_reached';
                INSERT INTO month_usage SELECT id, month_by('UTC'), 'sms', 4 FROM workspaces WHERE name <> 'Other';
                INSERT INTO monthly_shortages SELECT workspace_id, id, month_by('UTC'), 2 FROM campaigns;
                """)
            #expect(try site.post(site.campaign + "/resume").code == "monthly_limit_reached")
            // Held back, it lacks as much.
            #expect(try site.post(site.campaign + "/pause").status == 200)
            #expect(try site.post(site.campaign + "/resume").code == "monthly_limit_reached")
            #expect(try site.get("/api/usage").json["sms_parts"] == ["used": 4, "limit": 5, "left": 1])
            try set(["sms_parts": 6], site.owner)
            #expect(try site.post(site.campaign + "/resume").json["status"] == "sending")
        }
    }

    @Test func `what waits for the new month can be held back, and then waits for a person`() throws {
        try withMessagingSite { site throws in
            try site.scene.freeze(site.owner)
            try site.owner.execute(
                """
                UPDATE campaigns SET status = 'paused', paused_at = now() - interval '1 hour', status_reason = 'monthly_limit_reached';
                INSERT INTO monthly_shortages SELECT workspace_id, id, (month_by('UTC') - interval '1 month')::date, 2 FROM campaigns;
                """)
            let worker = try site.database.connect(as: .worker)
            #expect(try worker.all(MonthlyLimitSQL.due).count == 1)
            let before = try site.get(site.campaign).json
            let held = try site.post(site.campaign + "/pause").json
            #expect(held["status"] == "paused" && held["status_reason"]?.isNull == true, "\(held.text)")
            #expect(held["paused_at"] == before["paused_at"] && held["version"] != before["version"])
            #expect(try site.owner.value("SELECT count(*) FROM audit_log WHERE action = 'campaign.paused'") == 1)
            #expect(try worker.all(MonthlyLimitSQL.due).isEmpty)
            try MonthlyLimit.resume(site.scene.campaign, in: site.scene.workspace, worker)
            #expect(try site.get(site.campaign).json["status"] == "paused")
            // Of any other pause there is nothing to hold back.
            #expect(try site.post(site.campaign + "/pause").code == "wrong_state")
            try site.owner.execute("UPDATE campaigns SET status_reason = 'budget_spent'")
            #expect(try site.post(site.campaign + "/pause").code == "wrong_state")
            try site.owner.execute("UPDATE campaigns SET status_reason = NULL")
            #expect(try site.post(site.campaign + "/resume").json["status"] == "sending")
        }
    }

    @Test func `a new month does not make the stop rules forget what went wrong in the old one`() throws {
        try withMessagingSite { site throws in
            try site.scene.freeze(site.owner)
            try site.owner.execute(
                """
                UPDATE campaigns SET status = 'paused', paused_at = now(), status_reason = 'monthly_limit_reached';
                INSERT INTO monthly_shortages SELECT workspace_id, id, (month_by('UTC') - interval '1 month')::date, 2 FROM campaigns;
                """)
            try MonthlyLimit.resume(site.scene.campaign, in: site.scene.workspace, site.database.connect(as: .worker))
            #expect(try site.get(site.campaign).json["status"] == "sending")
            #expect(try site.owner.value("SELECT count(*) FROM campaign_resumptions") == 0)
        }
    }

    @Test func `usage is told of the month by the workspace's clock, with and without limits`() throws {
        try withMessagingSite { site throws in
            try site.owner.execute("UPDATE workspaces SET timezone = 'Pacific/Kiritimati'")
            try site.scene.freeze(site.owner)
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                #expect(try site.scene.startAll(db).count == 3)
            }
            let month: String = try site.owner.value("SELECT to_char(now() AT TIME ZONE 'Pacific/Kiritimati', 'YYYY-MM')")
            let usage = try site.get("/api/usage", as: site.viewer).json
            #expect(usage["month"] == .string(month) && usage["timezone"] == "Pacific/Kiritimati", "\(usage.text)")
            #expect(usage["sms_parts"] == ["used": 3, "limit": .null, "left": .null])
            #expect(usage["emails"]?["used"] == 0)
            // Just before it began there is another month.
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                #expect(try db.value("SELECT began_at AT TIME ZONE 'UTC' = month - interval '14 hours' FROM workspace_month()"))
            }
            #expect(try site.get("/api/usage", as: site.stranger).json["sms_parts"]?["used"] == 0)
        }
    }

    @Test func `preflight tells how many would not fit into the month`() throws {
        try withMessagingSite(contacts: 5) { site throws in
            func report() throws -> JSONValue { try site.post(site.campaign + "/preflight").json }
            #expect(try report()["monthly_limit"]?.isNull == true)
            try set(["sms_parts": 5], site.owner)
            #expect(try report()["monthly_limit"] == ["left": 5, "suffices": true, "over_monthly_limit": 0])
            try set(["sms_parts": 2], site.owner)
            let over = try report()
            #expect(over["monthly_limit"] == ["left": 2, "suffices": false, "over_monthly_limit": 3], "\(over.text)")
            #expect(over["warnings"]?.array?.map { $0["code"]?.string } == ["over_monthly_limit"])
            #expect(over["can_start"] == true)
        }
    }

    private func limit(_ parts: Int, _ sending: Sending) throws { try set(["sms_parts": JSONValue(parts)], sending.db) }

    private func work(_ sending: Sending, until status: String, _ scene: Scene) throws {
        try sending.race(workers: 1) { try waitUntil(status, seconds: 60) { try scene.status(sending.db) == status } }
    }

    /// As the settings' route writes it.
    private func set(_ limits: JSONValue, _ db: Connection) throws {
        try db.runDynamic(
            "UPDATE workspaces SET settings = settings || jsonb_build_object('monthly_limits', $1::jsonb) WHERE name <> 'Other'",
            [limits.sqlValue])
    }

    /// `nil`: nothing is counted.
    private func used(_ sending: Sending) throws -> Int? {
        let rows: [Int] = try sending.db.dynamic("SELECT used FROM month_usage WHERE month = month_by('UTC') AND channel = 'sms'", [])
        return rows.first
    }

    /// From the ledger, as a limit that comes new would find it.
    private func counted(_ sending: Sending) throws -> Int {
        try sending.db.inWorkspace(sending.scene.workspace) { db in try db.value("SELECT count_started('sms', now() - interval '1 day')") }
    }

    /// Parts of what was started; what was turned away gave up its text, so they follow from the contact's, or the text "Hi".
    private func started(_ sending: Sending) throws -> Int {
        try sending.db.value(
            """
            SELECT sum(CASE WHEN p.body = 'Hi' THEN 1 ELSE 1 + substr(c.first_name, 2)::int % 4 END)::int
              FROM messages m JOIN contacts c ON c.id = m.contact_id JOIN campaigns p ON p.id = m.campaign_id WHERE m.attempt > 0
            """)
    }
}
