import Audience
import JSON
import TestSupport
import Testing
import Vocabulary

@Suite struct AudienceRouteTests {
    /// A walk along all routes of the audience, and one thing of each kind to ask for.
    private func walk(_ site: AudienceSite) throws -> (RouteWalk, [String: UUID]) {
        let contact = try site.add(["email": "a@example.com", "attributes": ["plan": "gold"]])
        func id(_ answer: TestAnswer) throws -> UUID { try #require(answer.json["id"]?.string.flatMap { UUID($0) }) }
        let upload = try site.upload(Array("email\nb@example.com\n".utf8))
        let imported: UUID = try site.owner.value("SELECT id FROM imports")
        #expect(upload.status == 202)
        let segment = try site.send("POST", "/api/segments", json: ["name": "All", "rule": ["match": ["all": []]]])
        let action = try site.send("POST", "/api/segments/\(try id(segment))/actions/export", json: [:])
        // As if its job had run: this is about who may, not about files.
        try site.owner.execute("UPDATE segment_actions SET result = jsonb_build_object('expires_at', rfc3339(now() + interval '1 day'))")
        let things = [
            "/api/contacts": try #require(contact["id"]?.string.flatMap { UUID($0) }), "/api/imports": imported,
            "/api/lists": try id(try site.send("POST", "/api/lists", json: ["name": "L"])),
            "/api/suppressions": try id(
                try site.send("POST", "/api/suppressions", json: ["channel": "email", "address": "c@example.com"])),
            "/api/score-models": try id(
                try site.send("POST", "/api/score-models", json: ["name": "S", "event": "order", "horizon_days": 30])),
            "/api/segments": try id(segment),
            "/api/segment-actions": try #require(action.json["action"]?["id"]?.string.flatMap { UUID($0) }),
        ]
        let first = try #require(things["/api/segments"]).description
        let second = try site.owner.value(
            "INSERT INTO segments (workspace_id, name, rule) VALUES ($1::uuid, 'Other', '{}') RETURNING id::text", site.workspace.sqlValue,
            as: String.self)
        let alert = try site.send("POST", "/api/segments/\(first)/alerts", json: ["kind": "above", "threshold": 5])
        let walk = try RouteWalk(
            audienceRoutes, site.responder, site.owner, workspace: site.workspace,
            bodies: [
                "POST /api/segments": ["name": "x", "rule": "x"], "POST /api/segments/import": ["name": "x", "rule": "x"],
                "POST /api/fields/{key}/rename": ["to": "attributes.other"],
                "POST /api/segments/{id}/actions/tag": ["add": ["x"]],
                "POST /api/segments/{id}/actions/field": ["field": "attributes.plan", "value": "x"],
                "POST /api/segments/{id}/diff": ["version": 1],
            ],
            raw: ["POST /api/contacts/import": ("text/csv", "email\nd@example.com\n")],
            names: [
                "key": "attributes.plan", "version": "1", "template": "engaged", "alert_id": alert.json["id"]?.string ?? "",
                "contact_id": contact["id"]?.string ?? "",
            ],
            queries: ["GET /api/segments/compare": "ids=\(first),\(second)"])
        return (walk, things)
    }

    @Test func `no route of the audience answers the wrong role, scope or workspace`() throws {
        try withAudience { site in
            let (walk, things) = try walk(site)
            #expect(try walk.complaints(things: things) == [])
            #expect(try site.count("contacts") == 1 && site.count("segments") == 2)
        }
    }

    @Test func `whoever may read the audience does`() throws {
        try withAudience { site in
            let (walk, things) = try walk(site)
            #expect(try walk.refusals(things: things) == [])
        }
    }

    @Test func `nothing that fits a schema of the audience is a mistake of ours`() throws {
        try withAudience { site in
            let (walk, things) = try walk(site)
            #expect(try walk.mistakes(things: things) == [])
        }
    }

    @Test func `every route of the audience says what is malformed, and where`() throws {
        try withAudience { site in
            let (walk, things) = try walk(site)
            #expect(try walk.misunderstandings(things: things) == [])
            #expect(try site.count("contacts") == 1 && site.count("segments") == 2)
        }
    }

    @Test func `a change of a contact waits for no calculation that it just entered a segment by`() throws {
        try withAudience { site throws in
            let contact = try site.add(["email": "a@example.com"])
            try site.owner.transaction { db throws in
                // What the foreign key of a new membership holds until its calculation commits.
                let _: [Int] = try db.dynamic("SELECT 1 FROM contacts FOR KEY SHARE", [])
                #expect(try site.send("PATCH", "/api/contacts/\(contact["id"]?.string ?? "")", json: ["name": "A"]).status == 200)
            }
        }
    }
}
