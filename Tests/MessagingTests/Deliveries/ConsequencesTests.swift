import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct ConsequencesTests {
    @Test func `who opted out at the provider has opted out here`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 2)
            let messages = try started(scene, database)
            try insert([(messages[0], "failed"), (messages[0], "failed"), (messages[1], "delivered")], code: 21610, scene, database)
            try settleAll(scene, database)
            // Messages of one instant start in the order of their ids, whichever contact that is.
            let address: String = try owner.value("SELECT to_address FROM messages WHERE id = $1", messages[0].sqlValue)
            #expect(try suppressions(owner) == ["\(address) opt_out provider"])
            #expect(
                try owner.value("SELECT string_agg(state || ' ' || source, ', ' ORDER BY state) FROM consents")
                    == "opted_in test, opted_out provider")
            #expect(try owner.value("SELECT count(*) FROM consent_events WHERE state = 'opted_out'", as: Int.self) == 1)
        }
    }

    @Test(arguments: [(30006, 1, "invalid"), (30005, 2, "invalid"), (30003, 3, "bounce"), (30004, 2, "bounce")])
    func `an address is held after as many failures as its code deserves`(code: Int, times: Int, reason: String) throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            for round in 1...times {
                let again = try scene.withAnotherCampaign(owner)
                try insert(try started(again, database).map { ($0, "undelivered") }, code: code, again, database)
                try settleAll(again, database)
                #expect(try suppressions(owner) == (round < times ? [] : ["+12025550001 \(reason) provider"]), "round \(round)")
            }
        }
    }

    @Test func `a suspended account stops its sender, unless the sender was changed since`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 2)
            let messages = try started(scene, database)
            let other = try scene.withAnotherCampaign(owner)
            try other.freeze(owner)
            let draft = try scene.withAnotherCampaign(owner)
            try owner.execute("UPDATE senders SET updated_at = clock_timestamp()")
            try insert([(messages[0], "failed")], code: 30002, scene, database)
            try settleAll(scene, database)
            #expect(try owner.value("SELECT status FROM senders") == "active")
            #expect(try scene.toldPauses(owner) == [])
            try owner.execute("UPDATE senders SET updated_at = now() - interval '1 day'")
            try insert([(messages[1], "failed")], code: 30002, scene, database)
            try settleAll(scene, database)
            #expect(try owner.value("SELECT status || ' ' || status_reason FROM senders") == "suspended account_suspended")
            #expect(try scene.status(owner) == "paused" && other.status(owner) == "paused" && draft.status(owner) == "draft")
            #expect(try scene.toldPauses(owner) == ["sender_suspended", "sender_suspended"])
            let told: [String] = try owner.dynamic("SELECT subject ->> 'campaign_id' FROM notices", [])
            #expect(Set(told) == [scene.campaign.description, other.campaign.description])
        }
    }

    @Test func `ten refusals of the sender's set-up pause the campaign`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 12)
            let messages = try started(scene, database)
            try insert(messages.prefix(9).map { ($0, "undelivered") }, code: 30034, scene, database)
            try settleAll(scene, database)
            #expect(try scene.status(owner) == "sending" && scene.toldPauses(owner) == [])
            for message in messages[9...] {
                try insert([(message, "undelivered")], code: 30034, scene, database)
                try settleAll(scene, database)
                #expect(try owner.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused sender_misconfigured")
                #expect(try scene.toldPauses(owner) == ["sender_misconfigured"])
            }
        }
    }

    @Test func `a campaign that was resumed does not pause for what was started before`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 15)
            let messages = try started(scene, database)
            try insert(messages.prefix(10).map { ($0, "undelivered") }, code: 30034, scene, database)
            try settleAll(scene, database)
            #expect(try scene.status(owner) == "paused")
            _ = try owner.inWorkspace(scene.workspace) { db in try db.one(CampaignSQL.resume, scene.campaign) }
            try insert(messages.dropFirst(10).map { ($0, "undelivered") }, code: 30034, scene, database)
            try settleAll(scene, database)
            #expect(try scene.status(owner) == "sending")
        }
    }

    private func suppressions(_ db: Connection) throws -> [String] {
        try db.dynamic("SELECT address || ' ' || reason || ' ' || source FROM suppressions ORDER BY 1", [])
    }
}
