// What every endpoint does, over real FastCGI and a real database.
import JSON
import PostgreSQL
import Secrets
import TestSupport
import Testing
import Vocabulary
import Web

private enum NoteSQL {
    static let insert = Statement<JSONText, String>(
        """
        INSERT INTO recorded_metrics (workspace_id, name, value) VALUES (current_workspace(), $1, 1)
        RETURNING json_build_object('id', id, 'name', name)
        """)
    static let page = Statement<PageRow, TimestampText, UUID, Int>(
        """
        SELECT json_build_object('name', name), occurred_at, id FROM recorded_metrics
         WHERE workspace_id = current_workspace() AND (occurred_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY occurred_at DESC, id DESC LIMIT $3
        """)
    static let nap = Statement<Bool, Double>("SELECT pg_sleep($1) IS NULL")
}

private struct Note: BodyDecodable {
    let name: String
    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 20), "Its name"), .optional("size", .integer(1...3), "How large"),
    ])
    init(_ body: JSONObject) { name = body.string("name") }
}

/// The least feature: notes, kept in a table that there is anyhow.
private let noteRoutes: [Route] = [
    .get(
        "/api/notes",
        { call in
            let paging = try call.paging()
            return try call.page(
                NoteSQL.page, paging, try paging.after(0, from: TimestampText.infinity),
                try paging.after(1, from: UUID(high: .max, low: .max)), paging.fetchLimit)
        }, needs: .readAnalytics, query: QueryParameter.paging, "List"),
    .post(
        "/api/notes",
        { call in
            let note = try call.body(Note.self)
            let made = try call.transaction { db in try db.one(NoteSQL.insert, note.name) }
            return .created(made, at: "/api/notes")
        }, needs: .writeEvents, body: Note.schema, "Add"),
    .post(
        "/api/notes/fail",
        { call in
            try call.transaction { db in
                _ = try db.one(NoteSQL.insert, "lost")
                throw Problem.conflict("wrong_state", "It may not be.")
            }
        }, needs: .writeEvents, "Adds and fails"),
    .get(
        "/api/notes/slow",
        { call in
            try call.read(timeoutSeconds: 0.1) { db in
                _ = try db.one(NoteSQL.nap, 30)
                return .noContent
            }
        }, needs: .readAnalytics, "Takes too long"),
    .post(
        "/api/notes/long",
        { call in
            .created(try call.transaction { db in try db.one(NoteSQL.insert, "long") }, at: "/api/notes")
        }, needs: .writeEvents, query: [QueryParameter("why", .string(max: 8000), "A long story")], "Adds one"),
    .post(
        "/api/notes/slow",
        { call in
            try call.transaction(timeoutSeconds: 0.1) { db in
                _ = try db.one(NoteSQL.nap, 30)
                return .noContent
            }
        }, needs: .writeEvents, query: [QueryParameter("why", .string(max: 8000), "A long story")], "Takes too long"),
    .get("/api/limited", { _ in .noContent }, needs: .anyone, limit: .signIn, "Ten a minute"),
]

private struct Site {
    let database: TestDatabase
    let owner: Connection
    let responder: TestResponder
    let workspace: WorkspaceID
    let token: String
    func count() throws -> Int { try owner.value("SELECT count(*) FROM recorded_metrics") }
    func add(_ name: String, _ headers: [(String, String)] = []) throws -> TestAnswer {
        try responder.send("POST", "/api/notes", token: token, headers: headers, json: ["name": .string(name)])
    }
}

private func withSite(_ variables: [String: String] = [:], _ body: (Site) throws -> Void) throws {
    try withOwnDatabase { database throws in
        let owner = try database.connect()
        let workspace = try owner.createWorkspace()
        let key = try owner.createAPIKey(in: workspace)
        let responder = try TestResponder(noteRoutes, database, variables)
        defer { responder.stop() }
        try body(Site(database: database, owner: owner, responder: responder, workspace: workspace, token: key.token))
    }
}

@Suite struct RequestTests {
    @Test func `faults of a body come all at once, each with its pointer`() throws {
        try withSite { site throws in
            let answer = try site.responder.send("POST", "/api/notes", token: site.token, json: ["size": 9, "colour": "red"])
            #expect(answer.status == 422)
            #expect(answer.header("content-type") == "application/problem+json")
            let faults = answer.json["errors"]?.array ?? []
            #expect(
                Set(faults.map { ($0["pointer"]?.string ?? "") + " " + ($0["code"]?.string ?? "") })
                    == ["/name required", "/size out_of_range", "/colour unknown_member"])
            #expect(answer.json["request_id"]?.string == answer.header("x-request-id"))
            #expect(try site.count() == 0)
        }
    }

    @Test(arguments: [
        ("{\"name\": \"a\"", "json_syntax", 400), ("{\"name\": \"a\", \"name\": \"b\"}", "json_duplicate_key", 400),
        (String(repeating: "[", count: 40) + String(repeating: "]", count: 40), "json_too_deep", 400), ("[1]", "wrong_type", 422),
    ])
    func `a body that is not what was expected says where`(body: String, code: String, status: Int) throws {
        try withSite { site throws in
            let answer = try site.responder.send(
                "POST", "/api/notes", token: site.token, contentType: "application/json", body: Array(body.utf8))
            #expect(answer.status == status && answer.code == code, "\(answer.text)")
        }
    }

    @Test func `bad encoding, a wrong type, a large and a short body are refused and leave nothing`() throws {
        try withSite { site throws in
            func post(_ body: [UInt8], _ type: String = "application/json", announced: Int? = nil) throws -> TestAnswer {
                try site.responder.send("POST", "/api/notes", token: site.token, contentType: type, body: body, announced: announced)
            }
            #expect(try post(Array("{\"name\":\"".utf8) + [0xFF] + Array("\"}".utf8)).status == 400)
            #expect(try post(Array("{\"name\":\"a\"}".utf8), "text/plain").status == 415)
            #expect(try post([123], announced: 2_000_000).status == 413)
            let short = try post(Array("{\"name\":\"a\"}".utf8), announced: 500)
            #expect(short.status == 400 && short.code == "body_incomplete", "\(short.text)")
            #expect(try site.count() == 0)
        }
    }

    @Test func `who is unknown, ended or not allowed is told so, and nothing else`() throws {
        try withSite { site throws in
            func status(_ method: String, _ token: String?, _ headers: [(String, String)] = []) throws -> Int {
                method == "GET"
                    ? try site.responder.send("GET", "/api/notes", token: token, headers: headers).status
                    : try site.responder.send("POST", "/api/notes", token: token, headers: headers, json: ["name": "a"]).status
            }
            #expect(try status("GET", nil) == 401)
            #expect(try status("GET", "muster_live_short") == 401)
            #expect(try status("GET", APIKeyFormat.generate(.apiKey)) == 401)
            let viewer = try site.owner.createUser("viewer", in: site.workspace)
            #expect(try status("GET", viewer.token) == 200)
            #expect(try status("POST", viewer.token) == 403)
            let client = try site.owner.createUser("client", in: site.workspace)
            #expect(try status("GET", client.token) == 403)
            let reader = try site.owner.createAPIKey(in: site.workspace, scopes: ["analytics:read"])
            #expect(try status("GET", reader.token) == 200)
            #expect(try status("POST", reader.token) == 403)
            let other = try site.owner.createWorkspace()
            #expect(try status("GET", site.token, [("X-Workspace-Id", other.description)]) == 404)
            #expect(try status("GET", viewer.token, [("X-Workspace-Id", other.description)]) == 404)
            #expect(try status("GET", viewer.token, [("X-Workspace-Id", "mine")]) == 400)
            try site.owner.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
            #expect(try status("GET", viewer.token) == 401)
            try site.owner.execute("UPDATE api_keys SET revoked_at = now()")
            #expect(try status("GET", site.token) == 401)
        }
    }

    @Test func `a person with two workspaces must name one`() throws {
        try withSite { site throws in
            let person = try site.owner.createUser("owner", in: site.workspace)
            let second = try site.owner.createWorkspace()
            try site.owner.execute("INSERT INTO members (workspace_id, user_id, role) VALUES ('\(second)', '\(person.id)', 'viewer')")
            #expect(try site.responder.send("GET", "/api/notes", token: person.token).code == "workspace_required")
            #expect(
                try site.responder.send("GET", "/api/notes", token: person.token, headers: [("X-Workspace-Id", "\(second)")]).status == 200)
        }
    }

    @Test func `pages follow each other without loss or repetition while rows come and go`() throws {
        try withSite { site throws in
            for n in 0..<25 { _ = try site.add("n\(n)") }
            var seen: [String] = []
            var target = "/api/notes?limit=10"
            while true {
                let answer = try site.responder.send("GET", target, token: site.token)
                #expect(answer.status == 200)
                seen += (answer.json["items"]?.array ?? []).compactMap { $0["name"]?.string }
                guard let cursor = answer.json["pagination"]?["next_cursor"]?.string else { break }
                #expect(answer.header("link")?.contains("rel=\"next\"") == true)
                _ = try site.add("new")
                target = "/api/notes?limit=10&cursor=\(cursor)"
            }
            #expect(seen == (0..<25).reversed().map { "n\($0)" })
        }
    }

    @Test func `a cursor of another list, or one that was touched, is refused`() throws {
        try withSite { site throws in
            for n in 0..<3 { _ = try site.add("n\(n)") }
            let cursor =
                try site.responder.send("GET", "/api/notes?limit=1", token: site.token).json["pagination"]?["next_cursor"]?.string ?? ""
            let flipped = (cursor.first == "A" ? "B" : "A") + cursor.dropFirst()
            for bad in [flipped, "x", ""] {
                #expect(try site.responder.send("GET", "/api/notes?cursor=\(bad)", token: site.token).code == "bad_cursor")
            }
            #expect(try site.responder.send("GET", "/api/notes?limit=0", token: site.token).status == 422)
            #expect(try site.responder.send("GET", "/api/notes?sort=-created_at", token: site.token).status == 200)
            #expect(try site.responder.send("GET", "/api/notes?sort=colour", token: site.token).code == "not_one_of")
            #expect(try site.responder.send("GET", "/api/notes?colour=red", token: site.token).code == "unknown_parameter")
        }
    }

    @Test func `a repeated key gives the first answer again and acts once`() throws {
        try withSite { site throws in
            let key = [("Idempotency-Key", "\"8e03978e-40d5\"")]
            let first = try site.add("a", key)
            let again = try site.add("a", key)
            #expect(first.status == 201 && again.status == 201 && first.body == again.body)
            #expect(again.header("idempotency-replayed") == "true" && again.header("location") == first.header("location"))
            #expect(try site.count() == 1)
            #expect(try site.add("b", key).code == "idempotency_key_reused")
            // Quotes are a matter of notation; another person's key is another key.
            #expect(try site.add("a", [("Idempotency-Key", "8e03978e-40d5")]).body == first.body)
            let other = try site.owner.createAPIKey(in: site.workspace)
            #expect(try site.responder.send("POST", "/api/notes", token: other.token, headers: key, json: ["name": "a"]).body != first.body)
            #expect(try site.count() == 2)
        }
    }

    @Test func `a repeated request keeps its time limit, and may have a long query`() throws {
        try withSite { site throws in
            // Nothing that compresses: an index takes 2.7 kB.
            let why = Random.bytes(3000).map { String($0, radix: 16) }.joined()
            let started = Instant.now()
            let answer = try site.responder.send(
                "POST", "/api/notes/slow?why=\(why)", token: site.token, headers: [("Idempotency-Key", "k")])
            #expect(answer.code == "unavailable" && Instant.now().seconds(since: started) < 3, "\(answer.text)")
            let added = try site.responder.send(
                "POST", "/api/notes/long?why=\(why)", token: site.token, headers: [("Idempotency-Key", "k")])
            #expect(added.status == 201, "\(added.text)")
            // The query is a part of what was asked.
            let other = try site.responder.send("POST", "/api/notes/long?why=x", token: site.token, headers: [("Idempotency-Key", "k")])
            #expect(other.code == "idempotency_key_reused")
            #expect(try site.count() == 1)
        }
    }

    @Test func `a hundred faults are told, however many there are`() throws {
        try withSite { site throws in
            var body: JSONObject = ["name": "a"]
            for n in 0..<5000 { body["m\(n)"] = 1 }
            let answer = try site.responder.send("POST", "/api/notes", token: site.token, json: .object(body))
            #expect(answer.status == 422 && answer.json["errors"]?.array?.count == 100)
            #expect(answer.json["detail"]?.string?.hasPrefix("5000 things") == true)
        }
    }

    @Test func `a request that failed is not remembered, and neither is what it did`() throws {
        try withSite { site throws in
            let key = [("Idempotency-Key", "k")]
            for _ in 0..<2 {
                #expect(
                    try site.responder.send(
                        "POST", "/api/notes/fail", token: site.token, headers: key, contentType: "application/json", body: [123, 125]
                    ).code == "wrong_state")
            }
            #expect(try site.count() == 0)
            #expect(try site.owner.value("SELECT count(*) FROM idempotency_keys", as: Int.self) == 0)
        }
    }

    @Test func `while a request with the key runs, another is told so`() throws {
        try withSite { site throws in
            let key = try site.owner.value("SELECT id FROM api_keys LIMIT 1", as: UUID.self)
            let holder = try site.database.connect(as: .owner)
            try holder.transaction { holder in
                let _: [Bool] = try holder.dynamic(
                    "SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(chr(10), $1::uuid::text, $2::uuid::text, $3::text, $4::text), 7))",
                    [site.workspace.sqlValue, key.sqlValue, "POST /api/notes".sqlValue, "k".sqlValue])
                #expect(try site.add("a", [("Idempotency-Key", "k")]).code == "still_running")
            }
            #expect(try site.add("a", [("Idempotency-Key", "k")]).status == 201)
        }
    }

    @Test func `beyond the limit the answer is 429 and says when to come back`() throws {
        try withSite { site throws in
            let answers = try (0..<14).map { _ in try site.responder.send("GET", "/api/limited") }
            // The window may end in between; then the count starts anew.
            #expect(answers.prefix(10).allSatisfy { $0.status == 204 })
            guard let refused = answers.first(where: { $0.status == 429 }) else { return }
            #expect(refused.code == "rate_limited")
            #expect((1...60).contains(Int(refused.header("retry-after") ?? "") ?? 0))
            #expect(refused.header("ratelimit-policy") == "\"sign_in\";q=10;w=60")
        }
    }

    @Test func `a statement that takes too long ends as 503 and frees its thread`() throws {
        try withSite { site throws in
            let answer = try site.responder.send("GET", "/api/notes/slow", token: site.token)
            #expect(answer.status == 503 && answer.header("retry-after") != nil)
            #expect(try site.responder.send("GET", "/api/notes", token: site.token).status == 200)
        }
    }

    @Test func `only configured origins may read, and a cookie needs a known origin to write`() throws {
        try withSite(["MUSTER_ALLOWED_ORIGINS": "https://app.example.com"]) { site throws in
            func preflight(_ origin: String) throws -> TestAnswer {
                try site.responder.send("OPTIONS", "/api/notes", headers: [("Origin", origin)])
            }
            #expect(try preflight("https://app.example.com").header("access-control-allow-origin") == "https://app.example.com")
            #expect(try preflight("https://evil.example.com").header("access-control-allow-origin") == nil)
            let person = try site.owner.createUser("owner", in: site.workspace)
            func post(_ headers: [(String, String)]) throws -> Int {
                let cookies = ["muster", "__Host-muster"].map { "\($0)=\(person.token)" }.joined(separator: "; ")
                return try site.responder.send("POST", "/api/notes", headers: [("Cookie", cookies)] + headers, json: ["name": "a"]).status
            }
            #expect(try post([]) == 403)
            #expect(try post([("Origin", "https://evil.example.com")]) == 403)
            #expect(try post([("Origin", "https://app.example.com")]) == 201)
        }
    }

    @Test func `wrong methods and unknown paths are answered as problems`() throws {
        try withSite { site throws in
            let wrong = try site.responder.send("DELETE", "/api/notes", token: site.token)
            #expect(wrong.status == 405 && wrong.header("allow") == "GET, POST")
            #expect(try site.responder.send("GET", "/api/nothing", token: site.token).status == 404)
        }
    }
}
