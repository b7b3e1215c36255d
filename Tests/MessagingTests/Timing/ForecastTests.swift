import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct ForecastTests {
    private func look(_ scene: Scene, _ db: Connection) throws -> Waterfall {
        Waterfall(try db.all(PreflightSQL.waterfall, scene.campaign, scene.segment, .sms))
    }

    private func cap(_ caps: JSONValue, _ scene: Scene, _ db: Connection) throws {
        try db.runDynamic(
            "UPDATE workspaces SET settings = settings || jsonb_build_object('frequency_caps', $2::jsonb) WHERE id = $1",
            [scene.workspace.sqlValue, caps.sqlValue])
    }

    /// Freezes a campaign and starts all of it, but for those whom it leaves out.
    private func send(_ scene: Scene, _ db: Connection) throws {
        try scene.freeze(db)
        try db.acting(as: .worker) { db in
            try db.setWorkspace(scene.workspace)
            _ = try scene.startAll(db)
        }
    }

    @Test func `whom preflight sees left out for the hour and for caps, sending leaves out`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db, contacts: 9)
            try cap([["channel": "sms", "at_most": 1, "per_hours": 24]], scene, db)
            try send(try scene.withAnotherCampaign(db), db)
            // Of those only the first three count: the others got nothing.
            try db.runDynamic(
                "UPDATE messages SET state = 'failed', settled_at = now(), lease_token = NULL, lease_until = NULL WHERE NOT contact_id = ANY ($1)",
                [Array(scene.contacts.prefix(3)).sqlValue])
            // One of them sleeps, too, and is left out for that: it is asked first.
            try scene.goToBed([2, 3, 4], db)
            try db.runDynamic(
                "UPDATE campaigns SET send_until = now() + interval '2 hours' WHERE id = $1", [scene.campaign.sqlValue])
            let forecast = try look(scene, db)
            #expect(forecast.json(showingContacts: true)["skipped"] == ["over_cap": 2, "quiet_hours": 3])
            #expect(forecast.recipients == 4 && forecast.members == 9 && forecast.later == .null)
            try send(scene, db)
            #expect(try scene.states(db) == ["started": 4, "skipped/over_cap": 2, "skipped/quiet_hours": 3])
        }
    }

    @Test func `whoever can wait for the morning is a recipient, and preflight says until when`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db, contacts: 6)
            try scene.goToBed([0, 1], db)
            let forecast = try look(scene, db)
            #expect(forecast.recipients == 6 && forecast.json(showingContacts: true)["skipped"] == [:])
            let opens = try #require(forecast.later["last_opens_at"]?.string.flatMap { Instant(rfc3339: $0) })
            #expect(forecast.later["count"] == 2)
            try send(scene, db)
            let due: Instant = try db.value("SELECT max(due_at) FROM messages WHERE state = 'pending'")
            #expect(due == opens)
            try db.runDynamic("UPDATE campaigns SET respects_quiet_hours = false", [])
            #expect(try look(scene, db).later == .null)
        }
    }

    @Test func `set-wise counting of caps finds whom the claim would find, whatever came before`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        for round in 0..<8 {
            var random = Seeded(seed &+ UInt64(round))
            try withDatabase { db throws in
                let scene = try Scene(db, contacts: 30)
                let tags = ["promo", "news"]
                for _ in 0..<5 {
                    let before = try scene.withAnotherCampaign(db)
                    try db.runDynamic(
                        "UPDATE campaigns SET tags = $2, ignores_caps = $3 WHERE id = $1",
                        [
                            before.campaign.sqlValue, tags.filter { _ in Bool.random(using: &random) }.sqlValue,
                            (Int.random(in: 0..<4, using: &random) == 0).sqlValue,
                        ])
                    try send(before, db)
                    try db.runDynamic(
                        """
                        UPDATE messages SET started_at = now() - make_interval(secs => $2::float8 + 60 * get_byte(sha256(id::text::bytea), 0)),
                               state = CASE get_byte(sha256(id::text::bytea), 1) % 4 WHEN 0 THEN 'failed' ELSE state END,
                               settled_at = CASE get_byte(sha256(id::text::bytea), 1) % 4 WHEN 0 THEN now() END,
                               lease_token = CASE get_byte(sha256(id::text::bytea), 1) % 4 WHEN 0 THEN NULL ELSE lease_token END,
                               lease_until = CASE get_byte(sha256(id::text::bytea), 1) % 4 WHEN 0 THEN NULL ELSE lease_until END
                         WHERE campaign_id = $1
                        """, [before.campaign.sqlValue, Double.random(in: 0...172_800, using: &random).sqlValue])
                    if Bool.random(using: &random) {
                        // When all of it had left, and not before.
                        try db.runDynamic(
                            """
                            UPDATE campaigns SET status = 'finished', finished_at = (
                                SELECT max(started_at) + interval '1 second' FROM messages WHERE campaign_id = $1) WHERE id = $1
                            """, [before.campaign.sqlValue])
                    }
                }
                let hours = (1...3).map { _ in Int.random(in: 1...60, using: &random) }
                try cap(
                    [
                        ["channel": "sms", "at_most": 3, "per_hours": JSONValue(hours[0])],
                        ["channel": "sms", "at_most": 1, "per_hours": JSONValue(hours[1]), "tag": "promo"],
                        ["channel": "email", "at_most": 1, "per_hours": JSONValue(hours[2])],
                    ], scene, db)
                try db.runDynamic("UPDATE campaigns SET tags = '{promo}' WHERE id = $1", [scene.campaign.sqlValue])
                let expected: Int = try db.value(
                    "SELECT count(*) FROM contacts c WHERE cap_reason(c.id, 'sms', '{promo}', now()) IS NOT NULL")
                let found = try look(scene, db).json(showingContacts: true)["skipped"]?["over_cap"]?.integer ?? 0
                #expect(found == expected, "seed \(seed &+ UInt64(round))")
            }
        }
    }
}
