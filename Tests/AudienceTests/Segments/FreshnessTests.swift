// Live segments follow their contacts, time, and the segments that they read.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

extension AudienceSite {
    /// Sweeps and rounds of freshness until nothing is left to do.
    func freshen() throws {
        let db = try database.connect(as: .worker)
        for _ in 0..<100 {
            while try Freshness.sweep(workspace, db) {}
            _ = try Freshness.round(workspace, db)
            if try owner.value("SELECT count(*) FROM dirty_contacts", as: Int.self) == 0 { return }
        }
        throw TestSupportError("contacts stay dirty")
    }

    /// A live segment that has been calculated.
    func live(_ name: String, _ match: JSONValue) throws -> String {
        let path = try segment(name, match)
        try calculate()
        try freshen()
        return path
    }

    /// Names of the members, in order.
    func members(_ path: String) throws -> [String] {
        (try send("GET", path + "/contacts?limit=200").json["items"]?.array ?? []).compactMap { $0["name"]?.string }.sorted()
    }
}

@Suite struct FreshnessTests {
    @Test func `whatever changes a contact changes its live segments, and no others are looked at`() throws {
        try withAudience { site throws in
            let a = try site.add(["name": "a", "status": "New", "attributes": ["city": "Oslo"]])["id"]?.string ?? ""
            let status = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            let city = try site.live("Oslo", ["field": "attributes.city", "op": "is", "value": "Oslo"])
            let quiet = try site.live("No orders", ["event": "order.placed", "count": ["is": 0]])
            let consent = try site.live("Opted in", ["consent": "sms", "state": "opted_in"])
            #expect(try site.members(status) == ["a"] && site.members(city) == ["a"] && site.members(quiet) == ["a"])
            #expect(try site.members(consent) == [])

            _ = try site.send("PATCH", "/api/contacts/\(a)", json: ["status": "Won", "attributes": ["city": "Rome"]])
            try site.owner.execute(
                "INSERT INTO events (workspace_id, contact_id, name, occurred_at) SELECT workspace_id, id, 'order.placed', now() FROM contacts"
            )
            _ = try site.send(
                "POST", "/api/consent", json: ["contact_id": .string(a), "channel": "sms", "state": "opted_in", "source": "form"])
            _ = try site.add(["name": "b", "status": "New", "attributes": ["city": "Oslo"]])
            try site.freshen()
            #expect(try site.members(status) == ["b"] && site.members(city) == ["b"] && site.members(quiet) == ["b"])
            #expect(try site.members(consent) == ["a"])
        }
    }

    @Test func `the history of a contact's fields is kept by value, and goes with the contact`() throws {
        try withAudience { site throws in
            let a = try site.add(["name": "a", "email": "a@example.com", "attributes": ["city": "Oslo", "n": 1]])["id"]?.string ?? ""
            _ = try site.send("PATCH", "/api/contacts/\(a)", json: ["email": "b@example.com", "attributes": ["city": "Rome", "new": [1]]])
            _ = try site.send("PATCH", "/api/contacts/\(a)", json: ["attributes": ["city": .null]])
            let changes: [String] = try site.owner.dynamic(
                "SELECT key || ': ' || coalesce(before::text, '-') || ' > ' || coalesce(after::text, '-') FROM contact_changes ORDER BY changed_at, key",
                [])
            #expect(
                changes == [
                    #"attributes.city: "Oslo" > "Rome""#, "attributes.new: - > [1]", #"email: "a@example.com" > "b@example.com""#,
                    #"attributes.city: "Rome" > -"#,
                ])
            #expect(try site.send("DELETE", "/api/contacts/\(a)").status == 204)
            #expect(try site.count("contact_changes") == 0)
        }
    }

    @Test func `a list, and its members, are followed`() throws {
        try withAudience { site throws in
            let a = try site.add(["name": "a"])["id"]!
            let list = try site.send("POST", "/api/lists", json: ["name": "VIP"]).json["id"]!
            let path = try site.live("VIPs", ["list": list])
            #expect(try site.send("POST", "/api/lists/\(list.string!)/add", json: ["contact_ids": [a]]).status == 200)
            try site.freshen()
            #expect(try site.members(path) == ["a"])
            #expect(try site.send("POST", "/api/lists/\(list.string!)/remove", json: ["contact_ids": [a]]).status == 200)
            try site.freshen()
            #expect(try site.members(path) == [])
        }
    }

    @Test func `ten segments deep, each follows the one that it reads, in one round`() throws {
        try withAudience { site throws in
            let a = try site.add(["name": "a", "status": "New"])["id"]?.string ?? ""
            var paths = [try site.live("Depth 0", ["field": "status", "op": "is", "value": "New"])]
            for depth in 1..<10 {
                let read: JSONValue = ["segment": .string(String(paths[depth - 1].dropFirst("/api/segments/".count)))]
                paths.append(try site.live("Depth \(depth)", depth % 2 == 0 ? read : ["not": read]))
            }
            func expected(_ isNew: Bool) -> [[String]] {
                (0..<10).map { depth in (isNew == [0, 3].contains(depth % 4)) ? ["a"] : [] }
            }
            #expect(try paths.map { try site.members($0) } == expected(true))
            _ = try site.send("PATCH", "/api/contacts/\(a)", json: ["status": "Won"])
            _ = try Freshness.round(site.workspace, try site.database.connect(as: .worker))
            #expect(try paths.map { try site.members($0) } == expected(false))
        }
    }

    @Test func `an entry and an exit are told once each, in the history and as events`() throws {
        try withAudience { site throws in
            let a = try site.add(["name": "a"])["id"]?.string ?? ""
            let path = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            for status in ["New", "New", "Won", "Lost"] as [JSONValue] {
                _ = try site.send("PATCH", "/api/contacts/\(a)", json: ["status": status, "name": "a"])
                try site.freshen()
                try site.freshen()
            }
            let history = try site.send("GET", path + "/history").json["items"]?.array ?? []
            #expect(history.map { $0["change"] } == ["exited", "entered"])
            let events = try site.send("GET", "/api/contacts/\(a)/events").json["items"]?.array ?? []
            #expect(events.map { $0["name"] } == ["segment.exited", "segment.entered"])
            let id = JSONValue.string(String(path.dropFirst("/api/segments/".count)))
            #expect(events.allSatisfy { $0["properties"] == ["segment_id": id, "segment": "New"] })
            #expect(events.map { $0["occurred_at"] } == history.map { $0["occurred_at"] })
        }
    }

    @Test func `membership marks nothing, and a change that no rule reads costs one look at the mark`() throws {
        try withAudience { site throws in
            let a = try site.add(["name": "a", "status": "New"])["id"]?.string ?? ""
            _ = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            #expect(try site.count("dirty_contacts") == 0)
            let before: String = try site.owner.value("SELECT string_agg(xmin::text || ctid::text, ' ') FROM segments")
            _ = try site.send("PATCH", "/api/contacts/\(a)", json: ["first_name": "Ada"])
            try site.freshen()
            #expect(try site.owner.value("SELECT string_agg(xmin::text || ctid::text, ' ') FROM segments") == before)
        }
    }

    @Test func `while a calculation is at a segment, its changes wait and are not lost`() throws {
        try withAudience { site throws in
            let path = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            let id = try #require(idOf(path).string.flatMap { SegmentID($0) })
            let (holder, worker) = (try site.database.connect(), try site.database.connect(as: .worker))
            try holder.transaction { holder in
                _ = try holder.one(SegmentSQL.lockCalculation, id)
                _ = try site.add(["name": "a", "status": "New"])
                for _ in 0..<3 { _ = try Freshness.round(site.workspace, worker) }
                #expect(try site.members(path) == [] && site.count("dirty_contacts") == 1)
            }
            try site.freshen()
            #expect(try site.members(path) == ["a"])
        }
    }

    @Test func `a contact that somebody is deleting is not waited for`() throws {
        try withAudience { site throws in
            let path = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            for name in ["a", "b"] { _ = try site.add(["name": .string(name), "status": "New"]) }
            let (deleter, worker) = (try site.database.connect(), try site.database.connect(as: .worker))
            try deleter.transaction { deleter in
                try deleter.execute("DELETE FROM contacts WHERE name = 'a'")
                _ = try Freshness.round(site.workspace, worker)
                #expect(try site.members(path) == ["b"])
            }
            try site.freshen()
            #expect(try site.members(path) == ["b"])
        }
    }

    @Test func `a segment tells as of when it is: now, or when the oldest change came that waits`() throws {
        try withAudience { site throws in
            let path = try site.live("All", ["all": []])
            func asOf() throws -> Instant { try #require(Instant(rfc3339: try site.send("GET", path).json["as_of"]?.string ?? "")) }
            let before = Instant.now()
            #expect(try asOf() >= before)
            _ = try site.add(["name": "a"])
            let after = Instant.now()
            #expect(try asOf() < after)
            try site.freshen()
            #expect(try asOf() >= after)
        }
    }

    @Test func `a segment that is not live is left alone until its schedule asks`() throws {
        try withAudience { site throws in
            let path = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            _ = try site.send("PATCH", path, json: ["schedule": ["kind": "every", "minutes": 5]])
            _ = try site.add(["name": "a", "status": "New"])
            try site.freshen()
            #expect(try site.calculate().isEmpty && site.members(path) == [])
            try site.owner.execute("UPDATE segments SET next_refresh_at = now() - interval '1 second'")
            try site.freshen()
            #expect(try site.calculate().count == 1 && site.members(path) == ["a"])
            #expect(try site.owner.value("SELECT bool_and(next_refresh_at > now() + interval '4 minutes') FROM segments"))
        }
    }

    @Test func `another time zone of the workspace calculates live segments anew, and moves daily ones`() throws {
        try withAudience { site throws in
            _ = try site.send("PUT", "/api/fields/attributes.at", json: ["type": "time"])
            _ = try site.add(["name": "a", "attributes": ["at": "2026-03-01T12:00"]])
            let path = try site.live("Noon", ["field": "attributes.at", "op": "before", "value": "2026-03-01T12:00:00Z"])
            let daily = try site.segment("Daily", ["all": []])
            _ = try site.send("PATCH", daily, json: ["schedule": ["kind": "daily", "at": "06:30"]])
            let before = try site.send("GET", daily).json["next_refresh_at"]
            #expect(try site.members(path) == [])
            try site.owner.execute("UPDATE workspaces SET timezone = 'Asia/Tokyo'")
            #expect(try site.send("GET", path).json["state"] == "stale")
            try site.calculate()
            #expect(try site.members(path) == ["a"])
            #expect(try site.send("GET", daily).json["next_refresh_at"] != before)
        }
    }

    @Test func `one dirty value does not change the type of a field that a segment reads`() throws {
        try withAudience { site throws in
            _ = try site.add(["name": "a", "attributes": ["score": 7]])
            let path = try site.live("High", ["field": "attributes.score", "op": "more_than", "value": 5])
            _ = try site.add(["name": "b", "attributes": ["score": "n/a"]])
            _ = try site.add(["name": "c", "attributes": ["score": 8]])
            try site.freshen()
            #expect(try site.send("GET", path).json["state"] == "ready")
            #expect(try site.members(path) == ["a", "c"])
        }
    }

    @Test func `many changes beside a calculation ask for one more, and do not go round`() throws {
        try withAudience { site throws in
            let path = try site.live("New", ["field": "status", "op": "is", "value": "New"])
            let id = try #require(idOf(path).string.flatMap { SegmentID($0) })
            let (holder, worker) = (try site.database.connect(), try site.database.connect(as: .worker))
            try holder.transaction { holder in
                _ = try holder.one(SegmentSQL.lockCalculation, id)
                try site.owner.execute(
                    """
                    INSERT INTO contacts (workspace_id, ordinal, name, status)
                    SELECT id, n, 'c' || n, 'New' FROM workspaces, generate_series(1, 300) n
                    """)
                for _ in 0..<3 { _ = try Freshness.round(site.workspace, worker) }
                #expect(try site.count("dirty_contacts") == 0)
                #expect(try site.owner.value("SELECT count(*) FROM jobs WHERE state = 'queued'") == 1)
            }
            try site.calculate()
            #expect(try site.send("GET", path).json["member_count"] == 300)
        }
    }

    @Test func `whoever was written to gets the date, and segments that read it follow`() throws {
        try withAudience { site throws in
            let a = try site.add(["name": "a"])["id"]?.string ?? ""
            let path = try site.live("Never", ["field": "last_contacted_at", "op": "is_unknown"])
            #expect(try site.members(path) == ["a"])
            let sentAt = "2026-11-20T10:00:00Z"
            try site.owner.execute(
                """
                INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, state, due_at, created_at)
                SELECT workspace_id, uuid_v7(), id, uuid_v7(), 'sms', '+12025550123', 'pending', now(), now() FROM contacts;
                UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now();
                UPDATE messages SET state = 'started', attempt = 1, started_at = now(), body = 'Hi', parts = 1;
                UPDATE messages SET state = 'sent', sid = 'SM1', sent_at = '\(sentAt)', lease_token = NULL, lease_until = NULL;
                """)
            try site.freshen()
            #expect(try site.members(path) == [])
            #expect(try site.send("GET", "/api/contacts/\(a)").json["last_contacted_at"] == "2026-11-20T10:00:00.000000Z")
        }
    }
}
