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
}
