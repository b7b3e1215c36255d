// What a segment was, what a change would do, and the way back.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private func plan(_ name: String) -> JSONValue { ["field": "attributes.plan", "op": "is", "value": .string(name)] }

@Suite struct SegmentVersionTests {
    @Test func `every save keeps a version, and a version can be made the present again`() throws {
        try withAudience { site throws in
            for name in ["gold", "gold", "iron"] { _ = try site.add(["attributes": ["plan": .string(name)]]) }
            let person = try site.owner.createUser("manager", in: site.workspace)
            let path = try site.segment("Gold", plan("gold"))
            #expect(
                try site.send("PATCH", path, json: ["rule": ["match": plan("iron")], "note": "Iron now"], as: person.token).status == 200)
            #expect(try site.send("PATCH", path, json: ["name": "Iron", "description": "Them"]).status == 200)
            // A schedule is no part of the definition.
            #expect(try site.send("PATCH", path, json: ["schedule": ["kind": "manual"]]).status == 200)
            let versions = try site.send("GET", path + "/versions").json["items"]?.array ?? []
            #expect(versions.map { $0["version"] } == [3, 2, 1])
            #expect(versions.map { $0["name"] } == ["Iron", "Gold", "Gold"])
            #expect(versions.map { $0["note"] } == [.null, "Iron now", .null])
            #expect(versions[1]["created_by"] == .string(person.id.description) && versions[1]["rule"]?["match"] == plan("iron"))
            #expect(try site.send("GET", path + "/versions/1").json["rule"]?["match"] == plan("gold"))
            for missing in ["4", "0", "x", "99999999999999999999"] {
                #expect(try site.send("GET", path + "/versions/\(missing)").status == 404, "\(missing)")
                #expect(try site.send("POST", path + "/versions/\(missing)/restore").status == 404, "\(missing)")
            }

            #expect(try site.send("POST", path + "/versions/1/restore", headers: [("If-Match", "\"v3\"")]).status == 412)
            let restored = try site.send("POST", path + "/versions/1/restore", headers: [("If-Match", "\"v4\"")])
            #expect(restored.status == 200 && restored.header("etag") == "\"v5\"" && restored.json["name"] == "Gold")
            #expect(restored.json["description"] == .null && restored.json["rule"]?["match"] == plan("gold"))
            try site.calculate()
            #expect(try site.send("GET", path).json["member_count"] == 2)
            let newest = try site.send("GET", path + "/versions?limit=1").json
            #expect(newest["items"]?.array?.first?["note"] == "Restored from version 1" && newest["pagination"]?["has_more"] == true)
            let cursor = newest["pagination"]?["next_cursor"]?.string ?? ""
            #expect(try site.send("GET", path + "/versions?limit=1&cursor=\(cursor)").json["items"]?.array?.map { $0["version"] } == [3])
        }
    }

    @Test func `a version is restored only where its name is free and its fields are there`() throws {
        try withAudience { site throws in
            #expect(try site.send("PUT", "/api/fields/attributes.later", json: ["type": "text"]).status == 201)
            let path = try site.segment("One", ["field": "attributes.later", "op": "is_known"])
            try site.send("PATCH", path, json: ["name": "Two", "rule": ["match": ["all": []]]])
            let other = try site.segment("One", ["all": []])
            #expect(try site.send("POST", path + "/versions/1/restore").code == "name_taken")
            #expect(try site.send("DELETE", other).status == 204)
            #expect(try site.send("DELETE", "/api/fields/attributes.later").status == 204)
            let refused = try site.send("POST", path + "/versions/1/restore")
            #expect(refused.code == "unknown_field" && refused.json["errors"]?.array?.first?["pointer"] == "/rule/match/field")
            #expect(try site.send("GET", path).json["name"] == "Two")
        }
    }

    @Test func `a difference tells what changed and exactly who enters and leaves, before anything is saved`() throws {
        try withAudience { site throws in
            var ids: [String: [JSONValue]] = [:]
            for (name, count) in [("gold", 12), ("iron", 3), ("tin", 1)] {
                ids[name] = try (0..<count).map { _ in try site.add(["attributes": ["plan": .string(name)]])["id"] ?? .null }
            }
            let path = try site.segment("Some", ["any": [plan("iron"), plan("tin")]])
            let other: JSONValue = ["match": ["any": [plan("tin"), ["field": "attributes.plan", "op": "is_any_of", "value": ["gold"]]]]]
            let answer = try site.send("POST", path + "/diff", json: ["rule": other])
            #expect(answer.status == 200, "\(answer.text)")
            #expect(answer.json["count"] == ["before": 4, "after": 13])
            #expect(answer.json["entering"]?["count"] == 12 && answer.json["entering"]?["sample"]?.array?.count == 10)
            #expect(answer.json["leaving"]?["count"] == 3)
            func found(_ member: String) -> Set<JSONValue> { Set(answer.json[member]?["sample"]?.array?.map { $0["id"] ?? .null } ?? []) }
            #expect(found("leaving") == Set(ids["iron"] ?? []) && found("entering").isSubset(of: Set(ids["gold"] ?? [])))
            #expect(
                answer.json["changes"]?.array?.map { "\($0["change"]?.string ?? "") \($0["pointer"]?.string ?? "")" }
                    == ["changed /match/any/1/op", "changed /match/any/1/value"])
            #expect(answer.json["as_of"]?.string.flatMap { Instant(rfc3339: $0) } != nil)
            #expect(try site.send("GET", path).json["version"] == 1)
        }
    }

    @Test func `a segment is compared with its versions, and two versions with each other`() throws {
        try withAudience { site throws in
            for name in ["gold", "gold", "iron"] { _ = try site.add(["attributes": ["plan": .string(name)]]) }
            let path = try site.segment("S", plan("gold"))
            try site.send("PATCH", path, json: ["rule": ["match": plan("iron")]])
            try site.send("PATCH", path, json: ["rule": ["match": ["all": []]]])
            let back = try site.send("POST", path + "/diff", json: ["version": 1]).json
            #expect(back["count"] == ["before": 3, "after": 2] && back["entering"]?["count"] == 0 && back["leaving"]?["count"] == 1)
            let two = try site.send("POST", path + "/diff", json: ["from": 1, "to": 2]).json
            #expect(two["changes"] == [["change": "changed", "pointer": "/match/value", "before": "gold", "after": "iron"]])
            #expect(two["entering"]?["count"] == 1 && two["leaving"]?["count"] == 2)
            let same = try site.send("POST", path + "/diff", json: ["from": 2, "to": 2]).json
            #expect(same["changes"] == [] && same["entering"] == ["count": 0, "sample": []] && same["leaving"]?["count"] == 0)
            for (body, code) in [
                ([:], "one_of_these"), (["version": 1, "from": 1], "one_of_these"), (["from": 1], "required"), (["to": 1], "required"),
                (["version": 9], "not_found"), (["from": 1, "to": 9], "not_found"), (["version": 0], "out_of_range"),
                (["rule": ["match": plan("x"), "no": 1]], "unknown_member"),
            ] as [(JSONValue, String)] {
                #expect(try site.send("POST", path + "/diff", json: body).code == code, "\(body.text)")
            }
        }
    }

    /// Rules with windows and many values have parameters of every kind: none may end up in the other rule's place.
    @Test func `of two rules each is evaluated with its own values`() throws {
        try withAudience { site throws in
            for n in 1...30 { _ = try site.add(["attributes": ["n": .integer(Int64(n)), "plan": n % 2 == 0 ? "gold" : "iron"]]) }
            let first: JSONValue = [
                "all": .array((0..<12).map { ["field": "attributes.n", "op": "at_least", "value": .integer(Int64($0))] })
            ]
            let second: JSONValue = [
                "all": [
                    ["field": "attributes.n", "op": "between", "value": [5, 15]], plan("gold"),
                    ["field": "created_at", "op": "within", "value": ["last": "1d"]], ["not": ["event": "order"]],
                    ["field": "attributes.plan", "op": "contains", "value": "$1"],
                ]
            ]
            let path = try site.segment("First", first)
            let third: JSONValue = ["all": .array((second["all"]?.array ?? []).dropLast())]
            for (match, entering, leaving) in [(second, 0, 20), (third, 3, 18)] {
                let answer = try site.send("POST", path + "/diff", json: ["rule": ["match": match]]).json
                #expect(
                    answer["entering"]?["count"] == JSONValue(entering) && answer["leaving"]?["count"] == JSONValue(leaving),
                    "\(answer.text)")
            }
        }
    }
}
