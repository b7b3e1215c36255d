import PostgreSQL
import TestSupport
import Testing

private struct Stop: Error {}

private func withTable() throws -> Connection {
    let db = try sharedConnection(as: .superuser)
    try db.execute("CREATE TEMPORARY TABLE items (name text, note text)")
    return db
}

@Suite struct CopyTests {
    @Test func `rows arrive whatever is in them`() throws {
        let db = try withTable()
        let rows: [[String?]] = [["a\tb", "c\nd"], ["back\\slash", nil], ["\\N", ""], ["\r", "日本語"], ["\\.", "."]]
        let count = try db.copyIn("COPY items FROM STDIN") { writer throws in
            for row in rows { try writer.row(row) }
        }
        #expect(count == rows.count)
        let names: [String] = try db.dynamic("SELECT name FROM items ORDER BY ctid", [])
        let notes: [String?] = try db.dynamic("SELECT note FROM items ORDER BY ctid", [])
        #expect(names == rows.map { $0[0]! })
        #expect(notes == rows.map { $0[1] })
    }

    @Test func `more than a buffer full arrives completely`() throws {
        let db = try withTable()
        let count = try db.copyIn("COPY items (name) FROM STDIN") { writer throws in
            for number in 0..<50_000 {
                writer.field("row number \(number)".utf8)
                try writer.endRow()
            }
        }
        #expect(count == 50_000)
        #expect(try db.value("SELECT count(DISTINCT name) FROM items") == 50_000)
    }

    @Test func `a sender that stops leaves nothing, and the connection goes on`() throws {
        let db = try withTable()
        #expect(throws: Stop.self) {
            _ = try db.copyIn("COPY items (name) FROM STDIN") { writer throws in
                for _ in 0..<20_000 { try writer.row(["row"]) }
                throw Stop()
            }
        }
        #expect(try db.value("SELECT count(*) FROM items") == 0)
    }

    @Test func `a row that the server refuses fails the copy without quoting it`() throws {
        let db = try withTable()
        try db.execute("ALTER TABLE items ADD CHECK (name <> 'secret')")
        #expect {
            _ = try db.copyIn("COPY items (name) FROM STDIN") { writer throws in
                try writer.row(["fine"])
                try writer.row(["secret"])
            }
        } throws: { ($0 as? PostgresError)?.sqlState == .checkViolation && !"\($0)".contains("Failing row") }
        #expect(try db.value("SELECT count(*) FROM items") == 0)
    }

    @Test func `copying out gives each row, and stopping midway costs only the session`() throws {
        let db = try withTable()
        var lines: [String] = []
        try db.copyOut("COPY (SELECT generate_series(1, 3)) TO STDOUT") { lines.append(String(decoding: $0, as: UTF8.self)) }
        #expect(lines == ["1\n", "2\n", "3\n"])
        #expect(throws: Stop.self) {
            try db.copyOut("COPY (SELECT generate_series(1, 100000)) TO STDOUT") { _ in throw Stop() }
        }
        #expect(try db.value("SELECT 1") == 1)
    }

    @Test func `an error in the middle of copying out is told`() throws {
        let db = try withTable()
        #expect {
            try db.copyOut("COPY (SELECT 1 / (5 - n) FROM generate_series(1, 9) n) TO STDOUT") { _ in }
        } throws: { ($0 as? PostgresError)?.sqlState?.rawValue == "22012" }
    }
}
