import Accounts
import JSON
import Jobs
import TestSupport
import Testing
import Vocabulary

@Suite struct AccountsRouteTests {
    private func walk(_ site: AccountsSite) throws -> (RouteWalk, [String: UUID]) {
        let invitation = try site.send("POST", "/api/invitations", ["email": "new@example.com", "role": "viewer"], as: site.owner)
        let job = try site.db.transaction { db in
            try db.setWorkspace(site.workspace)
            return try db.enqueue("count_sheep")
        }
        let notice: String = try site.db.transaction { db in
            try db.setWorkspace(site.workspace)
            return try db.value("SELECT notify_workspace('test.noticed', '{}', 'Something happened.')::text")
        }
        let webhook = try site.send(
            "POST", "/api/webhooks", ["url": "https://example.com", "event_types": ["contact.created"]], as: site.owner)
        let webhookPath = try #require(webhook.header("Location"))
        let delivery = try site.send("POST", webhookPath + "/test", as: site.owner)
        let things = [
            "/api/webhooks": try #require(UUID(webhookPath.split(separator: "/").last!)),
            "/api/webhook-deliveries": try #require(delivery.json["id"]?.string.flatMap { UUID($0) }),
            "/api/notices": try #require(UUID(notice)),
            "/api/members": site.viewer.id.uuid, "/api/jobs": job.uuid,
            "/api/invitations": try #require(invitation.json["id"]?.string.flatMap { UUID($0) }),
            "/api/api-keys": try site.db.createAPIKey(in: site.workspace).id.uuid,
        ]
        return (try RouteWalk(accountRoutes, site.responder, site.db, workspace: site.workspace), things)
    }

    @Test func `no route of a workspace answers the wrong role, scope or workspace`() throws {
        try withAccounts { site in
            let (walk, things) = try walk(site)
            #expect(try walk.complaints(things: things) == [])
        }
    }

    @Test func `whoever may read a workspace does`() throws {
        try withAccounts { site in
            let (walk, things) = try walk(site)
            #expect(try walk.refusals(things: things) == [])
        }
    }

    @Test func `nothing that fits a schema of a workspace is a mistake of ours`() throws {
        try withAccounts { site in
            let (walk, things) = try walk(site)
            #expect(try walk.mistakes(things: things) == [])
        }
    }

    @Test func `every route of a workspace says what is malformed, and where`() throws {
        try withAccounts { site in
            let (walk, things) = try walk(site)
            #expect(try walk.misunderstandings(things: things) == [])
        }
    }

    @Test func `routes of a person want a person, and a workspace of theirs`() throws {
        try withAccounts { site throws in
            let key = try site.db.createAPIKey(in: site.workspace).token
            for route in accountRoutes where route.needs == .signedIn && route.path != "/auth/sign-out" {
                let path = route.path.split(separator: "/").map { $0 == "{id}" ? "\(site.workspace)" : String($0) }.reduce("") {
                    $0 + "/" + $1
                }
                let body = route.body.map { schema -> JSONValue in route.path.hasSuffix("accept") ? ["token": "x"] : sample(schema) }
                #expect(try site.send(route.method.rawValue, path, body, as: nil).status == 401, "\(route.method.rawValue) \(route.path)")
                #expect(try site.send(route.method.rawValue, path, body, as: key).status == 401, "\(route.method.rawValue) \(route.path)")
                guard route.path.contains("{id}") else { continue }
                #expect(
                    try site.send(route.method.rawValue, path, body, as: site.stranger).status == 404,
                    "\(route.method.rawValue) \(route.path)")
            }
        }
    }

    @Test func `a repeated request of a person acts once, too`() throws {
        try withAccounts { site throws in
            func make(_ name: JSONValue) throws -> TestAnswer {
                try site.send("POST", "/api/workspaces", ["name": name], as: site.owner, headers: [("Idempotency-Key", "k")])
            }
            let (first, again) = (try make("Second"), try make("Second"))
            #expect(first.status == 201 && again.status == 201 && again.body == first.body)
            #expect(again.header("Idempotency-Replayed") == "true" && again.header("Location") == first.header("Location"))
            #expect(try site.items("/api/workspaces", as: site.owner).count == 2)
            #expect(try make("Third").code == "idempotency_key_reused")
            // Another person's key is another key, and the new workspace is as usable as any.
            #expect(
                try site.send("POST", "/api/workspaces", ["name": "Second"], as: site.admin, headers: [("Idempotency-Key", "k")]).body
                    != first.body)
            let headers = [("X-Workspace-Id", first.json["id"]?.string ?? "")]
            #expect(try site.send("GET", "/api/audit-log", as: site.owner, headers: headers).json["items"]?.array?.count == 1)
            let everything = try site.send("POST", "/auth/sign-out", as: site.owner, headers: [("Idempotency-Key", "k")])
            #expect(everything.status == 204)
            #expect(try site.send("GET", "/auth/user", as: site.owner).status == 401)
        }
    }

    @Test func `the remains of an older session keep nobody from signing in`() throws {
        try withAccounts { site throws in
            let person: JSONValue = ["email": "ada@example.com", "password": "a long enough password", "name": "Ada"]
            for cookie in ["muster=broken", "muster=muster_sess_broken"] {
                var account = person.object ?? [:]
                account["email"] = .string("ada\(cookie.count)@example.com")
                #expect(try site.send("POST", "/auth/sign-up", .object(account), as: nil, headers: [("Cookie", cookie)]).status == 201)
                account["name"] = nil
                #expect(try site.send("POST", "/auth/sign-in", .object(account), as: nil, headers: [("Cookie", cookie)]).status == 200)
            }
            // A whole session's cookie comes from a browser, which then says where it is.
            var account = person.object ?? [:]
            account["email"] = "ada13@example.com"
            account["name"] = nil
            let cookie = [("Cookie", "muster=\(site.viewer.token)"), ("Origin", "https://evil.example")]
            #expect(try site.send("POST", "/auth/sign-in", .object(account), as: nil, headers: cookie).status == 403)
        }
    }
}
