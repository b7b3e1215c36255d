// Segments that are copied, put away and taken out again.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct SegmentLifecycleTests {
    private let gold: JSONValue = ["field": "attributes.plan", "op": "is", "value": "gold"]

    @Test func `a copy has the rule, a name of its own and a membership of its own`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let path = try site.segment("Gold", gold)
            try site.send("PATCH", path, json: ["description": "Pays", "schedule": ["kind": "every", "minutes": 30]])
            let copy = try site.send("POST", path + "/copy", json: [:])
            #expect(copy.status == 201 && copy.json["name"] == "Copy of Gold" && copy.json["description"] == "Pays")
            #expect(copy.json["rule"]?["match"] == gold && copy.json["schedule"] == ["kind": "every", "minutes": 30])
            #expect(try site.send("POST", path + "/copy", json: [:]).json["name"] == "Copy of Gold (2)")
            #expect(try site.send("POST", path + "/copy", json: ["name": "Mine"]).json["name"] == "Mine")
            #expect(try site.send("POST", path + "/copy", json: ["name": "Gold"]).code == "name_taken")
            #expect(try site.send("POST", path + "/copy", json: ["name": " "]).code == "empty")
            try site.calculate()
            let made = try #require(copy.header("location"))
            #expect(try site.send("GET", made).json["member_count"] == 1)
            #expect(try site.send("GET", made + "/versions").json["items"]?.array?.map { $0["note"] } == ["Copied from Gold"])
            #expect(try site.send("DELETE", path).status == 204, "nothing of the copy reads the original")
        }
    }

    @Test func `an archived segment is hidden, still and refused where it would be chosen, until it is taken out`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let path = try site.segment("Gold", gold)
            let reader = try site.segment("Reader", ["segment": idOf(path)])
            try site.calculate()
            let refused = try site.send("DELETE", path)
            #expect(refused.code == "segment_in_use" && refused.json["detail"]?.string?.contains("Archive it instead") == true)
            #expect(try site.send("POST", path + "/archive", headers: [("If-Match", "\"v7\"")]).status == 412)
            let archived = try site.send("POST", path + "/archive")
            #expect(archived.status == 200 && archived.json["archived_at"]?.string != nil && archived.header("etag") == "\"v2\"")
            #expect(try site.send("POST", path + "/archive").header("etag") == "\"v2\"", "a second time nothing changes")

            func names(_ query: String) throws -> [JSONValue?]? {
                try site.send("GET", "/api/segments\(query)").json["items"]?.array?.map { $0["name"] }
            }
            #expect(try names("") == ["Reader"] && names("?archived=true") == ["Gold"])
            #expect(try names("?name=o") == [] && names("?name=o&archived=true") == ["Gold"])
            #expect(try site.send("GET", path).status == 200 && site.send("GET", path + "/contacts").json["items"]?.array?.count == 1)

            for (method, rest, json) in [
                ("POST", "/calculate", nil), ("PATCH", "", ["name": "x"]), ("POST", "/versions/1/restore", nil),
            ] as [(String, String, JSONValue?)] {
                #expect(try site.send(method, path + rest, json: json).code == "segment_archived", "\(method) \(rest)")
            }
            // What comes meanwhile is for later.
            _ = try site.add(["attributes": ["plan": "gold"]])
            try site.owner.execute(
                "INSERT INTO jobs (workspace_id, kind, payload) SELECT workspace_id, 'calculate_segment', jsonb_build_object('segment_id', id) FROM segments WHERE name = 'Gold'"
            )
            #expect(try site.calculate().map { $0["problem"]?["code"] } == ["not_found"])
            #expect(try site.send("GET", path).json["member_count"] == 1)

            // Nobody may choose it newly, at whatever place; who reads it already may keep that.
            let rule: JSONValue = ["match": ["any": [gold, ["not": ["segment": idOf(path)]]]]]
            for answer in [
                try site.send("POST", "/api/segments", json: ["name": "N", "rule": rule]),
                try site.send("POST", "/api/segments/preview", json: ["rule": rule]),
            ] {
                let fault = answer.json["errors"]?.array?.first
                #expect(fault?["code"] == "segment_archived" && fault?["pointer"] == "/rule/match/any/1/not/segment")
            }
            #expect(try site.send("PATCH", reader, json: ["rule": ["match": ["not": ["segment": idOf(path)]]]]).status == 200)
            #expect(
                try site.owner.value(
                    "SELECT set_workspace('\(site.workspace)') IS NULL OR segment_fault('\(idOf(path).string ?? "")') = 'segment_archived'",
                    as: Bool.self))

            try site.owner.execute("DELETE FROM jobs")
            let out = try site.send("POST", path + "/unarchive")
            #expect(out.json["archived_at"] == .null && out.json["state"] == "stale")
            try site.calculate()
            #expect(try site.send("GET", path).json["member_count"] == 2)
            #expect(try names("") == ["Reader", "Gold"])
        }
    }

    @Test func `what keeps live segments fresh leaves an archived one alone, and the nightly refresh too`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let (path, other) = (try site.segment("Gold", gold), try site.segment("Open", gold))
            try site.calculate()
            let worker = try site.database.connect(as: .worker)
            func freshen() throws { while try Freshness.sweep(site.workspace, worker) || Freshness.round(site.workspace, worker) {} }
            try freshen()
            try site.send("POST", path + "/archive")
            _ = try site.add(["attributes": ["plan": "gold"]])
            try freshen()
            _ = try segmentChores[0].run(try site.database.connect(as: .maintenance))
            func sizes() throws -> [JSONValue?] { try [path, other].map { try site.send("GET", $0).json["member_count"] } }
            #expect(try sizes() == [1, 2])
            try site.send("POST", path + "/unarchive")
            try site.calculate()
            #expect(try sizes() == [2, 2])
        }
    }

    @Test func `an archived segment that nothing uses can be deleted`() throws {
        try withAudience { site throws in
            let path = try site.segment("Gone", ["all": []])
            try site.send("POST", path + "/archive")
            #expect(try site.send("DELETE", path).status == 204)
        }
    }
}
