import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct StatusMergeTests {
    private static let apply = Statement<String, MessageID, String, String, Int?, Instant>("SELECT apply_status($1, $2, $3, $4, $5)")

    @Test func `whatever the order and however often, the highest status stays`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 60)
            try scene.freeze(db)
            try scene.work(db)
            let seed = UInt64.random(in: 0...UInt64.max)
            var random = SeededGenerator(seed)
            for (index, started) in try scene.startAll(db).enumerated() {
                let final = ["delivered", "undelivered", "failed"][index % 3]
                let sid = "SM\(index)"
                // Up to five copies of each, the answer to our own call among them.
                let history = (["accepted", "queued", "sending", "sent", final, "answer"]).flatMap { status in
                    [String](repeating: status, count: Int.random(in: 1...5, using: &random))
                }.shuffled(using: &random)
                for status in history {
                    if status == "answer" {
                        try db.run(
                            LedgerSQL.settle, [started.message.id], [started.message.createdAt], [started.attempt], ["sent"], [sid],
                            ["queued"], [nil], [nil], [nil], [nil])
                    } else {
                        let code = status == "undelivered" || status == "failed" ? 30003 : nil
                        let before = try rank(db, started.message.id)
                        _ = try db.one(Self.apply, started.message.id, sid, status, code, .now())
                        #expect(try rank(db, started.message.id) >= before, "seed \(seed)")
                    }
                }
                let state: String = try db.value(
                    "SELECT state || ' ' || provider_status || ' ' || coalesce(error_code::text, '') FROM messages WHERE id = $1",
                    started.message.id.sqlValue)
                #expect(state == "\(final) \(final) \(final == "delivered" ? "" : "30003")", "seed \(seed), history \(history)")
            }
        }
    }

    @Test func `a callback settles a message whose answer was lost`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try scene.freeze(db)
            try scene.work(db)
            let message = try scene.startAll(db)[0].message.id
            _ = try db.one(LedgerSQL.rescue, 10, .now() + 61)
            #expect(try scene.states(db) == ["unknown": 1])
            #expect(try db.one(Self.apply, message, "SM1", "queued", nil, .now()) == "applied")
            #expect(try scene.states(db) == ["sent": 1])
        }
    }

    @Test func `a status says what it met`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 2)
            try scene.freeze(db)
            try scene.work(db)
            let claimed = try scene.claim(db, limit: 1, lease: .v7())[0].id
            #expect(try db.one(Self.apply, claimed, "SM1", "sent", nil, .now()) == "not_started")
            let message = try scene.startAll(db)[0].message.id
            #expect(try db.one(Self.apply, message, "SM1", "sent", nil, .now()) == "applied")
            #expect(try db.one(Self.apply, message, "SM1", "queued", nil, .now()) == "stale")
            #expect(try db.one(Self.apply, message, "SM2", "delivered", nil, .now()) == "other_sid")
            #expect(try db.one(Self.apply, message, "SM1", "delivered", nil, .now()) == "applied")
            #expect(try db.one(Self.apply, message, "SM1", "delivered", nil, .now()) == "stale")
            #expect(try db.one(Self.apply, message, "SM1", "failed", 30008, .now()) == "conflict")
            #expect(try db.one(Self.apply, message, "SM1", "read", nil, .now()) == "applied")
            #expect(try db.one(Self.apply, message, "SM1", "polished", nil, .now()) == "unknown_status")
            #expect(try db.one(Self.apply, MessageID.new(), "SM1", "sent", nil, .now()) == "no_message")
            #expect(
                try db.value("SELECT state || ' ' || provider_status FROM messages WHERE id = $1", message.sqlValue) == "delivered read")
        }
    }

    private func rank(_ db: Connection, _ message: MessageID) throws -> Int {
        try db.value("SELECT coalesce(provider_rank, -1) FROM messages WHERE id = $1", message.sqlValue)
    }
}
