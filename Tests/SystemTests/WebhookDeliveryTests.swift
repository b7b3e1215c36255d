// Webhooks as they are delivered: the worker, a receiver of the test's own, and whatever goes wrong between them.
import Foundation
import Glibc
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

/// A workspace with webhooks, a server that delivers them, and their receiver.
private final class WebhookSite {
    let server: ServerUnderTest
    let receiver: ScriptedServer
    let db: Connection
    let workspace: WorkspaceID
    private let token: String

    init(
        _ database: TestDatabase, allowsPrivate: Bool, _ script: @escaping @Sendable (ScriptedServer.Received, Int) -> ScriptedServer.Answer
    ) throws {
        server = try ServerUnderTest(
            database, [.accounts, .worker], variables: ["MUSTER_WEBHOOK_ALLOW_PRIVATE": allowsPrivate ? "yes" : "no"])
        receiver = try ScriptedServer(script)
        db = try database.connect()
        workspace = try db.createWorkspace()
        token = try db.createAPIKey(in: workspace).token
    }

    func stop() {
        receiver.stop()
        server.stop()
    }

    func send(_ method: String, _ path: String, _ json: JSONValue? = nil) throws -> TestAnswer {
        guard let json else { return try server.send(method, path, token: token) }
        return try server.send(method, path, token: token, json: json)
    }

    /// A webhook at `path` of the receiver. Returns its path here and its secret.
    func make(_ path: String, hears types: [String] = ["contact.created"]) throws -> (path: String, secret: String) {
        let made = try send(
            "POST", "/api/webhooks", ["url": .string(receiver.url + path), "event_types": .array(types.map { .string($0) })])
        try #require(made.status == 201, "\(made.text)")
        return (try #require(made.header("Location")), try #require(made.json["secret"]?.string))
    }

    /// Asks for a test. Returns the delivery's path.
    func test(_ webhook: String) throws -> String { try #require(try send("POST", webhook + "/test").header("Location")) }

    func delivery(_ path: String) throws -> JSONValue { try send("GET", path).json }

    func arrived(_ path: String) -> [ScriptedServer.Received] { receiver.received.filter { $0.line.hasPrefix("POST \(path) ") } }

    func waitFor(_ delivery: String, _ state: String, attempts: Int64? = nil, seconds: Double = 30) throws {
        try waitUntil("\(delivery) is \(state)", seconds: seconds) {
            let now = try self.delivery(delivery)
            return now["state"] == .string(state) && (attempts == nil || now["attempt_count"] == .integer(attempts!))
        }
    }

    /// As if the pause before the next attempt were over.
    func hurry() throws {
        try db.execute(
            "UPDATE webhook_deliveries SET due_at = now() WHERE state = 'pending'; UPDATE webhook_endpoints SET rests_until = NULL")
    }
}

private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
private func status(_ status: Int, _ headers: String = "") -> String { "HTTP/1.1 \(status) X\r\n\(headers)Content-Length: 0\r\n\r\n" }

private func withWebhooks(
    allowsPrivate: Bool = true, _ script: @escaping @Sendable (ScriptedServer.Received, Int) -> ScriptedServer.Answer,
    _ body: (WebhookSite) throws -> Void
) throws {
    try withOwnDatabase { database throws in
        let site = try WebhookSite(database, allowsPrivate: allowsPrivate, script)
        defer { site.stop() }
        try body(site)
    }
}

@Suite struct WebhookDeliveryTests {
    @Test func `a change arrives once, signed, at every webhook that hears of it; a rotation signs with both secrets`() throws {
        try withWebhooks({ _, _ in .send(ok) }) { site in
            let (path, secret) = try site.make("/one")
            _ = try site.make("/deaf", hears: ["campaign.finished"])
            let new = try #require(try site.send("POST", path + "/rotate-secret").json["secret"]?.string)
            try site.db.transaction { db throws in
                try db.setWorkspace(site.workspace)
                try db.execute(
                    "INSERT INTO contacts (workspace_id, ordinal, phone) VALUES (current_workspace(), take_ordinals(1) + 1, '+12025550123')"
                )
            }
            try waitUntil("it arrived") { !site.arrived("/one").isEmpty }
            let listed = try #require(try site.send("GET", path + "/deliveries").json["items"]?.array?.first?["id"]?.string)
            let delivery = "/api/webhook-deliveries/\(listed)"
            try site.waitFor(delivery, "delivered", attempts: 1)
            let arrived = site.arrived("/one")
            #expect(arrived.count == 1 && site.arrived("/deaf").isEmpty)
            let (request, body) = (arrived[0], String(decoding: arrived[0].body, as: UTF8.self))
            #expect(request.header("content-type") == "application/json" && !body.contains("+1202"))
            for key in [secret, new] {
                #expect(
                    StandardWebhooks.verify(
                        key: key, id: request.header("webhook-id") ?? "", timestamp: request.header("webhook-timestamp") ?? "",
                        signature: request.header("webhook-signature") ?? "", body: body, now: Int64(time(nil))))
            }
            let shown = try site.delivery(delivery)
            #expect(shown["body"]?.string == body && shown["event_id"]?.string == request.header("webhook-id"))
            #expect(shown["attempts"]?.array?.first?["answer"] == "OK" && shown["last_status"] == 200)
            let sent = try JSONValue(parsing: request.body)
            #expect(sent["type"] == "contact.created" && sent["data"]?["contact_ids"]?.array?.count == 1)
        }
    }

    @Test func `what fails is tried again with the same id and body after a pause, and can be replayed afterwards`() throws {
        try withWebhooks({ request, _ in .send(request.line.contains("/flaky") ? status(500) : ok) }) { site in
            let (path, _) = try site.make("/flaky")
            let delivery = try site.test(path)
            try site.waitFor(delivery, "pending", attempts: 1)
            #expect(try site.delivery(delivery)["last_error"] == "It answered 500.")
            #expect(
                try site.db.value(
                    "SELECT due_at BETWEEN (attempts -> -1 ->> 'at')::timestamptz + interval '5 s' AND (attempts -> -1 ->> 'at')::timestamptz + interval '5.6 s' FROM webhook_deliveries"
                ))
            try site.hurry()
            try site.waitFor(delivery, "pending", attempts: 2)
            _ = try site.send("PATCH", path, ["url": .string(site.receiver.url + "/mended")])
            try site.hurry()
            try site.waitFor(delivery, "delivered", attempts: 3)
            #expect(try site.send("GET", path).json["failing_since"] == .null)
            #expect(try site.send("POST", delivery + "/replay").status == 202)
            try site.waitFor(delivery, "delivered", attempts: 4)
            let requests = site.arrived("/flaky") + site.arrived("/mended")
            #expect(requests.count == 4 && Set(requests.map { $0.header("webhook-id") }).count == 1 && Set(requests.map(\.body)).count == 1)
        }
    }

    @Test func `after the last attempt of the schedule a delivery has failed`() throws {
        try withWebhooks({ _, _ in .send(status(404)) }) { site in
            let (path, _) = try site.make("/nothing")
            try site.db.execute("ALTER TABLE webhook_deliveries ALTER step SET DEFAULT 9")
            let delivery = try site.test(path)
            try site.waitFor(delivery, "failed", attempts: 1)
            #expect(try site.delivery(delivery)["next_attempt_at"] == .null)
            #expect(try site.send("GET", path).json["status"] == "active")
        }
    }

    @Test func `a receiver that is gone is disabled at once, with a notice, and the others are told`() throws {
        try withWebhooks({ request, _ in .send(request.line.contains("/gone") ? status(410) : ok) }) { site in
            let (path, _) = try site.make("/gone")
            _ = try site.make("/watch", hears: ["webhook.disabled"])
            let delivery = try site.test(path)
            try site.waitFor(delivery, "failed", attempts: 1)
            let webhook = try site.send("GET", path).json
            #expect(webhook["status"] == "disabled" && webhook["status_reason"] == "gone")
            let notices = try site.send("GET", "/api/notices").json["items"]?.array ?? []
            #expect(notices.count == 1 && notices[0]["kind"] == "webhook.disabled" && notices[0]["subject"]?["webhook_id"] == webhook["id"])
            try waitUntil("the other heard of it") { !site.arrived("/watch").isEmpty }
            let told = try JSONValue(parsing: site.arrived("/watch")[0].body)
            #expect(told["type"] == "webhook.disabled" && told["data"]?["webhook_id"] == webhook["id"])
        }
    }

    @Test func `a receiver at which nothing arrives for five days is disabled, with a notice, not before and not for a few failures`()
        throws
    {
        try withWebhooks({ _, _ in .send(status(500)) }) { site in
            func fail(since: String, after failures: Int) throws -> JSONValue {
                let (path, _) = try site.make("/dead")
                let id = String(path.split(separator: "/").last!)
                try site.db.runDynamic(
                    "UPDATE webhook_endpoints SET failing_since = now() - $2::interval, failures = $3 WHERE id = $1::uuid",
                    [id.sqlValue, since.sqlValue, failures.sqlValue])
                try site.waitFor(try site.test(path), "pending", attempts: 1)
                return try site.send("GET", path).json
            }
            #expect(try fail(since: "4 days 23 hours", after: 100)["status"] == "active")
            #expect(try fail(since: "30 days", after: 8)["status"] == "active")
            #expect(try site.send("GET", "/api/notices").json["items"] == [])
            let webhook = try fail(since: "5 days 1 second", after: 9)
            #expect(webhook["status"] == "disabled" && webhook["status_reason"] == "failing")
            #expect(try site.send("GET", "/api/notices").json["items"]?.array?.first?["subject"]?["webhook_id"] == webhook["id"])
        }
    }

    @Test func `a redirection is not followed, and a busy receiver gets the rest that it asks for`() throws {
        try withWebhooks({ request, _ in
            .send(
                request.line.contains("/busy")
                    ? status(429, "Retry-After: 600\r\n") : request.line.contains("/moved") ? status(302, "Location: /inside\r\n") : ok)
        }) { site in
            let moved = try site.test(try site.make("/moved").path)
            try site.waitFor(moved, "pending", attempts: 1)
            #expect(try site.delivery(moved)["last_error"]?.string?.contains("redirection") == true)
            let busy = try site.make("/busy").path
            let delivery = try site.test(busy)
            try site.waitFor(delivery, "pending", attempts: 1)
            #expect(
                try site.db.value(
                    "SELECT min(due_at) > now() + interval '9 minutes' FROM webhook_deliveries WHERE id = $1::uuid",
                    String(delivery.split(separator: "/").last!).sqlValue))
            // Another delivery of it is not even begun.
            let next = try site.test(busy)
            let other = try site.test(try site.make("/fine").path)
            try site.waitFor(other, "delivered")
            #expect(try site.delivery(next)["attempt_count"] == 0)
            #expect(site.arrived("/inside").isEmpty && site.arrived("/moved").count == 1 && site.arrived("/busy").count == 1)
        }
    }

    @Test func `a receiver that hangs keeps nobody else waiting, and its attempts end`() throws {
        try withWebhooks({ request, _ in request.line.contains("/slow") ? .silence : .send(ok) }) { site in
            let slow = try site.make("/slow").path
            // Four at once, 15 seconds each: all of them would take minutes.
            let hanging = try (0..<60).map { _ in try site.test(slow) }
            try waitUntil("it hangs") { !site.arrived("/slow").isEmpty }
            let fast = try site.make("/fast").path
            for _ in 0..<20 { try site.waitFor(try site.test(fast), "delivered") }
            #expect(site.arrived("/fast").count == 20)
            try waitUntil("an attempt has ended", seconds: 60) {
                try hanging.contains { try site.delivery($0)["last_error"]?.string?.hasPrefix("No answer: ") == true }
            }
            #expect(site.arrived("/slow").count <= 8)
            #expect(try site.send("GET", slow).json["failing_since"]?.string != nil)
        }
    }

    @Test func `a worker that is killed in the middle loses nothing: it arrives again with the same id`() throws {
        try withWebhooks({ _, before in before == 0 ? .silence : .send(ok) }) { site in
            let delivery = try site.test(try site.make("/hook").path)
            try waitUntil("the request left") { site.arrived("/hook").count == 1 }
            try site.server.signal(SIGKILL, "worker")
            #expect(try site.delivery(delivery)["state"] == "delivering")
            // As if the lease had run out.
            try site.db.execute("UPDATE webhook_deliveries SET lease_until = now() - interval '1 second' WHERE state = 'delivering'")
            try site.waitFor(delivery, "delivered", attempts: 2)
            let requests = site.arrived("/hook")
            #expect(requests.count == 2 && Set(requests.map { $0.header("webhook-id") }).count == 1)
            let attempts = try site.delivery(delivery)["attempts"]?.array ?? []
            #expect(attempts.count == 2 && attempts[0]["error"]?.string?.contains("may have arrived") == true)
        }
    }

    @Test func `whatever was saved, nothing is delivered into a private network`() throws {
        try withWebhooks(allowsPrivate: false, { _, _ in .send(ok) }) { site in
            let port = try #require(site.receiver.url.split(separator: ":").last)
            for host in ["127.0.0.1", "localhost", "2130706433"] {
                let made = try site.send("POST", "/api/webhooks", ["url": "https://example.com", "event_types": ["contact.created"]])
                let path = try #require(made.header("Location"))
                #expect(try site.send("PATCH", path, ["url": .string("https://\(host):\(port)/")]).status == 422)
                // As if the name led elsewhere when it was saved.
                try site.db.runDynamic(
                    "UPDATE webhook_endpoints SET url = $1 WHERE url = 'https://example.com'", ["http://\(host):\(port)/".sqlValue])
                let delivery = try site.test(path)
                try site.waitFor(delivery, "pending", attempts: 1)
                #expect(try site.delivery(delivery)["last_error"]?.string?.contains("not one of the public internet") == true, "\(host)")
            }
            #expect(site.receiver.connectionCount == 0)
        }
    }
}
