import Foundation
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct InboundTests {
    private static let phone = "+12025550001"

    /// What is known of the first contact: suppression and consent.
    private func standing(_ scene: Scene, _ db: Connection) throws -> String {
        try db.value(
            """
            SELECT coalesce((SELECT s.reason || '/' || s.source FROM suppressions s WHERE s.workspace_id = $1 AND s.address = $2), 'free') || ' '
                || coalesce((SELECT k.state FROM consents k WHERE k.workspace_id = $1 AND k.contact_id = $3), 'unknown')
            """, scene.workspace.sqlValue, Self.phone.sqlValue, scene.contacts[0].sqlValue)
    }

    @discardableResult
    private func receive(_ scene: Scene, _ text: String, _ db: Connection, sid: String = "SM\(Vocabulary.UUID.v7())", from: String = phone)
        throws -> String
    {
        try db.one(DeliverySQL.receiveInbound, scene.sender, sid, from, "+12025550100", text, inboundIntent(of: text).rawValue, false)
    }

    /// Becomes the responder in the scene's workspace. What was recorded before happened earlier.
    private func respond(_ scene: Scene, _ db: Connection) throws {
        try db.acting(as: .owner) { try $0.execute("UPDATE consents SET occurred_at = now() - interval '1 day'") }
        try db.act(as: .responder)
        try db.setWorkspace(scene.workspace)
    }

    @Test func `START brings back who left by STOP, and nobody else`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 2, consenting: 1)
            try respond(scene, db)
            #expect(try standing(scene, db) == "free opted_in")
            try receive(scene, "STOP", db)
            #expect(try standing(scene, db) == "opt_out/inbound opted_out")
            try respond(scene, db)
            try receive(scene, "START", db)
            #expect(try standing(scene, db) == "free opted_in")
            // No consent comes of a START without a STOP before it.
            try receive(scene, "START", db, from: "+12025550002")
            #expect(try db.value("SELECT count(*) FROM consents WHERE contact_id = $1", scene.contacts[1].sqlValue, as: Int.self) == 0)
        }
    }

    @Test(arguments: ["manual", "invalid", "bounce", "complaint", "opt_out"])
    func `START does not lift what no text of theirs had caused`(reason: String) throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try respond(scene, db)
            let _: [Bool] = try db.dynamic("SELECT suppress('sms', $1, $2, 'api') IS NULL", [Self.phone.sqlValue, reason.sqlValue])
            try receive(scene, "YES", db)
            #expect(try standing(scene, db) == "\(reason)/api opted_in")
        }
    }

    @Test func `nor what the team said after a STOP`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try respond(scene, db)
            try receive(scene, "STOP", db)
            let _: [Bool] = try db.dynamic("SELECT suppress('sms', $1, 'manual', 'api') IS NULL", [Self.phone.sqlValue])
            #expect(try standing(scene, db) == "opt_out/api opted_out")
            try receive(scene, "STOP", db)
            try receive(scene, "YES", db)
            #expect(try standing(scene, db) == "opt_out/api opted_out")
        }
    }

    @Test func `what may be an opt-out holds as one until it is read, and gives way to one that was said`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try respond(scene, db)
            try receive(scene, "wrong number", db)
            #expect(try standing(scene, db) == "opt_out/review opted_in")
            #expect(try db.value("SELECT intent FROM inbound_messages") == "review")
            try receive(scene, "STOP", db)
            #expect(try standing(scene, db) == "opt_out/inbound opted_out")
            try receive(scene, "not interested", db)
            #expect(try standing(scene, db) == "opt_out/inbound opted_out")
        }
    }

    @Test func `a stranger's STOP holds for their number, whoever gets it as a contact later`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try respond(scene, db)
            try receive(scene, "STOP", db, from: "+12025559999")
            #expect(try db.value("SELECT reason FROM suppressions WHERE address = '+12025559999'") == "opt_out")
            #expect(try db.value("SELECT count(*) FROM inbound_messages WHERE contact_id IS NULL", as: Int.self) == 1)
        }
    }

    @Test func `a STOP holds although its contact is deleted at the same moment`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            let stored = Mutex<String?>(nil)
            try owner.transaction { owner in
                try owner.runDynamic("DELETE FROM contacts WHERE id = $1", [scene.contacts[0].sqlValue])
                startThread {
                    let outcome = try? database.connect(as: .responder).transaction { db in
                        try db.setWorkspace(scene.workspace)
                        return try receive(scene, "STOP", db)
                    }
                    stored.withLock { $0 = outcome ?? "refused" }
                }
                Thread.sleep(forTimeInterval: 0.3)
            }
            try waitUntil("the reply is answered") { stored.withLock { $0 } != nil }
            #expect(stored.withLock { $0 } == "stored")
            #expect(try standing(scene, owner) == "opt_out/inbound unknown")
        }
    }

    @Test func `HELP and talk change nothing`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try respond(scene, db)
            for text in ["HELP", "thank you!", "", "🎉"] { try receive(scene, text, db) }
            #expect(try standing(scene, db) == "free opted_in")
            #expect(try db.value("SELECT count(*) FROM inbound_messages", as: Int.self) == 4)
        }
    }

    @Test func `a reply belongs to the last campaign that its person got`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 2)
            try scene.freeze(db)
            try scene.work(db)
            for (index, started) in try scene.startAll(db).enumerated() {
                let _: [String] = try db.dynamic(
                    "SELECT apply_status($1, $2, 'sent', NULL, now())", [started.message.id.sqlValue, "SM\(index)".sqlValue])
            }
            try respond(scene, db)
            #expect(try receive(scene, "nice", db, sid: "SMa") == "stored")
            #expect(try receive(scene, "nice", db, sid: "SMa") == "repeated")
            try receive(scene, "STOP", db)
            #expect(
                try db.value(
                    "SELECT count(*) FROM inbound_messages WHERE campaign_id = $1 AND contact_id = $2", scene.campaign.sqlValue,
                    scene.contacts[0].sqlValue, as: Int.self) == 2)
            #expect(
                try db.value(
                    "SELECT string_agg(kind, ' ' ORDER BY kind) FROM campaign_responses WHERE contact_id = $1", scene.contacts[0].sqlValue)
                    == "opted_out replied")
        }
    }

    @Test func `one workspace's STOP is not another's`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            let other = try Scene(db, contacts: 1)
            try respond(scene, db)
            try receive(scene, "STOP", db)
            try db.act(as: .owner)
            #expect(try standing(other, db) == "free opted_in")
        }
    }
}
