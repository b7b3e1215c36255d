import JSON
import Secrets
import TestSupport
import Testing

private let newcomer: JSONValue = [
    "email": "Ada@Example.com", "password": "nine wet roofs in May", "name": "Ada", "workspace_name": "Engines",
    "timezone": "Europe/London", "default_country": "GB",
]

@Suite struct SignInTests {
    @Test func `sign-up makes a user who owns a workspace and is signed in`() throws {
        try withAccounts { site in
            let answer = try site.send("POST", "/auth/sign-up", newcomer, as: nil)
            #expect(answer.status == 201)
            #expect(answer.json["user"]?["email"] == "ada@example.com")
            let workspaces = answer.json["workspaces"]?.array ?? []
            #expect(workspaces.map { $0["name"] } == ["Engines"] && workspaces.first?["role"] == "owner")
            let token = try #require(answer.json["token"]?.string)
            #expect(answer.header("Set-Cookie") == "muster=\(token); Path=/; HttpOnly; SameSite=Lax")
            let me = try site.send("GET", "/auth/user", as: token)
            #expect(me.status == 200 && me.json["user"] == answer.json["user"] && me.json["token"] == nil)
            let settings = try site.send("GET", "/api/settings", as: token)
            #expect(settings.json["timezone"] == "Europe/London" && settings.json["default_country"] == "GB")
            #expect(try site.send("GET", "/api/audit-log", as: token).json["items"]?.array?.first?["action"] == "workspace.created")
            #expect(try site.send("POST", "/auth/sign-up", newcomer, as: nil).code == "email_taken")
        }
    }

    @Test func `sign-up says everything that is wrong at once`() throws {
        try withAccounts { site in
            let answer = try site.send(
                "POST", "/auth/sign-up",
                ["email": "ada@example.com", "password": "short", "name": " ", "default_country": "gb"], as: nil)
            #expect(answer.status == 422)
            let faults = (answer.json["errors"]?.array ?? []).compactMap { $0["pointer"]?.string }
            #expect(Set(faults) == ["/password", "/name", "/default_country"])
            var elsewhere = newcomer.object!
            elsewhere["timezone"] = "Mars/Olympus_Mons"
            #expect(try site.send("POST", "/auth/sign-up", .object(elsewhere), as: nil).code == "unknown_timezone")
            let made: Int = try site.db.value("SELECT count(*) FROM users WHERE email = 'ada@example.com'")
            #expect(made == 0)
        }
    }

    @Test func `a closed server signs nobody up`() throws {
        try withAccounts(["MUSTER_SIGN_UP": "closed"]) { site in
            let answer = try site.send("POST", "/auth/sign-up", newcomer, as: nil)
            #expect(answer.status == 403 && answer.code == "sign_up_closed")
        }
    }

    @Test func `sign-in takes the right password, in any normal form, and nothing else`() throws {
        try withAccounts { site in
            let user = try site.db.createUser(
                "owner", in: site.workspace, email: "zoe@example.com", passwordHash: try Password.hash("café crème brûlée"))
            func signIn(_ email: String, _ password: String) throws -> TestAnswer {
                try site.send("POST", "/auth/sign-in", ["email": .string(email), "password": .string(password)], as: nil)
            }
            let answer = try signIn("Zoe@example.com ", "cafe\u{301} cre\u{300}me bru\u{302}le\u{301}e")
            #expect(answer.status == 200 && answer.json["user"]?["id"]?.string == user.id.description)
            #expect(answer.json["workspaces"]?.array?.count == 1)
            let token = try #require(answer.json["token"]?.string)
            #expect(try site.send("GET", "/auth/user", as: token).status == 200)
            let (wrong, unknown) = (
                try signIn("zoe@example.com", "café crème brulée"), try signIn("nobody@example.com", "café crème brûlée")
            )
            #expect(wrong.status == 401 && wrong.code == "wrong_credentials")
            #expect(unknown.status == 401 && unknown.json["detail"] == wrong.json["detail"])
        }
    }

    @Test func `a hash of a lower cost is replaced at sign-in`() throws {
        try withAccounts { site in
            // 8 MiB and one pass.
            let cheap = "$argon2id$v=19$m=8192,t=1,p=1$X24lL+pBcHXpfZVZWRqHdQ$J2XIWyvSBxjsmVoTtU6HEKAJ58y4sT2V8D/LH6YXGPc"
            let user = try site.db.createUser(email: "old@example.com", passwordHash: cheap)
            let request: JSONValue = ["email": "old@example.com", "password": "an older, cheaper hash"]
            #expect(try site.send("POST", "/auth/sign-in", request, as: nil).status == 200)
            let stored: String = try site.db.value("SELECT password_hash FROM users WHERE id = $1::uuid", user.id.sqlValue)
            #expect(stored != cheap && !Password.needsRehash(stored))
            #expect(try site.send("POST", "/auth/sign-in", request, as: nil).status == 200)
        }
    }

    @Test func `guesses are counted per account, whatever address they come from`() throws {
        try withAccounts { site in
            let guess: JSONValue = ["email": "target@example.com", "password": "guess number one"]
            var statuses: [Int] = []
            for _ in 0..<12 { statuses.append(try site.send("POST", "/auth/sign-in", guess, as: nil).status) }
            #expect(statuses.first == 401 && statuses.last == 429)
            #expect(statuses.filter { $0 == 401 }.count <= 20)
        }
    }

    @Test func `sign-out ends this session, or all of them`() throws {
        try withAccounts { site in
            let user = try site.db.createUser("owner", in: site.workspace)
            func session() throws -> String {
                let token = APIKeyFormat.generate(.session)
                try site.db.runDynamic(
                    "INSERT INTO sessions (token_hash, user_id) VALUES ($1::bytea, $2::uuid)",
                    [Hash.sha256(Array(token.utf8)).sqlValue, user.id.sqlValue])
                return token
            }
            let (first, second) = (try session(), try session())
            let answer = try site.send("POST", "/auth/sign-out", as: first)
            #expect(answer.status == 204 && answer.header("Set-Cookie")?.contains("Max-Age=0") == true)
            #expect(try site.send("GET", "/auth/user", as: first).status == 401)
            #expect(try site.send("GET", "/auth/user", as: second).status == 200)
            #expect(try site.send("POST", "/auth/sign-out", ["everywhere": true], as: second).status == 204)
            #expect(try site.send("GET", "/auth/user", as: user).status == 401)
            #expect(try site.send("GET", "/auth/user", as: site.owner).status == 200)
        }
    }

    @Test func `expired sessions and API keys are nobody`() throws {
        try withAccounts { site in
            try site.db.runDynamic("UPDATE sessions SET expires_at = now() WHERE user_id = $1::uuid", [site.admin.id.sqlValue])
            #expect(try site.send("GET", "/auth/user", as: site.admin).status == 401)
            #expect(try site.send("GET", "/api/members", as: site.admin).status == 401)
            let key = try site.db.createAPIKey(in: site.workspace)
            #expect(try site.send("GET", "/auth/user", as: key.token).status == 401)
            #expect(try site.send("GET", "/auth/user", as: "muster_sess_made-up").status == 401)
        }
    }

    @Test func `a cookie signs in, and needs a known Origin to change anything`() throws {
        try withAccounts { site throws in
            func rename(_ headers: [(String, String)]) throws -> Int {
                let cookie = ("Cookie", "muster=\(site.owner.token)")
                return try site.send("PATCH", "/api/settings", ["name": "Renamed"], as: nil, headers: [cookie] + headers).status
            }
            #expect(
                try site.send("GET", "/auth/user", as: nil, headers: [("Cookie", "theirs=1; muster=\(site.owner.token)")]).status == 200)
            #expect(try rename([]) == 403)
            #expect(try rename([("Origin", "https://evil.example")]) == 403)
            #expect(try rename([("Origin", "http://localhost:8480")]) == 200)
        }
    }
}
