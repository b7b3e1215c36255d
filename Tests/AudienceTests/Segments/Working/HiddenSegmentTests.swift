// What an open segment that reads a restricted one tells of it: its own members, and nothing more.
import JSON
import TestSupport
import Testing
import Vocabulary

/// An open segment of a manager's that reads a restricted one, and people with whom that is not shared.
private struct Scene {
    let site: AudienceSite
    let maker: TestUser
    let other: TestUser
    let viewer: TestUser
    let contact: JSONValue
    let secret: String
    let open: String

    init(_ site: AudienceSite) throws {
        self.site = site
        maker = try site.owner.createUser("manager", in: site.workspace)
        other = try site.owner.createUser("manager", in: site.workspace)
        viewer = try site.owner.createUser("viewer", in: site.workspace)
        contact = try site.add(["email": "a@example.com", "status": "New"])["id"] ?? .null
        let token = maker.token
        func make(_ name: JSONValue, _ match: JSONValue) throws -> String {
            let answer = try site.send("POST", "/api/segments", json: ["name": name, "rule": ["match": match]], as: token)
            return try answer.header("location") ?? { throw TestSupportError(answer.text) }()
        }
        secret = try make("Secret", ["all": []])
        open = try make(
            "Open",
            [
                "all": [
                    ["field": "status", "op": "is", "value": "New"], ["not": ["segment": idOf(secret)]],
                    ["segment": idOf(secret), "was": true, "within": ["last": "30d"]],
                ]
            ])
        try site.calculate()
        let answer = try site.send("PUT", secret + "/shares", json: ["sharing": "restricted"], as: maker.token)
        guard answer.status == 200 else { throw TestSupportError(answer.text) }
    }
}

@Suite struct HiddenSegmentTests {
    @Test func `another rule over what a segment reads shows nobody members that are not shared with them`() throws {
        try withAudience { site throws in
            let scene = try Scene(site)
            let bare: JSONValue = ["match": ["segment": idOf(scene.secret)]]
            let stored = try #require(try site.send("GET", scene.open, as: scene.viewer.token).json["rule"])
            for user in [scene.other, scene.viewer] {
                let asked = try site.send("POST", scene.open + "/diff", json: ["rule": bare], as: user.token)
                #expect(asked.code == "unknown_segment" && asked.json["errors"]?.array?.first?["pointer"] == "/rule/match/segment")
                #expect(try site.send("POST", scene.open + "/diff", json: ["rule": stored], as: user.token).status == 200)
            }
            func change(_ json: JSONValue) throws -> TestAnswer { try site.send("PATCH", scene.open, json: json, as: scene.other.token) }
            #expect(try change(["rule": bare]).code == "unknown_segment")
            #expect(try change(["rule": stored, "name": "Renamed"]).status == 200)
            func take(_ match: JSONValue) throws -> TestAnswer {
                try site.send(
                    "POST", "/api/segments/import", json: ["name": "Renamed", "rule": ["match": match]], as: scene.other.token)
            }
            #expect(try take(["segment": "Secret"]).code == "unknown_segment")

            func share(_ permission: JSONValue) throws {
                let path = scene.secret + "/shares/\(scene.other.id)"
                #expect(try site.send("PUT", path, json: ["permission": permission], as: scene.maker.token).status == 200)
            }
            try share("view")
            #expect(try change(["rule": bare]).code == "segment_not_usable")
            #expect(try take(["not": ["segment": "Secret"]]).code == "segment_not_usable")
            try share("use")
            #expect(try take(["not": ["segment": "Secret"]]).status == 200)
            #expect(try change(["rule": bare]).status == 200)
        }
    }

    @Test func `an explanation leaves out what is not shared`() throws {
        try withAudience { site throws in
            let scene = try Scene(site)
            let path = scene.open + "/explain/\(scene.contact.string ?? "")"
            func children(_ user: TestUser) throws -> [JSONValue] {
                let answer = try site.send("GET", path, as: user.token).json
                #expect(answer["matches"] == false, "the whole is told: \(answer.text)")
                return answer["tree"]?["children"]?.array ?? []
            }
            let told = try children(scene.maker)
            #expect(told.count == 3 && told[1]["children"]?.array?.first?["entered_at"]?.string != nil && told[2]["matches"] == true)
            for user in [scene.other, scene.viewer] {
                let left = try children(user)
                #expect(left.count == 3 && left[0]["matches"] == true)
                let reason: JSONValue = "(not shared with you)"
                #expect(left[1]["children"] == [["pointer": "/match/all/1/not", "reason": reason]])
                #expect(left[2] == ["pointer": "/match/all/2", "reason": reason])
            }
        }
    }
}
