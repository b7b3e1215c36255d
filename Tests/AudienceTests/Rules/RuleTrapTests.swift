// What others got wrong, one test each.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct RuleTrapTests {
    @Test func `does_not_contain with several values leaves out whoever has one of them`() throws {
        try withWorld { world in
            try world.field("note", .text)
            try world.contact("both", ["note": "spam and fraud"])
            try world.contact("one", ["note": "some SPAM here"])
            try world.contact("clean", ["note": "hello"])
            try world.contact("absent")
            let rule: JSONValue = ["field": "attributes.note", "op": "does_not_contain", "value": ["spam", "fraud"]]
            #expect(try world.find(rule) == ["absent", "clean"])
        }
    }

    @Test func `contacts without events are found by count 0, by small sums and by negations`() throws {
        try withWorld { world in
            try world.contact("buyer")
            try world.contact("none")
            try world.event("buyer", "order", at: "2026-05-01T00:00:00Z", ["amount": 50])
            #expect(try world.find(["event": "order", "count": ["is": 0]]) == ["none"])
            #expect(try world.find(["event": "order", "count": ["at_most": 1]]) == ["buyer", "none"])
            #expect(try world.find(["event": "order", "count": ["less_than": 1]]) == ["none"])
            #expect(try world.find(["event": "order", "count": ["between": [0, 3]]]) == ["buyer", "none"])
            #expect(try world.find(["not": ["event": "order"]]) == ["none"])
            #expect(try world.find(["none": [["event": "order"]]]) == ["none"])
            func sum(_ op: String, _ value: JSONValue) throws -> [String] {
                try world.find(["aggregate": "sum", "of": "amount", "event": "order", "op": .string(op), "value": value])
            }
            #expect(try sum("at_most", 10) == ["none"])
            #expect(try sum("is", 0) == ["none"])
            #expect(try sum("is_not", 50) == ["none"])
            #expect(try sum("at_least", 50) == ["buyer"])
            #expect(try sum("between", [0, 50]) == ["buyer", "none"])
            let average: JSONValue = ["aggregate": "avg", "of": "amount", "event": "order", "op": "at_most", "value": 100]
            #expect(try world.find(average) == ["buyer"], "nothing has no average")
            #expect(try world.find(["not": average]) == ["none"])
        }
    }

    @Test func `a negation is true for whoever has no value`() throws {
        try withWorld { world in
            try world.field("city", .text)
            try world.field("age", .number)
            try world.contact("absent")
            try world.contact("null", ["city": .null, "age": .null])
            try world.contact("empty", ["city": "", "age": ""])
            try world.contact("other", ["city": "Oslo", "age": 9])
            try world.contact("same", ["city": "Rome", "age": 30])
            let all = ["absent", "empty", "null", "other"]
            #expect(try world.find(["field": "attributes.city", "op": "is_not", "value": "rome"]) == all.sorted())
            #expect(try world.find(["field": "attributes.city", "op": "is_none_of", "value": ["rome", "paris"]]) == all)
            #expect(try world.find(["not": ["field": "attributes.city", "op": "is", "value": "rome"]]) == all)
            #expect(try world.find(["field": "attributes.age", "op": "is_not", "value": 30]) == all)
            #expect(try world.find(["field": "attributes.age", "op": "not_between", "value": [20, 40]]) == all)
            #expect(
                try world.find(["not": ["field": "attributes.age", "op": "less_than", "value": 10]]) == ["absent", "empty", "null", "same"])
            #expect(try world.find(["field": "attributes.city", "op": "is_unknown"]) == ["absent", "empty", "null"])
            #expect(try world.find(["field": "attributes.city", "op": "is_not", "value": "rome", "missing": "no_match"]) == ["other"])
            #expect(
                try world.find(["field": "attributes.city", "op": "is", "value": "rome", "missing": "match"]) == [
                    "absent", "empty", "null", "same",
                ])
        }
    }

    @Test func `a value that does not convert is missing and fails nothing`() throws {
        try withWorld { world in
            for (key, type) in [("n", FieldType.number), ("b", .boolean), ("d", .date), ("t", .time), ("g", .tags)] {
                try world.field(key, type)
            }
            let dirty: [JSONValue] = [
                "abc", "12abc", "1e99999", "NaN", "Infinity", "-", ".", "0x10", "2026-02-30", "2025-02-29", "2026-13-01",
                "0000-01-01", "2026-01-01T25:00", "2026-01-01T10:00:00+99:00", ["a": 1], [1, "x"], [["x"]], "maybe",
                .string(String(repeating: "9", count: 5000)), "٣", "１２",
            ]
            for (index, value) in dirty.enumerated() {
                try world.contact("dirty \(index)", ["n": value, "b": value, "d": value, "t": value, "g": value])
            }
            try world.contact("good", ["n": "12.50", "b": "YES", "d": "2024-02-29", "t": "2026-01-01T10:00:00+05:30", "g": ["x"]])
            #expect(try world.find(["field": "attributes.n", "op": "is", "value": 12.5]) == ["good"])
            #expect(try world.find(["field": "attributes.n", "op": "is_known"]) == ["good"])
            #expect(try world.find(["field": "attributes.b", "op": "is_true"]) == ["good"])
            #expect(try world.find(["field": "attributes.d", "op": "on", "value": "2024-02-29"]) == ["good"])
            #expect(try world.find(["field": "attributes.d", "op": "is_known"]) == ["good"])
            #expect(try world.find(["field": "attributes.t", "op": "is_known"]) == ["good"])
            #expect(try world.find(["field": "attributes.t", "op": "before", "value": "2026-01-01T04:30:01Z"]) == ["good"])
            #expect(try world.find(["field": "attributes.g", "op": "has_any_of", "value": ["X"]]) == ["good"])
            #expect(try world.find(["not": ["field": "attributes.n", "op": "more_than", "value": 0]]).count == dirty.count)
            #expect(try world.find(["field": "attributes.d", "op": "anniversary_within", "value": ["last": "5y"]]) == ["good"])
            #expect(try world.find(["field": "attributes.t", "op": "hour_is", "value": [4]]) == ["good"])
        }
    }

    @Test func `days are those of the workspace's zone, not of UTC`() throws {
        try withWorld(zone: "America/New_York") { world in
            // 03:30Z is 22:30 the evening before in New York.
            try world.contact("evening", lastContacted: Instant(rfc3339: "2026-11-21T03:30:00Z"))
            try world.contact("morning", lastContacted: Instant(rfc3339: "2026-11-21T15:00:00Z"))
            let on: JSONValue = ["field": "last_contacted_at", "op": "on", "value": "2026-11-20"]
            #expect(try world.find(on) == ["evening"])
            #expect(try world.find(on, zone: "Europe/Berlin") == [])
            let today: JSONValue = ["field": "last_contacted_at", "op": "within", "value": ["calendar": "this", "unit": "day"]]
            #expect(try world.find(today, now: "2026-11-21T04:00:00Z") == ["evening"])
            #expect(try world.find(today, now: "2026-11-21T20:00:00Z") == ["morning"])
            let friday: JSONValue = ["field": "last_contacted_at", "op": "day_of_week_is", "value": "friday"]
            #expect(try world.find(friday) == ["evening"])
            #expect(try world.find(["field": "last_contacted_at", "op": "hour_is", "value": 22]) == ["evening"])
        }
    }

    @Test func `each contact's own zone decides where the rule says so, and a zone that does not exist is none`() throws {
        try withWorld(zone: "UTC") { world in
            let time = Instant(rfc3339: "2026-11-21T03:30:00Z")
            try world.contact("new york", timezone: "America/New_York", lastContacted: time)
            try world.contact("tokyo", timezone: "Asia/Tokyo", lastContacted: time)
            try world.contact("broken", timezone: "Mars/Olympus", lastContacted: time)
            try world.contact("none", lastContacted: time)
            let on: JSONValue = ["field": "last_contacted_at", "op": "on", "value": "2026-11-20"]
            #expect(try world.find(on, zone: "contact") == ["new york"])
            #expect(try world.find(["field": "last_contacted_at", "op": "hour_is", "value": 12], zone: "contact") == ["tokyo"])
            let today: JSONValue = ["field": "last_contacted_at", "op": "within", "value": ["calendar": "this", "unit": "day"]]
            // At that moment it is the 20th in UTC and New York, and the 21st in Tokyo.
            #expect(try world.find(today, zone: "contact", now: "2026-11-20T23:00:00Z") == ["new york", "tokyo"])
        }
    }

    @Test func `days of 23 and 25 hours are whole days`() throws {
        try withWorld(zone: "America/New_York") { world in
            // Clocks go forward on 8 March 2026 (23 hours) and back on 1 November 2026 (25 hours).
            for (name, time) in [
                ("short first", "2026-03-08T05:00:00Z"), ("short last", "2026-03-09T03:59:59Z"), ("after short", "2026-03-09T04:00:00Z"),
                ("long first", "2026-11-01T04:00:00Z"), ("long last", "2026-11-02T04:59:59Z"), ("after long", "2026-11-02T05:00:00Z"),
            ] { try world.contact(name, lastContacted: Instant(rfc3339: time)) }
            #expect(try world.find(["field": "last_contacted_at", "op": "on", "value": "2026-03-08"]) == ["short first", "short last"])
            #expect(try world.find(["field": "last_contacted_at", "op": "on", "value": "2026-11-01"]) == ["long first", "long last"])
            let yesterday: JSONValue = ["field": "last_contacted_at", "op": "within", "value": ["calendar": "last", "unit": "day"]]
            #expect(try world.find(yesterday, now: "2026-03-09T12:00:00Z") == ["short first", "short last"])
            #expect(try world.find(yesterday, now: "2026-11-02T12:00:00Z") == ["long first", "long last"])
            // A rolling day is 24 hours, whatever the clocks do.
            let last: JSONValue = ["field": "last_contacted_at", "op": "within", "value": ["last": "1d"]]
            #expect(try world.find(last, now: "2026-03-09T04:00:00Z") == ["after short", "short first", "short last"])
            #expect(try world.find(last, now: "2026-11-02T04:59:59Z") == ["long last"])
            let start: JSONValue = ["field": "last_contacted_at", "op": "before", "value": ["start_of": "day", "plus": "-1d"]]
            #expect(try world.find(start, now: "2026-11-02T12:00:00Z") == ["after short", "short first", "short last"])
        }
    }

    @Test func `a leaf about consent says what the ledger says, and an OR cannot reach past it`() throws {
        // Whether somebody may be written to is checked at sending, outside of every rule.
        try withWorld { world in
            let yes = try world.contact("yes")
            let no = try world.contact("no")
            try world.contact("unknown")
            _ = try world.db.one(WorldSQL.consent, yes, .sms, "opted_in")
            _ = try world.db.one(WorldSQL.consent, no, .sms, "opted_out")
            #expect(try world.find(["consent": "sms", "state": "opted_in"]) == ["yes"])
            #expect(try world.find(["consent": "sms", "state": "opted_out"]) == ["no"])
            #expect(try world.find(["consent": "sms", "state": "unknown"]) == ["unknown"])
            #expect(try world.find(["consent": "email", "state": "unknown"]) == ["no", "unknown", "yes"])
            let either: JSONValue = [
                "any": [["field": "name", "op": "is", "value": "no"], ["field": "name", "op": "is", "value": "yes"]]
            ]
            #expect(try world.find(["all": [["consent": "sms", "state": "opted_in"], either]]) == ["yes"])
        }
    }

    @Test func `has_any_of is not has_all_of`() throws {
        try withWorld { world in
            try world.field("likes", .tags)
            try world.contact("one", ["likes": ["Tea"]], tags: ["VIP"])
            try world.contact("two", ["likes": ["tea", "cake"]], tags: ["vip", "new"])
            try world.contact("none", ["likes": []])
            for field in ["tags", "attributes.likes"] {
                let wanted: JSONValue = field == "tags" ? ["vip", "NEW"] : ["TEA", "Cake"]
                func find(_ op: String) throws -> [String] {
                    try world.find(["field": .string(field), "op": .string(op), "value": wanted])
                }
                #expect(try find("has_any_of") == ["one", "two"])
                #expect(try find("has_all_of") == ["two"])
                #expect(try find("has_none_of") == ["none"])
                #expect(try find("is_exactly") == ["two"])
                #expect(try world.find(["field": .string(field), "op": "is_empty"]) == ["none"])
                #expect(try world.find(["field": .string(field), "op": "size", "value": ["at_least": 2]]) == ["two"])
            }
            #expect(try world.find(["field": "tags", "op": "has_any_of", "value": ["VIP"], "case": "sensitive"]) == ["one"])
            #expect(try world.find(["field": "attributes.likes", "op": "has_any_of", "value": ["Tea"], "case": "sensitive"]) == ["one"])
        }
    }

    @Test func `a segment is read from its membership, not from its rule`() throws {
        try withWorld { world in
            try world.contact("a")
            let b = try world.contact("b")
            let inner = try world.db.one(WorldSQL.segment, "inner", ["version": 1, "match": ["field": "name", "op": "is", "value": "a"]])
            let leaf: JSONValue = ["segment": .string(inner.description)]
            #expect(try world.find(leaf) == [], "it was never calculated")
            try world.db.run(WorldSQL.member, inner, b, .now())
            #expect(try world.find(leaf) == ["b"])
            #expect(try world.find(["not": leaf]) == ["a"])
            #expect(try world.find(["any": [leaf, ["field": "name", "op": "is", "value": "a"]]]) == ["a", "b"])
        }
    }

    @Test func `a segment that matches nobody any more has no members`() throws {
        try withWorld { world in
            try world.field("n", .number)
            let contact = try world.contact("a", ["n": 1])
            let id = try world.db.one(WorldSQL.segment, "one", ["match": ["field": "attributes.n", "op": "is", "value": 1]])
            let leaf: JSONValue = ["segment": .string(id.description)]
            for (attributes, members) in [(#"{"n": 1}"#, ["a"]), (#"{"n": 2}"#, [])] {
                try world.db.run(WorldSQL.setAttributes, contact, attributes)
                var calculation = SegmentCalculation(isRefresh: false) { try $0(world.db) }
                _ = try calculation.calculate(id)
                #expect(try world.find(leaf) == members)
            }
            #expect(try world.db.value("SELECT member_count FROM segments WHERE id = $1", id.sqlValue) == 0)
            let past: JSONValue = ["segment": .string(id.description), "was": true, "within": ["last": "1h"]]
            #expect(try world.find(past, now: (Instant.now() + 1).description) == ["a"])
        }
    }
}
