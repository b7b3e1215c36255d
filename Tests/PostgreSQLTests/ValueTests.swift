import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

/// Sends a value to the server as `type` and reads it back.
private func roundTrip<T: SQLEncodable & SQLDecodable & RowDecodable>(_ value: T, as type: String) throws -> T {
    try withDatabase { db in try db.value("SELECT $1::\(type)", value.sqlValue) }
}

@Suite struct ValueTests {
    static let texts = [
        "", "plain", "O'Brien", "tab\tnew\nline\r", "back\\slash", "\"quoted\"", "NULL", "{}", "a,b", "日本語 🎉", "\\x41", " ",
    ]

    @Test(arguments: texts) func `text comes back as it went`(_ text: String) throws {
        #expect(try roundTrip(text, as: "text") == text)
    }

    @Test func `an array keeps every element whatever is in it`() throws {
        #expect(try roundTrip(Self.texts, as: "text[]") == Self.texts)
        #expect(try roundTrip([String](), as: "text[]") == [])
        #expect(try roundTrip([1, -2, Int.max], as: "bigint[]") == [1, -2, .max])
        let ids = [UUID.v7(), UUID.v7()]
        #expect(try roundTrip(ids, as: "uuid[]") == ids)
    }

    @Test func `NULL elements are told from the word`() throws {
        let elements: [String?] = ["NULL", nil, "null", ""]
        #expect(try roundTrip(elements, as: "text[]") == elements)
    }

    @Test(arguments: [0, 1, -1, Int.max, Int.min]) func `integers keep all 64 bits`(_ number: Int) throws {
        #expect(try roundTrip(number, as: "bigint") == number)
    }

    @Test(arguments: [0, 0.1, -1e-300, 1.7976931348623157e308, Double.infinity]) func `doubles keep every bit`(_ number: Double) throws {
        #expect(try roundTrip(number, as: "float8") == number)
    }

    @Test func `numbers that PostgreSQL writes without an exponent are read, however many digits that takes`() throws {
        let value: JSONValue = ["a": 1e20, "b": [-1e19, 1e308, 7], "c": "10000000000000000000000, \\\" 1e5"]
        #expect(try roundTrip(value, as: "jsonb") == value)
        #expect(try roundTrip(JSONValue.integer(.max), as: "jsonb") == .integer(.max))
        #expect(throws: (any Error).self) { try JSONValue(parsing: "[10000000000000000000000]") }
    }

    @Test func `bytes keep zeros and high bits`() throws {
        let bytes = (0...255).map { UInt8($0) }
        #expect(try roundTrip(bytes, as: "bytea") == bytes)
        #expect(try roundTrip([UInt8](), as: "bytea") == [])
    }

    @Test(arguments: ["2026-11-21T03:30:00Z", "2026-02-28T23:59:59.999999Z", "1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z"])
    func `instants keep their microseconds whatever the server's zone is`(_ text: String) throws {
        let instant = try #require(Instant(rfc3339: text))
        #expect(try roundTrip(instant, as: "timestamptz") == instant)
    }

    @Test func `days, booleans, identifiers and channels come back`() throws {
        let day = try #require(Day("2024-02-29"))
        #expect(try roundTrip(day, as: "date") == day)
        #expect(try roundTrip(true, as: "boolean"))
        #expect(try !roundTrip(false, as: "boolean"))
        let id = ContactID.new()
        #expect(try roundTrip(id, as: "uuid") == id)
        #expect(try roundTrip(Channel.email, as: "text") == .email)
    }

    @Test func `JSON comes back as a value and as text`() throws {
        let value: JSONValue = ["a": [1, 2.5, .null, true], "ü": "\"\\/\u{1}", "o": [:]]
        #expect(try roundTrip(value, as: "jsonb") == value)
        let text: JSONText = try withDatabase { db in try db.value("SELECT $1::json", JSONText(value).sqlValue) }
        #expect(text.bytes == JSONText(value).bytes)
    }

    @Test func `NULL is nil for an optional and an error for anything else`() throws {
        try withDatabase { db throws in
            let none: Int? = try db.value("SELECT NULL::int")
            #expect(none == nil)
            #expect {
                let _: Int = try db.value("SELECT NULL::int AS amount")
            } throws: { error in
                guard case PostgresError.column("amount", _, "NULL") = error else { return false }
                return true
            }
        }
    }

    @Test func `a text that another type cannot read is an error that does not tell the text`() throws {
        try withDatabase { db throws in
            for sql in ["SELECT 'secret'", "SELECT '12x'", "SELECT ''", "SELECT '99999999999999999999'"] {
                #expect {
                    let _: Int = try db.value(sql)
                } throws: { !"\($0)".contains("secret") && !"\($0)".contains("12x") }
            }
        }
    }

    @Test func `a text with U+0000 is refused instead of being cut`() throws {
        try withDatabase { db throws in
            #expect {
                let _: String = try db.value("SELECT $1::text", .text("one\0two"))
            } throws: { ($0 as? PostgresError)?.sqlState == .characterNotInRepertoire }
            // Nothing was sent, so the transaction goes on.
            #expect(try db.value("SELECT 1") == 1)
        }
    }
}
