import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Everybody decides at once, while others send, and somebody dies.
@Suite(.serialized) struct WinnerRaceTests {
    @Test func `of many who decide at once one does, and nobody is let go twice`() throws {
        try withSending(contacts: 300, prepare: { scene, db in try scene.addTest(db) }) { sending in
            let (scene, database) = (sending.scene, sending.database)
            try sending.run(seconds: 2)
            try scene.reply(sending.db, to: 1)
            try scene.letTimePass(sending.db)
            _ = try inParallel(6) { _ in try Decision.advance(scene.campaign, in: scene.workspace, database.connect(as: .worker)) }
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.experiment(sending.db)["winner"] == 1)
            #expect(try scene.waiting(sending.db) == 0)
            let decided: Int = try sending.db.value("SELECT count(*) FROM audit_log WHERE action = 'campaign.winner_chosen'")
            let told: Int = try sending.db.value("SELECT count(*) FROM notices WHERE kind = 'campaign.winner_chosen'")
            #expect(decided == 1 && told == 1)
            #expect(try sending.db.value("SELECT count(*) FROM messages WHERE due_at < now() - interval '1 year'", as: Int.self) == 0)
            try sending.run()
            #expect(try sending.states() == ["sent": 300])
            #expect(try scene.isRight(sending.provider.ledger, sending.db))
        }
    }

    @Test(arguments: 0..<4)
    func `a person and the clock choose at the same instant, and one of them does`(run: Int) throws {
        try withMessagingSite(contacts: 100) { site throws in
            let scene = site.scene
            try scene.addTest(site.owner)
            try scene.freeze(site.owner)
            try scene.letTimePass(site.owner)
            let (database, responder, token) = (site.database, site.responder, site.admin.token)
            let path = site.campaign + "/winner"
            // By data it would be a.
            let statuses = try inParallel(4) { index -> Int in
                if index % 2 == 0 {
                    try Decision.advance(scene.campaign, in: scene.workspace, database.connect(as: .worker))
                    return 0
                }
                return try responder.send("POST", path, token: token, json: ["variant": "b"]).status
            }
            try Decision.advance(scene.campaign, in: scene.workspace, database.connect(as: .worker))
            let decided = try scene.experiment(site.owner)
            if decided["decided_by"] == "user" {
                #expect(decided["winner"] == 1 && statuses.filter { $0 == 200 }.count == 2, "\(statuses)")
            } else {
                #expect(decided["winner"] == 0 && statuses.filter { $0 == 409 }.count == 2, "\(statuses)")
            }
            #expect(try site.owner.value("SELECT count(*) FROM audit_log WHERE action = 'campaign.winner_chosen'", as: Int.self) == 1)
            #expect(try scene.waiting(site.owner) == 0)
        }
    }

    @Test func `a winner that is chosen while workers send reaches everybody once`() throws {
        try withSending(contacts: 400, rate: 600, prepare: { scene, db in try scene.addTest(db, percent: 60) }) { sending in
            let (scene, db) = (sending.scene, sending.db)
            try sending.race(workers: 2) {
                try waitUntil("some of the test have theirs") {
                    try db.value("SELECT count(*) > 5 FROM messages WHERE sent_at IS NOT NULL AND body LIKE 'B %'", as: Bool.self)
                }
                try scene.reply(db, to: 1)
                try scene.letTimePass(db)
                try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
                try waitUntil("everybody has it", seconds: 60) { try sending.status() == "finished" }
            }
            #expect(try sending.states() == ["sent": 400])
            #expect(try scene.experiment(db)["winner"] == 1)
            #expect(try scene.isRight(sending.provider.ledger, db))
        }
    }

    @Test(arguments: ["after_decision:1", "after_release:1"])
    func `a worker that dies between decision and release leaves it to the next`(point: String) throws {
        try withSending(contacts: 200, prepare: { scene, db in try scene.addTest(db) }) { sending in
            let (scene, db) = (sending.scene, sending.db)
            try sending.run(seconds: 2)
            try scene.reply(db, to: 1)
            try scene.letTimePass(db)
            let worker = try sending.worker(crashingAt: point)
            worker.waitUntilExit()
            #expect(worker.terminationReason == .uncaughtSignal && worker.terminationStatus == SIGKILL, "it did not reach \(point)")
            #expect(try scene.experiment(db)["winner"] == 1)
            #expect(try scene.experiment(db)["released_at"]?.isNull == true)
            if point.hasPrefix("after_decision") { #expect(try scene.waiting(db) > 0) }
            #expect(try db.all(DecisionSQL.due).map(\.campaign) == [scene.campaign])
            try Decision.advance(scene.campaign, in: scene.workspace, sending.connect())
            #expect(try scene.experiment(db)["released_at"]?.isNull == false)
            #expect(try scene.waiting(db) == 0)
            // What the worker had in hand of the first that were let go.
            try db.execute("UPDATE messages SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL")
            _ = try db.one(LedgerSQL.rescue, 1000, nil)
            try sending.run()
            let states = try sending.states()
            #expect((states["sent"] ?? 0) + (states["unknown"] ?? 0) == 200, "\(states)")
            #expect(try scene.isRight(sending.provider.ledger, db))
        }
    }
}
