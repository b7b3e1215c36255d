// nginx's own part: who answers which path, and what it refuses by itself.
import Glibc
import TestSupport
import Testing

@Suite struct GatewayTests {
    @Test func `every area answers behind nginx, and says the level of its schema`() throws {
        try withServer { server in
            for area in ServerUnderTest.areas {
                let health = try server.send("GET", "/health/\(area.rawValue)")
                #expect(health.status == 200 && health.json["status"]?.string == "ok", "\(health.text)")
                let ready = try server.send("GET", "/health/\(area.rawValue)/ready")
                #expect(ready.status == 200 && (ready.json["migration"]?.integer ?? 0) > 0, "\(ready.text)")
            }
        }
    }

    @Test func `a path goes to the area that owns it`() throws {
        // One area at a time: what it does not own is answered by nobody.
        let paths: [(ServerUnderTest.Part, [String])] = [
            (.accounts, ["/auth/user", "/api/members", "/api/settings", "/api/jobs"]),
            (.segments, ["/api/contacts", "/api/segments", "/api/suppressions", "/api/segment-templates", "/api/segment-actions/x"]),
            (.campaigns, ["/api/campaigns", "/api/templates", "/api/links/hits", "/api/messages/018f0000-0000-7000-8000-000000000000"]),
            (.webhooks, ["/webhooks/twilio/x/status", "/l/abc", "/o/abc", "/u/abc", "/c/abc"]),
            (.analytics, ["/api/analytics/overview", "/api/events", "/api/campaigns/018f0000-0000-7000-8000-000000000000/analytics"]),
        ]
        try withOwnDatabase { database in
            for (owner, _) in paths {
                let server = try ServerUnderTest(database, [owner])
                defer { server.stop() }
                for (area, targets) in paths {
                    for target in targets {
                        let answer = try server.send("GET", target)
                        #expect((answer.code == "unavailable") == (area != owner), "\(target) with \(owner) alone: \(answer.text)")
                    }
                }
            }
        }
    }

    @Test func `what nginx refuses by itself is a problem with the request's id`() throws {
        try withServer([.accounts]) { server in
            let absent = try server.send("GET", "/somewhere")
            let large = try server.send(
                "POST", "/auth/sign-in", contentType: "application/json", body: Array(repeating: 32, count: 1_100_000))
            let unanswered = try server.send("GET", "/api/contacts")
            let long = try server.send("GET", "/api/members?q=" + String(repeating: "x", count: 9000))
            let heavy = try server.send("GET", "/api/members", headers: [("X-Heavy", String(repeating: "x", count: 40_000))])
            for (answer, status, code) in [
                (absent, 404, "not_found"), (large, 413, "too_large"), (unanswered, 503, "unavailable"), (long, 414, "uri_too_long"),
                (heavy, 400, "bad_request"),
            ] {
                #expect(answer.status == status && answer.code == code, "\(answer.text)")
                #expect(answer.header("Content-Type") == "application/problem+json")
                #expect(answer.json["request_id"]?.string?.count == 32)
                #expect(answer.header("X-Content-Type-Options") == "nosniff")
            }
            #expect(unanswered.header("Retry-After") == "1" && absent.header("Retry-After") == nil)
        }
    }

    @Test func `a path means what it says after decoding, and no header becomes another`() throws {
        try withServer([.accounts]) { server throws in
            for target in ["/api/%6dembers", "//api///members", "/api/nowhere/%2e%2e/members", "/api/./members/"] {
                #expect(try server.send("GET", target).status == 401, "\(target)")
            }
            for target in ["/apimembers", "/api/members%2f..%2f..%2fetc", "/metrics/accounts/x", "/metrics/", "/API/members"] {
                #expect(try server.send("GET", target).status == 404, "\(target)")
            }
            #expect(try server.send("GET", "/api/members%00").status == 400)
            let owner = try server.database.connect()
            let (mine, theirs) = (try owner.createWorkspace(), try owner.createWorkspace())
            let key = try owner.createAPIKey(in: mine)
            func members(_ headers: [(String, String)]) throws -> Int {
                try server.send("GET", "/api/members", token: key.token, headers: headers).status
            }
            #expect(try members([("X-Workspace-Id", "\(theirs)")]) == 404)
            // An underscore is no dash: nginx drops what only looks like a header of ours.
            #expect(try members([("X_Workspace_Id", "\(theirs)"), ("Proxy", "http://evil.example")]) == 200)
            #expect(try members([("X-Workspace-Id", "x")]) == 400)
        }
    }

    @Test func `a flood of sign-ins from one address is slowed down`() throws {
        try withServer([.accounts]) { server in
            // An empty body is refused before any password is hashed.
            let answers = try (0..<60).map { _ in try server.send("POST", "/auth/sign-in", json: [:]) }
            let refused = answers.filter { $0.status == 429 }
            #expect(!refused.isEmpty && refused.allSatisfy { $0.header("Retry-After") != nil })
        }
    }

    @Test func `a responder that is killed is there again within a second, and nobody is refused meanwhile`() throws {
        try withServer([.accounts], instances: 2) { server in
            let before = server.pid(of: "accounts-1")
            try server.signal(SIGKILL, "accounts-1")
            // The other instance answers, or the socket, which stayed open, holds the request for the next process.
            for _ in 0..<20 { #expect(try server.send("GET", "/health/accounts").status == 200) }
            try waitUntil("there is a next process") { server.pid(of: "accounts-1").map { $0 != before } ?? false }
        }
    }
}
