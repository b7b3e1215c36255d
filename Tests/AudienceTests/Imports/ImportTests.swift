import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing

extension AudienceSite {
    /// Uploads a file; the answer to the upload.
    func upload(_ csv: [UInt8], query: String = "", type: String = "text/csv") throws -> TestAnswer {
        try responder.send("POST", "/api/contacts/import" + query, token: token, contentType: type, body: csv)
    }

    /// Uploads a file and runs its job. The job's result.
    func load(_ csv: String, query: String = "") throws -> JSONValue { try load(Array(csv.utf8), query: query) }

    func load(_ csv: [UInt8], query: String = "") throws -> JSONValue {
        let answer = try upload(csv, query: query)
        guard answer.status == 202 else { throw TestSupportError("\(answer.status): \(answer.text)") }
        let job = try work()
        guard job["state"] == "succeeded" else { throw TestSupportError(job.text) }
        return job["result"] ?? .null
    }

    /// One contact, by its external id.
    func contact(_ externalID: String) throws -> JSONValue {
        try send("GET", "/api/contacts?external_id=\(externalID)").json["items"]?.array?.first ?? .null
    }
}

/// rows, created, updated, unchanged, rejected
private func counts(_ result: JSONValue) -> [Int] {
    ["rows", "created", "updated", "unchanged", "rejected"].map { result[$0]?.integer ?? -1 }
}

private func codes(_ result: JSONValue) -> [String] {
    (result["errors"]?.array ?? []).map { "\($0["line"]?.integer ?? 0) \($0["column"]?.string ?? "-") \($0["code"]?.string ?? "")" }
}

@Suite struct ImportTests {
    @Test func `columns named like a field fill it, all others become attributes`() throws {
        try withAudience { site throws in
            let result = try site.load(
                """
                external_id,Email,phone,First Name,tags,zip_code,score,vip,joined
                A1, Ada@Example.COM ,(202) 555-0123,Ada,vip|new,02134,12.5,yes,2026-01-31
                A2,,+44 20 7946 0958,,,10001,7,no,2026-02-01T10:00:00Z
                """)
            #expect(counts(result) == [2, 2, 0, 0, 0])
            let ada = try site.contact("A1")
            #expect(ada["email"] == "ada@example.com")
            #expect(ada["phone"] == "+12025550123")
            #expect(ada["first_name"] == "Ada")
            #expect(ada["tags"] == ["new", "vip"])
            // A text that a number would not print back stays what it is.
            #expect(ada["attributes"] == ["zip_code": "02134", "score": 12.5, "vip": "yes", "joined": "2026-01-31"])
            let other = try site.contact("A2")
            #expect(other["phone"] == "+442079460958")
            #expect(other["email"] == .null)
            let types: [String] = try site.owner.dynamic("SELECT key || ' ' || type FROM fields ORDER BY key", [])
            #expect(types == ["attributes.joined time", "attributes.score number", "attributes.vip boolean", "attributes.zip_code number"])
        }
    }

    @Test func `the same file again changes nothing`() throws {
        try withAudience { site throws in
            let file =
                "external_id,email,status,n\nA,a@example.com,New,1\nB,b@example.com,New,2\nA,a@example.com,Old,\nC,c@example.com,,x\n"
            #expect(counts(try site.load(file)) == [4, 3, 1, 0, 0])
            let before: [String] = try site.owner.dynamic("SELECT to_jsonb(c)::text FROM contacts c ORDER BY ordinal", [])
            #expect(counts(try site.load(file)) == [4, 0, 0, 4, 0])
            #expect(try site.owner.dynamic("SELECT to_jsonb(c)::text FROM contacts c ORDER BY ordinal", []) == before)
            #expect(try site.contact("A")["status"] == "Old")
        }
    }

    @Test func `a row finds its contact by external id, else e-mail, else phone, and writes only what it says`() throws {
        try withAudience { site throws in
            _ = try site.add(["external_id": "A", "email": "a@example.com", "status": "New", "attributes": ["x": 1, "y": 2]])
            _ = try site.add(["email": "b@example.com", "name": "Bo"])
            _ = try site.add(["phone": "+12025550100", "name": "Cy"])
            let result = try site.load(
                """
                external_id,email,phone,name,y
                A,new@example.com,,,3
                ,b@example.com,,,
                C,,+12025550100,,5
                """)
            #expect(counts(result) == [3, 0, 2, 1, 0])
            let a = try site.contact("A")
            #expect(a["email"] == "new@example.com" && a["status"] == "New" && a["attributes"] == ["x": 1, "y": 3])
            #expect(try site.contact("C")["name"] == "Cy")
            #expect(try site.count("contacts") == 3)
        }
    }

    @Test func `an address of somebody else is a row error, and nothing of that row is written`() throws {
        try withAudience { site throws in
            _ = try site.add(["external_id": "A", "email": "a@example.com"])
            _ = try site.add(["external_id": "B", "phone": "+12025550100"])
            let result = try site.load(
                """
                external_id,email,phone,status
                B,a@example.com,,X
                A,,+12025550100,X
                Z,a@example.com,,X
                Y,y@example.com,,X
                Q,y@example.com,,X
                """)
            #expect(counts(result) == [5, 1, 0, 0, 4])
            #expect(codes(result) == ["2 email email_taken", "3 phone phone_taken", "4 email email_taken", "6 email email_taken"])
            #expect(try site.contact("A")["status"] == .null)
        }
    }

    @Test func `a large import tells the planner of its workspace at once`() throws {
        try withAudience { site in
            try site.owner.execute("ALTER TABLE contacts SET (autovacuum_enabled = off)")
            func known() throws -> Int { try site.owner.value("SELECT reltuples::int FROM pg_class WHERE oid = 'contacts'::regclass") }
            _ = try site.load("external_id\n" + (0..<999).map { "few\($0)\n" }.joined())
            #expect(try known() == -1, "a few change no plan")
            _ = try site.load("external_id\n" + (0..<1000).map { "many\($0)\n" }.joined())
            #expect(try known() == 1999)
        }
    }

    @Test func `broken rows are told with line, column and reason, and all others are taken`() throws {
        try withAudience { site throws in
            var file = Array(
                """
                external_id,email,phone,note
                A,a@example.com,,ok
                B,"b@example.com" x,,quote
                C,c@example.com
                D,d@example.com,,x,y
                E,not an address,,
                F,,12,
                ,,,nobody
                G,g@example.com,,"open
                H,h@example.com,,"two
                lines"
                I,i@example.com,,

                """.utf8)
            file += Array("J,j@example.com,,caf".utf8) + [0xE9, 10] + Array("K,k@example.com,,".utf8) + [0, 10]
            file += Array("L,l@example.com,,\(String(repeating: "x", count: 70_000))\nM,m@example.com,,last".utf8)
            let result = try site.load(file)
            let found = codes(result)
            #expect(
                found == [
                    "3 email text_after_quote", "4 - too_few_cells", "5 - too_many_cells", "6 email bad_email", "7 phone bad_phone",
                    "8 - no_identity", "9 note text_after_quote", "13 note wrong_encoding", "14 - bad_character", "15 note cell_too_large",
                ])
            #expect(try site.contact("M")["attributes"]?["note"] == "last")
            let answer = try site.send("GET", result["errors_url"]?.string ?? "")
            #expect(answer.status == 200)
            #expect(answer.header("content-type") == "text/csv; charset=utf-8")
            #expect(answer.text.split(separator: "\r\n").count == 1 + (result["rejected"]?.integer ?? 0))
        }
    }

    @Test func `a file whose header cannot be used is refused at once, and leaves nothing`() throws {
        try withAudience { site throws in
            func refused(_ file: [UInt8], _ query: String = "") throws -> String? {
                let answer = try site.upload(file, query: query)
                return answer.status == 422 ? answer.code : "\(answer.status)"
            }
            func refused(_ file: String, _ query: String = "") throws -> String? { try refused(Array(file.utf8), query) }
            #expect(try refused([UInt8](repeating: 44, count: 10_000_000)) == "too_many_columns")
            #expect(try refused("name,city\nAda,London\n") == "missing_column")
            #expect(try refused("email,email\na@example.com,b@example.com\n") == "duplicate_column")
            #expect(try refused("email,\na@example.com,x\n") == "empty_column_name")
            #expect(try refused([0xFF, 0xFE, 101, 0, 10, 0]) == "wrong_encoding")
            #expect(try refused(Array("email,caf".utf8) + [0xE9, 10] + Array("a@example.com,x".utf8)) == "wrong_encoding")
            #expect(try refused("email\na@example.com\n", "?mapping=%7B%22Mail%22:%22email%22%7D") == "missing_column")
            #expect(try refused("email,x\na@example.com,1\n", "?mapping=%7B%22x%22:%22nothing%22%7D") == "unknown_field")
            #expect(try refused("email\na@example.com\n", "?mapping=%5B1") == "json_syntax")
            #expect(try refused("\n\n") == "empty_file")
            #expect(try site.upload([]).status == 400)
            #expect(try site.upload(Array("email\n".utf8), type: "application/json").status == 415)
            #expect(try site.upload(Array("email\n".utf8), type: "text/csv; charset=windows-1252").status == 415)
            #expect(try site.count("imports") == 0 && site.count("import_chunks") == 0 && site.count("jobs") == 0)
        }
    }

    @Test func `a body that is cut short leaves nothing`() throws {
        try withAudience { site throws in
            let answer = try site.responder.send(
                "POST", "/api/contacts/import", token: site.token, contentType: "text/csv", body: Array("email\na@exa".utf8),
                announced: 5000)
            #expect(answer.status == 400 && answer.code == "body_incomplete")
            #expect(try site.count("imports") == 0)
        }
    }

    @Test func `a mapping renames columns and leaves some out`() throws {
        try withAudience { site throws in
            let mapping =
                "%7B%22Mail%22:%22email%22,%22Plan%22:%22attributes.plan_name%22,%22Secret%22:null,%22name%22:%22attributes.name%22%7D"
            _ = try site.load("Mail,Plan,Secret,name,other.key\nx@example.com,Gold,s,n,o\n", query: "?mapping=" + mapping)
            let contact = try site.send("GET", "/api/contacts?email=x@example.com").json["items"]?.array?.first
            #expect(contact?["attributes"] == ["plan_name": "Gold", "name": "n", "other_key": "o"])
            #expect(contact?["name"] == .null)
        }
    }

    @Test func `a multipart body brings the file and its mapping, in any order`() throws {
        try withAudience { site throws in
            let mapping = "--XX\r\nContent-Disposition: form-data; name=\"mapping\"\r\n\r\n{\"Mail\":\"email\"}\r\n"
            let file =
                "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\nMail,n\r\na@example.com,1\r\n\r\n"
            for (index, body) in [mapping + file + "--XX--\r\n", file + mapping + "--XX--\r\n"].enumerated() {
                let answer = try site.upload(Array(body.utf8), type: "multipart/form-data; boundary=\"XX\"")
                #expect(answer.status == 202, "\(answer.text)")
                #expect(counts(try site.work()["result"] ?? .null) == (index == 0 ? [1, 1, 0, 0, 0] : [1, 0, 0, 1, 0]))
            }
            #expect(try site.upload(Array(mapping.utf8), type: "multipart/form-data; boundary=XX").code == "bad_multipart")
            #expect(try site.upload(Array((mapping + "--XX--\r\n").utf8), type: "multipart/form-data; boundary=XX").code == "body_missing")
        }
    }

    @Test func `national phone numbers are read with the file's country, else the workspace's`() throws {
        try withAudience(country: "DE") { site throws in
            _ = try site.load("external_id,phone\nA,030 901820\n")
            _ = try site.load("external_id,phone\nB,(202) 555-0199\n", query: "?default_country=US")
            #expect(try site.contact("A")["phone"] == "+4930901820")
            #expect(try site.contact("B")["phone"] == "+12025550199")
        }
        try withAudience(country: nil) { site throws in
            #expect(codes(try site.load("external_id,phone\nA,030 901820\nB,+4930901820\n")) == ["2 phone bad_phone"])
        }
    }

    @Test func `declared consent is recorded for whoever can be reached and has said nothing yet`() throws {
        try withAudience { site throws in
            let out = try site.add(["external_id": "OUT", "phone": "+12025550101"])
            try site.send(
                "POST", "/api/consent", json: ["contact_id": out["id"] ?? .null, "channel": "sms", "state": "opted_out", "source": "call"])
            let file = "external_id,phone,email\nOUT,+12025550101,\nNEW,+12025550102,n@example.com\nMAIL,,m@example.com\n"
            for _ in 1...2 { _ = try site.load(file, query: "?consent=sms,email") }
            let states: [String] = try site.owner.dynamic(
                """
                SELECT c.external_id || ' ' || k.channel || ' ' || k.state || ' ' || k.source
                  FROM consents k JOIN contacts c ON c.id = k.contact_id ORDER BY 1
                """, [])
            #expect(
                states == ["MAIL email opted_in import", "NEW email opted_in import", "NEW sms opted_in import", "OUT sms opted_out call"])
            #expect(try site.count("consent_events") == 4)
            #expect(try site.upload(Array(file.utf8), query: "?consent=fax").status == 422)
        }
    }

    @Test func `everybody in the file is put on the list`() throws {
        try withAudience { site throws in
            _ = try site.add(["external_id": "A"])
            let list = try site.send("POST", "/api/lists", json: ["name": "Imported"]).json
            let id = list["id"]?.string ?? ""
            _ = try site.load("external_id,email\nA,\nB,bad\nC,\n", query: "?list_id=\(id)")
            #expect(try site.send("GET", "/api/lists/\(id)").json["member_count"] == 2)
            #expect(try site.upload(Array("external_id\nA\n".utf8), query: "?list_id=0190f5c2-0000-7000-8000-000000000000").status == 404)
        }
    }

    @Test func `an import that its worker left goes on behind its last batch, and counts every row once`() throws {
        try withAudience { site throws in
            let rows = (1...25_000).map { "N\($0),n\($0)@example.com,\($0 % 7),a text that makes the file longer than one piece" }
            #expect(try site.upload(Array(("external_id,email,n,note\n" + rows.joined(separator: "\n")).utf8)).status == 202)
            try site.work(leavingBefore: 2)
            #expect(try site.count("contacts") == 10_000)
            let job = try site.work()
            #expect(counts(job["result"] ?? .null) == [25_000, 25_000, 0, 0, 0])
            let ordinals: [Int] = try site.owner.dynamic("SELECT max(ordinal) FROM contacts UNION ALL SELECT count(*) FROM contacts", [])
            #expect(ordinals == [25_000, 25_000])
            #expect(try site.count("import_chunks") == 0)
        }
    }

    @Test func `imports are listed and read with their jobs`() throws {
        try withAudience { site throws in
            _ = try site.load("external_id\nA\n")
            let items = try site.send("GET", "/api/imports").json["items"]?.array ?? []
            #expect(items.count == 1 && items.first?["state"] == "succeeded")
            let one = try site.send("GET", "/api/imports/\(items.first?["id"]?.string ?? "")")
            #expect(one.json["result"]?["created"] == 1)
            #expect(try site.send("GET", "/api/imports/0190f5c2-0000-7000-8000-000000000000").status == 404)
        }
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: repositoryRoot + "/../shared/data/hillstrom_contacts.csv")))
    func `64,000 real rows come in with their types`() throws {
        let file = try Array(Data(contentsOf: URL(fileURLWithPath: repositoryRoot + "/../shared/data/hillstrom_contacts.csv")))
        try withAudience { site throws in
            #expect(counts(try site.load(file)) == [64_000, 64_000, 0, 0, 0])
            let types: [String] = try site.owner.dynamic("SELECT substr(key, 12) || ' ' || type FROM fields ORDER BY key", [])
            #expect(
                types == [
                    "channel text", "history number", "history_segment text", "mens number", "newbie number", "recency number",
                    "womens number", "zip_code text",
                ])
            #expect(counts(try site.load(file)) == [64_000, 0, 0, 64_000, 0])
        }
    }
}
