import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Zones in which it is noon or night now, whenever the tests run.
func zone(whereItIs hour: Int) -> String {
    let now = LocalTime(microseconds: Instant.now().microseconds).hour
    // In Etc, west is positive.
    let west = (now - hour + 36) % 24 - 12
    return west == 0 ? "Etc/GMT" : "Etc/GMT\(west > 0 ? "+" : "")\(west)"
}

extension Scene {
    /// Turns quiet hours on, and puts contacts where it is noon, but for those that are told.
    func goToBed(_ sleepers: [Int], _ db: Connection) throws {
        try db.runDynamic("UPDATE workspaces SET settings = settings - 'quiet_hours_sms' WHERE id = $1", [workspace.sqlValue])
        try db.runDynamic("UPDATE contacts SET timezone = $2 WHERE workspace_id = $1", [workspace.sqlValue, zone(whereItIs: 12).sqlValue])
        try db.runDynamic(
            "UPDATE contacts SET timezone = $2 WHERE id = ANY ($1)", [sleepers.map { contacts[$0] }.sqlValue, zone(whereItIs: 2).sqlValue])
    }
}

@Suite struct QuietHoursTests {
    @Test func `who sleeps gets it in the morning, and the campaign waits for them`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try scene.goToBed([1], db)
            try scene.freeze(db)
            try scene.work(db)
            #expect(try scene.startAll(db).count == 2)
            #expect(try scene.states(db) == ["started": 2, "pending": 1])
            let wait: String = try db.value(
                "SELECT to_char(due_at AT TIME ZONE $1, 'HH24:MI') || ' in ' || ceil(extract(epoch FROM due_at - now()) / 3600) FROM messages WHERE state = 'pending'",
                zone(whereItIs: 2).sqlValue)
            #expect(wait == "08:00 in 6")
            // Nothing is left to look at: no claim finds it again before.
            #expect(try scene.claim(db).isEmpty)
            try db.execute(
                "UPDATE messages SET state = 'sent', lease_token = NULL, lease_until = NULL, sid = 'S', sent_at = now() WHERE state = 'started'"
            )
            #expect(try db.run(LedgerSQL.finish, scene.campaign) == 0)
            try db.acting(as: .owner) { try $0.execute("UPDATE contacts SET timezone = '\(zone(whereItIs: 12))'") }
            try db.execute("UPDATE messages SET due_at = now() WHERE state = 'pending'")
            #expect(try scene.startAll(db).count == 1)
        }
    }

    @Test func `a campaign may disregard them, and so do tests to oneself`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try scene.goToBed([0, 1, 2], db)
            let text = "Hi"
            _ = try db.transaction { db in
                try db.setWorkspace(scene.workspace)
                return try db.one(
                    CampaignSQL.insertTest, MessageID.new(), scene.campaign, nil, scene.sender, .sms, "+12025559999", text, 1)
            }
            try scene.freeze(db)
            try scene.work(db)
            let claimed = try scene.claim(db)
            #expect(claimed.filter { !$0.isSkipped }.map(\.isTest) == [true])
            #expect(try scene.states(db) == ["claimed": 1, "pending": 3])
            try db.acting(as: .owner) { try $0.execute("UPDATE campaigns SET respects_quiet_hours = false") }
            try db.execute("UPDATE messages SET due_at = now() WHERE state = 'pending'")
            #expect(try scene.claim(db).filter { !$0.isSkipped }.count == 3)
        }
    }

    @Test func `what cannot leave before the campaign's time is over is left out, and says which it was`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try scene.goToBed([1], db)
            try scene.freeze(db)
            try db.execute("UPDATE campaigns SET send_until = now() + interval '1 hour'")
            try scene.work(db)
            #expect(try scene.claim(db, limit: 2).count == 2)
            _ = try scene.claim(db)
            #expect(try scene.states(db) == ["claimed": 2, "skipped/quiet_hours": 1])
            try db.acting(as: .owner) { try $0.execute("UPDATE campaigns SET send_until = now()") }
            try db.execute("UPDATE messages SET state = 'pending', lease_token = NULL, lease_until = NULL WHERE state = 'claimed'")
            _ = try scene.claim(db)
            #expect(try scene.states(db) == ["skipped/too_late": 2, "skipped/quiet_hours": 1])
        }
    }

    @Test func `who has said no meanwhile is left out for that, whatever the hour`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            try scene.goToBed([0, 1, 2], db)
            try scene.freeze(db)
            try scene.work(db)
            try db.runDynamic(
                "SELECT suppress('sms', (SELECT phone FROM contacts WHERE id = $1), 'opt_out', 'inbound')", [scene.contacts[1].sqlValue])
            _ = try scene.claim(db)
            #expect(try scene.states(db) == ["pending": 2, "skipped/opted_out": 1])
        }
    }

    @Test func `a draft says whether it respects them and until when it is sent, and a message what it waits for`() throws {
        try withMessagingSite { site throws in
            let draft = try site.post(
                "/api/campaigns", ["name": "A", "channel": "sms", "respects_quiet_hours": false, "send_until": "2099-01-01T00:00:00Z"])
            #expect(
                draft.status == 201 && draft.json["respects_quiet_hours"] == false
                    && draft.json["send_until"] == "2099-01-01T00:00:00.000000Z")
            #expect(try site.get(site.campaign).json["respects_quiet_hours"] == true)
            let path = "/api/campaigns/\(draft.json["id"]?.string ?? "")"
            let changed = try site.send("PATCH", path, ["send_until": .null])
            #expect(
                changed.json["send_until"]?.isNull == true && changed.json["respects_quiet_hours"] == false && changed.json["version"] == 2)
            _ = try site.send("PATCH", site.campaign, ["send_until": "2020-01-01T00:00:00Z"])
            #expect(try site.post(site.campaign + "/start").code == "out_of_range")
            _ = try site.send("PATCH", site.campaign, ["send_until": .null])
            try site.scene.goToBed([0, 1, 2], site.owner)
            try site.scene.freeze(site.owner)
            let worker = try site.database.connect(as: .worker)
            try worker.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                _ = try site.scene.claim(db)
            }
            let message = try #require(try site.get(site.campaign + "/messages").json["items"]?.array?.first)
            let read = try site.get("/api/messages/\(message["id"]?.string ?? "")").json
            #expect(
                read["explanation"]?.string?.hasPrefix("It waits for an hour") == true
                    && read["due_at"]?.string?.hasSuffix(":00:00.000000Z") == true)
        }
    }
}
