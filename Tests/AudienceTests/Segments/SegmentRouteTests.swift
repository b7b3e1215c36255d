// Segments as the API shows them: saved, changed, previewed, deleted.
import JSON
import TestSupport
import Testing

private let gold: JSONValue = ["field": "attributes.plan", "op": "is", "value": "gold"]
private let nobody = "0190f5c2-0000-7000-8000-000000000000"

extension AudienceSite {
    /// Saves a segment with this match and gives its path.
    func segment(_ name: String, _ match: JSONValue) throws -> String {
        let answer = try send("POST", "/api/segments", json: ["name": .string(name), "rule": ["version": 1, "match": match]])
        guard let path = answer.header("location") else { throw TestSupportError("\(answer.status): \(answer.text)") }
        return path
    }
}

func idOf(_ path: String) -> JSONValue { .string(String(path.split(separator: "/").last ?? "")) }

@Suite struct SegmentRouteTests {
    @Test func `a segment is saved, calculated, changed, listed and deleted, and its ETag follows`() throws {
        try withAudience { site throws in
            for plan in ["gold", "gold", "iron"] { _ = try site.add(["attributes": ["plan": .string(plan)]]) }
            let made = try site.send("POST", "/api/segments", json: ["name": " Gold ", "description": "", "rule": ["match": gold]])
            #expect(made.status == 201 && made.header("etag") == "\"v1\"")
            #expect(made.json["name"] == "Gold" && made.json["description"] == .null && made.json["state"] == "stale")
            #expect(made.json["member_count"] == 0 && made.json["as_of"] == .null)
            #expect(made.json["rule"] == ["version": 1, "timezone": "workspace", "match": gold])
            let path = try #require(made.header("location"))
            #expect(try site.calculate().map { $0["state"] } == ["succeeded"])
            let ready = try site.send("GET", path)
            #expect(ready.json["state"] == "ready" && ready.json["member_count"] == 2 && ready.json["as_of"]?.string != nil)

            let renamed = try site.send("PATCH", path, json: ["name": "Golden", "description": "Pays"], headers: [("If-Match", "\"v1\"")])
            #expect(renamed.status == 200 && renamed.header("etag") == "\"v2\"" && renamed.json["state"] == "ready")
            #expect(try site.calculate().isEmpty, "a name asks for no calculation")
            #expect(try site.send("PATCH", path, json: ["name": "x"], headers: [("If-Match", "\"v1\"")]).code == "version_mismatch")
            // The flat form is stored as the tree that it means.
            let flat: JSONValue = ["conditions": [["field": "attributes.plan", "operator": "is", "value": "iron"]], "match": "any"]
            let turned = try site.send("PATCH", path, json: ["description": .null, "rule": flat])
            #expect(turned.json["state"] == "stale" && turned.json["description"] == .null && turned.json["name"] == "Golden")
            #expect(turned.json["rule"]?["match"] == ["any": [["field": "attributes.plan", "op": "is", "value": "iron"]]])
            try site.calculate()
            #expect(try site.send("GET", path).json["member_count"] == 1)

            _ = try site.segment("100% silver", gold)
            #expect(try site.send("GET", "/api/segments?name=OLD").json["items"]?.array?.map { $0["name"] } == ["Golden"])
            #expect(try site.send("GET", "/api/segments?name=0%25").json["items"]?.array?.map { $0["name"] } == ["100% silver"])
            #expect(try site.send("DELETE", path, headers: [("If-Match", "\"v1\"")]).status == 412)
            #expect(try site.send("DELETE", path, headers: [("If-Match", "\"v3\"")]).status == 204)
            for (method, rest) in [
                ("GET", ""), ("DELETE", ""), ("GET", "/preview"), ("POST", "/calculate"), ("GET", "/contacts"), ("GET", "/history"),
            ] {
                #expect(try site.send(method, path + rest).status == 404, "\(method) \(rest)")
            }
            #expect(try site.send("PATCH", path, json: ["name": "x"]).status == 404)
        }
    }

    @Test func `segments are listed newest first, page by page`() throws {
        try withAudience { site throws in
            for name in ["a", "b", "c", "d", "e"] { _ = try site.segment(name, ["all": []]) }
            var names: [JSONValue?] = []
            var target: String? = "/api/segments?limit=2"
            while let next = target {
                let page = try site.send("GET", next).json
                names += page["items"]?.array?.map { $0["name"] } ?? []
                target = page["pagination"]?["next_cursor"]?.string.map { "/api/segments?limit=2&cursor=\($0)" }
            }
            #expect(names == ["e", "d", "c", "b", "a"])
        }
    }

    @Test func `a name is unique, and never blank`() throws {
        try withAudience { site throws in
            let path = try site.segment("One", ["all": []])
            _ = try site.segment("Two", ["all": []])
            #expect(try site.send("POST", "/api/segments", json: ["name": "Two", "rule": ["match": ["all": []]]]).code == "name_taken")
            #expect(try site.send("PATCH", path, json: ["name": "Two"]).code == "name_taken")
            for body: JSONValue in [["name": " "], ["name": ""], ["name": .null]] {
                #expect(try site.send("PATCH", path, json: body).status == 422, "\(body.text)")
            }
            #expect(try site.send("POST", "/api/segments", json: ["name": " ", "rule": ["match": ["all": []]]]).code == "empty")
            #expect(try site.send("GET", path).json["name"] == "One")
            // Another workspace has names of its own.
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            #expect(try site.send("POST", "/api/segments", json: ["name": "Two", "rule": ["match": ["all": []]]], as: other).status == 201)
        }
    }

    @Test func `every fault of a rule is told at once, each with its place`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["n": 5]])
            let rule: JSONValue = [
                "version": 2, "timezone": "Mars/Olympus",
                "match": [
                    "all": [
                        ["field": "attributes.nope", "op": "is", "value": "x"],
                        ["field": "status", "op": "at_least", "value": 5],
                        ["field": "attributes.n", "op": "at_least", "value": "five"],
                        ["field": "created_at", "op": "before", "value": "soon"],
                        ["field": "created_at", "op": "within", "value": ["last": "30x"]],
                        ["segment": .string(nobody)],
                        ["list": .string(nobody)],
                        ["consent": "fax", "state": "maybe"],
                        ["event": "order", "count": ["at_least": -1]],
                        ["field": "name", "op": "matches", "value": "("],
                        ["colour": "red"],
                    ]
                ],
            ]
            let expected: Set<String> = [
                "not_one_of /rule/version", "bad_timezone /rule/timezone", "unknown_field /rule/match/all/0/field",
                "unknown_operator /rule/match/all/1/op", "wrong_type /rule/match/all/2/value", "bad_time /rule/match/all/3/value",
                "bad_format /rule/match/all/4/value/last", "unknown_segment /rule/match/all/5/segment",
                "unknown_list /rule/match/all/6/list", "not_one_of /rule/match/all/7/consent", "not_one_of /rule/match/all/7/state",
                "out_of_range /rule/match/all/8/count/at_least", "bad_pattern /rule/match/all/9/value", "unknown_node /rule/match/all/10",
            ]
            let path = try site.segment("Mine", ["all": []])
            for answer in [
                try site.send("POST", "/api/segments/preview", json: ["rule": rule]),
                try site.send("POST", "/api/segments", json: ["name": "Theirs", "rule": rule]),
                try site.send("PATCH", path, json: ["rule": rule]),
            ] {
                #expect(answer.status == 422)
                let faults = answer.json["errors"]?.array ?? []
                #expect(Set(faults.map { "\($0["code"]?.string ?? "") \($0["pointer"]?.string ?? "")" }) == expected)
                #expect(faults.count == expected.count && faults.allSatisfy { $0["detail"]?.string?.isEmpty == false })
            }
            #expect(try site.count("segments") == 1)
        }
    }

    @Test func `no rule can make the server fail`() throws {
        try withAudience { site throws in
            _ = try site.add(["email": "a@example.com", "attributes": ["n": 9_007_199_254_740_993, "day": "2026-01-31", "note": "x"]])
            let matches: [(JSONValue, Int)] = [
                (["aggregate": "avg", "of": "amount", "event": "order", "op": "is_known"], 200),
                (["aggregate": "sum", "of": "amount", "event": "order", "op": "is_unknown"], 200),
                (["field": "attributes.n", "op": "between", "value": [9_007_199_254_740_993, 9_007_199_254_740_992]], 422),
                (["field": "attributes.n", "op": "between", "value": [9_007_199_254_740_993, 9_007_199_254_740_992.0]], 422),
                (["field": "attributes.n", "op": "between", "value": [9_007_199_254_740_992, 9_007_199_254_740_993]], 200),
                (["field": "created_at", "op": "before", "value": "0001-01-01T00:00:00+23:59"], 422),
                (["field": "created_at", "op": "after", "value": "9999-12-31T23:59:59-23:59"], 422),
                (["field": "created_at", "op": "on", "value": "9999-12-31"], 200),
                (["field": "attributes.day", "op": "anniversary_within", "value": ["between": ["9999-12-31", "9999-12-31"]]], 200),
                (["field": "created_at", "op": "before", "value": ["ago": "1000y"]], 200),
                (["field": "created_at", "op": "before", "value": ["ahead": "100000w"]], 200),
                (["field": "attributes.note", "op": "matches", "value": "(x+x+)+y\\1"], 200),
                (["field": "attributes.note", "op": "is", "value": "\u{0}"], 422),
                (["field": "attributes.n'); DROP TABLE contacts; --", "op": "is", "value": 1], 422),
                (["field": "name", "op": "contains", "value": "'; DROP TABLE contacts; --"], 200),
                (["bucket": ["salt": "'", "from": 9, "to": 1]], 422), (["bucket": ["salt": "'", "from": 1, "to": 9]], 200),
                (["event": "'\"\\", "where": ["field": "a.\"b'.c\\", "op": "is", "value": "'"]], 200),
                (["at_least": 500, "of": []], 200),
                (.null, 422), ([], 422), ("x", 422), (7, 422),
            ]
            for (match, status) in matches {
                let answer = try site.send("POST", "/api/segments/preview", json: ["rule": ["match": match]])
                #expect(answer.status == status, "\(match.text): \(answer.text)")
            }
            #expect(try site.count("contacts") == 1)
        }
    }

    @Test func `a rule stays within its limits, whatever it costs to say so`() throws {
        try withAudience { site throws in
            func code(_ match: JSONValue) throws -> String? {
                try site.send("POST", "/api/segments/preview", json: ["rule": ["match": match]]).code
            }
            var deep: JSONValue = ["all": []]
            for _ in 0..<11 { deep = ["not": deep] }
            #expect(try code(deep) == nil)
            #expect(try code(["not": deep]) == "too_deep")
            let leaf: JSONValue = ["field": "name", "op": "is", "value": "x"]
            #expect(try code(["any": .array(Array(repeating: leaf, count: 499))]) == nil)
            #expect(try code(["any": .array(Array(repeating: leaf, count: 500))]) == "too_many_nodes")
            func anyOf(_ count: Int) -> JSONValue {
                ["field": "name", "op": "is_any_of", "value": .array((0..<count).map { .string("v\($0)") })]
            }
            #expect(try code(anyOf(1000)) == nil)
            #expect(try code(anyOf(1001)) == "too_many")
            #expect(try code(["field": "name", "op": "matches", "value": .string(String(repeating: "a", count: 201))]) == "too_long")
            #expect(try code(["field": "name", "op": "is", "value": .string(String(repeating: "a", count: 66_000))]) == "rule_too_large")
        }
    }

    @Test func `a segment or list that something reads is not deleted, and the answer names the reader`() throws {
        try withAudience { site throws in
            let list = try #require(try site.send("POST", "/api/lists", json: ["name": "L"]).header("location"))
            let inner = try site.segment("Inner", ["list": idOf(list)])
            let outer = try site.segment("Outer", ["not": ["segment": idOf(inner)]])
            let refused = try site.send("DELETE", inner)
            #expect(refused.code == "segment_in_use" && refused.json["detail"]?.string?.contains("segment Outer") == true)
            #expect(try site.send("DELETE", list).status == 409)
            try site.owner.execute(
                """
                INSERT INTO campaigns (workspace_id, name, channel, segment_id)
                VALUES ('\(site.workspace)', 'Spring', 'sms', '\(idOf(outer).string ?? "")')
                """)
            #expect(try site.send("DELETE", outer).json["detail"]?.string?.contains("campaign Spring") == true)
            try site.owner.execute("DELETE FROM campaigns")
            for path in [outer, inner, list] { #expect(try site.send("DELETE", path).status == 204) }
        }
    }

    @Test func `a rule never reads itself, and the circle is told by its names`() throws {
        try withAudience { site throws in
            let first = try site.segment("First", ["all": []])
            let second = try site.segment("Second", ["segment": idOf(first)])
            let third = try site.segment("Third", ["any": [["segment": idOf(second)]]])
            for (path, read) in [(first, third), (first, first), (second, third)] {
                let rule: JSONValue = ["match": ["any": [["field": "name", "op": "is_known"], ["segment": idOf(read)]]]]
                let answer = try site.send("PATCH", path, json: ["rule": rule])
                #expect(answer.code == "cycle" && answer.json["errors"]?.array?.first?["pointer"] == "/rule/match/any/1/segment")
            }
            let names = try site.send("PATCH", first, json: ["rule": ["match": ["segment": idOf(third)]]]).json["errors"]?.array?.first?[
                "detail"]
            #expect(names?.string?.contains("Third → Second → First") == true)
            // What was refused left nothing: the other way round is no circle.
            #expect(try site.send("PATCH", third, json: ["rule": ["match": ["segment": idOf(first)]]]).status == 200)
        }
    }
}
