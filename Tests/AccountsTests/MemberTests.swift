import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct MemberTests {
    @Test func `lists go on behind a cursor and never leave the workspace`() throws {
        try withAccounts { site in
            var seen: [String] = []
            var target = "/api/members?limit=2"
            for _ in 0..<5 {
                let page = try site.send("GET", target, as: site.viewer)
                seen += (page.json["items"]?.array ?? []).compactMap { $0["user_id"]?.string }
                guard let cursor = page.json["pagination"]?["next_cursor"]?.string else { break }
                target = "/api/members?limit=2&cursor=\(cursor)"
            }
            #expect(Set(seen) == Set([site.owner, site.admin, site.manager, site.viewer, site.client].map(\.id.description)))
            #expect(seen.count == 5)
            #expect(try site.items("/api/members", as: site.stranger).count == 1)
            #expect(try site.send("GET", "/api/members", as: site.client).status == 403)
        }
    }

    @Test func `nobody gives or takes a role above their own`() throws {
        try withAccounts { site in
            func change(_ user: TestUser, _ role: JSONValue, as actor: String) throws -> Int {
                try site.send("PATCH", "/api/members/\(user.id)", ["role": role], as: actor).status
            }
            #expect(try change(site.viewer, "owner", as: site.admin.token) == 403)
            #expect(try change(site.owner, "viewer", as: site.admin.token) == 403)
            #expect(try change(site.viewer, "admin", as: site.manager.token) == 403)
            #expect(try change(site.viewer, "king", as: site.owner.token) == 422)
            #expect(try change(site.viewer, "manager", as: site.stranger.token) == 404)
            #expect(try change(site.viewer, "manager", as: site.admin.token) == 200)
            let key = try site.db.createAPIKey(in: site.workspace, scopes: ["members:write"])
            #expect(try change(site.viewer, "owner", as: key.token) == 403)
            #expect(try change(site.viewer, "member", as: key.token) == 200)
            #expect(try site.audited() == ["member.changed", "member.changed"])
        }
    }

    @Test func `a workspace keeps an owner`() throws {
        try withAccounts { site in
            let demotion = try site.send("PATCH", "/api/members/\(site.owner.id)", ["role": "admin"], as: site.owner)
            #expect(demotion.status == 409 && demotion.code == "last_owner")
            #expect(try site.send("DELETE", "/api/members/\(site.owner.id)", as: site.owner).code == "last_owner")
            #expect(try site.send("PATCH", "/api/members/\(site.admin.id)", ["role": "owner"], as: site.owner).status == 200)
            #expect(try site.send("DELETE", "/api/members/\(site.owner.id)", as: site.owner).status == 204)
            #expect(try site.send("GET", "/api/members", as: site.owner).status == 400)
            #expect(try site.send("DELETE", "/api/members/\(site.admin.id)", as: site.admin).code == "last_owner")
        }
    }

    @Test func `two owners who remove each other at once leave one`() throws {
        try withAccounts { site in
            let second = try site.db.createUser("owner", in: site.workspace)
            let first = site.owner
            let target = [first, second]
            let statuses = try inParallel(2) { [responder = site.responder] index in
                try responder.send("DELETE", "/api/members/\(target[index].id)", token: target[1 - index].token).status
            }
            #expect(statuses.filter { $0 == 204 }.count == 1, "\(statuses)")
            let owners: Int = try site.db.value(
                "SELECT count(*) FROM members WHERE workspace_id = $1::uuid AND role = 'owner'", site.workspace.sqlValue)
            #expect(owners == 1)
        }
    }

    @Test func `what somebody handed out ends with their right to hand it out`() throws {
        try withAccounts { site in
            let key = try site.send("POST", "/api/api-keys", ["name": "Mine", "scopes": ["*"]], as: site.admin)
            let token = try #require(key.json["token"]?.string)
            #expect(
                try site.send("POST", "/api/invitations", ["email": "new@example.com", "role": "viewer"], as: site.admin).status == 201)
            #expect(try site.send("GET", "/api/members", as: token).status == 200)
            #expect(try site.send("PATCH", "/api/members/\(site.admin.id)", ["role": "member"], as: site.owner).status == 200)
            #expect(try site.send("GET", "/api/members", as: token).status == 401)
            #expect(try site.items("/api/invitations", as: site.owner).first?["state"] == "revoked")
        }
    }

    @Test func `If-Match guards against changes in between`() throws {
        try withAccounts { site in
            let path = "/api/members/\(site.viewer.id)"
            let first = try site.send("PATCH", path, ["role": "member"], as: site.owner, headers: [("If-Match", "\"v1\"")])
            #expect(first.status == 200 && first.header("ETag") == "\"v2\"")
            #expect(try site.send("PATCH", path, ["role": "viewer"], as: site.owner, headers: [("If-Match", "\"v1\"")]).status == 412)
        }
    }
}

@Suite struct InvitationTests {
    @Test func `an invitation makes its addressee a member, once`() throws {
        try withAccounts { site in
            let guest = try site.db.createUser(email: "guest@example.com")
            let made = try site.send("POST", "/api/invitations", ["email": "Guest@example.com", "role": "manager"], as: site.admin)
            #expect(made.status == 201 && made.json["state"] == "open")
            let token: JSONValue = ["token": made.json["token"] ?? .null]
            #expect(try site.send("POST", "/auth/invitations/accept", token, as: site.stranger).code == "invitation_for_another")
            let accepted = try site.send("POST", "/auth/invitations/accept", token, as: guest)
            #expect(accepted.status == 200 && accepted.json["id"]?.string == site.workspace.description)
            #expect(accepted.json["role"] == "manager")
            #expect(try site.send("POST", "/auth/invitations/accept", token, as: guest).status == 404)
            #expect(try site.items("/api/invitations", as: site.owner).first?["state"] == "accepted")
            #expect(try site.audited() == ["invitation.created", "invitation.accepted"])
            #expect(
                try site.send("POST", "/api/invitations", ["email": "guest@example.com", "role": "viewer"], as: site.admin).code
                    == "already_member")
        }
    }

    @Test func `revoked, expired and superseded invitations admit nobody`() throws {
        try withAccounts { site in
            let guest = try site.db.createUser(email: "guest@example.com")
            func invite() throws -> JSONValue {
                try site.send("POST", "/api/invitations", ["email": "guest@example.com", "role": "viewer"], as: site.owner).json
            }
            func accept(_ invitation: JSONValue) throws -> Int {
                try site.send("POST", "/auth/invitations/accept", ["token": invitation["token"] ?? .null], as: guest).status
            }
            let (first, second) = (try invite(), try invite())
            #expect(try accept(first) == 404)
            let path = "/api/invitations/\(second["id"]?.string ?? "")"
            #expect(try site.send("DELETE", path, as: site.stranger).status == 404)
            #expect(try site.send("DELETE", path, as: site.viewer).status == 403)
            #expect(try site.send("DELETE", path, as: site.admin).status == 204)
            #expect(try accept(second) == 404)
            let third = try invite()
            try site.db.execute("UPDATE invitations SET expires_at = now()")
            #expect(try accept(third) == 404)
            #expect(try site.send("POST", "/api/invitations", ["email": "x@example.com", "role": "owner"], as: site.admin).status == 403)
        }
    }
}
