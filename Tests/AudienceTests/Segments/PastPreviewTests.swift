@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct PastPreviewTests {
    @Test func `a rule is asked about a past instant, and says what of it is not known any more`() throws {
        try withAudience { site throws in
            let rule: JSONValue = ["match": ["field": "status", "op": "is", "value": "New"]]
            let a = try site.add(["name": "a", "status": "New"])["id"]?.string ?? ""
            let before = Instant.now()
            _ = try site.send("PATCH", "/api/contacts/\(a)", json: ["status": "Won", "name": "A"])
            _ = try site.add(["name": "b", "status": "New"])
            func find(_ asOf: Instant) throws -> JSONValue {
                try site.send("POST", "/api/segments/preview", json: ["rule": rule, "as_of": .string(asOf.description)]).json
            }
            let then = try find(before)
            #expect(then["count"] == 1 && then["exact"] == true && then["as_of"] == .string(before.description))
            #expect(then[pointer: "/sample/0/name"] == "a" && then[pointer: "/sample/0/status"] == "New")
            #expect(then["limits_of_history"] == ["Contacts that were deleted since are not found."])
            #expect(try find(.now())[pointer: "/sample/0/name"] == "b")
            #expect(try find(before + -3600)["count"] == 0)
        }
    }

    @Test func `the future, and an estimate of the past, are refused where they stand`() throws {
        try withAudience { site throws in
            for (extra, pointer) in [
                (["as_of": .string((Instant.now() + 60).description)], "/as_of"), (["as_of": "yesterday"], "/as_of"),
                (["as_of": "2026-01-01T00:00:00Z", "mode": "estimate"], "/mode"),
            ] as [(JSONValue, String)] {
                var body = extra.object ?? [:]
                body["rule"] = ["match": ["all": []]]
                let answer = try site.send("POST", "/api/segments/preview", json: .object(body))
                #expect(answer.status == 422 && answer.json[pointer: "/errors/0/pointer"] == .string(pointer))
            }
        }
    }
}
