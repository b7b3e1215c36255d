// Values of every kind of dirt, read here and by the functions of the database.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct FieldContentTests {
    /// Texts that are times, almost times, and numbers, with a character changed here and there.
    private func texts(_ count: Int) -> [String] {
        let days = [
            "2026-11-21", "2024-02-29", "2023-02-29", "0001-01-01", "9999-12-31", "2000-02-29", "1900-02-29", "2026-04-31", "0000-01-01",
        ]
        let times = [
            "", "T10:00", " 23:59:60", "t23:59:60.5", "T23:59:59.9999999", " 00:00:00.0000005", "T12:34:56.123456789012345678901234567890",
            "T24:00", "T1:00",
        ]
        let offsets = ["", "Z", "z", "+05:30", "-0330", "+14:59", "+15:00", "-00:00", "+5", " UTC"]
        let numbers = [
            "1", "-1.50", "+.5", "5.", "1e5", "-2.5E-07", "1e999", "1e1000", ".", "007", "1_000", "NaN", "yes", "TRUE", "no", "0", "FALSE",
        ]
        return (0..<count).map { _ in
            var text = Bool.random() ? days.randomElement()! + times.randomElement()! + offsets.randomElement()! : numbers.randomElement()!
            if Int.random(in: 0..<3) == 0 {
                var scalars = Array(text.unicodeScalars)
                let odd: [Unicode.Scalar] = ["0", "9", "-", ":", "T", " ", ".", "+", "é", "\n", "٣", "e"]
                switch Int.random(in: 0..<3) {
                case 0: scalars.insert(odd.randomElement()!, at: Int.random(in: 0...scalars.count))
                case 1: scalars[Int.random(in: 0..<scalars.count)] = odd.randomElement()!
                default: scalars.remove(at: Int.random(in: 0..<scalars.count))
                }
                text = String(String.UnicodeScalarView(scalars))
            }
            return text
        }
    }

    @Test func `texts are read as the functions of the database read them`() throws {
        let zone = "America/New_York"
        let rules = try #require(TimeZoneRules(named: zone))
        let texts = texts(20_000)
        let read: [[String?]] = try withDatabase { db throws in
            try db.dynamic(
                """
                SELECT ARRAY[((extract(epoch FROM time_of(t, $2::text)) * 1000000)::bigint)::text, (date_of(t, $2::text) - '1970-01-01')::text,
                             trim_scale(number_of(to_jsonb(t)))::text, boolean_of(to_jsonb(t))::text, text_of(to_jsonb(t))]
                  FROM unnest($1::text[]) WITH ORDINALITY u (t, n) ORDER BY n
                """, [texts.sqlValue, zone.sqlValue])
        }
        #expect(read.count { $0[0] != nil } > 1000)
        for (text, expected) in zip(texts, read) {
            let content = FieldContent.text(text)
            let own = [
                content.instant(rules).map { "\($0.microseconds)" }, content.day(rules).map { "\($0)" }, content.number?.description,
                content.boolean.map { "\($0)" }, content.text,
            ]
            #expect(own == expected, "\(text)")
        }
    }

    @Test func `a text that begins with a mark keeps it`() {
        // The mark and the letter of the type are one character.
        #expect(FieldContent(tagged: "s\u{301}x") == .text("\u{301}x"))
        #expect(FieldContent(tagged: "s") == .text(""))
    }

    @Test func `JSON values are read as the functions of the database read them`() throws {
        let values = [
            "1.50", "-0.0", "1e20", "1e-7", "12345678901234567890.10", "0", "1", "true", "false", "null", "\"\"", "\"x\"", "[]",
            "[\"a\",\"É\"]",
            "[\"a\",1]", "[null]", "[[\"a\"]]", "{}", "{\"k\":1}", "\"\\n\\\"\"", "[\"\\u0001\"]", "1e300",
        ]
        let rows: [[String?]] = try withDatabase { db throws in
            try db.dynamic(
                """
                SELECT ARRAY[left(jsonb_typeof(v), 1) || (v #>> '{}'), trim_scale(number_of(v))::text, boolean_of(v)::text, text_of(v), tags_of(v)::text]
                  FROM unnest($1::text[]) WITH ORDINALITY u (t, n), LATERAL (SELECT u.t::jsonb) AS j (v) ORDER BY n
                """, [values.sqlValue])
        }
        for (value, row) in zip(values, rows) {
            let content = row[0].flatMap { FieldContent(tagged: $0) }
            #expect(
                content?.number?.description == row[1] && content?.boolean.map { "\($0)" } == row[2] && content?.text == row[3], "\(value)")
            let tags = try row[4].map { try JSONValue(parsing: $0).array?.compactMap(\.string) }
            #expect(content?.tags == tags ?? nil, "\(value)")
        }
    }

    @Test func `a leap second's fraction and a window from before the year 1 fail no segment`() throws {
        try withWorld { world in
            try world.field("t", .time)
            try world.field("d", .date)
            try world.contact("leap", ["t": "2016-12-31T23:59:60.5Z", "d": "2016-12-31T23:59:60.5Z"])
            try world.contact("old", ["t": "0001-01-01T00:00:00+14:00", "d": "2000-05-05"])
            #expect(try world.find(["field": "attributes.t", "op": "is_known"]) == ["old"])
            #expect(try world.find(["field": "attributes.d", "op": "is_unknown"]) == ["leap"])
            let since: JSONValue = ["between": [["field": "attributes.t"], "0001-06-01"]]
            #expect(try world.find(["field": "attributes.d", "op": "anniversary_within", "value": since]) == ["old"])
        }
    }
}
