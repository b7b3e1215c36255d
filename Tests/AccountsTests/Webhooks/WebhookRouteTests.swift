import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Accounts

@Suite struct WebhookRouteTests {
    private static let draft: JSONValue = [
        "url": "https://example.com/hooks", "event_types": ["contact.created", "campaign.finished", "contact.created"],
        "description": "CRM",
    ]

    private func make(_ site: AccountsSite, _ draft: JSONValue = draft) throws -> (path: String, secret: String) {
        let made = try site.send("POST", "/api/webhooks", draft, as: site.admin)
        try #require(made.status == 201, "\(made.text)")
        return (try #require(made.header("Location")), try #require(made.json["secret"]?.string))
    }

    /// Deliveries of a webhook in a state, as the worker would leave them. Returns their ids, oldest first.
    private func deliver(_ site: AccountsSite, _ path: String, _ state: String, _ count: Int = 1, hoursAgo: Int = 0) throws -> [String] {
        try site.db.transaction { db throws in
            try db.setWorkspace(site.workspace)
            return try db.dynamic(
                """
                WITH made AS (
                    INSERT INTO webhook_events (workspace_id, type, data, occurred_at)
                    SELECT current_workspace(), 'webhook.test', jsonb_build_object('n', n),
                           now() - make_interval(hours => $4::int) + make_interval(secs => n)
                      FROM generate_series(1, $3::int) n RETURNING id, type, occurred_at)
                INSERT INTO webhook_deliveries (workspace_id, created_at, endpoint_id, event_id, type, state, step, due_at, settled_at, attempts)
                SELECT current_workspace(), m.occurred_at, $1::uuid, m.id, m.type, $2::text, 10,
                       CASE WHEN $2 = 'pending' THEN now() END, CASE WHEN $2 <> 'pending' THEN now() END,
                       '[{"at": "2026-11-21T03:30:00Z", "status": 500, "milliseconds": 12, "error": "It answered 500.", "answer": "no"}]'
                  FROM made m ORDER BY m.occurred_at RETURNING id::text
                """,
                [
                    String(path.split(separator: "/").last!).sqlValue, state.sqlValue, count.sqlValue, hoursAgo.sqlValue,
                ])
        }
    }

    @Test func `a webhook's secret is shown when it is made and never again, and stored sealed`() throws {
        try withAccounts { site throws in
            let (path, secret) = try make(site)
            #expect(secret.hasPrefix("whsec_"))
            let shown = try site.send("GET", path, as: site.owner)
            #expect(shown.json["secret"] == nil && shown.json["event_types"] == ["campaign.finished", "contact.created"])
            #expect(shown.json["status"] == "active" && shown.header("ETag") == "\"v1\"")
            #expect(try site.items("/api/webhooks", as: site.owner).allSatisfy { $0["secret"] == nil })
            let stored: String = try site.db.value("SELECT encode(sealed_secret, 'escape') FROM webhook_endpoints")
            #expect(!stored.contains(secret.dropFirst(6)))
            #expect(try site.send("GET", path, as: site.stranger).status == 404 && site.send("GET", path, as: site.manager).status == 403)
        }
    }

    @Test func `a webhook is changed by its version, deleted, and all of it is audited without its address`() throws {
        try withAccounts { site throws in
            let (path, _) = try make(site)
            let old = [("If-Match", "\"v9\"")]
            #expect(try site.send("PATCH", path, ["description": "x"], as: site.admin, headers: old).status == 412)
            let changed = try site.send("PATCH", path, ["event_types": ["contact.deleted"]], as: site.admin)
            #expect(changed.json["event_types"] == ["contact.deleted"] && changed.json["description"] == "CRM")
            #expect(changed.json["url"] == "https://example.com/hooks" && changed.header("ETag") == "\"v2\"")
            #expect(try site.send("POST", path + "/disable", as: site.admin).json["status_reason"] == "asked")
            #expect(try site.send("POST", path + "/disable", as: site.admin).status == 200)
            #expect(try site.send("POST", path + "/enable", as: site.admin).json["status"] == "active")
            #expect(try site.send("DELETE", path, as: site.admin).status == 204)
            #expect(try site.send("GET", path, as: site.admin).status == 404)
            #expect(
                try site.audited() == ["webhook.created", "webhook.changed", "webhook.disabled", "webhook.enabled", "webhook.deleted"])
            #expect(try !site.send("GET", "/api/audit-log", as: site.owner).text.contains("example.com"))
        }
    }

    @Test(arguments: [
        "https://127.0.0.1/", "http://example.com/", "https://169.254.169.254/", "https://localhost/", "https://a:b@example.com/",
    ])
    func `an address that is not of the public internet is refused when it is saved, made or changed`(url: String) throws {
        try withAccounts { site throws in
            let (path, _) = try make(site)
            let draft: JSONValue = ["url": .string(url), "event_types": ["contact.created"]]
            for answer in [
                try site.send("POST", "/api/webhooks", draft, as: site.admin),
                try site.send("PATCH", path, ["url": .string(url)], as: site.admin),
            ] {
                #expect(answer.status == 422 && answer.json["errors"]?.array?.first?["pointer"] == "/url", "\(answer.text)")
            }
            #expect(try site.items("/api/webhooks", as: site.owner).count == 1)
        }
    }

    @Test func `what nobody can hear of is no event type, and a workspace has twenty webhooks at most`() throws {
        try withAccounts { site throws in
            for types in [[], ["webhook.test"], ["contact.everything"]] as [JSONValue] {
                #expect(
                    try site.send("POST", "/api/webhooks", ["url": "https://example.com", "event_types": types], as: site.admin).status
                        == 422)
            }
            for _ in 0..<20 { _ = try make(site) }
            #expect(try site.send("POST", "/api/webhooks", Self.draft, as: site.admin).code == "too_many_webhooks")
            #expect(try site.send("POST", "/api/webhooks", Self.draft, as: site.stranger).status == 201)
        }
    }

    @Test func `a new secret is shown once, and the one before is kept for a day`() throws {
        try withAccounts { site throws in
            let (path, secret) = try make(site)
            let rotated = try site.send("POST", path + "/rotate-secret", as: site.admin)
            let new = try #require(rotated.json["secret"]?.string)
            #expect(rotated.status == 200 && new != secret)
            #expect(
                try site.db.value(
                    "SELECT previous_secret_until BETWEEN now() + interval '23 hours' AND now() + interval '25 hours' AND previous_sealed_secret <> sealed_secret FROM webhook_endpoints"
                ))
            #expect(try site.send("GET", path, as: site.admin).json["previous_secret_until"]?.string != nil)
            try site.db.execute("UPDATE webhook_endpoints SET previous_secret_until = now() - interval '1 second'")
            #expect(try site.send("GET", path, as: site.admin).json["previous_secret_until"] == .null)
            let again = [("Idempotency-Key", "once")]
            #expect(try site.send("POST", path + "/rotate-secret", as: site.admin, headers: again).status == 200)
            #expect(try site.send("POST", path + "/rotate-secret", as: site.admin, headers: again).code == "secret_shown_once")
        }
    }

    @Test func `a test is one delivery to that webhook alone, whatever it hears of, and none to a disabled one`() throws {
        try withAccounts { site throws in
            let (path, _) = try make(site)
            _ = try make(site)
            let tested = try site.send("POST", path + "/test", as: site.admin)
            #expect(tested.status == 202 && tested.json["state"] == "pending" && tested.json["type"] == "webhook.test")
            let delivery = try site.send("GET", try #require(tested.header("Location")), as: site.admin).json
            let body = try JSONValue(parsing: Array((delivery["body"]?.string ?? "").utf8))
            #expect(body["type"] == "webhook.test" && body["data"]?["webhook_id"] == delivery["webhook_id"])
            #expect(body.object?.keys.map { $0 } == ["type", "timestamp", "data"] && delivery["attempts"] == [])
            #expect(try site.db.value("SELECT count(*) FROM webhook_deliveries", as: Int.self) == 1)
            _ = try site.send("POST", path + "/disable", as: site.admin)
            #expect(try site.send("POST", path + "/test", as: site.admin).code == "webhook_disabled")
        }
    }

    @Test func `the log is listed newest first, all or in one state, and tells each attempt`() throws {
        try withAccounts { site throws in
            let (path, _) = try make(site)
            let failed = try deliver(site, path, "failed", 3)
            let delivered = try deliver(site, path, "delivered", hoursAgo: 1)
            func ids(_ query: String = "") throws -> [String?] {
                try site.items(path + "/deliveries" + query, as: site.owner).map { $0["id"]?.string }
            }
            #expect(try ids() == failed.reversed() + delivered && ids("?state=failed") == failed.reversed() && ids("?state=pending") == [])
            let shown = try site.send("GET", "/api/webhook-deliveries/\(failed[0])", as: site.owner).json
            #expect(shown["last_status"] == 500 && shown["last_error"] == "It answered 500." && shown["last_milliseconds"] == 12)
            #expect(shown["attempts"]?.array?.first?["answer"] == "no")
            #expect(try site.send("GET", "/api/webhook-deliveries/\(failed[0])", as: site.stranger).status == 404)
            #expect(try site.send("GET", path + "/deliveries", as: site.stranger).status == 404)
            _ = try site.send("DELETE", path, as: site.admin)
            #expect(try site.send("GET", "/api/webhook-deliveries/\(failed[0])", as: site.owner).status == 404)
        }
    }

    @Test func `what has ended is delivered again with the whole schedule before it, what has not is not`() throws {
        try withAccounts { site throws in
            let (path, _) = try make(site)
            let ended = try deliver(site, path, "failed") + deliver(site, path, "delivered")
            let pending = try deliver(site, path, "pending")[0]
            for id in ended {
                #expect(try site.send("POST", "/api/webhook-deliveries/\(id)/replay", as: site.stranger).status == 404)
                let replayed = try site.send("POST", "/api/webhook-deliveries/\(id)/replay", as: site.admin)
                #expect(replayed.status == 202 && replayed.json["state"] == "pending" && replayed.json["next_attempt_at"] != .null)
                #expect(
                    try site.db.value("SELECT step = 0 AND settled_at IS NULL FROM webhook_deliveries WHERE id = $1::uuid", id.sqlValue))
            }
            #expect(try site.send("POST", "/api/webhook-deliveries/\(pending)/replay", as: site.admin).code == "delivery_under_way")
            _ = try site.send("POST", path + "/disable", as: site.admin)
            #expect(try site.send("POST", "/api/webhook-deliveries/\(ended[0])/replay", as: site.admin).code == "webhook_disabled")
        }
    }

    @Test func `all that failed since a time is delivered again, of that webhook alone`() throws {
        try withAccounts { site throws in
            let (path, _) = try make(site)
            let (other, _) = try make(site)
            let early = try deliver(site, path, "failed", 2, hoursAgo: 5)
            let late = try deliver(site, path, "failed", 3, hoursAgo: 1)
            let rest = try deliver(site, path, "delivered") + deliver(site, other, "failed")
            let since: String = try site.db.value("SELECT rfc3339(now() - interval '2 hours')")
            let replayed = try site.send("POST", path + "/replay", ["since": .string(since)], as: site.admin)
            #expect(replayed.status == 202 && replayed.json["replayed"] == 3 && replayed.json["has_more"] == false)
            let pending: [String] = try site.db.dynamic(
                "SELECT id::text FROM webhook_deliveries WHERE state = 'pending' ORDER BY created_at", [])
            #expect(pending == late)
            #expect(
                try site.db.value("SELECT count(*) FROM webhook_deliveries WHERE state <> 'pending'", as: Int.self) == early.count
                    + rest.count)
        }
    }

    @Test func `a delivery takes no arrow that is not drawn`() throws {
        try withDatabase { db throws in
            for (before, after) in [
                ("pending", "delivered"), ("delivered", "delivering"), ("failed", "delivering"), ("delivered", "failed"),
                ("failed", "delivered"),
            ] {
                #expect(try !db.value("SELECT webhook_delivery_may_become($1, $2)", before.sqlValue, after.sqlValue, as: Bool.self))
            }
        }
    }
}
