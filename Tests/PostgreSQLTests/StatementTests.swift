import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private struct Person: RowDecodable, Equatable {
    let name: String
    let age: Int?
    init(_ row: borrowing Row) throws(PostgresError) {
        name = try row["name"]
        age = try row["age"]
    }
}

private enum SQL {
    static let people = Statement<Person, Int>(
        """
        SELECT age, name FROM (VALUES ('Ada', 36), ('Grace', NULL)) people (name, age) WHERE coalesce(age, 0) >= $1 ORDER BY name
        """)
    static let nobody = Statement<Person>("SELECT 'x' AS name, 1 AS age WHERE false")
    static let unnamed = Statement<Person>("SELECT 'x' AS title, 1 AS age")
    static let pair = Statement<Columns<String, Int>>("SELECT 'answer', 42")
    static let insert = Statement<Int, String>("INSERT INTO people (name) VALUES ($1)")
    static let number = Statement<Int, String>("SELECT $1::int")
    static let slow = Statement<Bool>("SELECT pg_sleep(10) IS NULL")
}

@Suite struct StatementTests {
    @Test func `rows become values by the names of their columns`() throws {
        try withDatabase { db throws in
            let people = try db.all(SQL.people, 0)
            #expect(people.map(\.name) == ["Ada", "Grace"])
            #expect(people.map(\.age) == [36, nil])
            #expect(try db.all(SQL.people, 30).count == 1)
            #expect(try db.first(SQL.nobody) == nil)
            #expect(try db.one(SQL.pair).values == ("answer", 42))
        }
    }

    @Test func `one says when there is no row, and a missing column is named`() throws {
        try withDatabase { db throws in
            #expect { try db.one(SQL.nobody) } throws: {
                if case PostgresError.noRow = $0 { true } else { false }
            }
            #expect { try db.one(SQL.unnamed) } throws: {
                if case PostgresError.column("name", _, "no such column") = $0 { true } else { false }
            }
        }
    }

    @Test func `run counts the rows that it wrote`() throws {
        try withDatabase { db throws in
            try db.execute("CREATE TEMPORARY TABLE people (name text UNIQUE)")
            #expect(try db.run(SQL.insert, "Ada") == 1)
            #expect(try db.runDynamic("UPDATE people SET name = name || $1 WHERE name = 'nobody'", [.text("!")]) == 0)
        }
    }

    @Test func `a broken rule is told by state and constraint, and never by the row`() throws {
        try withDatabase { db throws in
            try db.execute("CREATE TEMPORARY TABLE people (name text CONSTRAINT name_is_unique UNIQUE)")
            try db.run(SQL.insert, "+12025550123")
            #expect {
                try db.transaction { db in _ = try db.run(SQL.insert, "+12025550123") }
            } throws: { error in
                guard case PostgresError.statement(let state, let evidence) = error else { return false }
                let isClass = if case .integrityConstraintViolation = state { true } else { false }
                return state == .uniqueViolation && isClass && evidence.constraint == "name_is_unique"
                    && evidence.table == "people" && !"\(error)".contains("2025550123")
            }
        }
    }

    @Test func `a value that the server cannot read is not in the error`() throws {
        try withDatabase { db throws in
            #expect { try db.one(SQL.number, "secret") } throws: { error in
                guard case PostgresError.statement(let state, _) = error else { return false }
                let isData = if case .dataException = state { true } else { false }
                return isData && !"\(error)".contains("secret")
            }
        }
    }

    @Test func `a statement past the transaction's time-out is cancelled`() throws {
        let db = try sharedConnection(as: .superuser)
        #expect {
            try db.transaction(timeoutSeconds: 0.05) { db in _ = try db.one(SQL.slow) }
        } throws: { ($0 as? PostgresError)?.sqlState == .queryCanceled }
        #expect {
            try db.transaction { db throws in
                try db.setLocalTimeout(seconds: 0.05)
                _ = try db.one(SQL.slow)
            }
        } throws: { ($0 as? PostgresError)?.sqlState == .queryCanceled }
        let limit: String = try db.value("SELECT current_setting('statement_timeout')")
        #expect(limit == "0")
    }

    @Test func `statements made at run time may stay prepared, but only so many of them`() throws {
        let db = try sharedConnection(as: .superuser)
        for round in 0..<3 {
            for number in 0..<40 {
                let value: [Int] = try db.dynamic("SELECT \(number) + $1::int", [.text("\(round)")], prepare: true)
                #expect(value == [number + round])
            }
        }
        let kept: Int = try db.value("SELECT count(*) FROM pg_prepared_statements")
        #expect(kept == 32)
    }

    @Test func `a constant statement is prepared once`() throws {
        let db = try sharedConnection(as: .superuser)
        for age in 0..<5 { _ = try db.all(SQL.people, age) }
        let kept: Int = try db.value("SELECT count(*) FROM pg_prepared_statements")
        #expect(kept == 1)
    }

    @Test func `validate finds a statement that the schema does not know, without running the others`() throws {
        try withDatabase { db throws in
            try db.execute("CREATE TEMPORARY TABLE people (name text)")
            try db.validate(SQL.insert)
            #expect(try db.value("SELECT count(*) FROM people") == 0)
            #expect(throws: PostgresError.self) { try db.validate(Statement<Int>("SELECT no_such_column FROM people")) }
        }
    }
}
