import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private enum SQL {
    static let set = Statement<String, String>("SELECT set_config('muster.workspace_id', $1, true)")
    static let get = Statement<String?>("SELECT nullif(current_setting('muster.workspace_id', true), '')")
    static let note = Statement<Int, Int>("INSERT INTO notes (number) VALUES ($1) RETURNING number")
    static let divide = Statement<Int, Int>("SELECT 10 / $1")
    static let echo = Statement<String, String>("SELECT $1::text")
    static let wrong = Statement<Int>("SELECT no_such_column")
    static let series = Statement<Int, Int>("SELECT generate_series(1, $1)")
}

private func withNotes() throws -> Connection {
    let db = try sharedConnection(as: .superuser)
    try db.execute("CREATE TEMPORARY TABLE notes (number int PRIMARY KEY)")
    return db
}
private func notes(_ db: Connection) throws -> [Int] { try db.dynamic("SELECT number FROM notes ORDER BY number", []) }

@Suite struct PipelineTests {
    @Test func `a pair is one transaction: what the first sets locally, the second sees and nobody after it`() throws {
        let db = try sharedConnection(as: .superuser)
        for _ in 0..<2 {
            let (set, rows) = try db.pair(SQL.set, ("here"), SQL.get, ())
            #expect(set == "here")
            #expect(rows == ["here"])
            #expect(try db.one(SQL.get) == nil)
        }
    }

    @Test func `results come in the order of their statements`() throws {
        let db = try withNotes()
        try db.pipeline { pipeline throws(PostgresError) in
            let a = try pipeline.add(SQL.note, 1)
            let b = try pipeline.add(SQL.series, 3)
            let c = try pipeline.add(SQL.note, 2)
            try pipeline.sync()
            #expect(a.rows == [1] && b.rows == [1, 2, 3] && c.rows == [2])
            #expect(c.count == 1)
        }
        #expect(try notes(db) == [1, 2])
    }

    @Test func `a failure undoes what came before it, skips what comes after, and is told`() throws {
        let db = try withNotes()
        #expect {
            try db.pipeline { pipeline throws(PostgresError) in
                _ = try pipeline.add(SQL.note, 1)
                _ = try pipeline.add(SQL.divide, 0)
                _ = try pipeline.add(SQL.note, 2)
                try pipeline.sync()
            }
        } throws: { ($0 as? PostgresError)?.sqlState?.rawValue == "22012" }
        #expect(try notes(db) == [])
        // Statements that were skipped are prepared when they are needed.
        #expect(try db.one(SQL.note, 3) == 3)
        #expect(try db.one(SQL.divide, 2) == 5)
    }

    @Test func `a statement that cannot be prepared does not confuse the next ones`() throws {
        let db = try withNotes()
        for _ in 0..<2 {
            #expect(throws: PostgresError.self) { try db.pair(SQL.wrong, (), SQL.note, (9)) }
        }
        #expect(try db.one(SQL.note, 9) == 9)
    }

    @Test func `what was queued but never sent takes no effect`() throws {
        let db = try sharedConnection(as: .superuser)
        try db.execute("CREATE TABLE IF NOT EXISTS pipeline_notes (number int)")
        defer { try? db.execute("DROP TABLE pipeline_notes") }
        let insert = Statement<Int, Int>("INSERT INTO pipeline_notes VALUES ($1) RETURNING number")
        #expect {
            try db.pipeline { pipeline throws(PostgresError) in
                _ = try pipeline.add(insert, 1)
                _ = try pipeline.add(SQL.echo, "one\0two")
                try pipeline.sync()
            }
        } throws: { ($0 as? PostgresError)?.sqlState == .characterNotInRepertoire }
        #expect(try db.value("SELECT count(*) FROM pipeline_notes") == 0)
    }

    @Test func `large answers and many statements do not block each other`() throws {
        let db = try sharedConnection(as: .superuser)
        let text = String(repeating: "x", count: 100_000)
        try db.pipeline { pipeline throws(PostgresError) in
            var answers: [Pending<String>] = []
            for _ in 0..<100 { answers.append(try pipeline.add(SQL.echo, text)) }
            try pipeline.sync()
            for answer in answers { #expect(answer.rows == [text]) }
        }
    }

    @Test func `inside a transaction a pipeline belongs to it`() throws {
        let db = try withNotes()
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try db.transaction { db throws in
                _ = try db.pair(SQL.note, (1), SQL.note, (2))
                throw Stop()
            }
        }
        #expect(try notes(db) == [])
    }
}
