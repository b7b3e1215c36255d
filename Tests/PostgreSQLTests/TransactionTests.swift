import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private enum SQL {
    static let one = Statement<Int, Int>("SELECT 1 / $1")
    static let note = Statement<Int, Int>("INSERT INTO notes (number) VALUES ($1) RETURNING number")
}
private struct Stop: Error {}

/// A connection with a table that only it sees, and that outlives transactions.
private func withNotes() throws -> Connection {
    let db = try sharedConnection(as: .superuser)
    try db.execute("CREATE TEMPORARY TABLE notes (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    return db
}
private func notes(_ db: Connection) throws -> [Int] { try db.dynamic("SELECT number FROM notes ORDER BY number", []) }

@Suite struct TransactionTests {
    @Test func `a transaction commits when its work returns and rolls back when it throws`() throws {
        let db = try withNotes()
        try db.transaction { db in _ = try db.run(SQL.note, 1) }
        #expect(throws: Stop.self) {
            try db.transaction { db throws in
                try db.run(SQL.note, 2)
                throw Stop()
            }
        }
        #expect(try notes(db) == [1])
        #expect(!db.isInTransaction)
    }

    @Test func `a transaction inside another fails alone`() throws {
        let db = try withNotes()
        try db.transaction { db throws in
            try db.run(SQL.note, 1)
            #expect(throws: PostgresError.self) {
                try db.transaction { db throws in
                    try db.run(SQL.note, 2)
                    _ = try db.one(SQL.one, 0)
                }
            }
            try db.transaction { db throws in
                try db.run(SQL.note, 3)
                try? db.transaction { db throws in
                    try db.run(SQL.note, 4)
                    throw Stop()
                }
            }
        }
        #expect(try notes(db) == [1, 3])
    }

    @Test func `swallowing an error does not turn a rollback into a commit`() throws {
        let db = try withNotes()
        #expect {
            try db.transaction { db throws in
                try db.run(SQL.note, 1)
                _ = try? db.one(SQL.one, 0)
            }
        } throws: { ($0 as? PostgresError)?.sqlState == .inFailedTransaction }
        #expect(try notes(db) == [])
        #expect(!db.isInTransaction)
    }

    @Test func `what a commit itself refuses is an error, and leaves the connection usable`() throws {
        let db = try withNotes()
        #expect {
            try db.transaction { db throws in
                try db.run(SQL.note, 7)
                try db.run(SQL.note, 7)
            }
        } throws: { ($0 as? PostgresError)?.sqlState == .uniqueViolation }
        #expect(try notes(db) == [])
    }

    @Test func `a first statement travels with BEGIN and belongs to the transaction`() throws {
        let db = try withNotes()
        #expect(throws: Stop.self) {
            try db.transaction(first: SQL.note, 1) { number in
                #expect(number == 1)
                throw Stop()
            }
        }
        #expect(try notes(db) == [])
        let doubled = try db.transaction(first: SQL.note, 2) { $0 * 2 }
        #expect(doubled == 4)
        #expect(try notes(db) == [2])
    }

    @Test func `a first statement that fails leaves no transaction open`() throws {
        let db = try withNotes()
        #expect(throws: PostgresError.self) { try db.transaction(first: SQL.one, 0) { _ in } }
        #expect(!db.isInTransaction)
        try db.run(SQL.note, 5)
        #expect(try notes(db) == [5])
    }

    @Test func `a first statement inside another transaction is a savepoint`() throws {
        let db = try withNotes()
        try db.transaction { db throws in
            try db.run(SQL.note, 1)
            try? db.transaction(first: SQL.note, 2) { _ in throw Stop() }
        }
        #expect(try notes(db) == [1])
    }

    @Test func `a read-only transaction refuses to write`() throws {
        let db = try sharedConnection(as: .superuser)
        #expect {
            try db.transaction(readOnly: true) { db in try db.execute("CREATE TABLE forbidden (n int)") }
        } throws: { ($0 as? PostgresError)?.sqlState?.rawValue == "25006" }
    }

    @Test func `a workspace holds until the transaction ends`() throws {
        let db = try sharedConnection(as: .superuser)
        let workspace = WorkspaceID.new()
        try db.transaction { db throws in
            try db.setWorkspace(workspace)
            #expect(try db.value("SELECT current_workspace()", as: UUID.self) == workspace.uuid)
        }
        #expect(try db.value("SELECT current_workspace()", as: UUID?.self) == nil)
    }
}
