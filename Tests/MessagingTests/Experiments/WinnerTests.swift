import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct WinnerTests {
    @Test(arguments: [
        ([(10, 1), (10, 2), (10, 1)], 1, "best"), ([(10, 2), (20, 4), (10, 1)], 0, "tie"), ([(10, 1), (10, 2), (100, 20)], 1, "tie"),
        ([(10, 0), (10, 0)], 0, "no_data"), ([(0, 0), (0, 0)], 0, "no_data"), ([(0, 0), (10, 1)], 1, "best"),
        ([(0, 0), (10, 0)], 0, "no_data"),
        ([(3, 1), (6_000_000_000, 2_000_000_001)], 1, "best"),
    ])
    func `the best rate wins, and the first of equal ones`(_ counts: [(Int, Int)], _ place: Int, _ reason: String) {
        let figures = counts.enumerated().map { VariantFigure(place: $0, name: "\($0)", sent: $1.0, count: $1.1) }
        let verdict = Verdict(figures)
        #expect(verdict.place == place && verdict.reason.rawValue == reason)
        #expect(Verdict(figures.reversed()) == verdict)
    }

    @Test func `the rest waits for the winner, and gets it once it is known`() throws {
        try withTest { sending in
            let (scene, db) = (sending.scene, sending.db)
            let before = try scene.places(db)
            let inTest = before.values.filter(\.isInTest).count
            #expect(inTest > 0 && inTest < 200 && before.values.allSatisfy { ($0.place == nil) != $0.isInTest })
            try sending.run(seconds: 2)
            #expect(sending.provider.ledger.count == inTest)
            #expect(try scene.isRight(sending.provider.ledger, db))
            #expect(try sending.status() == "sending")
            #expect(try scene.waiting(db) == 200 - inTest)
            // Not before its time, however clear it is.
            try scene.reply(db, to: 0, oneIn: 4)
            try scene.reply(db, to: 1, oneIn: 2)
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try db.all(DecisionSQL.due).isEmpty)
            #expect(try scene.experiment(db)["winner"]?.isNull == true)
            #expect(try scene.waiting(db) == 200 - inTest)
            try scene.letTimePass(db)
            #expect(try db.all(DecisionSQL.due).map(\.campaign) == [scene.campaign])
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            let decided = try scene.experiment(db)
            #expect(decided["winner"] == 1 && decided["reason"] == "best" && decided["decided_by"] == "automatic", "\(decided.text)")
            #expect(decided["figures"]?.array?.map { $0["name"]?.string } == ["a", "b"])
            #expect(decided["figures"]?.array?.reduce(0) { $0 + ($1["sent"]?.integer ?? 0) } == inTest)
            #expect(decided["released_at"]?.isNull == false)
            #expect(try scene.waiting(db) == 0)
            #expect(try db.all(DecisionSQL.due).isEmpty)
            try sending.run()
            #expect(try sending.states() == ["sent": 200])
            #expect(try sending.status() == "finished")
            #expect(try scene.isRight(sending.provider.ledger, db))
            let after = try scene.places(db)
            #expect(after.allSatisfy { $1.place == (before[$0]!.isInTest ? before[$0]!.place : 1) })
            #expect(try db.value("SELECT count(*) FROM notices WHERE kind = 'campaign.winner_chosen'", as: Int.self) == 1)
            #expect(try db.all(RollupSQL.differences, scene.workspace, scene.campaign).isEmpty)
        }
    }

    @Test func `a paused campaign has no winner until it goes on, and a cancelled one never`() throws {
        try withTest { sending in
            let (scene, db) = (sending.scene, sending.db)
            try sending.run(seconds: 2)
            try scene.letTimePass(db)
            try sending.move(CampaignSQL.pause)
            #expect(try db.all(DecisionSQL.due).isEmpty)
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.experiment(db)["winner"]?.isNull == true)
            try sending.move(CampaignSQL.resume)
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            // Nobody replied to anything.
            #expect(try scene.experiment(db)["winner"] == 0)
            #expect(try scene.experiment(db)["reason"] == "no_data")
        }
        try withTest { sending in
            let (scene, db) = (sending.scene, sending.db)
            try sending.run(seconds: 2)
            try scene.letTimePass(db)
            _ = try db.inWorkspace(scene.workspace) { db in try db.one(CampaignSQL.cancel, scene.campaign, nil) }
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.experiment(db)["winner"]?.isNull == true)
            // Nobody looks at it again.
            #expect(try db.all(DecisionSQL.due).isEmpty && scene.open(db) == 0)
            let waiting = try scene.waiting(db)
            let skipped = try db.inWorkspace(scene.workspace) { db in try db.run(LedgerSQL.skipCancelled, scene.campaign, 5000) }
            #expect(skipped == waiting && waiting > 0)
        }
    }

    @Test func `a test that reaches nobody is over at once, and the first variant goes to the rest`() throws {
        try withTest { sending in
            let (scene, db) = (sending.scene, sending.db)
            try db.execute("UPDATE messages SET to_address = '+12025559999' WHERE NOT \(Remainder.waits("messages"))")
            // Still to be looked at: nothing is decided about it.
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.experiment(db)["winner"]?.isNull == true)
            try sending.run(seconds: 1)
            #expect(sending.provider.requestCount == 0)
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.experiment(db)["winner"] == 0)
            #expect(try scene.experiment(db)["reason"] == "no_data")
            try sending.run()
            #expect(try sending.status() == "finished")
            #expect(try scene.isRight(sending.provider.ledger, db))
        }
    }

    @Test func `whose hour is still to come when the winner is known gets it in that hour`() throws {
        try withSending(
            contacts: 100,
            prepare: { scene, db in
                try scene.addTest(db)
                try db.execute("UPDATE contacts SET timezone = CASE WHEN ordinal % 2 = 0 THEN 'Etc/GMT-1' ELSE 'Etc/GMT' END")
                try db.execute("UPDATE campaigns SET scheduled_local = (now() AT TIME ZONE 'UTC') + interval '30 minutes', late = 'send'")
            }
        ) { sending in
            let (scene, db) = (sending.scene, sending.db)
            let dues =
                "SELECT json_object_agg(contact_id, due_at - CASE WHEN due_at > '2900-01-01' THEN interval '8766000 hours' ELSE '0' END) FROM messages"
            let before: JSONValue = try db.value(dues)
            _ = try db.inWorkspace(scene.workspace) { db in
                try db.run(DecisionSQL.decide, scene.campaign, 1, "by_hand", "user", nil, [])
            }
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.waiting(db) == 0)
            let after: JSONValue = try db.value(dues)
            #expect(after == before)
            #expect(try db.value("SELECT count(*) FROM messages WHERE due_at > now()", as: Int.self) == 50)
        }
    }

    @Test func `when a campaign's time is over before there was a winner the rest is left out`() throws {
        try withSending(contacts: 80, prepare: { scene, db in try scene.addExperiment(db, test: 2000, winner: .byHand) }) { sending in
            let (scene, db) = (sending.scene, sending.db)
            try sending.run(seconds: 1)
            let waiting = try scene.waiting(db)
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.waiting(db) == waiting && waiting > 0)
            try db.execute("UPDATE campaigns SET send_until = now()")
            #expect(try db.all(DecisionSQL.due).map(\.campaign) == [scene.campaign])
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            try sending.run()
            #expect(try sending.states()["skipped/too_late"] == waiting)
            #expect(try sending.status() == "finished")
        }
    }

    @Test func `a person chooses once, and says the same as often as they like`() throws {
        try withMessagingSite(contacts: 60) { site throws in
            let winner = site.campaign + "/winner"
            #expect(try site.post(winner, ["variant": "a"]).code == "wrong_state")
            try site.scene.addExperiment(site.owner, test: 2000, winner: .byHand)
            try site.scene.freeze(site.owner)
            #expect(try site.post(winner, ["variant": "c"]).code == "not_found")
            #expect(try site.post(winner, ["variant": "b"], as: site.viewer).status == 403)
            #expect(try site.post(winner, ["variant": "b"], as: site.stranger).status == 404)
            let before = try site.get(site.campaign)
            let message: String = try site.owner.value("SELECT id::text FROM messages m WHERE \(Remainder.waits("m")) LIMIT 1")
            let waits = try site.get("/api/messages/\(message)").json
            #expect(
                waits["variant"]?.isNull == true && waits["waits_for_winner"] == true && waits["due_at"]?.isNull == true, "\(waits.text)")
            let chosen = try site.post(winner, ["variant": "b"])
            #expect(chosen.status == 200 && chosen.json["experiment"]?["decision"]?["variant"] == "b", "\(chosen.text)")
            #expect(chosen.json["experiment"]?["decision"]?["decided_by"] == "user")
            #expect(chosen.header("ETag") != before.header("ETag"))
            #expect(try site.post(winner, ["variant": "b"]).json["version"] == chosen.json["version"])
            #expect(try site.post(winner, ["variant": "a"]).code == "winner_chosen")
            #expect(try site.owner.value("SELECT count(*) FROM audit_log WHERE action = 'campaign.winner_chosen'", as: Int.self) == 1)
            #expect(try site.get("/api/messages/\(message)").json["variant"] == "b")
            #expect(throws: PostgresError.self) { try site.owner.execute("UPDATE campaign_experiments SET winner = 0") }
            let plain = try site.scene.withAnotherCampaign(site.owner)
            try plain.freeze(site.owner)
            #expect(try site.post("/api/campaigns/\(plain.campaign)/winner", ["variant": "a"]).code == "no_experiment")
        }
    }

    @Test func `an experiment of a finished campaign is looked at until it is decided, and no longer`() throws {
        try withSending(
            contacts: 20, prepare: { scene, db in try scene.addExperiment(db, winner: .automatic, measure: .replied, after: 3600) }
        ) { sending in
            let (scene, db) = (sending.scene, sending.db)
            try sending.run()
            #expect(try sending.status() == "finished")
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try db.all(DecisionSQL.due).isEmpty && scene.open(db) == 1)
            try scene.letTimePass(db)
            #expect(try db.all(DecisionSQL.due).map(\.campaign) == [scene.campaign])
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.experiment(db)["winner"] == 0)
            #expect(try db.all(DecisionSQL.due).isEmpty && scene.open(db) == 0)
        }
    }

    @Test func `one that nobody decided by hand rests with its campaign, and can still be decided or tried again`() throws {
        try withSending(contacts: 20, prepare: { scene, db in try scene.addExperiment(db, winner: .byHand) }) { sending in
            let (scene, db) = (sending.scene, sending.db)
            try sending.run()
            #expect(try sending.status() == "finished")
            #expect(try db.all(DecisionSQL.due).map(\.campaign) == [scene.campaign])
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try db.all(DecisionSQL.due).isEmpty && scene.open(db) == 0)
            #expect(try scene.experiment(db)["winner"]?.isNull == true)
            try db.execute(
                "UPDATE messages SET state = 'undelivered', provider_status = 'undelivered', provider_rank = 4, settled_at = now()")
            try db.inWorkspace(scene.workspace) { db in
                #expect(try db.one(ByHandSQL.retry, scene.campaign, nil, ["undelivered"], nil, 5) == 5)
                try db.run(ByHandSQL.reopen, scene.campaign)
            }
            try sending.run()
            #expect(try sending.status() == "finished")
            #expect(sending.provider.ledger.count == 25)
            try db.inWorkspace(scene.workspace) { db in
                let figures = try db.all(DecisionSQL.figures, scene.campaign, nil)
                try Decision.store(1, "by_hand", by: nil, figures, scene.campaign, db)
            }
            #expect(try scene.experiment(db)["winner"] == 1)
        }
    }

    private func withTest(_ work: (Sending) throws -> Void) throws {
        try withSending(contacts: 200, prepare: { scene, db in try scene.addTest(db) }, work)
    }
}

extension Sending {
    func connect() throws -> Connection { try database.connect(as: .worker) }
}
