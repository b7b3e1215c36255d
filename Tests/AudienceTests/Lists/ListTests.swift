import JSON
import TestSupport
import Testing

@Suite struct ListTests {
    @Test func `a list is made, renamed and deleted`() throws {
        try withAudience { site throws in
            let made = try site.send("POST", "/api/lists", json: ["name": " VIPs "])
            #expect(made.status == 201 && made.json["name"] == "VIPs" && made.json["member_count"] == 0)
            let path = try #require(made.header("location"))
            #expect(try site.send("POST", "/api/lists", json: ["name": "VIPs"]).code == "name_taken")
            #expect(try site.send("POST", "/api/lists", json: ["name": "  "]).status == 422)
            #expect(try site.send("PATCH", path, json: ["name": "Guests"], headers: [("If-Match", "\"v9\"")]).status == 412)
            #expect(try site.send("PATCH", path, json: ["name": "Guests"]).json["name"] == "Guests")
            #expect(try site.send("GET", "/api/lists").json["items"]?.array?.map { $0["name"] } == ["Guests"])
            #expect(try site.send("DELETE", path, headers: [("If-Match", "\"v2\"")]).status == 204)
            #expect(try site.send("GET", path).status == 404)
        }
    }

    @Test func `members are added and removed, whoever is there already or unknown counts as nothing`() throws {
        try withAudience { site throws in
            let contacts = try (0..<5).map { try site.add(["external_id": .string("C\($0)")])["id"] ?? .null }
            let path = try #require(try site.send("POST", "/api/lists", json: ["name": "L"]).header("location"))
            let nobody: JSONValue = "0190f5c2-0000-7000-8000-000000000000"
            let added = try site.send("POST", path + "/add", json: ["contact_ids": .array(contacts + [nobody, contacts[0]])])
            #expect(added.json == ["added": 5, "unknown": [nobody]])
            #expect(try site.send("POST", path + "/add", json: ["contact_ids": [contacts[0]]]).json["added"] == 0)
            #expect(try site.send("POST", path + "/remove", json: ["contact_ids": [contacts[0], nobody]]).json["removed"] == 1)
            #expect(try site.send("GET", path).json["member_count"] == 4)
            let first = try site.send("GET", path + "/contacts?limit=3").json
            let cursor = first["pagination"]?["next_cursor"]?.string ?? ""
            let second = try site.send("GET", path + "/contacts?limit=3&cursor=\(cursor)").json
            let ids = [first, second].flatMap { $0["items"]?.array ?? [] }.map { $0["id"] ?? .null }
            #expect(ids == Array(contacts[1...]))
            #expect(try site.send("POST", path + "/add", json: ["contact_ids": []]).status == 422)
            #expect(try site.send("DELETE", "/api/contacts/\(contacts[1].string ?? "")").status == 204)
            #expect(try site.send("GET", path).json["member_count"] == 3)
        }
    }

    @Test func `another workspace's list and contacts are out of reach`() throws {
        try withAudience { site throws in
            let path = try #require(try site.send("POST", "/api/lists", json: ["name": "L"]).header("location"))
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            let theirs = try site.send("POST", "/api/contacts", json: ["email": "a@example.com"], as: other).json["id"] ?? .null
            #expect(try site.send("POST", path + "/add", json: ["contact_ids": [theirs]]).json["added"] == 0)
            #expect(try site.send("POST", path + "/add", json: ["contact_ids": [theirs]], as: other).status == 404)
            #expect(try site.send("GET", path + "/contacts", as: other).status == 404)
        }
    }
}
