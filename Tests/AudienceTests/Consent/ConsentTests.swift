import JSON
import TestSupport
import Testing

@Suite struct ConsentTests {
    private func consent(_ contact: JSONValue, _ state: JSONValue, at: JSONValue = .null, _ more: JSONObject = [:]) -> JSONValue {
        var body: JSONObject = ["contact_id": contact["id"] ?? .null, "channel": "sms", "state": state, "source": "web_form", "at": at]
        for (key, value) in more { body[key] = value }
        return .object(body)
    }

    @Test func `the ledger keeps every word with its proof, and the latest holds`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123", "email": "a@example.com"])
            let path = "/api/contacts/\(contact["id"]?.string ?? "")/consent"
            #expect(try site.send("GET", path).json["sms"]?["state"] == "unknown")
            let made = try site.send(
                "POST", "/api/consent",
                json: consent(
                    contact, "opted_in", at: "2026-01-01T00:00:00Z",
                    ["wording": "I agree to texts.", "evidence": ["page": "https://example.com/join"]]))
            #expect(made.status == 201 && made.json["wording"] == "I agree to texts." && made.json["at"] == "2026-01-01T00:00:00.000000Z")
            try site.send("POST", "/api/consent", json: consent(contact, "opted_out", at: "2026-03-01T00:00:00Z"))
            // Told late: known, but overtaken.
            try site.send("POST", "/api/consent", json: consent(contact, "opted_in", at: "2026-02-01T00:00:00Z"))
            let now = try site.send("GET", path).json
            #expect(now["sms"]?["state"] == "opted_out" && now["sms"]?["suppressed"] == "opt_out" && now["email"]?["state"] == "unknown")
            let ledger = try site.send("GET", "/api/consent?contact_id=\(contact["id"]?.string ?? "")&limit=2").json
            #expect(ledger["items"]?.array?.map { $0["state"] } == ["opted_in", "opted_out"])
            #expect(ledger["pagination"]?["has_more"] == true)
        }
    }

    @Test func `an opt-out outlives the contact, and a later opt-in lifts only that`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123"])
            try site.send("POST", "/api/consent", json: consent(contact, "opted_out"))
            try site.send("DELETE", "/api/contacts/\(contact["id"]?.string ?? "")")
            let again = try site.add(["phone": "+12025550123"])
            let path = "/api/contacts/\(again["id"]?.string ?? "")/consent"
            #expect(try site.send("GET", path).json["sms"]?["suppressed"] == "opt_out")
            try site.send("POST", "/api/consent", json: consent(again, "opted_in"))
            #expect(try site.send("GET", path).json["sms"]?["suppressed"] == .null)
            // The person's own STOP counts more than what was entered for them.
            try site.send("POST", "/api/consent", json: consent(again, "opted_out"))
            try site.owner.transaction { db in
                try db.setWorkspace(site.workspace)
                let _: [Bool] = try db.dynamic("SELECT suppress('sms', '+12025550123', 'opt_out', 'inbound') IS NULL", [])
            }
            try site.send("POST", "/api/consent", json: consent(again, "opted_in"))
            #expect(try site.send("GET", path).json["sms"]?["suppressed"] == "opt_out")
        }
    }

    @Test func `at the same instant an opt-out wins`() throws {
        try withAudience { site throws in
            for order in [["opted_in", "opted_out"], ["opted_out", "opted_in"]] {
                let contact = try site.add(["name": "x"])
                for state in order {
                    try site.send("POST", "/api/consent", json: consent(contact, .string(state), at: "2026-01-01T00:00:00Z"))
                }
                let now = try site.send("GET", "/api/contacts/\(contact["id"]?.string ?? "")/consent").json
                #expect(now["sms"]?["state"] == "opted_out")
            }
        }
    }

    @Test func `consent of the future, of nobody and without a source is refused`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123"])
            #expect(
                try site.send("POST", "/api/consent", json: consent(contact, "opted_in", at: "2126-01-01T00:00:00Z")).code == "out_of_range"
            )
            #expect(try site.send("POST", "/api/consent", json: consent(contact, "opted_in", ["source": " "])).code == "empty")
            #expect(try site.send("POST", "/api/consent", json: consent(contact, "maybe")).code == "not_one_of")
            #expect(
                try site.send("POST", "/api/consent", json: consent(["id": "0190f5c2-0000-7000-8000-000000000000"], "opted_in")).code
                    == "unknown_contact")
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            #expect(try site.send("POST", "/api/consent", json: consent(contact, "opted_in"), as: other).status == 422)
            #expect(try site.send("GET", "/api/contacts/\(contact["id"]?.string ?? "")/consent", as: other).status == 404)
            #expect(try site.count("consent_events") == 0)
        }
    }

    @Test func `addresses are suppressed in their normal form, listed and let go`() throws {
        try withAudience { site throws in
            let made = try site.send("POST", "/api/suppressions", json: ["channel": "sms", "address": "(202) 555-0123"])
            #expect(made.status == 201 && made.json["address"] == "+12025550123" && made.json["reason"] == "manual")
            let path = try #require(made.header("location"))
            try site.send("POST", "/api/suppressions", json: ["channel": "email", "address": "A@Example.com", "reason": "complaint"])
            func listed(_ query: String) throws -> [JSONValue?] {
                try site.send("GET", "/api/suppressions" + query).json["items"]?.array?.map { $0["address"] } ?? []
            }
            #expect(try listed("") == ["a@example.com", "+12025550123"])
            #expect(try listed("?channel=sms") == ["+12025550123"])
            #expect(try listed("?address=+12025550123") == ["+12025550123"])
            #expect(try listed("?reason=complaint&address=A@example.com") == ["a@example.com"])
            #expect(try site.send("POST", "/api/suppressions", json: ["channel": "email", "address": "x"]).code == "bad_email")
            #expect(try site.send("POST", "/api/suppressions", json: ["channel": "sms", "address": "x"]).code == "bad_phone")
            // An opt-out is never weakened.
            try site.send("POST", "/api/suppressions", json: ["channel": "sms", "address": "+12025550123", "reason": "opt_out"])
            #expect(
                try site.send("POST", "/api/suppressions", json: ["channel": "sms", "address": "+12025550123"]).json["reason"] == "opt_out")
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            #expect(try site.send("DELETE", path, as: other).status == 404)
            #expect(try site.send("DELETE", path).status == 204)
            #expect(try site.send("GET", path).status == 404)
        }
    }
}
