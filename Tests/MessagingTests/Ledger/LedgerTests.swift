import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct LedgerTests {
    @Test func `freezing writes one row per member, with a reason for who gets nothing`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 6, consenting: 5)
            try db.setWorkspace(scene.workspace)
            try db.runDynamic("UPDATE contacts SET phone = NULL WHERE id = $1", [scene.contacts[0].sqlValue])
            try db.runDynamic(
                "SELECT record_consent($1, 'sms', 'opted_out', 'test', at => now() + interval '1 s')", [scene.contacts[1].sqlValue])
            for (index, reason) in [(2, "manual"), (3, "invalid")] {
                try db.runDynamic(
                    "SELECT suppress('sms', (SELECT phone FROM contacts WHERE id = $1), $2, 'test')",
                    [scene.contacts[index].sqlValue, reason.sqlValue])
            }
            #expect(try scene.freeze(db) == 6)
            #expect(
                try scene.states(db) == [
                    "skipped/no_address": 1, "skipped/opted_out": 1, "skipped/suppressed": 1, "skipped/invalid_address": 1,
                    "skipped/no_consent": 1, "pending": 1,
                ])
        }
    }

    @Test func `a workspace that writes to all who did not say no reaches the silent ones`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 3, consenting: 1)
            try db.runDynamic(
                "UPDATE workspaces SET settings = '{\"consent_mode\": \"opt_out\"}' WHERE id = $1", [scene.workspace.sqlValue])
            try scene.freeze(db)
            #expect(try scene.states(db) == ["pending": 3])
        }
    }

    @Test func `freezing twice is impossible`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            #expect(throws: (any Error).self) { try scene.freeze(db) }
            #expect(try scene.states(db) == ["pending": 3])
        }
    }

    @Test func `who texts STOP between freezing and the claim is skipped by the claim`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            try db.runDynamic(
                "SELECT suppress('sms', (SELECT phone FROM contacts WHERE id = $1), 'opt_out', 'inbound')", [scene.contacts[1].sqlValue])
            let claimed = try scene.claim(db)
            #expect(claimed.count == 3)
            #expect(claimed.filter(\.isSkipped).count == 1)
            #expect(try scene.states(db) == ["claimed": 2, "skipped/opted_out": 1])
        }
    }

    @Test func `who withdraws consent between the claim and the start gets nothing`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            let lease = UUID.v7()
            let claimed = try scene.claim(db, lease: lease)
            try db.runDynamic(
                "SELECT record_consent($1, 'sms', 'opted_out', 'inbound', at => now() + interval '1 s')", [scene.contacts[0].sqlValue])
            let started = try scene.start(db, claimed, lease: lease)
            #expect(started.filter { $0.state == "started" }.count == 2)
            #expect(try scene.states(db) == ["started": 2, "skipped/opted_out": 1])
        }
    }

    @Test func `a contact who is gone or has another number now is skipped`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try db.setWorkspace(scene.workspace)
            try db.runDynamic("DELETE FROM contacts WHERE id = $1", [scene.contacts[0].sqlValue])
            try db.runDynamic("UPDATE contacts SET phone = '+12025559999' WHERE id = $1", [scene.contacts[1].sqlValue])
            try scene.work(db)
            _ = try scene.claim(db)
            #expect(try scene.states(db) == ["skipped/contact_deleted": 1, "skipped/address_changed": 1, "claimed": 1])
        }
    }

    @Test func `pausing gives back what is claimed, and nothing more is claimed`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            let lease = UUID.v7()
            let claimed = try scene.claim(db, limit: 2, lease: lease)
            _ = try db.one(CampaignSQL.pause, scene.campaign)
            #expect(try scene.start(db, claimed, lease: lease).allSatisfy { $0.state == "pending" })
            #expect(try scene.claim(db).isEmpty)
            _ = try db.one(CampaignSQL.resume, scene.campaign)
            #expect(try scene.claim(db).count == 3)
        }
    }

    @Test(arguments: [
        "UPDATE workspaces SET suspended_at = now()",
        "UPDATE senders SET status = 'suspended', status_reason = 'account_suspended'",
    ])
    func `what is claimed when sender or workspace are suspended is given back at its start`(suspension: String) throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            let lease = UUID.v7()
            let claimed = try scene.claim(db, limit: 2, lease: lease)
            try db.acting(as: .owner) { try $0.execute(suspension) }
            #expect(try scene.start(db, claimed, lease: lease).map(\.state) == ["pending", "pending"])
            #expect(try scene.states(db) == ["pending": 3])
            #expect(try db.all(LedgerSQL.campaignsToSend).isEmpty)
        }
    }

    @Test func `a refusal of credentials that were changed meanwhile does not suspend the new ones`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 2)
            try scene.freeze(db)
            try scene.work(db)
            let work = try db.all(LedgerSQL.campaignsToSend)[0]
            let lane = Lane(work, SenderGate(scene.sender))
            for (started, expected) in zip(try scene.startAll(db), ["active", "suspended"]) {
                lane.gate.update(try db.one(SenderSQL.forSending, scene.sender), scene.workspace, Scene.key)
                let attempt = Attempt(
                    message: started.message.id, createdAt: started.message.createdAt, number: started.attempt, to: started.message.to,
                    senderVersion: lane.gate.version, route: lane.gate.route!, lane: lane)
                if expected == "active" {
                    try db.runDynamic("UPDATE senders SET version = version + 1 WHERE id = $1", [scene.sender.sqlValue])
                    lane.gate.update(try db.one(SenderSQL.forSending, scene.sender), scene.workspace, Scene.key)
                }
                var settlement = Settlement()
                settlement.add(attempt, .authenticationFailed, now: .now())
                try settlement.commit(db)
                #expect(try db.value("SELECT status FROM senders") == expected)
            }
        }
    }

    @Test func `campaigns that send, and tests of any, are what there is to send`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            let drafted = try scene.withAnotherCampaign(db)
            try scene.freeze(db)
            try db.act(as: .worker)
            #expect(try db.all(LedgerSQL.campaignsToSend).map(\.campaign) == [scene.campaign])
            try db.setWorkspace(scene.workspace)
            for campaign in [scene.campaign, drafted.campaign] {
                _ = try db.one(CampaignSQL.insertTest, MessageID.new(), campaign, nil, scene.sender, .sms, "+12025550199", "Hi", 1)
            }
            #expect(Set(try db.all(LedgerSQL.campaignsToSend).map(\.campaign)) == [scene.campaign, drafted.campaign])
        }
    }

    @Test func `a test goes before the audience`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            let test = MessageID.new()
            _ = try db.one(CampaignSQL.insertTest, test, scene.campaign, nil, scene.sender, .sms, "+12025550199", "Hi", 1)
            #expect(try scene.claim(db, limit: 1).map(\.id) == [test])
        }
    }

    @Test func `cancelling skips what was claimed at its start`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            let lease = UUID.v7()
            let claimed = try scene.claim(db, limit: 1, lease: lease)
            _ = try db.one(CampaignSQL.cancel, scene.campaign, nil)
            _ = try scene.start(db, claimed, lease: lease)
            #expect(try db.run(LedgerSQL.skipCancelled, scene.campaign, 100) == 2)
            #expect(try scene.states(db) == ["skipped/campaign_cancelled": 3])
            #expect(try db.one(LedgerSQL.isOpen, scene.campaign) == false)
        }
    }

    @Test func `a lease that ends gives back what was claimed and loses track of what was started`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try scene.work(db)
            let lease = UUID.v7()
            let claimed = try scene.claim(db, lease: lease)
            _ = try scene.start(db, [claimed[0]], lease: lease)
            #expect(try db.one(LedgerSQL.rescue, 100, .now()).released == 0)
            let rescued = try db.one(LedgerSQL.rescue, 100, .now() + 61)
            #expect(rescued.released == 2 && rescued.lost == 1)
            #expect(try scene.states(db) == ["pending": 2, "unknown": 1])
            // The worker that comes back to life starts nothing with its old lease.
            #expect(try scene.start(db, Array(claimed.dropFirst()), lease: lease).isEmpty)
            #expect(try scene.claim(db).map(\.id).sorted() == claimed.dropFirst().map(\.id).sorted())
        }
    }

    @Test func `an outcome settles only the attempt that it belongs to`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try scene.freeze(db)
            try scene.work(db)
            let first = try scene.startAll(db)[0]
            #expect(try settle(db, first, "pending", wait: 0) == 1)
            let second = try scene.startAll(db)[0]
            #expect(second.attempt == 2)
            #expect(try settle(db, first, "sent", sid: "SM1") == 0)
            #expect(try settle(db, second, "sent", sid: "SM2") == 1)
            #expect(try db.value("SELECT sid FROM messages WHERE id = $1", second.message.id.sqlValue) == "SM2")
        }
    }

    @Test func `an answer that comes after the rescue still tells that it was sent, but never sends again`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 2)
            try scene.freeze(db)
            try scene.work(db)
            let started = try scene.startAll(db)
            _ = try db.one(LedgerSQL.rescue, 100, .now() + 61)
            #expect(try settle(db, started[0], "sent", sid: "SM1") == 1)
            #expect(try settle(db, started[1], "pending", wait: 0) == 0)
            #expect(try scene.states(db) == ["sent": 1, "unknown": 1])
        }
    }

    @Test func `a retry waits until it is due`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try scene.freeze(db)
            try scene.work(db)
            #expect(try settle(db, try scene.startAll(db)[0], "pending", wait: 30) == 1)
            #expect(try scene.claim(db).isEmpty)
            try db.runDynamic("UPDATE messages SET due_at = now() WHERE campaign_id = $1", [scene.campaign.sqlValue])
            #expect(try scene.claim(db).count == 1)
        }
    }

    @Test func `a campaign finishes when nothing is pending or in anybody's hands`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 2)
            try scene.freeze(db)
            try scene.work(db)
            #expect(try db.run(LedgerSQL.finish, scene.campaign) == 0)
            let started = try scene.startAll(db)
            #expect(try db.run(LedgerSQL.finish, scene.campaign) == 0)
            _ = try settle(db, started[0], "sent", sid: "SM1")
            _ = try settle(db, started[1], "unknown", reason: "no_answer")
            #expect(try db.run(LedgerSQL.finish, scene.campaign) == 1)
            #expect(try scene.status(db) == "finished")
        }
    }

    @Test func `claimers never get the same message`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 400)
            try scene.freeze(owner)
            let claimed = try inParallel(4) { _ in
                let db = try database.connect(as: .worker)
                var mine: [MessageID] = []
                while true {
                    let batch = try db.inWorkspace(scene.workspace) { db in try scene.claim(db, limit: 7) }
                    if batch.isEmpty { return mine }
                    mine += batch.map(\.id)
                }
            }.flatMap { $0 }
            #expect(claimed.count == 400)
            #expect(Set(claimed).count == 400)
        }
    }

    @Test func `a worker sees only the workspace that it works in`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            let other = try Scene(db)
            try scene.freeze(db)
            try other.freeze(db)
            try other.work(db)
            #expect(try scene.claim(db).isEmpty)
            #expect(try other.claim(db).count == 3)
        }
    }

    private func settle(
        _ db: Connection, _ started: (message: ClaimedMessage, attempt: Int), _ outcome: String, sid: String? = nil,
        wait: Double? = nil, reason: String? = nil
    ) throws -> Int {
        try db.run(
            LedgerSQL.settle, [started.message.id], [started.message.createdAt], [started.attempt], [outcome], [sid],
            [sid == nil ? nil : "queued"], [nil], [wait], [reason], [nil])
    }
}
