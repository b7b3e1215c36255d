// Who may see and take back what was done to a segment, and how much is done at once.
import JSON
import TestSupport
import Testing
import Vocabulary

@Suite struct ActionAccessTests {
    @Test func `what was done to a segment that is gone belongs to whoever did it, to owners and admins`() throws {
        try withActions { actions throws in
            let site = actions.site
            _ = try site.add(["email": "a@example.com"])
            let (maker, other, admin) = (
                try site.owner.createUser("manager", in: site.workspace), try site.owner.createUser("manager", in: site.workspace),
                try site.owner.createUser("admin", in: site.workspace)
            )
            let segment = try actions.everybody()
            let started = try actions.send("POST", segment + "/actions/export", json: [:], as: maker.token)
            let path = try #require(started.json["action"]?["url"]?.string)
            try actions.work()
            #expect(try actions.send("GET", path + "/download", as: other.token).status == 200, "the segment is open")
            #expect(try actions.send("DELETE", segment).status == 204)
            for target in [path, path + "/download"] {
                #expect(try actions.send("GET", target, as: other.token).status == 404, "\(target)")
                for user in [maker, admin] { #expect(try actions.send("GET", target, as: user.token).status == 200, "\(target)") }
            }
            #expect(try actions.send("POST", path + "/undo", as: other.token).status == 404)
            #expect(try actions.send("POST", path + "/undo", as: maker.token).status == 202)
        }
    }

    @Test func `taking back a drafted campaign takes what drafting it took`() throws {
        try withActions { actions throws in
            let segment = try actions.everybody()
            func path(_ action: JSONValue) -> String { "/api/segment-actions/\(action["id"]?.string ?? "")/undo" }
            let draft = path(try actions.act(segment, "message", ["name": "Hello"]))
            let tag = path(try actions.act(segment, "tag", ["add": ["x"]]))
            func key(_ scopes: String...) throws -> String {
                try actions.site.owner.createAPIKey(in: actions.site.workspace, scopes: scopes).token
            }
            let audience = try key("audience:write")
            let refused = try actions.send("POST", draft, as: audience)
            #expect(refused.status == 403 && refused.text.contains("campaigns:write"), "\(refused.text)")
            #expect(try actions.send("POST", tag, as: audience).status == 202)
            #expect(try actions.send("POST", draft, as: try key("audience:write", "campaigns:write")).status == 202)
        }
    }

    @Test func `five actions are under way at once, and the next when one has ended`() throws {
        try withActions { actions throws in
            let segment = try actions.everybody()
            func tag() throws -> TestAnswer { try actions.send("POST", segment + "/actions/tag", json: ["add": ["x"]]) }
            for _ in 0..<5 { #expect(try tag().status == 202) }
            let sixth = try tag()
            #expect(sixth.status == 409 && sixth.code == "too_many_actions")
            #expect(try actions.site.count("segment_actions") == 5)
            // Another workspace's are its own.
            let elsewhere = try actions.site.owner.createAPIKey(in: try actions.site.owner.createWorkspace()).token
            let theirs = try actions.send("POST", "/api/segments", json: ["name": "S", "rule": ["match": ["all": []]]], as: elsewhere)
            let there = try #require(theirs.header("location")) + "/actions/tag"
            #expect(try actions.send("POST", there, json: ["add": ["x"]], as: elsewhere).status == 202)
            try actions.work()
            #expect(try tag().status == 202)
        }
    }
}
