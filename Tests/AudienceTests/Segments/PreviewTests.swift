// What a rule finds now: count, whom of them a campaign could write to, and a sample.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct PreviewTests {
    private let gold: JSONValue = ["field": "attributes.plan", "op": "is", "value": "gold"]

    @Test func `a preview counts exactly, tells its instant and shows ten contacts at most`() throws {
        try withAudience { site throws in
            let contacts = try (0..<12).map { try site.add(["external_id": .string("g\($0)"), "attributes": ["plan": "gold"]]) }
                .sorted { ($0["id"]?.string ?? "") < ($1["id"]?.string ?? "") }
            _ = try site.add(["attributes": ["plan": "iron"]])
            let asked = Instant.now()
            let preview = try site.send("POST", "/api/segments/preview", json: ["rule": ["match": gold]])
            #expect(preview.status == 200)
            #expect(preview.json["count"] == 12 && preview.json["exact"] == true)
            let at = try #require(preview.json["as_of"]?.string.flatMap { Instant(rfc3339: $0) })
            #expect(abs(at.seconds(since: asked)) < 5)
            #expect(preview.json["sample"] == .array(Array(contacts.prefix(10))))
            #expect(preview.json["took_ms"]?.real.map { $0 > 0 } == true)
            // The same of a saved segment, whether it is calculated or not.
            let path = try site.segment("Gold", gold)
            let saved = try site.send("GET", path + "/preview").json
            #expect(saved["count"] == 12 && saved["sample"] == preview.json["sample"])
            let nobody = try site.send("POST", "/api/segments/preview", json: ["rule": ["match": ["any": []]]]).json
            #expect(nobody["count"] == 0 && nobody["sample"] == [] && nobody["reachable"] == ["sms": 0, "email": 0])
        }
    }

    @Test func `reachable is who agreed, is not suppressed and has an address`() throws {
        try withAudience { site throws in
            func add(_ phone: String?, _ email: String?) throws -> JSONValue {
                var contact: JSONObject = ["attributes": ["plan": "gold"]]
                if let phone { contact["phone"] = .string(phone) }
                if let email { contact["email"] = .string(email) }
                return try site.add(.object(contact))["id"] ?? .null
            }
            func agree(_ contact: JSONValue, _ channel: JSONValue, _ state: JSONValue = "opted_in") throws {
                let answer = try site.send(
                    "POST", "/api/consent", json: ["contact_id": contact, "channel": channel, "state": state, "source": "form"])
                #expect(answer.status == 201, "\(answer.text)")
            }
            let agreed = try add("+12025550101", "a@example.com")
            try agree(agreed, "sms")
            try agree(agreed, "email")
            let suppressed = try add("+12025550102", nil)
            try agree(suppressed, "sms")
            try site.send("POST", "/api/suppressions", json: ["channel": "sms", "address": "+12025550102"])
            let refused = try add("+12025550103", "c@example.com")
            try agree(refused, "sms", "opted_out")
            _ = try add("+12025550104", "d@example.com")
            let elsewhere = try add(nil, nil)
            try agree(elsewhere, "sms")
            func reachable() throws -> JSONValue? {
                try site.send("POST", "/api/segments/preview", json: ["rule": ["match": gold]]).json["reachable"]
            }
            #expect(try reachable() == ["sms": 1, "email": 1])
            // Where silence means yes.
            try site.owner.execute("UPDATE workspaces SET settings = '{\"consent_mode\": \"opt_out\"}'")
            #expect(try reachable() == ["sms": 2, "email": 3])
        }
    }

    @Test func `a preview takes a rule and nothing else`() throws {
        try withAudience { site throws in
            #expect(try site.send("POST", "/api/segments/preview", json: [:]).code == "required")
            #expect(
                try site.send("POST", "/api/segments/preview", json: ["rule": ["match": ["all": []]], "limit": 5]).code == "unknown_member")
            #expect(try site.send("POST", "/api/segments/preview", json: ["rule": [:]]).code == "required")
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            _ = try site.add(["attributes": ["plan": "gold"]])
            #expect(try site.send("POST", "/api/segments/preview", json: ["rule": ["match": ["all": []]]], as: other).json["count"] == 0)
            #expect(try site.send("POST", "/api/segments/preview", json: ["rule": ["match": gold]], as: other).code == "unknown_field")
        }
    }
}
