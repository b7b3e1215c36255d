import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct FrequencyCapTests {
    private func cap(_ caps: JSONValue, _ scene: Scene, _ db: Connection) throws {
        try db.runDynamic(
            "UPDATE workspaces SET settings = settings || jsonb_build_object('frequency_caps', $2::jsonb) WHERE id = $1",
            [scene.workspace.sqlValue, caps.sqlValue])
    }

    private func tag(_ scene: Scene, _ tags: [String], ignoresCaps: Bool = false, _ db: Connection) throws {
        try db.runDynamic(
            "UPDATE campaigns SET tags = $2, ignores_caps = $3 WHERE id = $1",
            [scene.campaign.sqlValue, tags.sqlValue, ignoresCaps.sqlValue])
    }

    /// Freezes and starts one campaign more. Returns what became of its messages.
    private func send(_ scene: Scene, tags: [String] = [], ignoresCaps: Bool = false, _ db: Connection) throws -> [String: Int] {
        let another = try scene.withAnotherCampaign(db)
        try tag(another, tags, ignoresCaps: ignoresCaps, db)
        try another.freeze(db)
        try db.acting(as: .worker) { db in
            try db.setWorkspace(scene.workspace)
            _ = try another.startAll(db)
        }
        return try another.states(db)
    }

    @Test func `who has got as many as allowed in the hours is left out, until they have passed`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try cap([["channel": "sms", "at_most": 2, "per_hours": 24]], scene, db)
            #expect(try send(scene, db) == ["started": 3])
            #expect(try send(scene, db) == ["started": 3])
            #expect(try send(scene, db) == ["skipped/over_cap": 3])
            // It rolls: one second before the end of the hours they count, at the end not.
            try db.execute("UPDATE messages SET started_at = now() - interval '24 hours' + interval '1 second' WHERE state = 'started'")
            #expect(try send(scene, db) == ["skipped/over_cap": 3])
            try db.execute("UPDATE messages SET started_at = now() - interval '24 hours' WHERE state = 'started'")
            #expect(try send(scene, db) == ["started": 3])
        }
    }

    @Test func `what did not leave, was sent elsewhere, or ignores caps does not count`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try cap([["channel": "email", "at_most": 1, "per_hours": 24]], scene, db)
            #expect(try send(scene, db) == ["started": 3])
            #expect(try send(scene, db) == ["started": 3])
            try cap([["channel": "sms", "at_most": 3, "per_hours": 24]], scene, db)
            #expect(try send(scene, ignoresCaps: true, db) == ["started": 3])
            try db.execute(
                "UPDATE messages SET state = 'failed', settled_at = now(), lease_token = NULL, lease_until = NULL WHERE contact_id = '\(scene.contacts[0])'"
            )
            #expect(try send(scene, db) == ["started": 3])
            #expect(try send(scene, db) == ["started": 1, "skipped/over_cap": 2])
            #expect(try send(scene, ignoresCaps: true, db) == ["started": 3])
        }
    }

    @Test func `a cap with a tag is of campaigns with the tag`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try cap([["channel": "sms", "at_most": 1, "per_hours": 24, "tag": "promo"]], scene, db)
            #expect(try send(scene, tags: ["news"], db) == ["started": 3])
            #expect(try send(scene, tags: ["promo", "news"], db) == ["started": 3])
            #expect(try send(scene, tags: ["promo"], db) == ["skipped/over_cap": 3])
            #expect(try send(scene, tags: ["news"], db) == ["started": 3])
            #expect(try send(scene, db) == ["started": 3])
        }
    }

    @Test func `campaigns that race for the same people never exceed a cap, and use it up`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let scene = try Scene(db, contacts: 40)
            try cap([["channel": "sms", "at_most": 2, "per_hours": 168, "tag": .null]], scene, db)
            var campaigns: [Scene] = []
            try db.transaction { db in
                try db.setWorkspace(scene.workspace)
                for _ in 0..<6 { campaigns.append(try scene.withAnotherCampaign(db)) }
            }
            for campaign in campaigns { try campaign.freeze(db) }
            let all = campaigns
            _ = try inParallel(6) { index in
                let db = try database.connect(as: .worker)
                // Small batches of the same people in another order, so that they meet often.
                while case let claimed = try claim(all[index], db), !claimed.messages.isEmpty {
                    try db.inWorkspace(scene.workspace) { db in
                        let mine = claimed.messages.shuffled()
                        _ = try db.one(FrequencyCaps.lock, all[index].campaign, mine.map(\.id), mine.map(\.createdAt))
                        _ = try all[index].start(db, mine, lease: claimed.lease)
                    }
                }
            }
            let counts: [Int] = try db.dynamic(
                "SELECT DISTINCT count(*) FILTER (WHERE state = 'started') FROM messages GROUP BY contact_id", [])
            #expect(counts == [2])
            #expect(try db.value("SELECT count(*) FROM messages WHERE skip_reason = 'over_cap'", as: Int.self) == 40 * 4)
        }
    }

    private func claim(_ scene: Scene, _ db: Connection) throws -> (messages: [ClaimedMessage], lease: UUID) {
        let lease = UUID.v7()
        return (try db.inWorkspace(scene.workspace) { try scene.claim($0, limit: 7, lease: lease) }, lease)
    }

    @Test func `a draft has tags and may ignore caps`() throws {
        try withMessagingSite { site throws in
            let changed = try site.send("PATCH", site.campaign, ["tags": ["promo", "news"], "ignores_caps": true])
            #expect(changed.json["tags"] == ["promo", "news"] && changed.json["ignores_caps"] == true)
            let kept = try site.send("PATCH", site.campaign, ["name": "Other"])
            #expect(kept.json["tags"] == ["promo", "news"] && kept.json["ignores_caps"] == true)
            #expect(try site.send("PATCH", site.campaign, ["tags": []]).json["tags"] == [])
            #expect(try site.send("PATCH", site.campaign, ["tags": [""]]).code == "empty")
        }
    }
}
