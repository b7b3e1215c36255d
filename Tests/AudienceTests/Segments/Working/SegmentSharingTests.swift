// Who sees a segment that is not open to all, by whatever way they try.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary
import Web

/// A workspace with a restricted segment of a manager's, and people.
private struct Scene {
    let site: AudienceSite
    let people: [Role: TestUser]
    let maker: TestUser
    let other: TestUser
    let path: String
    var id: JSONValue { idOf(path) }

    init(_ site: AudienceSite) throws {
        self.site = site
        people = try Dictionary(
            uniqueKeysWithValues: Role.allCases.map { ($0, try site.owner.createUser($0.rawValue, in: site.workspace)) })
        maker = try site.owner.createUser("manager", in: site.workspace)
        other = try site.owner.createUser("manager", in: site.workspace, name: "Other Manager")
        _ = try site.add(["email": "a@example.com"])
        let made = try site.send("POST", "/api/segments", json: ["name": "Secret", "rule": ["match": ["all": []]]], as: maker.token)
        path = try made.header("location") ?? { throw TestSupportError(made.text) }()
        try site.calculate()
        let answer = try site.send("PUT", path + "/shares", json: ["sharing": "restricted"], as: maker.token)
        guard answer.status == 200, answer.json["sharing"] == "restricted" else { throw TestSupportError(answer.text) }
    }

    func share(_ permission: String, with user: TestUser) throws {
        let answer = try site.send("PUT", path + "/shares/\(user.id)", json: ["permission": .string(permission)], as: maker.token)
        #expect(answer.status == 200 && answer.json["permission"] == .string(permission), "\(answer.text)")
    }
}

private func withScene(_ body: (Scene) throws -> Void) throws { try withAudience { site throws in try body(try Scene(site)) } }

@Suite struct SegmentSharingTests {
    @Test func `a restricted segment is nowhere to be found for those it is not shared with`() throws {
        try withScene { scene throws in
            let (site, path) = (scene.site, scene.path)
            for user in [scene.other, scene.people[.viewer]!, scene.people[.member]!] {
                func status(_ method: String, _ target: String, _ json: JSONValue? = nil) throws -> Int {
                    try site.send(method, target, json: json, as: user.token).status
                }
                let mayWrite = user.id == scene.other.id
                for rest in ["", "/preview", "/contacts", "/history", "/versions", "/versions/1", "/shares"] {
                    #expect(try status("GET", path + rest) == 404, "GET \(rest)")
                }
                for (method, rest, json) in [
                    ("PATCH", "", ["name": "Mine"]), ("DELETE", "", nil), ("POST", "/calculate", nil), ("POST", "/copy", [:]),
                    ("POST", "/archive", nil), ("POST", "/unarchive", nil), ("POST", "/versions/1/restore", nil),
                    ("PUT", "/shares", ["sharing": "workspace"]), ("PUT", "/shares/\(user.id)", ["permission": "edit"]),
                    ("DELETE", "/shares/\(user.id)", nil),
                ] as [(String, String, JSONValue?)] {
                    #expect(try status(method, path + rest, json) == (mayWrite ? 404 : 403), "\(method) \(rest)")
                }
                #expect(try status("POST", path + "/diff", ["version": 1]) == 404)
                for query in ["", "?name=ecre", "?archived=true"] {
                    #expect(try site.send("GET", "/api/segments" + query, as: user.token).json["items"] == [], "\(query)")
                }
                let read = try site.send("POST", "/api/segments/preview", json: ["rule": ["match": ["segment": scene.id]]], as: user.token)
                #expect(read.code == "unknown_segment" && read.json["errors"]?.array?.first?["pointer"] == "/rule/match/segment")
            }
            #expect(
                try site.send(
                    "POST", "/api/segments", json: ["name": "N", "rule": ["match": ["segment": scene.id]]], as: scene.other.token
                ).code == "unknown_segment")
            #expect(try site.send("GET", path).json["name"] == "Secret", "nothing was changed")
            let contact = try site.owner.value("SELECT id FROM contacts", as: UUID.self)
            func events(_ token: String?) throws -> Int? {
                try site.send("GET", "/api/contacts/\(contact)/events", as: token).json["items"]?.array?.count
            }
            #expect(try events(scene.other.token) == 0 && events(scene.maker.token) == 1)
        }
    }

    @Test func `its maker, owners, admins and API keys see it`() throws {
        try withScene { scene throws in
            let key = try scene.site.owner.createAPIKey(in: scene.site.workspace, scopes: ["audience:read"]).token
            for token in [scene.maker.token, scene.people[.owner]!.token, scene.people[.admin]!.token, key] {
                let segment = try scene.site.send("GET", scene.path, as: token)
                #expect(segment.status == 200 && segment.json["access"] == "edit")
                #expect(try scene.site.send("GET", "/api/segments", as: token).json["items"]?.array?.count == 1)
            }
        }
    }

    @Test func `a key sees what its maker sees today`() throws {
        try withScene { scene throws in
            let (site, admin) = (scene.site, scene.people[.admin]!)
            let key = try site.owner.createAPIKey(in: site.workspace)
            try site.owner.execute("UPDATE api_keys SET created_by = '\(admin.id)' WHERE id = '\(key.id)'")
            #expect(try site.send("GET", scene.path, as: key.token).status == 200)
            try site.owner.execute("UPDATE members SET role = 'manager' WHERE user_id = '\(admin.id)'")
            #expect(try site.send("GET", scene.path, as: key.token).status == 404)
            try scene.share("view", with: admin)
            #expect(try site.send("GET", scene.path, as: key.token).json["access"] == "view")
            #expect(try site.send("PUT", scene.path + "/shares", json: ["sharing": "workspace"], as: key.token).status == 403)
            try site.owner.execute("DELETE FROM members WHERE user_id = '\(admin.id)'")
            #expect(try site.send("GET", scene.path, as: key.token).status == 404)
        }
    }

    @Test func `each permission gives what it says and no more`() throws {
        try withScene { scene throws in
            let (site, path, token) = (scene.site, scene.path, scene.other.token)
            func send(_ method: String, _ rest: String, _ json: JSONValue? = nil) throws -> TestAnswer {
                try site.send(method, path + rest, json: json, as: token)
            }
            let rule: JSONValue = ["match": ["segment": scene.id]]
            func use() throws -> TestAnswer { try site.send("POST", "/api/segments/preview", json: ["rule": rule], as: token) }

            try scene.share("view", with: scene.other)
            #expect(try send("GET", "").json["access"] == "view" && send("GET", "/contacts").json["items"]?.array?.count == 1)
            #expect(try send("GET", "/preview").status == 200 && send("POST", "/diff", ["rule": ["match": ["any": []]]]).status == 200)
            #expect(try site.send("GET", "/api/segments", as: token).json["items"]?.array?.count == 1)
            #expect(try use().code == "segment_not_usable")
            #expect(try send("POST", "/calculate").status == 403 && send("PATCH", "", ["name": "x"]).status == 403)

            try scene.share("use", with: scene.other)
            #expect(try use().json["count"] == 1)
            #expect(try send("POST", "/calculate").status == 202)
            for (method, rest, json) in [
                ("PATCH", "", ["name": "x"]), ("DELETE", "", nil), ("POST", "/archive", nil), ("POST", "/versions/1/restore", nil),
            ] as [(String, String, JSONValue?)] { #expect(try send(method, rest, json).status == 403, "\(method) \(rest)") }

            try scene.share("edit", with: scene.other)
            #expect(try send("PATCH", "", ["name": "Ours"]).json["name"] == "Ours")
            // Who may change it does not decide who else sees it.
            #expect(try send("PUT", "/shares", ["sharing": "workspace"]).status == 403)
            #expect(try send("PUT", "/shares/\(scene.people[.viewer]!.id)", ["permission": "view"]).status == 403)

            #expect(try site.send("DELETE", path + "/shares/\(scene.other.id)", as: scene.maker.token).status == 204)
            #expect(try send("GET", "").status == 404)
            #expect(try site.send("DELETE", path + "/shares/\(scene.other.id)", as: scene.maker.token).status == 404)
        }
    }

    @Test func `a share gives nothing that the role does not, and ends with the membership`() throws {
        try withScene { scene throws in
            let (site, path) = (scene.site, scene.path)
            let (viewer, client) = (scene.people[.viewer]!, scene.people[.client]!)
            for user in [viewer, client] { try scene.share("edit", with: user) }
            #expect(try site.send("GET", path, as: viewer.token).status == 200)
            #expect(try site.send("PATCH", path, json: ["name": "x"], as: viewer.token).status == 403)
            #expect(try site.send("GET", path, as: client.token).status == 403)
            let shares = try site.send("GET", path + "/shares").json["items"]?.array ?? []
            #expect(Set(shares.map { "\($0["role"]?.string ?? "") \($0["effective"]?.string ?? "")" }) == ["viewer view", "client none"])
            #expect(try site.send("GET", path + "/shares?limit=1").json["pagination"]?["has_more"] == true)

            let stranger = try site.owner.createUser("owner", in: site.owner.createWorkspace())
            #expect(try site.send("PUT", path + "/shares/\(stranger.id)", json: ["permission": "view"]).status == 404)
            #expect(try site.send("PUT", path + "/shares/\(viewer.id)", json: ["permission": "own"]).code == "not_one_of")
            try site.owner.execute("DELETE FROM members WHERE user_id = '\(viewer.id)'")
            #expect(try site.send("GET", path + "/shares").json["items"]?.array?.count == 1)
        }
    }

    @Test func `its name does not show through what reads it`() throws {
        try withScene { scene throws in
            let (site, token) = (scene.site, scene.other.token)
            // An open segment of the maker's that reads the secret one, and is read by another secret one.
            let reader = try site.send(
                "POST", "/api/segments", json: ["name": "Reader", "rule": ["match": ["segment": scene.id]]], as: scene.maker.token)
            let path = try #require(reader.header("location"))
            try site.send("PATCH", scene.path, json: ["rule": ["match": ["any": []]]], as: scene.maker.token)
            let hidden = try site.send(
                "POST", "/api/segments", json: ["name": "Hidden", "rule": ["match": ["segment": idOf(path)]]], as: scene.maker.token)
            try site.send(
                "PUT", try #require(hidden.header("location")) + "/shares", json: ["sharing": "restricted"], as: scene.maker.token)
            let refused = try site.send("DELETE", path, as: token)
            #expect(refused.code == "segment_in_use" && !refused.text.contains("Hidden") && refused.text.contains("not shared with you"))
            // What it reads stays as long as nobody else changes the rule; it is the membership of the open one that they see.
            let turned: JSONValue = ["rule": ["match": ["not": ["segment": scene.id]]]]
            #expect(try site.send("PATCH", path, json: turned, as: token).code == "unknown_segment")
            #expect(try site.send("PATCH", path, json: turned, as: scene.maker.token).status == 200)
            try site.calculate()
            #expect(try site.send("GET", path + "/preview", as: token).json["count"] == 1)
            #expect(try site.send("POST", path + "/copy", json: [:], as: token).code == "unknown_segment")
            let around = try site.send("PATCH", scene.path, json: ["rule": ["match": ["segment": idOf(path)]]], as: scene.maker.token)
            #expect(around.code == "cycle" && around.text.contains("Reader → Secret"))
        }
    }

    @Test func `sharing is only turned by those who decide, and jobs see everything`() throws {
        try withScene { scene throws in
            let (site, path) = (scene.site, scene.path)
            let open = try #require(
                try site.send("POST", "/api/segments", json: ["name": "Open", "rule": ["match": ["all": []]]], as: scene.maker.token)
                    .header("location"))
            #expect(try site.send("PUT", open + "/shares", json: ["sharing": "restricted"], as: scene.other.token).status == 403)
            #expect(try site.send("PUT", open + "/shares", json: ["sharing": "restricted"], as: scene.people[.admin]!.token).status == 200)
            try site.send("POST", path + "/calculate", as: scene.maker.token)
            #expect(try site.calculate().allSatisfy { $0["state"] == "succeeded" })
            // A responder that has not asked who somebody is shows them nothing.
            let db = try site.database.connect(as: .responder)
            try db.transaction { db in
                try db.setWorkspace(site.workspace)
                let access: [Int] = try db.dynamic("SELECT segment_access(s) FROM segments s WHERE workspace_id = current_workspace()", [])
                #expect(access == [0, 0])
            }
            #expect(
                try site.send("PUT", path + "/shares", json: ["sharing": "workspace"], as: scene.maker.token).json["sharing"] == "workspace"
            )
            #expect(try site.send("GET", path, as: scene.other.token).json["access"] == "edit")
        }
    }
}
