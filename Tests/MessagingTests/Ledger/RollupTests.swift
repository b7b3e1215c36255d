import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct RollupTests {
    @Test func `after any history the rollup equals the ledger`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 120, consenting: 100)
            try scene.freeze(db)
            let seed = UInt64.random(in: 0...UInt64.max)
            var random = SeededGenerator(seed)
            try scene.work(db)
            for step in 0..<60 {
                try act(db, scene, &random)
                if step % 10 == 9 { #expect(try differences(db, scene).isEmpty, "seed \(seed), step \(step)") }
            }
            #expect(try differences(db, scene).isEmpty, "seed \(seed)")
            let hours: Int = try db.value("SELECT sum(frozen)::int FROM campaign_hours WHERE campaign_id = $1", scene.campaign.sqlValue)
            #expect(hours == 120)
        }
    }

    @Test func `the chore tells each difference and mends it`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 10, consenting: 7)
            try scene.freeze(db)
            try db.runDynamic(
                "UPDATE campaign_stats SET messages = messages + 2 WHERE campaign_id = $1 AND measure = 'skipped'",
                [scene.campaign.sqlValue])
            try db.runDynamic("DELETE FROM campaign_stats WHERE campaign_id = $1 AND measure = 'frozen'", [scene.campaign.sqlValue])
            try db.acting(as: .maintenance) { db in
                let chore = messagingChores.first { $0.name == "rollup" }!
                let first = try chore.run(db)
                #expect(first.first { $0.0 == "differences" }?.1 == 2)
                #expect(try chore.run(db).first { $0.0 == "differences" }?.1 == 0)
            }
            #expect(try differences(db, scene).isEmpty)
        }
    }

    @Test func `tests are not counted`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try scene.work(db)
            _ = try db.one(CampaignSQL.insertTest, MessageID.new(), scene.campaign, nil, scene.sender, .sms, "+12025550199", "Hi", 1)
            #expect(try scene.claim(db).map(\.body) == ["Hi"])
            #expect(try db.value("SELECT count(*)::int FROM campaign_stats WHERE campaign_id = $1", scene.campaign.sqlValue) == 0)
        }
    }

    /// One thing that a worker or a callback does, at random.
    private func act(_ db: Connection, _ scene: Scene, _ random: inout SeededGenerator) throws {
        let lease = UUID.v7()
        let claimed = try scene.claim(db, limit: Int.random(in: 1...8, using: &random), lease: lease).filter { !$0.isSkipped }
        let started = Array(claimed.prefix(Int.random(in: 0...8, using: &random)))
        let rows = try scene.start(db, started, lease: lease)
        for row in rows where row.state == "started" {
            guard let message = started.first(where: { $0.id == row.id }) else { continue }
            let outcome = ["sent", "failed", "unknown", "pending", "callback", "nothing"].randomElement(using: &random)!
            switch outcome {
            case "callback":
                let status = ["sent", "delivered", "undelivered", "failed"].randomElement(using: &random)!
                _ =
                    try db.dynamic(
                        "SELECT apply_status($1, $2, $3, 30003, now() + $4 * interval '1 hour')",
                        [
                            row.id.sqlValue, "SM\(row.id)".sqlValue, status.sqlValue, Int.random(in: 0...5, using: &random).sqlValue,
                        ]) as [String]
            case "nothing": break
            default:
                try db.run(
                    LedgerSQL.settle, [row.id], [message.createdAt], [row.attempt], [outcome], [outcome == "sent" ? "SM\(row.id)" : nil],
                    ["queued"], [outcome == "failed" ? 21211 : nil], [0], [outcome == "unknown" ? "no_answer" : nil],
                    [outcome == "sent" ? Int.random(in: 1...3, using: &random) : nil])
            }
        }
        if Int.random(in: 0...5, using: &random) == 0 { _ = try db.one(LedgerSQL.rescue, 100, .now() + 61) }
        if Int.random(in: 0...5, using: &random) == 0 {
            let late: [MessageID] = try db.dynamic("SELECT id FROM messages WHERE state IN ('sent', 'unknown') ORDER BY id LIMIT 3", [])
            for id in late {
                _ =
                    try db.dynamic(
                        "SELECT apply_status($1::uuid, 'SM' || $1::text, 'delivered', NULL, now() + interval '7 hours')", [id.sqlValue])
                    as [String]
            }
        }
    }

    private func differences(_ db: Connection, _ scene: Scene) throws -> [RollupDifference] {
        try db.all(RollupSQL.differences, scene.workspace, scene.campaign)
    }
}
