// Why a contact is in a segment or is not, as the API tells it.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

extension AudienceSite {
    fileprivate func id(_ thing: JSONValue) -> String { thing["id"]?.string ?? "" }

    fileprivate func explain(_ match: JSONValue, _ contact: JSONValue) throws -> JSONValue {
        let answer = try send("POST", "/api/segments/explain", json: ["rule": ["match": match], "contact_id": .string(id(contact))])
        guard answer.status == 200 else { throw TestSupportError("\(answer.status): \(answer.text)") }
        return answer.json
    }

    fileprivate func event(_ contact: JSONValue, _ name: String, ago: String, _ properties: JSONValue = [:]) throws {
        let _: [Int] = try owner.dynamic(
            """
            INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
            SELECT workspace_id, id, $2::text, now() - $3::text::interval, $4::jsonb FROM contacts WHERE id = $1::uuid RETURNING 1
            """, [id(contact).sqlValue, name.sqlValue, ago.sqlValue, properties.sqlValue])
    }
}

@Suite struct ExplainTests {
    @Test func `every node tells whether it holds, why, and what decided it`() throws {
        try withAudience { site throws in
            let contact = try site.add([
                "email": "a@example.com", "status": "New", "tags": ["vip"], "attributes": ["age": "abc", "city": "Oslo"],
            ])
            _ = try site.send("POST", "/api/fields", json: ["key": "attributes.age", "type": "number"])
            let _: [Int] = try site.owner.dynamic("UPDATE fields SET type = 'number' WHERE key = 'attributes.age' RETURNING 1", [])
            let answer = try site.explain(
                [
                    "all": [
                        ["field": "status", "op": "is", "value": "Won"],
                        ["not": ["field": "attributes.age", "op": "at_least", "value": 18]],
                        ["any": [["field": "tags", "op": "has_any_of", "value": ["VIP"]], ["field": "phone", "op": "is_known"]]],
                        ["at_least": 1, "of": [["consent": "sms", "state": "opted_in"]]], ["none": []],
                        ["field": "attributes.city", "op": "is_none_of", "value": ["Rome", "Paris"]],
                    ]
                ], contact)
            #expect(answer["matches"] == false && answer["next_flip_at"] == .null && answer["next_flip_is_certain"] == true)
            #expect(answer["as_of"]?.string != nil && answer["contact_id"] == contact["id"] && answer["timezone"] == "UTC")
            let tree = try #require(answer["tree"])
            #expect(tree["pointer"] == "/match" && tree["reason"] == "4 of 6 hold; all are wanted.")
            func told(_ pointer: String) -> [JSONValue?] {
                func find(_ node: JSONValue) -> JSONValue? {
                    node["pointer"] == .string(pointer) ? node : (node["children"]?.array ?? []).lazy.compactMap(find).first
                }
                let node = find(tree)
                return [node?["matches"], node?["reason"], node?["value"]]
            }
            #expect(told("/match/all/0") == [false, #"status is "New"; the rule wants "Won"."#, "New"])
            #expect(told("/match/all/1") == [true, "It does not hold, which is wanted.", nil])
            #expect(
                told("/match/all/1/not") == [
                    false, #"attributes.age is "abc", which is no number, so it counts as missing; the rule wants at least 18."#, "abc",
                ])
            #expect(told("/match/all/2") == [true, "1 of 2 holds; one is enough.", nil])
            #expect(told("/match/all/2/any/0") == [true, #"tags is "vip"; the rule wants any of "VIP"."#, ["vip"]])
            #expect(told("/match/all/2/any/1") == [false, "phone has no value; the rule wants any value.", .null])
            #expect(told("/match/all/3") == [false, "0 of 1 hold; at least 1 are wanted.", nil])
            #expect(told("/match/all/3/of/0") == [false, "Consent to sms is unknown; the rule wants opted_in.", "unknown"])
            #expect(told("/match/all/4") == [true, "There is nothing to hold; none is wanted.", nil])
            #expect(
                told("/match/all/5") == [true, #"attributes.city is "Oslo"; the rule wants anything but one of "Rome", "Paris"."#, "Oslo"])
        }
    }

    @Test func `events tell how many there are, which decided, and when they leave the window`() throws {
        try withAudience { site throws in
            let contact = try site.add(["email": "a@example.com"])
            for (ago, amount) in [("40 days", 10), ("20 days", 20), ("10 days", 5)] {
                try site.event(contact, "order.placed", ago: ago, ["amount": .integer(Int64(amount))])
            }
            let counted = try #require(
                try site.explain(["event": "order.placed", "count": ["at_least": 2], "within": ["last": "30d"]], contact)["tree"])
            #expect(counted["matches"] == true && counted["count"] == 2 && counted["event"]?["name"] == "order.placed")
            #expect(
                counted["reason"]
                    == "2 events order.placed in the last 30 days (1 more do not count); the rule wants at least 2.")
            // The one of 20 days ago is 30 days old in 10 days, and still inside then.
            let flip: Bool = try site.owner.value(
                "SELECT $1::timestamptz = occurred_at + interval '720 hours 1 microsecond' FROM events ORDER BY occurred_at OFFSET 1 LIMIT 1",
                (counted["next_flip_at"]?.string ?? "").sqlValue)
            #expect(flip)

            let sum: JSONValue = ["aggregate": "sum", "of": "amount", "event": "order.placed", "op": "at_least", "value": 50]
            let summed = try site.explain(sum, contact)["tree"]
            #expect(summed?["value"] == "35" && summed?["matches"] == false && summed?["next_flip_at"] == .null)
            #expect(summed?["reason"] == "The sum of amount over 3 events order.placed is 35; the rule wants at least 50.")
            let average: JSONValue = ["aggregate": "avg", "of": "amount", "event": "order.placed", "op": "less_than", "value": 12]
            #expect(try site.explain(average, contact)["tree"]?["matches"] == true)
            let last: JSONValue = ["event": "order.placed", "which": "last", "where": ["field": "amount", "op": "is", "value": 5]]
            #expect(try site.explain(last, contact)["tree"]?["event"]?["id"]?.string != nil)
            let chain: JSONValue = ["sequence": [["event": "order.placed"], ["event": "order.paid", "after": "1d"]]]
            #expect(try site.explain(chain, contact)["tree"]?["reason"] == "1 of 2 steps were taken; order.paid did not follow.")
        }
    }

    @Test func `whoever is not where the rule says is told why`() throws {
        try withAudience { site throws in
            let contact = try site.add(["email": "a@example.com", "status": "New"])
            let rule: JSONValue = ["match": ["field": "status", "op": "is", "value": "New"]]
            let made = try site.send("POST", "/api/segments", json: ["name": "New", "rule": rule, "schedule": ["kind": "manual"]])
            let path = "/api/segments/\(site.id(made.json))/explain/\(site.id(contact))"
            func ask() throws -> JSONValue {
                let answer = try site.send("GET", path)
                #expect(answer.status == 200)
                return answer.json
            }
            let stale = try ask()
            #expect(stale["matches"] == true && stale["is_member"] == false && stale["membership_as_of"] == .null)
            #expect(
                stale["difference"]
                    == "The membership was never calculated; the rule was saved since, and its calculation is under way.")
            try site.calculate()
            let ready = try ask()
            #expect(ready["is_member"] == true && ready["difference"] == .null && ready["entered_at"] == ready["membership_as_of"])
            _ = try site.send("PATCH", "/api/contacts/\(site.id(contact))", json: ["status": "Won"])
            let changed = try ask()
            #expect(changed["matches"] == false && changed["is_member"] == true)
            #expect(changed["difference"]?.string?.hasSuffix("it is calculated when somebody asks for it, and every night.") == true)
            #expect(changed["tree"]?["reason"] == #"status is "Won"; the rule wants "New"."#)
        }
    }

    @Test func `only contacts and segments of the workspace are explained, and only rules that can be read`() throws {
        try withAudience { site throws in
            let contact = try site.add(["email": "a@example.com"])
            let path = try site.segment("All", ["all": []])
            #expect(try site.send("GET", "\(path)/explain/\(site.id(contact))").status == 200)
            let nobody = "0190f5c2-0000-7000-8000-000000000000"
            #expect(try site.send("GET", "\(path)/explain/\(nobody)").status == 404)
            #expect(try site.send("GET", "/api/segments/\(nobody)/explain/\(site.id(contact))").status == 404)
            #expect(try site.send("GET", "\(path)/explain/me").status == 404)
            let other = try site.owner.createAPIKey(in: try site.owner.createWorkspace())
            #expect(try site.send("GET", "\(path)/explain/\(site.id(contact))", as: other.token).status == 404)
            let body: JSONValue = ["rule": ["match": ["all": []]], "contact_id": .string(site.id(contact))]
            #expect(try site.send("POST", "/api/segments/explain", json: body, as: other.token).status == 404)
            let wrong = try site.send(
                "POST", "/api/segments/explain",
                json: ["rule": ["match": ["field": "x", "op": "is"]], "contact_id": .string(site.id(contact))])
            #expect(wrong.status == 422 && wrong.json["errors"]?.array?.first?["pointer"] == "/rule/match/field")
            #expect(try site.send("POST", "/api/segments/explain", json: ["rule": [:], "contact_id": "me"]).status == 422)
        }
    }

    @Test func `a contact with more history than is looked at is refused, not half looked at`() throws {
        try withAudience { site throws in
            let contact = try site.add(["email": "a@example.com"])
            let _: [Int] = try site.owner.dynamic(
                """
                INSERT INTO events (workspace_id, contact_id, name, occurred_at)
                SELECT c.workspace_id, c.id, 'seen', now() - n * interval '1 second' FROM contacts c, generate_series(1, $1::int) n
                RETURNING 1
                """, [(FactsLimit.rows + 1).sqlValue])
            let body: JSONValue = ["rule": ["match": ["event": "seen"]], "contact_id": .string(site.id(contact))]
            let answer = try site.send("POST", "/api/segments/explain", json: body)
            #expect(answer.status == 422 && answer.code == "too_much_history")
            let few: JSONValue = ["rule": ["match": ["event": "other"]], "contact_id": .string(site.id(contact))]
            #expect(try site.send("POST", "/api/segments/explain", json: few).status == 200)
            let _: [Int] = try site.owner.dynamic("DELETE FROM events WHERE id = (SELECT id FROM events LIMIT 1) RETURNING 1", [])
            #expect(try site.send("POST", "/api/segments/explain", json: body).json["tree"]?["count"] == JSONValue(FactsLimit.rows))
        }
    }

    @Test func `a rule that asks too much of a long history is refused before it is begun`() throws {
        try withAudience { site throws in
            let contact = try site.add(["email": "a@example.com"])
            let _: [Int] = try site.owner.dynamic(
                """
                INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
                SELECT c.workspace_id, c.id, CASE WHEN n > 100 THEN 'seen' ELSE 'rare' END, '2026-01-01', jsonb_build_object('n', n)
                  FROM contacts c, generate_series(1, 40100) n
                RETURNING 1
                """, [])
            func explained(_ name: JSONValue, _ conditions: Int) throws -> TestAnswer {
                let condition: JSONValue = ["field": "n", "op": "at_least", "value": 90]
                let asked = JSONValue.array(Array(repeating: ["event": name, "where": condition], count: conditions))
                return try site.send(
                    "POST", "/api/segments/explain", json: ["rule": ["match": ["any": asked]], "contact_id": .string(site.id(contact))])
            }
            #expect(try explained("rare", 30).json["tree"]?["children"]?.array?.first?["count"] == 11)
            let refused = try explained("seen", 30)
            #expect(refused.status == 422 && refused.code == "too_much_history")
            // All at one instant: each follows any other, and none itself.
            let steps = JSONValue.array(Array(repeating: ["event": "rare"], count: 10))
            let answer = try site.send(
                "POST", "/api/segments/explain", json: ["rule": ["match": ["sequence": steps]], "contact_id": .string(site.id(contact))])
            #expect(answer.json["tree"]?["count"] == 10)
        }
    }
}
