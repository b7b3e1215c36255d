import Audience
import JSON
import TestSupport
import Testing
import Vocabulary

@Suite struct ContactTests {
    @Test func `a contact is created, read, changed and deleted, and its ETag follows`() throws {
        try withAudience { site throws in
            let made = try site.send(
                "POST", "/api/contacts", json: ["email": "Ada@Example.com", "phone": "(202) 555-0123", "attributes": ["plan": "gold"]])
            #expect(made.status == 201 && made.header("etag") == "\"v1\"")
            let path = try #require(made.header("location"))
            #expect(try site.send("GET", path).json == made.json)
            let changed = try site.send(
                "PATCH", path, json: ["name": "Ada", "attributes": ["plan": .null, "seats": 3]], headers: [("If-Match", "\"v1\"")])
            #expect(changed.status == 200 && changed.header("etag") == "\"v2\"")
            #expect(changed.json["attributes"] == ["seats": 3] && changed.json["email"] == "ada@example.com")
            #expect(try site.send("PATCH", path, json: ["name": "x"], headers: [("If-Match", "\"v1\"")]).status == 412)
            #expect(try site.send("DELETE", path, headers: [("If-Match", "\"v1\"")]).status == 412)
            #expect(try site.send("DELETE", path).status == 204)
            #expect(try site.send("GET", path).status == 404)
            #expect(try site.send("PATCH", path, json: ["name": "x"]).status == 404)
            #expect(try site.send("DELETE", path).status == 404)
        }
    }

    @Test func `what happened to a contact is listed newest first, by name as well, page by page`() throws {
        try withAudience { site throws in
            let id = try site.add(["name": "a"])["id"]?.string ?? ""
            let other = try site.add(["name": "b"])["id"]?.string ?? ""
            _ = try site.segment("All", ["all": []])
            try site.calculate()
            try site.owner.runDynamic(
                """
                INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
                SELECT workspace_id, id, CASE WHEN n % 2 = 0 THEN 'order' ELSE 'visit' END, now() - n * interval '1 day',
                       jsonb_build_object('n', n) FROM contacts, generate_series(1, 5) n WHERE id = $1::uuid
                """, [id.sqlValue])
            func listed(_ query: String = "", of contact: String? = nil) throws -> [JSONValue] {
                try site.send("GET", "/api/contacts/\(contact ?? id)/events\(query)").json["items"]?.array ?? []
            }
            #expect(try listed().map { $0["name"] } == ["segment.entered", "visit", "order", "visit", "order", "visit"])
            #expect(try listed("?name=order").map { $0["properties"]?["n"] } == [2, 4])
            #expect(try listed("?name=segment.entered").first?["properties"]?["segment"] == "All")
            #expect(try listed(of: other).count == 1)
            var (paged, query) = ([JSONValue](), "?limit=4")
            while true {
                let page = try site.send("GET", "/api/contacts/\(id)/events\(query)").json
                paged += page["items"]?.array ?? []
                guard let cursor = page["pagination"]?["next_cursor"]?.string else { break }
                query = "?limit=4&cursor=\(cursor)"
            }
            #expect(try paged == listed())
            #expect(try site.send("GET", "/api/contacts/0190f5c2-0000-7000-8000-000000000000/events").status == 404)
        }
    }

    @Test func `values are stored in one form, and empty text is missing`() throws {
        try withAudience { site throws in
            let contact = try site.add([
                "external_id": "  X 1 ", "email": " ADA@Example.COM ", "phone": "202-555-0123", "name": "Zoe\u{308}", "status": "  ",
                "tags": ["b", "a", "b"], "country": "DE", "timezone": "Europe/Berlin",
            ])
            #expect(contact["external_id"] == "X 1")
            #expect(contact["email"] == "ada@example.com")
            #expect(contact["phone"] == "+12025550123")
            #expect(contact["name"]?.string.map { Array($0.unicodeScalars).count } == 3)
            #expect(contact["status"] == .null)
            #expect(contact["tags"] == ["a", "b"])
            let cleared = try site.send("PATCH", "/api/contacts/\(contact["id"]?.string ?? "")", json: ["email": "", "phone": .null])
            #expect(cleared.json["email"] == .null && cleared.json["phone"] == .null)
        }
    }

    @Test(
        arguments: [
            (["email": "nobody"], "/email", "bad_format"), (["phone": "12"], "/phone", "bad_phone"),
            (["phone": "+1 202 555 0123 ext. 5"], "/phone", "bad_phone"),
            (["timezone": "Mars/Olympus"], "/timezone", "bad_format"), (["country": "XX"], "/country", "bad_format"),
            (["surname": "x"], "/surname", "unknown_member"), (["name": 5], "/name", "wrong_type"),
            (["attributes": ["a.b": 1]], "/attributes/a.b", "bad_key"),
            (["attributes": ["a": ["b": ["c": ["d": ["e": ["f": 1]]]]]]], "/attributes/a/b/c/d/e", "too_deep"),
            (["attributes": ["a": "\u{0}"]], "/attributes/a", "bad_character"),
            (["attributes": ["a": ["x\u{0}"]]], "/attributes/a", "bad_character"),
            (["name": "\u{0}"], "/name", "bad_character"),
        ] as [(JSONValue, String, String)])
    func `a wrong value is told with its place`(body: JSONValue, pointer: String, code: String) throws {
        try withAudience { site throws in
            let answer = try site.send("POST", "/api/contacts", json: body)
            #expect(answer.status == 422)
            let faults = answer.json["errors"]?.array ?? []
            #expect(faults.contains { $0["pointer"]?.string == pointer && $0["code"]?.string == code }, "\(answer.text)")
        }
    }

    @Test func `all faults come at once`() throws {
        try withAudience { site throws in
            let answer = try site.send(
                "POST", "/api/contacts", json: ["email": "x", "country": "??", "timezone": "?", "attributes": ["": 1]])
            #expect(answer.json["errors"]?.array?.count == 4)
        }
    }

    @Test func `attributes have a size, in one write and in all`() throws {
        try withAudience { site throws in
            let big: JSONValue = ["attributes": ["a": .array((0..<7).map { _ in .string(String(repeating: "x", count: 10_000)) })]]
            #expect(try site.send("POST", "/api/contacts", json: big).code == "attributes_too_large")
            let path = "/api/contacts/\(try site.add(["email": "a@example.com"])["id"]?.string ?? "")"
            var last = 200
            for round in 0..<6 where last == 200 {
                let part: JSONValue = ["attributes": [:]]
                var object = part.object!
                object["attributes"] = .object(["k\(round)": .array((0..<6).map { _ in .string(String(repeating: "x", count: 10_000)) })])
                last = try site.send("PATCH", path, json: .object(object)).status
            }
            #expect(last == 422)
        }
    }

    @Test func `who has the address, phone or id already is named by its member`() throws {
        try withAudience { site throws in
            _ = try site.add(["email": "a@example.com", "phone": "+12025550100", "external_id": "A"])
            for (member, value) in [("email", "A@example.com"), ("phone", "(202) 555-0100"), ("external_id", "A")] {
                let answer = try site.send("POST", "/api/contacts", json: .object([member: .string(value)]))
                #expect(answer.status == 409)
                #expect(answer.json["code"]?.string == member + "_taken")
                #expect(answer.json["errors"]?.array?.first?["pointer"]?.string == "/" + member)
            }
            #expect(try site.count("contacts") == 1)
        }
    }

    @Test func `a national number needs a country`() throws {
        try withAudience(country: nil) { site throws in
            #expect(try site.send("POST", "/api/contacts", json: ["phone": "202-555-0123"]).code == "bad_phone")
            #expect(try site.send("POST", "/api/contacts", json: ["phone": "+1 (202) 555-0123"]).json["phone"] == "+12025550123")
        }
    }

    @Test func `ordinals are dense and never given twice`() throws {
        try withAudience { site throws in
            for name in ["a", "b"] { _ = try site.add(["email": .string("\(name)@example.com")]) }
            #expect(try site.send("POST", "/api/contacts", json: ["email": "a@example.com"]).status == 409)
            let last = try site.add(["email": "c@example.com"])
            #expect(try site.send("DELETE", "/api/contacts/\(last["id"]?.string ?? "")").status == 204)
            _ = try site.add(["email": "d@example.com"])
            let ordinals: [Int] = try site.owner.dynamic("SELECT ordinal FROM contacts ORDER BY ordinal", [])
            #expect(ordinals == [1, 2, 4])
        }
    }

    @Test func `pages hold every contact once, newest first`() throws {
        try withAudience { site throws in
            for index in 0..<7 { _ = try site.add(["external_id": .string("C\(index)")]) }
            var seen: [String] = []
            var path = "/api/contacts?limit=3"
            for _ in 0..<5 {
                let page = try site.send("GET", path).json
                seen += (page["items"]?.array ?? []).compactMap { $0["external_id"]?.string }
                guard let cursor = page["pagination"]?["next_cursor"]?.string else { break }
                path = "/api/contacts?limit=3&cursor=\(cursor)"
            }
            #expect(seen == (0..<7).reversed().map { "C\($0)" })
        }
    }

    @Test func `filters hold together, and search finds parts of names and addresses`() throws {
        try withAudience { site throws in
            _ = try site.add([
                "external_id": "A", "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "status": "New",
                "tags": ["vip"],
            ])
            _ = try site.add(["external_id": "B", "phone": "+12025550123", "name": "100% Bo_b", "status": "Old", "tags": ["vip", "x"]])
            _ = try site.add(["external_id": "C", "name": "1000 Bob", "status": "New"])
            func found(_ query: String) throws -> [String] {
                let answer = try site.send("GET", "/api/contacts?" + query)
                #expect(answer.status == 200, "\(answer.text)")
                return (answer.json["items"]?.array ?? []).compactMap { $0["external_id"]?.string }
            }
            #expect(try found("status=New") == ["C", "A"])
            #expect(try found("tag=vip") == ["B", "A"])
            #expect(try found("tag=vip&status=Old") == ["B"])
            #expect(try found("email=ADA@example.com") == ["A"])
            #expect(try found("email=ADA@example.com&status=Old") == [])
            #expect(try found("phone=+12025550123") == ["B"])
            #expect(try found("phone=%2B12025550123&external_id=A") == [])
            #expect(try found("email=nonsense") == [])
            #expect(try found("q=lovel") == ["A"])
            #expect(try found("q=ada%20love") == ["A"])
            #expect(try found("q=555012") == ["B"])
            #expect(try found("q=0%25") == ["B"])
            #expect(try found("q=o_b") == ["B"])
            #expect(try found("q=bob") == ["C"])
            #expect(try found("q=example&status=New") == ["A"])
            #expect(try site.send("GET", "/api/contacts?surname=x").status == 422)
        }
    }

    @Test func `search by a part of a text is served by an index, and shows no other workspace's`() throws {
        try withAudience { site throws in
            let other = try site.owner.createWorkspace()
            try site.owner.execute(
                """
                INSERT INTO contacts (workspace_id, ordinal, name) SELECT '\(other)', n, 'needle ' || n FROM generate_series(1, 50) n;
                INSERT INTO contacts (workspace_id, ordinal, name) SELECT '\(site.workspace)', n, 'hay ' || md5(n::text) FROM generate_series(1, 20000) n;
                INSERT INTO contacts (workspace_id, ordinal, name) VALUES ('\(site.workspace)', 20001, 'a needle');
                SELECT gin_clean_pending_list('contacts_by_text'); ANALYZE contacts
                """)
            #expect(try site.send("GET", "/api/contacts?q=needle").json["items"]?.array?.count == 1)
            // The function's own statement, as the owner runs it.
            let plan: [String] = try site.owner.transaction { db in
                try db.setWorkspace(site.workspace)
                return try db.dynamic(
                    """
                    EXPLAIN SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace()
                       AND coalesce(name, '') || E'\\n' || coalesce(first_name, '') || ' ' || coalesce(last_name, '') || E'\\n' ||
                           coalesce(email, '') || E'\\n' || coalesce(phone, '') || E'\\n' || coalesce(external_id, '') ILIKE '%needle%'
                     ORDER BY c.created_at DESC, c.id DESC LIMIT 51
                    """, [])
            }
            #expect(plan.contains { $0.contains("contacts_by_text") }, "\(plan.joined(separator: "\n"))")
        }
    }

    @Test func `an export holds everything, and a spreadsheet takes no cell for a formula`() throws {
        try withAudience { site throws in
            _ = try site.add([
                "external_id": "A", "phone": "+12025550123", "name": "=1+1", "tags": ["x", "y"],
                "attributes": ["note": "a \"b\",\nc", "n": -5, "email": "@x"],
            ])
            _ = try site.add(["external_id": "B", "name": "-x"])
            let csv = try site.send("GET", "/api/contacts/export").text.split(separator: "\r\n").map(String.init)
            #expect(
                csv[0]
                    == "id,external_id,email,phone,name,first_name,last_name,status,timezone,country,tags,created_at,attributes.email,n,note"
            )
            #expect(csv[1].contains(",A,,+12025550123,'=1+1,,,,,,x|y,") && csv[1].hasSuffix(",'@x,-5,\"a \"\"b\"\",\nc\""))
            #expect(csv[2].contains(",B,,,'-x,"))
            let lines = try site.send("GET", "/api/contacts/export?format=jsonl").text.split(separator: "\n")
            #expect(lines.count == 2)
            #expect(try JSONValue(parsing: String(lines[0]))["external_id"] == "A")
        }
    }

    @Test func `no text breaks out of its cell of an export, and none is lost`() throws {
        try withAudience { site throws in
            // A quote with a combining mark behind it is one character to Swift, and two to who reads the file.
            let names = ["a\"\u{301},=cmd|x", "\"\"\u{308}", "x\ny", "=\"\u{301}"]
            for (n, name) in names.enumerated() {
                _ = try site.add(["external_id": .string("e\(n)"), "attributes": ["note": .string(name)]])
            }
            let csv = try site.send("GET", "/api/contacts/export").body
            var reader = CSVReader()
            var notes: [String] = []
            func take(_ row: CSVRow) { notes.append(String(decoding: row[row.count - 1], as: UTF8.self)) }
            try reader.feed(csv, row: take, faulty: { Issue.record("line \($0.line): \($0.code)") })
            try reader.finish(row: take, faulty: { Issue.record("line \($0.line): \($0.code)") })
            #expect(notes == ["note"] + names.map { $0.hasPrefix("=") ? "'" + $0 : $0 })
        }
    }

    @Test func `a number beyond 64 bits comes back, everywhere`() throws {
        try withAudience { site throws in
            // PostgreSQL writes it as an integer of twenty digits and more.
            let made = try site.send("POST", "/api/contacts", json: ["name": "Big", "attributes": ["n": 1e19, "m": 5, "huge": 1e300]])
            #expect(made.status == 201 && made.header("location")?.hasPrefix("/api/contacts/0") == true, "\(made.text)")
            #expect(made.json["attributes"] == ["n": 1e19, "m": 5, "huge": 1e300])
            let csv = try site.send("GET", "/api/contacts/export").text
            #expect(csv.contains(",1e+300,5,1e+19\r\n"), "\(csv)")
            let rule: JSONValue = [
                "match": [
                    "all": [
                        ["field": "attributes.n", "op": "at_least", "value": 1e18],
                        ["field": "attributes.huge", "op": "at_most", "value": 1e300],
                    ]
                ]
            ]
            #expect(try site.send("POST", "/api/segments/preview", json: ["rule": rule]).json["sample"]?.array?.count == 1)
            let segment = try site.send("POST", "/api/segments", json: ["name": "Big", "rule": rule])
            #expect(segment.status == 201, "\(segment.text)")
            #expect(try site.calculate().map { $0["result"]?["member_count"] } == [1])
            #expect(try site.send("GET", segment.header("location") ?? "").json["state"] == "ready")
        }
    }

    @Test func `a megabyte of keys is refused at once`() throws {
        try withAudience { site throws in
            let keys = (0..<70_000).map { "\"k\($0)\":1" }.joined(separator: ",")
            let body = Array("{\"attributes\":{\"a\":{\(keys)}}}".utf8)
            let started = Instant.now()
            let answer = try site.responder.send("POST", "/api/contacts", token: site.token, contentType: "application/json", body: body)
            #expect(answer.code == "attributes_too_large" && Instant.now().seconds(since: started) < 5)
        }
    }

    @Test func `a contact is found by its external id as it was written`() throws {
        try withAudience { site throws in
            _ = try site.add(["external_id": " Zoe\u{308} "])
            #expect(try site.send("GET", "/api/contacts?external_id=+Zoe%CC%88+").json["items"]?.array?.count == 1)
            #expect(try site.send("GET", "/api/contacts?external_id=").json["items"]?.array?.count == 0)
        }
    }

    @Test func `contacts of another workspace do not exist, and reading needs its scope`() throws {
        try withAudience { site throws in
            let mine = try site.add(["email": "a@example.com"])
            let path = "/api/contacts/\(mine["id"]?.string ?? "")"
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            for method in ["GET", "DELETE"] { #expect(try site.send(method, path, as: other).status == 404) }
            #expect(try site.send("PATCH", path, json: ["name": "x"], as: other).status == 404)
            #expect(try site.send("GET", "/api/contacts", as: other).json["items"]?.array?.count == 0)
            #expect(try site.send("POST", "/api/contacts", json: ["email": "a@example.com"], as: other).status == 201)
            let reader = try site.owner.createAPIKey(in: site.workspace, scopes: ["audience:read"]).token
            #expect(try site.send("GET", path, as: reader).status == 200)
            #expect(try site.send("POST", "/api/contacts", json: ["email": "b@example.com"], as: reader).status == 403)
            #expect(try site.send("GET", path, as: "muster_live_nonsense").status == 401)
        }
    }
}
