import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct WorkspaceTests {
    @Test func `a person lists, reads and makes workspaces of their own only`() throws {
        try withAccounts { site in
            let made = try site.send("POST", "/api/workspaces", ["name": "Second", "default_country": .null], as: site.viewer)
            #expect(made.status == 201 && made.json["role"] == "owner" && made.json["timezone"] == "UTC")
            let path = try #require(made.header("Location"))
            #expect(try site.items("/api/workspaces", as: site.viewer).map { $0["name"]?.string } == ["Test", "Second"])
            let first = try site.send("GET", "/api/workspaces?limit=1", as: site.viewer)
            let cursor = try #require(first.json["pagination"]?["next_cursor"]?.string)
            #expect(try site.items("/api/workspaces?limit=1&cursor=\(cursor)", as: site.viewer).map { $0["name"]?.string } == ["Second"])
            #expect(try site.send("GET", path, as: site.viewer).json["name"] == "Second")
            #expect(try site.send("GET", path, as: site.owner).status == 404)
            #expect(try site.send("GET", "/api/members", as: site.viewer).code == "workspace_required")
            let named = try site.send("GET", "/api/members", as: site.viewer, headers: [("X-Workspace-Id", site.workspace.description)])
            #expect(named.status == 200)
        }
    }

    @Test func `owners and admins change their workspace, nobody else does`() throws {
        try withAccounts { site in
            let path = "/api/workspaces/\(site.workspace)"
            for (user, status) in [(site.manager, 403), (site.client, 403), (site.stranger, 404), (site.admin, 200)] {
                #expect(try site.send("PATCH", path, ["name": "New"], as: user).status == status)
            }
            let stored = try site.send("GET", path, as: site.client)
            #expect(stored.json["name"] == "New" && stored.header("ETag") == "\"v2\"")
            #expect(try site.send("PATCH", path, ["name": "X"], as: site.owner, headers: [("If-Match", "\"v1\"")]).status == 412)
            #expect(try site.send("PATCH", path, ["timezone": "Nowhere"], as: site.owner).code == "unknown_timezone")
            #expect(try site.send("GET", "/api/workspaces/\(site.otherWorkspace)", as: site.stranger).json["name"] == "Other")
        }
    }

    @Test func `settings have defaults, keep what is not mentioned, and refuse what is not known`() throws {
        try withAccounts { site in
            let before = try site.send("GET", "/api/settings", as: site.viewer).json
            #expect(before["consent_mode"] == "opt_in" && before["retention_days_audit"] == 30 && before["default_country"] == "US")
            let changed = try site.send(
                "PATCH", "/api/settings", ["consent_mode": "opt_out", "retention_days_receipts": 90, "default_country": .null],
                as: site.admin)
            #expect(changed.status == 200 && changed.header("ETag") == "\"v2\"")
            #expect(changed.json["consent_mode"] == "opt_out" && changed.json["retention_days_receipts"] == 90)
            #expect(
                changed.json["retention_days_audit"] == 30 && changed.json["default_country"] == .null && changed.json["name"] == "Test")
            #expect(
                try site.send(
                    "PATCH", "/api/settings", ["consent_mode": "maybe", "plan": "unlimited", "retention_days_audit": 0], as: site.admin
                )
                .json["errors"]?.array?.count == 3)
            #expect(try site.send("PATCH", "/api/settings", ["name": "X"], as: site.viewer).status == 403)
            #expect(try site.send("GET", "/api/settings", as: site.stranger).json["name"] == "Other")
            #expect(try site.audited() == ["settings.changed"])
        }
    }

    @Test func `quiet hours are a preset or hours of one's own, at quarters and in order; caps have numbers`() throws {
        try withAccounts { site throws in
            func change(_ hours: JSONValue) throws -> TestAnswer {
                try site.send("PATCH", "/api/settings", ["quiet_hours_sms": hours], as: site.admin)
            }
            #expect(try site.send("GET", "/api/settings", as: site.admin).json["quiet_hours_email"] == "off")
            let own: JSONValue = ["from": "08:30", "to": "24:00"]
            #expect(try change(own).json["quiet_hours_sms"] == own)
            #expect(try change("strict").json["quiet_hours_sms"] == "strict")
            #expect(try change("sometimes").code == "not_one_of")
            for wrong in ["08:20", "8:300", "24:15", "ab:00"] as [JSONValue] {
                #expect(try change(["from": wrong, "to": "24:00"]).code == "bad_format", "\(wrong)")
            }
            #expect(try change(["from": "10:00", "to": "10:00"]).code == "reversed_range")
            #expect(try change(["from": "10:00"]).code == "required")
            let caps: JSONValue = [["channel": "sms", "at_most": 3, "per_hours": 168, "tag": "promo"]]
            #expect(try site.send("PATCH", "/api/settings", ["frequency_caps": caps], as: site.admin).json["frequency_caps"] == caps)
            let none: JSONValue = [["channel": "sms", "at_most": 0, "per_hours": 1]]
            #expect(try site.send("PATCH", "/api/settings", ["frequency_caps": none], as: site.admin).code == "out_of_range")
        }
    }

    @Test func `prices are one for each channel and country`() throws {
        try withAccounts { site throws in
            func set(_ items: JSONValue, _ currency: JSONValue = "USD") throws -> TestAnswer {
                try site.send("PATCH", "/api/settings", ["prices": ["currency": currency, "items": items]], as: site.admin)
            }
            let us: JSONValue = ["channel": "sms", "country": "US", "amount_micros": 7900]
            #expect(try site.send("GET", "/api/settings", as: site.viewer).json["prices"]?.isNull == true)
            let items: JSONValue = [us, ["channel": "sms", "amount_micros": 90000], ["channel": "email", "amount_micros": 100]]
            #expect(try set(items).json["prices"] == ["currency": "USD", "items": items])
            #expect(try set([us, us]).code == "repeated")
            #expect(try set([["channel": "email", "country": "US", "amount_micros": 1]]).code == "bad_format")
            #expect(try set([["channel": "sms", "country": "us", "amount_micros": 1]]).code == "bad_format")
            #expect(try set([us], "usd").code == "bad_format")
            #expect(try set([["channel": "sms", "amount_micros": -1]]).code == "out_of_range")
            #expect(try site.send("PATCH", "/api/settings", ["prices": .null], as: site.admin).json["prices"]?.isNull == true)
        }
    }

    @Test func `stop rules have defaults, and can be taken away one by one`() throws {
        try withAccounts { site throws in
            func set(_ rules: JSONValue) throws -> TestAnswer {
                try site.send("PATCH", "/api/settings", ["stop_rules": rules], as: site.admin)
            }
            let before = try site.send("GET", "/api/settings", as: site.viewer).json["stop_rules"]
            #expect(before?["filtered_rate"]?.real == 0.2 && before?["minimum_messages"] == 50, "\(before?.text ?? "")")
            let changed = try set(["opt_out_rate": 0.02, "failure_rate": .null]).json["stop_rules"]
            #expect(changed?["opt_out_rate"]?.real == 0.02 && changed?["failure_rate"] == .null && changed?["filtered_rate"]?.real == 0.2)
            for wrong: JSONValue in [0, -0.1, 1.01] { #expect(try set(["failure_rate": wrong]).code == "out_of_range", "\(wrong)") }
            #expect(try set(.null).json["stop_rules"] == before)
        }
    }

    @Test func `monthly limits are set for each channel, and taken away`() throws {
        try withAccounts { site throws in
            func set(_ limits: JSONValue) throws -> TestAnswer {
                try site.send("PATCH", "/api/settings", ["monthly_limits": limits], as: site.admin)
            }
            #expect(try site.send("GET", "/api/settings", as: site.viewer).json["monthly_limits"]?.isNull == true)
            #expect(try set(["sms_parts": 1000, "emails": .null]).json["monthly_limits"] == ["sms_parts": 1000, "emails": .null])
            #expect(try set(["emails": 0]).json["monthly_limits"] == ["emails": 0])
            for wrong: JSONValue in [-1, 1.5, "many"] { #expect(try set(["sms_parts": wrong]).status == 422, "\(wrong)") }
            #expect(try set(["texts": 1]).code == "unknown_member")
            #expect(try set(.null).json["monthly_limits"]?.isNull == true)
        }
    }

    @Test func `a workspace holds out a share of its contacts, by a salt that a rule can name`() throws {
        try withAccounts { site throws in
            func set(_ holdout: JSONValue) throws -> TestAnswer {
                try site.send("PATCH", "/api/settings", ["holdout": holdout], as: site.admin)
            }
            #expect(try site.send("GET", "/api/settings", as: site.viewer).json["holdout"]?.isNull == true)
            #expect(try set(["percent": 2.5]).json["holdout"] == ["percent": 2.5, "salt": "holdout"])
            #expect(try set(["percent": 1, "salt": "2027"]).json["holdout"]?["salt"] == "2027")
            for wrong: JSONValue in [51, -1, 0.001, 1e308] {
                #expect(try set(["percent": wrong]).code == "out_of_range", "\(wrong)")
            }
            #expect(
                try site.send("PATCH", "/api/settings", ["retention_days_audit": 40], as: site.admin).json["holdout"]?["salt"] == "2027")
            #expect(try set(.null).json["holdout"]?.isNull == true)
        }
    }
}

@Suite struct APIKeyTests {
    @Test func `a key's token is shown once and works until it is revoked`() throws {
        try withAccounts { site in
            let made = try site.send("POST", "/api/api-keys", ["name": "CRM", "scopes": ["members:read", "members:read"]], as: site.admin)
            #expect(made.status == 201 && made.json["scopes"] == ["members:read"])
            let token = try #require(made.json["token"]?.string)
            #expect(try site.send("GET", "/api/members", as: token).status == 200)
            #expect(try site.send("GET", "/api/settings", as: token).status == 403)
            let listed = try site.items("/api/api-keys", as: site.owner)
            #expect(listed.count == 1 && listed[0]["token"] == nil && listed[0]["prefix"]?.string == String(token.prefix(16)))
            let path = "/api/api-keys/\(made.json["id"]?.string ?? "")"
            #expect(try site.send("DELETE", path, as: site.stranger).status == 404)
            #expect(try site.send("DELETE", path, as: site.owner).status == 204)
            #expect(try site.send("GET", "/api/members", as: token).status == 401)
            #expect(try site.send("DELETE", path, as: site.owner).status == 404)
            #expect(try site.audited() == ["api_key.created", "api_key.revoked"])
        }
    }

    @Test func `no key holds more than its maker`() throws {
        try withAccounts { site in
            let maker = try site.db.createAPIKey(in: site.workspace, scopes: ["keys:write", "events:write"])
            func make(_ scopes: JSONValue, as token: String) throws -> TestAnswer {
                try site.send("POST", "/api/api-keys", ["name": "Key", "scopes": scopes], as: token)
            }
            #expect(try make(["events:write"], as: maker.token).status == 201)
            #expect(try make(["events:write", "audience:read"], as: maker.token).status == 403)
            #expect(try make(["*"], as: maker.token).status == 403)
            #expect(try make(["*"], as: site.admin.token).status == 201)
            #expect(try make(["*"], as: site.manager.token).status == 403)
            #expect(try make(["everything"], as: site.owner.token).status == 422)
            #expect(try make([], as: site.owner.token).status == 422)
        }
    }

    @Test func `a key can have an end, but not in the past`() throws {
        try withAccounts { site in
            func make(_ end: JSONValue) throws -> TestAnswer {
                try site.send("POST", "/api/api-keys", ["name": "Key", "scopes": ["*"], "expires_at": end], as: site.owner)
            }
            #expect(try make("2020-01-01T00:00:00Z").code == "in_past")
            let made = try make("2999-01-01T00:00:00Z")
            #expect(made.json["expires_at"] == "2999-01-01T00:00:00.000000Z")
            try site.db.execute("UPDATE api_keys SET expires_at = now()")
            #expect(try site.send("GET", "/api/members", as: made.json["token"]?.string).status == 401)
        }
    }

    @Test func `a repeated request gives no second key and not the first one's secret`() throws {
        try withAccounts { site throws in
            let body: JSONValue = ["name": "Key", "scopes": ["*"]]
            func make() throws -> TestAnswer {
                try site.send("POST", "/api/api-keys", body, as: site.owner, headers: [("Idempotency-Key", "one-and-only")])
            }
            #expect(try make().status == 201)
            #expect(try make().code == "secret_shown_once")
            #expect(try site.items("/api/api-keys", as: site.owner).count == 1)
        }
    }
}
