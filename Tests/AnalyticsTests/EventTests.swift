import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct EventTests {
    private func event(_ contact: JSONValue, _ name: String = "order.placed", key: String? = nil, at: String? = nil) -> JSONValue {
        var event: JSONObject = ["contact": contact, "name": .string(name)]
        if let key { event["dedupe_key"] = .string(key) }
        if let at { event["occurred_at"] = .string(at) }
        return .object(event)
    }
    private func stored(_ site: AnalyticsSite) throws -> Int { try site.db.value("SELECT count(*) FROM events") }

    @Test func `an event finds its contact by id, external id, e-mail or phone`() throws {
        try withAnalytics { site in
            let contact = try site.contacts(1)[0]
            for who: JSONValue in [
                ["id": .string(contact.description)], ["external_id": "c1"], ["email": "C1@Example.com"], ["phone": "+12025550001"],
            ] {
                let answer = try site.post("/api/events", event(who))
                #expect(answer.status == 202 && answer.json == ["accepted": 1, "duplicates": 0, "rejected": []])
            }
            #expect(try site.db.value("SELECT count(*) FROM events WHERE contact_id = $1", contact.sqlValue) == 4)
            #expect(try site.post("/api/events", event(["email": "nobody@example.com"])).code == "unknown_contact")
            #expect(try site.post("/api/events", event([:])).code == "exactly_one")
            #expect(try site.post("/api/events", event(["external_id": "c1", "email": "c1@example.com"])).code == "exactly_one")
            #expect(try stored(site) == 4)
        }
    }

    @Test func `a contact of another workspace is nobody`() throws {
        try withAnalytics { site in
            let contact = try site.contacts(1)[0]
            let foreign = try site.db.createAPIKey(in: try site.db.createWorkspace("Other"))
            for who: JSONValue in [["id": .string(contact.description)], ["external_id": "c1"]] {
                let answer = try site.responder.send("POST", "/api/events", token: foreign.token, json: event(who))
                #expect(answer.status == 422 && answer.code == "unknown_contact")
            }
            #expect(try stored(site) == 0)
        }
    }

    @Test func `entries and exits of segments are nobody's to send`() throws {
        try withAnalytics { site in
            _ = try site.contacts(1)
            var forged = event(["external_id": "c1"]).object!
            forged["name"] = "segment.entered"
            let answer = try site.post("/api/events", ["events": [.object(forged)]])
            let error = answer.json["rejected"]?.array?.first?["errors"]?.array?.first
            #expect(error?["code"] == "reserved_event" && error?["pointer"] == "/events/0/name", "\(answer.text)")
            #expect(try stored(site) == 0)
        }
    }

    @Test(arguments: [true, false])
    func `of a batch everything that is right is in, and the rest is told with its place`(asArray: Bool) throws {
        try withAnalytics { site in
            _ = try site.contacts(2)
            let list: JSONValue = [
                event(["external_id": "c1"]), ["contact": ["external_id": "c2"]], event(["external_id": "nobody"]), 7,
                event(["external_id": "c2"], at: "2999-01-01T00:00:00Z"), event(["external_id": "c2"]),
            ]
            let answer = try site.post("/api/events", asArray ? list : ["events": list])
            #expect(answer.status == 202 && answer.json["accepted"] == 2 && answer.json["duplicates"] == 0)
            let rejected = answer.json["rejected"]?.array ?? []
            #expect(rejected.map { $0["index"]?.integer } == [1, 2, 3, 4])
            let first = rejected.map { $0["errors"]?.array?.first }
            let prefix = asArray ? "" : "/events"
            #expect(
                first.map { $0?["pointer"]?.string } == ["\(prefix)/1/name", "/events/2/contact", "\(prefix)/3", "\(prefix)/4/occurred_at"])
            #expect(first.map { $0?["code"]?.string } == ["required", "unknown_contact", "wrong_type", "out_of_range"])
            #expect(try stored(site) == 2)
        }
    }

    @Test func `a batch has 1 to 1,000 events`() throws {
        try withAnalytics { site in
            _ = try site.contacts(1)
            let one = event(["external_id": "c1"])
            #expect(try site.post("/api/events", ["events": .array(Array(repeating: one, count: 1000))]).json["accepted"] == 1000)
            #expect(try site.post("/api/events", ["events": .array(Array(repeating: one, count: 1001))]).code == "too_many")
            #expect(try site.post("/api/events", ["events": []]).code == "too_few")
            #expect(try site.post("/api/events", ["events": [one], "more": 1]).code == "unknown_member")
        }
    }

    @Test func `an event with a key counts once, in a batch, again, and at the same moment`() throws {
        try withAnalytics { site in
            _ = try site.contacts(2)
            let batch: JSONValue = [
                event(["external_id": "nobody"], key: "a"), event(["external_id": "c1"], key: "a"), event(["external_id": "c2"], key: "a"),
                event(["external_id": "c1"], key: "b"), event(["external_id": "c1"]),
            ]
            let first = try site.post("/api/events", batch).json
            #expect(first["accepted"] == 3 && first["duplicates"] == 1 && first["rejected"]?.array?.count == 1)
            #expect(try site.post("/api/events", batch).json["duplicates"] == 3)
            #expect(try stored(site) == 4)
            let (responder, token) = (site.responder, site.key.token)
            let accepted = try inParallel(2) { _ in
                try (0..<10).reduce(0) { sum, round in
                    let list = (0..<20).shuffled().map { event(["external_id": "c1"], key: "round \(round) \($0)") }
                    return sum
                        + (try responder.send("POST", "/api/events", token: token, json: .array(list)).json["accepted"]?.integer ?? 0)
                }
            }
            #expect(accepted.reduce(0, +) == 200)
            #expect(try stored(site) == 204)
        }
    }

    @Test func `properties keep what jsonb can hold, and the rest is refused`() throws {
        try withAnalytics { site in
            _ = try site.contacts(1)
            func send(_ properties: JSONValue) throws -> TestAnswer {
                try site.post("/api/events", ["contact": ["external_id": "c1"], "name": "x", "properties": properties])
            }
            #expect(try send(["order": ["total": 12.5, "tags": ["a", .null], "open": true]]).status == 202)
            let kept: JSONValue = try site.db.value("SELECT properties FROM events")
            #expect(kept == ["order": ["total": 12.5, "tags": ["a", .null], "open": true]])
            #expect(try send(["a": "nul\0"]).code == "bad_character")
            #expect(try send(["a": ["b": ["c": ["d": ["e": ["f": 1]]]]]]).code == "too_deep")
            #expect(try send(["a": .string(String(repeating: "x", count: 10_001))]).code == "too_long")
            #expect(try stored(site) == 1)
        }
    }

    @Test func `a repeated request with its key records nothing twice`() throws {
        try withAnalytics { site in
            _ = try site.contacts(1)
            let headers = [("Idempotency-Key", "evening-batch")]
            let first = try site.responder.send(
                "POST", "/api/events", token: site.key.token, headers: headers, json: event(["external_id": "c1"]))
            let second = try site.responder.send(
                "POST", "/api/events", token: site.key.token, headers: headers, json: event(["external_id": "c1"]))
            #expect(first.status == 202 && second.body == first.body && second.header("Idempotency-Replayed") == "true")
            #expect(try stored(site) == 1)
        }
    }
}
