// The edges of every kind of value.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct RuleValueTests {
    @Test func `an average is known to whoever has one, a sum to everybody`() throws {
        try withWorld { world in
            try world.contact("buyer")
            try world.contact("none")
            try world.contact("silent")
            try world.event("buyer", "order", at: "2026-05-01T00:00:00Z", ["amount": 50])
            try world.event("silent", "order", at: "2026-05-01T00:00:00Z", ["amount": "much"])
            func find(_ function: JSONValue, _ op: JSONValue) throws -> [String] {
                try world.find(["aggregate": function, "of": "amount", "event": "order", "op": op])
            }
            for function in ["avg", "min", "max"] as [JSONValue] {
                #expect(try find(function, "is_known") == ["buyer"])
                #expect(try find(function, "is_unknown") == ["none", "silent"])
            }
            for function in ["sum", "count", "distinct"] as [JSONValue] {
                #expect(try find(function, "is_known") == ["buyer", "none", "silent"])
                #expect(try find(function, "is_unknown") == [])
            }
        }
    }

    @Test func `a window on a segment asks about the past, and must say so`() throws {
        try withWorld { world in
            let id = try world.db.one(WorldSQL.segment, "all", ["version": 1, "match": ["all": []]])
            let rule: JSONValue = ["match": ["segment": .string(id.description), "within": ["last": "30d"]]]
            #expect(try world.faults(rule) == ["required /rule/match/was"])
        }
    }

    @Test func `contains takes its text literally and ignores case as Unicode does`() throws {
        try withWorld { world in
            try world.field("t", .text)
            for (name, text) in [
                ("percent", "100% sure"), ("word", "100x sure"), ("under", "a_b"), ("letter", "aXb"), ("slash", #"a\b"#),
                ("greek", "ΟΔΟΣ"), ("turkish", "İZMİR"), ("umlaut", "ÄRGER"),
            ] { try world.contact(name, ["t": .string(text)]) }
            func contains(_ text: String) throws -> [String] {
                try world.find(["field": "attributes.t", "op": "contains", "value": .string(text)])
            }
            #expect(try contains("100%") == ["percent"])
            #expect(try contains("A_B") == ["under"])
            #expect(try contains(#"a\b"#) == ["slash"])
            #expect(try contains("οδοσ") == ["greek"])
            #expect(try contains("izmir") == ["turkish"])
            #expect(try contains("a\u{308}rger") == ["umlaut"], "a decomposed letter is the same letter")
            #expect(try world.find(["field": "attributes.t", "op": "starts_with", "value": "100%"]) == ["percent"])
            #expect(try world.find(["field": "attributes.t", "op": "ends_with", "value": #"\B"#]) == ["slash"])
            #expect(try world.find(["field": "attributes.t", "op": "contains_all_of", "value": ["a", "\\"]]) == ["slash"])
            #expect(try world.find(["field": "attributes.t", "op": "matches", "value": "^[0-9]+.? sure$"]) == ["percent", "word"])
        }
    }

    @Test func `text operators see a number in its shortest form, and nothing inside arrays`() throws {
        try withWorld { world in
            try world.field("t", .text)
            let number = try world.contact("number")
            try world.db.run(WorldSQL.setAttributes, number, #"{"t": 1.50}"#)
            try world.contact("array", ["t": ["1.5", "x"]])
            try world.contact("bool", ["t": true])
            #expect(try world.find(["field": "attributes.t", "op": "is", "value": "1.5"]) == ["number"])
            #expect(try world.find(["field": "attributes.t", "op": "ends_with", "value": "5"]) == ["number"])
            #expect(try world.find(["field": "attributes.t", "op": "contains", "value": "x"]) == [])
            #expect(try world.find(["field": "attributes.t", "op": "starts_with", "value": "["]) == [])
            #expect(try world.find(["field": "attributes.t", "op": "is", "value": "TRUE"]) == ["bool"])
        }
    }

    @Test func `an anniversary of 29 February falls on 1 March in other years`() throws {
        try withWorld { world in
            try world.field("birthday", .date)
            try world.contact("leap", ["birthday": "2000-02-29"])
            try world.contact("march", ["birthday": "1990-03-01"])
            try world.contact("new year", ["birthday": "1985-01-01"])
            func within(_ from: String, _ to: String) throws -> [String] {
                try world.find([
                    "field": "attributes.birthday", "op": "anniversary_within", "value": ["between": [.string(from), .string(to)]],
                ])
            }
            #expect(try within("2026-02-28", "2026-02-28") == [])
            #expect(try within("2026-03-01", "2026-03-01") == ["leap", "march"])
            #expect(try within("2028-02-29", "2028-02-29") == ["leap"])
            #expect(try within("2026-12-20", "2027-01-05") == ["new year"])
            // A window with an end that nobody knows holds nothing.
            try world.field("met", .date)
            for ends in [[["field": "attributes.met"], "2026-12-31"], ["2026-01-01", ["field": "attributes.met"]]] as [JSONValue] {
                let leaf: JSONValue = ["field": "attributes.birthday", "op": "anniversary_within", "value": ["between": ends]]
                #expect(try world.find(leaf) == [], "\(ends.text)")
            }
            let soon: JSONValue = [
                "field": "attributes.birthday", "op": "anniversary_within", "value": ["calendar": "next", "unit": "month"],
            ]
            #expect(try world.find(soon, now: "2026-02-10T00:00:00Z") == ["leap", "march"])
        }
    }

    @Test func `phone numbers are read as those of contacts are, and domains with or without their sign`() throws {
        try withWorld { world throws in
            _ = try world.contact("a", email: "a@example.com", phone: "+12125550123")
            _ = try world.contact("b", email: "b@example.org", phone: "+12125550124")
            for text in ["+12125550123", "+1 (212) 555-0123", "tel:+1-212-555-0123"] as [JSONValue] {
                #expect(try world.find(["field": "phone", "op": "is", "value": text]) == ["a"])
                #expect(try world.find(["field": "phone", "op": "is_none_of", "value": [text]]) == ["b"])
            }
            for (op, value, place) in [
                ("is", "555-0123", "/value"), ("is_not", "abc", "/value"), ("is_any_of", ["+12125550123", "0123"], "/value/1"),
            ] as [(String, JSONValue, String)] {
                let rule: JSONValue = ["match": ["field": "phone", "op": .string(op), "value": value]]
                #expect(try world.faults(rule) == ["bad_format /rule/match" + place])
            }
            #expect(try world.find(["field": "phone", "op": "contains", "value": "0123"]) == ["a"])
            #expect(try world.find(["field": "email", "op": "domain_is", "value": "@Example.com"]) == ["a"])
            #expect(try world.find(["field": "email", "op": "domain_is", "value": ["example.com", "@example.org"]]) == ["a", "b"])
        }
    }

    @Test func `a window whose end comes before its beginning is refused where it stands`() throws {
        try withWorld { world throws in
            let reversed: [[JSONValue]] = [
                ["2026-03-02", "2026-03-01"], ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00+01:00"], [["ago": "1d"], ["ago": "30d"]],
                [["ahead": "1h"], ["ago": "1h"]],
            ]
            for pair in reversed {
                let window: JSONValue = ["between": .array(pair)]
                func faults(_ match: JSONValue) throws -> [String] { try world.faults(["match": match]) }
                #expect(try faults(["event": "a", "within": window]) == ["reversed_range /rule/match/within/between"])
                #expect(
                    try faults(["field": "created_at", "op": "within", "value": window]) == ["reversed_range /rule/match/value/between"])
                #expect(
                    try faults(["field": "created_at", "op": "between", "value": .array(pair)]) == ["reversed_range /rule/match/value"])
                // The other way round, and one moment alone, are windows.
                #expect(try world.find(["event": "a", "within": ["between": .array(pair.reversed())]]) == [])
                #expect(try world.find(["event": "a", "within": ["between": [pair[0], pair[0]]]]) == [])
            }
        }
    }
}
