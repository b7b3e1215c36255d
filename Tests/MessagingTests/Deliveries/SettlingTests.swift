import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct SettlingTests {
    @Test func `callbacks in any order, repeated, and settled by several workers, leave the highest status`() throws {
        try withOwnDatabase { database in
            let scene = try Scene(try database.connect(), contacts: 40)
            let messages = try started(scene, database)
            let seed = UInt64.random(in: 0...UInt64.max)
            var random = SeededGenerator(seed)
            var callbacks: [(message: Int, status: String)] = []
            for index in messages.indices {
                for status in ["queued", "sending", "sent", final(index)] {
                    callbacks += [(message: Int, status: String)](repeating: (index, status), count: Int.random(in: 1...5, using: &random))
                }
            }
            callbacks.shuffle(using: &random)
            let half = callbacks.count / 2
            try insert(callbacks[..<half].map { (messages[$0.message], $0.status) }, scene, database)
            // Workers race each other, and the rest comes in meanwhile.
            let rest = Array(callbacks[half...])
            _ = try inParallel(5) { worker in
                if worker == 0 { return try insert(rest.map { (messages[$0.message], $0.status) }, scene, database) }
                let db = try database.connect(as: .worker)
                for _ in 0..<10 { try Settling.round(scene.workspace, db) }
            }
            try settleAll(scene, database)
            let owner = try database.connect()
            for (index, message) in messages.enumerated() {
                let state: String = try owner.value(
                    "SELECT state || ' ' || provider_status || coalesce(' ' || error_code, '') FROM messages WHERE id = $1",
                    message.sqlValue)
                #expect(state == "\(final(index)) \(final(index))\(final(index) == "delivered" ? "" : " 30008")", "seed \(seed)")
            }
            #expect(try owner.value("SELECT count(*) FROM receipts WHERE state <> 'applied'", as: Int.self) == 0, "seed \(seed)")
            #expect(
                try owner.value(
                    "SELECT count(*) FROM receipts WHERE outcome = 'applied' AND status IN ('delivered', 'undelivered', 'failed')",
                    as: Int.self) == 40)
        }
    }

    @Test func `a status of a message that is not here is not asked for all the time`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            try insert([(MessageID.new(), "delivered")], scene, database)
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["parked no_message"])
            #expect(
                try owner.value(
                    "SELECT due_at BETWEEN received_at + interval '60 s' AND now() + interval '60 s' FROM receipts", as: Bool.self))
        }
    }

    @Test func `a status without our id waits until its sid is known`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            let message = try started(scene, database)[0]
            try insert([(nil, "delivered")], sid: "SMx", scene, database)
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["parked no_message"])
            #expect(try owner.value("SELECT due_at > now() AND due_at < now() + interval '2 s' FROM receipts", as: Bool.self))
            // The answer to our own call comes in.
            try owner.runDynamic(
                "UPDATE messages SET state = 'sent', sid = 'SMx', sent_at = now(), lease_token = NULL, lease_until = NULL WHERE id = $1",
                [message.sqlValue])
            try owner.execute("UPDATE receipts SET due_at = now()")
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["applied applied"])
            #expect(try scene.states(owner) == ["delivered": 1])
        }
    }

    @Test func `a status that comes before the answer to our call settles the message`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            let message = try started(scene, database)[0]
            try insert([(message, "sent")], sid: "SMearly", scene, database)
            try settleAll(scene, database)
            #expect(try owner.value("SELECT state || ' ' || sid FROM messages WHERE id = $1", message.sqlValue) == "sent SMearly")
        }
    }

    @Test func `what stays unknown is given up after 72 hours`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            try insert([(MessageID.new(), "sent"), (nil, "sent")], scene, database)
            try owner.execute("UPDATE receipts SET received_at = now() - interval '71 hours'")
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["parked no_message", "parked no_message"])
            #expect(try owner.value("SELECT min(due_at) > now() + interval '59 minutes' FROM receipts", as: Bool.self))
            try owner.execute("UPDATE receipts SET received_at = now() - interval '73 hours', due_at = now()")
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["ignored no_message", "ignored no_message"])
        }
    }

    @Test func `one sender's callback does not decide another sender's message`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            let message = try started(scene, database)[0]
            try insert([(message, "failed")], sender: SenderID.new(), scene, database)
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["ignored other_sender"])
            #expect(try scene.states(owner) == ["started": 1])
        }
    }

    @Test func `nor does it hide what the message's own sender says at the same time`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1)
            let message = try started(scene, database)[0]
            try insert([(message, "failed")], sid: "SMother", sender: SenderID.new(), scene, database)
            try insert([(message, "failed")], code: 21610, sid: "SMown", scene, database)
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["applied applied", "ignored other_sender"])
            #expect(try owner.value("SELECT state || ' ' || sid FROM messages") == "failed SMown")
            // And what follows from it is drawn.
            #expect(try owner.value("SELECT reason FROM suppressions") == "opt_out")
        }
    }

    @Test func `a message in other hands is settled a moment later, and nobody waits`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 2)
            let messages = try started(scene, database)
            try insert(messages.map { ($0, "delivered") }, scene, database)
            let holder = try database.connect()
            try holder.transaction { holder in
                try holder.runDynamic("SELECT FROM messages WHERE id = $1 FOR UPDATE", [messages[0].sqlValue])
                try Settling.round(scene.workspace, try database.connect(as: .worker))
                #expect(try receipts(owner) == ["applied applied", "new busy"])
            }
            try owner.execute("UPDATE receipts SET due_at = now() WHERE due_at IS NOT NULL")
            try settleAll(scene, database)
            #expect(try scene.states(owner) == ["delivered": 2])
        }
    }

    @Test func `a receipt that the database refuses does not hold up the others`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 5)
            let messages = try started(scene, database)
            try owner.execute(
                """
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                CREATE TRIGGER refuse BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.id = '\(messages[2])') EXECUTE FUNCTION refuse();
                """)
            try insert(messages.map { ($0, "delivered") }, scene, database)
            try settleAll(scene, database)
            #expect(try receipts(owner) == ["applied applied", "applied applied", "applied applied", "applied applied", "parked error"])
            #expect(try scene.states(owner) == ["delivered": 4, "started": 1])
        }
    }

    @Test func `only workspaces with something due are visited`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scenes = try (0..<4).map { _ in try Scene(owner, contacts: 1) }
            for scene in scenes[..<3] { try insert([(nil, "sent"), (nil, "sent")], scene, database) }
            try owner.runDynamic(
                "UPDATE receipts SET due_at = now() + interval '1 hour' WHERE workspace_id = $1", [scenes[0].workspace.sqlValue])
            let due = try database.connect(as: .worker).all(DeliverySQL.workspacesDue)
            #expect(Set(due) == Set(scenes[1...2].map(\.workspace)))
            #expect(due.count == 2)
        }
    }

    // MARK: Helpers

    private func final(_ index: Int) -> String { ["delivered", "undelivered", "failed"][index % 3] }
}

// MARK: What receipts come from, and what they came to

/// Freezes, claims and starts the scene's campaign, and commits that.
func started(_ scene: Scene, _ database: TestDatabase) throws -> [MessageID] {
    try scene.freeze(try database.connect())
    return try database.connect(as: .worker).transaction { db in
        try db.setWorkspace(scene.workspace)
        return try scene.startAll(db).map(\.message.id)
    }
}

/// Receipts as the webhooks store them; failures with `code`, and one sid per message unless one is given.
func insert(
    _ callbacks: [(MessageID?, String)], code: Int = 30008, sid: String? = nil, sender: SenderID? = nil, _ scene: Scene,
    _ database: TestDatabase
) throws {
    try database.connect(as: .responder).transaction { db in
        try db.setWorkspace(scene.workspace)
        for (message, status) in callbacks {
            try db.run(
                DeliverySQL.insertReceipt, sender ?? scene.sender, message, nil, sid ?? "SM" + (message?.description ?? "unknown"), status,
                status == "undelivered" || status == "failed" ? code : nil, "MessageStatus=\(status)")
        }
    }
}

func settleAll(_ scene: Scene, _ database: TestDatabase) throws {
    let db = try database.connect(as: .worker)
    // A message that another worker held is looked at again a moment later.
    try waitUntil("nothing new is left") {
        while try Settling.round(scene.workspace, db) > 0 {}
        return try db.inWorkspace(scene.workspace) { db in
            try db.value("SELECT count(*) FROM receipts WHERE state = 'new'", as: Int.self) == 0
        }
    }
}

/// State and outcome of every receipt, sorted.
func receipts(_ db: Connection) throws -> [String] {
    try db.dynamic("SELECT state || coalesce(' ' || outcome, '') FROM receipts ORDER BY 1", [])
}
