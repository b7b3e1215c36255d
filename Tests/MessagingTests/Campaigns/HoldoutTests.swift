import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct HoldoutTests {
    @Test func `those whom preflight, freezing and a rule's slice name are the same people`() throws {
        try withMessagingSite(contacts: 400, consenting: 300) { site throws in
            try hold(10, site)
            #expect(try site.send("PATCH", site.campaign, ["holdout_percent": 20.5]).json["holdout_percent"]?.real == 20.5)
            let foreseen = try site.post(site.campaign + "/preflight").json["waterfall"]
            try site.scene.freeze(site.owner)
            let states = try site.scene.states(site.owner)
            // Of those who have not agreed nobody is drawn: they would not have got it.
            #expect(states["skipped/no_consent"] == 100)
            let agreed = "FROM consents k WHERE k.state = 'opted_in' AND"
            let ofAll = "bucket_of('holdout', k.contact_id) BETWEEN 0 AND 999"
            let ofThis = "bucket_of('\(site.scene.campaign)', k.contact_id) BETWEEN 0 AND 2049"
            let shared: Int = try site.owner.value("SELECT count(*) \(agreed) \(ofAll)")
            let own: Int = try site.owner.value("SELECT count(*) \(agreed) NOT \(ofAll) AND \(ofThis)")
            #expect(shared > 0 && own > 0)
            #expect(states["skipped/holdout"] == shared + own && states["pending"] == 300 - shared - own)
            #expect(foreseen?["skipped"]?["holdout"]?.integer == shared + own)
            #expect(foreseen?["recipients"]?.integer == states["pending"])
            let wrong: Int = try site.owner.inWorkspace(site.scene.workspace) { db in
                try db.value(
                    """
                    SELECT count(*) FROM messages m JOIN consents k ON k.contact_id = m.contact_id AND k.state = 'opted_in'
                     WHERE (m.skip_reason IS NOT DISTINCT FROM 'holdout') <> (\(ofAll) OR \(ofThis))
                        OR holdout_scope(m.campaign_id, m.contact_id) IS DISTINCT FROM
                           CASE WHEN \(ofAll) THEN 'workspace' WHEN \(ofThis) THEN 'campaign' END
                    """)
            }
            #expect(wrong == 0)
            let arms: [String] = try site.owner.dynamic("SELECT arm || ' ' || contacts FROM campaign_arms ORDER BY arm", [])
            #expect(arms == ["campaign \(own)", "treated \(300 - shared - own)", "workspace \(shared)"])
        }
    }

    @Test(arguments: ["skip", "send"])
    func `nobody is held out for whom the time has passed, and preflight says so before`(late: String) throws {
        try withMessagingSite(contacts: 200) { site throws in
            try hold(20, site)
            _ = try site.send("PATCH", site.campaign, ["holdout_percent": 20])
            // Half of them had the hour an hour ago, or nine; the others are still to have it.
            let past = late == "skip" ? "Etc/GMT-2" : "Etc/GMT-10"
            try site.owner.runDynamic(
                "UPDATE contacts SET timezone = CASE WHEN ordinal % 2 = 0 THEN $1 ELSE 'Etc/GMT' END", [past.sqlValue])
            try site.owner.runDynamic(
                "UPDATE campaigns SET scheduled_local = (now() AT TIME ZONE 'UTC') + interval '1 hour', late = $1", [late.sqlValue])
            let foreseen = try site.post(site.campaign + "/preflight").json["waterfall"]
            try site.scene.freeze(site.owner)
            let states = try site.scene.states(site.owner)
            let held = try #require(states["skipped/holdout"])
            #expect(states["skipped/too_late"] == 100 && held > 0 && states["pending"] == 100 - held, "\(states)")
            #expect(
                foreseen?["skipped"]?["too_late"] == 100 && foreseen?["skipped"]?["holdout"]?.integer == held, "\(foreseen?.text ?? "")")
            let wrong: Int = try site.owner.value(
                """
                SELECT count(*) FROM messages m JOIN contacts c ON c.id = m.contact_id
                 WHERE (c.timezone <> 'Etc/GMT') <> (m.skip_reason IS NOT DISTINCT FROM 'too_late')
                """)
            #expect(wrong == 0)
            let arms: Int = try site.owner.value("SELECT sum(contacts)::int FROM campaign_arms")
            #expect(arms == 100)
        }
    }

    @Test func `the ledger says whose holdout somebody is in, and nobody in one is claimed`() throws {
        try withMessagingSite(contacts: 60) { site throws in
            try hold(50, site)
            _ = try site.send("PATCH", site.campaign, ["holdout_percent": 50])
            try site.scene.freeze(site.owner)
            let skipped = try site.get(site.campaign + "/messages?state=skipped&limit=200").json["items"]?.array ?? []
            #expect(skipped.allSatisfy { $0["skip_reason"] == "holdout" })
            #expect(Set(skipped.map { $0["holdout"]?.string }) == ["workspace", "campaign"])
            let message = try site.get("/api/messages/\(skipped[0]["id"]!.string!)").json
            #expect(message["holdout"] == skipped[0]["holdout"] && message["explanation"]?.string?.contains("held out") == true)
            let pending = try site.get(site.campaign + "/messages?state=pending&limit=1").json["items"]?.array?.first
            #expect(pending?["holdout"]?.isNull == true)
            let claimed = try site.database.connect(as: .worker).inWorkspace(site.scene.workspace) { db in try site.scene.claim(db) }
            #expect(claimed.count == 60 - skipped.count)
            #expect(Set(claimed.map(\.to)).count == claimed.count)
        }
    }

    @Test func `a setting that changes after the start changes nobody's part`() throws {
        try withMessagingSite(contacts: 100) { site throws in
            try hold(30, site)
            _ = try site.post(site.campaign + "/start")
            try hold(0, site)
            let scene = site.scene
            try site.owner.inWorkspace(scene.workspace) { db in
                try db.run(CampaignSQL.insertAudience, scene.campaign, scene.segment, scene.sender, .sms)
                try db.run(CampaignSQL.freeze, scene.campaign)
            }
            let expected: Int = try site.owner.value("SELECT count(*) FROM contacts WHERE bucket_of('holdout', id) < 3000")
            #expect(expected > 0)
            #expect(try scene.states(site.owner)["skipped/holdout"] == expected)
        }
    }

    @Test func `without a holdout nobody is left out and no arms are kept`() throws {
        try withMessagingSite(contacts: 50) { site throws in
            #expect(try site.get(site.campaign).json["holdout_percent"] == 0)
            try site.scene.freeze(site.owner)
            #expect(try site.scene.states(site.owner) == ["pending": 50])
            #expect(try site.owner.value("SELECT count(*) FROM campaign_arms", as: Int.self) == 0)
        }
    }

    @Test func `preflight warns when conversions count for a shorter time than sending takes`() throws {
        try withMessagingSite(contacts: 100) { site throws in
            func isWarned(_ change: JSONValue) throws -> Bool {
                let answer = try site.send("PATCH", site.campaign, change)
                #expect(answer.status == 200, "\(answer.text)")
                let warnings = try site.post(site.campaign + "/preflight").json["warnings"]?.array
                return try #require(warnings).contains { $0["code"] == "window_too_short" }
            }
            try site.owner.execute("UPDATE senders SET rate_parts_per_second = 1")
            #expect(try !isWarned(["attribution_window_seconds": 30, "holdout_percent": 10]))
            #expect(try isWarned(["goal_event": "bought"]))
            #expect(try !isWarned(["holdout_percent": 0]))
            try hold(10, site)
            #expect(try isWarned([:]))
            #expect(try !isWarned(["attribution_window_seconds": 86_400]))
            // Clocks on earth take 26 hours, and the audience is frozen before the first.
            try site.owner.execute(
                """
                UPDATE campaigns SET scheduled_local = '2099-01-01 09:00', scheduled_at = '2098-12-31 18:30Z', late = 'send',
                                     attribution_window_seconds = 95399
                """)
            #expect(try isWarned([:]))
            try site.owner.execute("UPDATE campaigns SET attribution_window_seconds = 95400")
            #expect(try !isWarned([:]))
        }
    }

    @Test func `a share is from 0 to 50 percent, in hundredths`() throws {
        try withMessagingSite { site throws in
            for percent: JSONValue in [-1, 50.01, 0.005, 51, 1e308] {
                let answer = try site.send("PATCH", site.campaign, ["holdout_percent": percent])
                #expect(answer.status == 422 && answer.code == "out_of_range", "\(percent)")
            }
            for percent: JSONValue in [0.01, 2.3, 12.34, 50, 0] {
                #expect(try site.send("PATCH", site.campaign, ["holdout_percent": percent]).json["holdout_percent"]?.real == percent.real)
            }
            let made = try site.post("/api/campaigns", ["name": "Sale", "channel": "sms", "holdout_percent": 5])
            #expect(made.status == 201 && made.json["holdout_percent"] == 5, "\(made.text)")
        }
    }

    private func hold(_ percent: Int, _ site: MessagingSite) throws {
        try site.owner.execute("UPDATE workspaces SET settings = settings || '{\"holdout\":{\"percent\":\(percent),\"salt\":\"holdout\"}}'")
    }
}
