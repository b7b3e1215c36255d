// Membership, its history and its counter: written together, as differences.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

extension AudienceSite {
    /// Everything behind `path`, page by page.
    fileprivate func all(_ path: String, limit: Int) throws -> [JSONValue] {
        var items: [JSONValue] = []
        var target: String? = "\(path)?limit=\(limit)"
        while let next = target {
            let page = try send("GET", next).json
            items += page["items"]?.array ?? []
            target = page["pagination"]?["next_cursor"]?.string.map { "\(path)?limit=\(limit)&cursor=\($0)" }
        }
        return items
    }

    fileprivate func set(_ contact: JSONValue, plan: String) throws {
        try send("PATCH", "/api/contacts/\(contact.string ?? "")", json: ["attributes": ["plan": .string(plan)]])
    }
}

@Suite struct MembershipTests {
    private let gold: JSONValue = ["field": "attributes.plan", "op": "is", "value": "gold"]

    private func add(_ site: AudienceSite, _ plans: [String]) throws -> [JSONValue] {
        try plans.map { try site.add(["attributes": ["plan": .string($0)]])["id"] ?? .null }
    }
    private func sorted(_ ids: [JSONValue]) -> [JSONValue] { ids.sorted { ($0.string ?? "") < ($1.string ?? "") } }

    @Test func `history holds the differences, newest first, and the counter follows`() throws {
        try withAudience { site throws in
            let contacts = try add(site, ["gold", "gold", "iron"])
            let path = try site.segment("Gold", gold)
            #expect(try site.calculate().first?["result"]?["entered"] == 2)
            #expect(try site.all(path + "/history", limit: 1).map { $0["change"] } == ["entered", "entered"])

            #expect(try site.send("POST", path + "/calculate").status == 202)
            let again = try #require(try site.calculate().first?["result"])
            #expect(again["entered"] == 0 && again["exited"] == 0 && again["member_count"] == 2)
            #expect(try site.all(path + "/history", limit: 10).count == 2, "what did not change writes nothing")

            try site.set(contacts[0], plan: "iron")
            try site.set(contacts[2], plan: "gold")
            try site.send("POST", path + "/calculate")
            let changed = try #require(try site.calculate().first?["result"])
            #expect(changed["entered"] == 1 && changed["exited"] == 1 && changed["member_count"] == 2)
            let history = try site.all(path + "/history", limit: 3)
            #expect(history.count == 4 && Set(history.prefix(2).map { $0["contact_id"] ?? .null }) == [contacts[0], contacts[2]])
            let times = history.compactMap { $0["occurred_at"]?.string }
            #expect(times == times.sorted(by: >))
            #expect(Set(try site.all(path + "/contacts", limit: 1).map { $0["id"] ?? .null }) == [contacts[1], contacts[2]])

            // Nobody matches any more: everybody leaves.
            for contact in contacts { try site.set(contact, plan: "iron") }
            try site.send("POST", path + "/calculate")
            try site.calculate()
            #expect(try site.send("GET", path).json["member_count"] == 0)
            #expect(try site.all(path + "/contacts", limit: 10).isEmpty)
        }
    }

    @Test func `a contact that is deleted leaves every segment in the same moment`() throws {
        try withAudience { site throws in
            let contacts = try add(site, ["gold", "gold"])
            let paths = [try site.segment("Gold", gold), try site.segment("All", ["all": []])]
            try site.calculate()
            #expect(try site.send("DELETE", "/api/contacts/\(contacts[0].string ?? "")").status == 204)
            for path in paths {
                #expect(try site.send("GET", path).json["member_count"] == 1)
                let last = try site.all(path + "/history", limit: 1).first
                #expect(last?["change"] == "exited" && last?["contact_id"] == contacts[0])
            }
        }
    }

    @Test func `members come page by page, each once, and a cursor is good for its own list`() throws {
        try withAudience { site throws in
            let contacts = sorted(try add(site, Array(repeating: "gold", count: 7)))
            let (path, other) = (try site.segment("Gold", gold), try site.segment("All", ["all": []]))
            try site.calculate()
            let page = try site.send("GET", path + "/contacts?limit=3")
            #expect(page.json["items"]?.array?.count == 3 && page.header("link")?.contains("rel=\"next\"") == true)
            let cursor = page.json["pagination"]?["next_cursor"]?.string ?? ""
            // Who leaves or enters meanwhile costs nobody else their place.
            try site.set(contacts[0], plan: "iron")
            try site.send("POST", path + "/calculate")
            try site.calculate()
            #expect(
                try site.send("GET", path + "/contacts?limit=3&cursor=\(cursor)").json["items"]?.array?.map { $0["id"] ?? .null }
                    == Array(contacts[3..<6]))
            #expect(try site.all(path + "/contacts", limit: 2).map { $0["id"] ?? .null } == Array(contacts[1...]))
            for target in [other + "/contacts?cursor=\(cursor)", path + "/history?cursor=\(cursor)", path + "/contacts?cursor=\(cursor)x"] {
                #expect(try site.send("GET", target).code == "bad_cursor", "\(target)")
            }
            #expect(try site.send("GET", path + "/contacts?limit=201").status == 422)
            let stranger = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            for rest in ["/contacts", "/history"] { #expect(try site.send("GET", path + rest, as: stranger).status == 404) }
        }
    }

    @Test func `a segment that reads another follows it`() throws {
        try withAudience { site throws in
            let contacts = try add(site, ["gold", "iron"])
            let inner = try site.segment("Inner", gold)
            let outer = try site.segment("Outer", ["not": ["segment": idOf(inner)]])
            // Asked for alone, it first calculates what it reads.
            try site.owner.execute(
                "UPDATE jobs SET run_at = now() + interval '1 hour' WHERE payload ->> 'segment_id' = '\(idOf(inner).string ?? "")'")
            #expect(try site.calculate().count == 1)
            #expect(try site.all(outer + "/contacts", limit: 5).map { $0["id"] } == [contacts[1]])
            #expect(try site.send("GET", inner).json["state"] == "ready")
            // And it is calculated anew when that changed.
            try site.owner.execute("DELETE FROM jobs")
            try site.set(contacts[1], plan: "gold")
            try site.send("POST", inner + "/calculate")
            #expect(try site.calculate().count == 2)
            #expect(try site.send("GET", outer).json["member_count"] == 0)
            // Not when it did not.
            try site.send("POST", inner + "/calculate")
            #expect(try site.calculate().count == 1)
        }
    }

    @Test func `a calculation is a job with a result, and a segment that is gone ends it`() throws {
        try withAudience { site throws in
            _ = try add(site, ["gold"])
            let path = try site.segment("Gold", gold)
            let accepted = try site.send("POST", path + "/calculate")
            #expect(accepted.status == 202 && accepted.header("location")?.hasPrefix("/api/jobs/") == true)
            #expect(accepted.json["job"]?["kind"] == "calculate_segment" && accepted.json["job"]?["state"] == "queued")
            let jobs = try site.calculate()
            #expect(jobs.map { $0["state"] } == ["succeeded", "succeeded"] && jobs.allSatisfy { $0["progress"]?.real == 1 })
            #expect(jobs[0]["result"]?["segment_id"] == idOf(path) && jobs[0]["result"]?["member_count"] == 1)
            try site.send("POST", path + "/calculate")
            #expect(try site.send("DELETE", path).status == 204)
            let ended = try site.calculate()
            #expect(ended.compactMap { $0["problem"]?["code"] } == ["not_found"])
            #expect(ended.map { $0["state"] } == ["failed", "succeeded"], "what is left of it is removed")
        }
    }

    @Test func `a segment whose field is gone keeps its members and says what is wrong, until the field is back`() throws {
        try withAudience { site throws in
            #expect(try site.send("PUT", "/api/fields/attributes.later", json: ["type": "text"]).status == 201)
            let path = try site.segment("Later", ["field": "attributes.later", "op": "is_unknown"])
            _ = try add(site, ["gold"])
            try site.calculate()
            #expect(try site.send("DELETE", "/api/fields/attributes.later").status == 204)
            try site.send("POST", path + "/calculate")
            // Taking the declaration back asked for a calculation, too.
            #expect(try site.calculate().map { $0["problem"]?["code"] } == ["rule_no_longer_valid", "rule_no_longer_valid"])
            let failed = try site.send("GET", path).json
            #expect(
                failed["state"] == "failed" && failed["member_count"] == 1
                    && failed["problem"]?.string?.contains("attributes.later") == true)
            #expect(try site.send("GET", path + "/preview").code == "unknown_field")
            _ = try site.add(["attributes": ["later": "now"]])
            try site.send("POST", path + "/calculate")
            try site.calculate()
            let mended = try site.send("GET", path).json
            #expect(mended["state"] == "ready" && mended["problem"] == .null && mended["member_count"] == 1)
        }
    }
}
