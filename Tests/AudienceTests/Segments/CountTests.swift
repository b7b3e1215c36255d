// Counts that are kept, and counts that are estimated.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct CountTests {
    private let gold: JSONValue = ["match": ["field": "attributes.plan", "op": "is", "value": "gold"]]

    private func preview(_ site: AudienceSite, _ rule: JSONValue, _ more: JSONObject = [:]) throws -> JSONValue {
        var body: JSONObject = ["rule": rule]
        for (name, value) in more { body[name] = value }
        let answer = try site.send("POST", "/api/segments/preview", json: .object(body))
        guard answer.status == 200 else { throw TestSupportError(answer.text) }
        return answer.json
    }

    @Test func `a count is kept while nothing is written, and says of when it is`() throws {
        try withAudience { site throws in
            _ = try site.add(["email": "a@example.com", "attributes": ["plan": "gold"]])
            let first = try preview(site, gold)
            #expect(first["cached"] == false && first["count"] == 1)
            // The same rule in other words.
            let again = try preview(site, ["conditions": [["value": "gold", "field": "attributes.plan", "operator": "is"]]])
            #expect(again["cached"] == false, "a tree with one branch is another rule")
            let second = try preview(site, ["version": 1, "match": ["value": "gold", "op": "is", "field": "attributes.plan"]])
            #expect(second["cached"] == true && second["as_of"] == first["as_of"] && second["sample"] == first["sample"])
            let fresh = try preview(site, gold, ["fresh": true])
            #expect(fresh["cached"] == false && fresh["as_of"] != first["as_of"])
            // Another workspace has nothing of it.
            let elsewhere = try site.owner.createAPIKey(in: try site.owner.createWorkspace()).token
            let all: JSONValue = ["rule": ["match": ["all": []]]]
            #expect(try site.send("POST", "/api/segments/preview", json: all).json["count"] == 1)
            let theirs = try site.send("POST", "/api/segments/preview", json: all, as: elsewhere).json
            #expect(theirs["count"] == 0 && theirs["cached"] == false)
        }
    }

    @Test func `whatever is written, by whomever, makes a kept count an old one`() throws {
        try withAudience { site throws in
            let contact = try site.add(["email": "a@example.com", "attributes": ["plan": "gold"]])["id"] ?? .null
            let path = "/api/contacts/\(contact.string ?? "")"
            let list = try site.send("POST", "/api/lists", json: ["name": "L"]).json["id"]?.string ?? ""
            _ = try site.segment("All", ["all": []])
            let writes: [(String, () throws -> Void)] = [
                ("a contact", { _ = try site.add(["attributes": ["plan": "gold"]]) }),
                ("a change", { try site.send("PATCH", path, json: ["attributes": ["plan": "iron"]]) }),
                (
                    "a consent",
                    {
                        try site.send(
                            "POST", "/api/consent",
                            json: ["contact_id": contact, "channel": "email", "state": "opted_in", "source": "form"])
                    }
                ),
                ("a suppression", { try site.send("POST", "/api/suppressions", json: ["channel": "email", "address": "a@example.com"]) }),
                ("a list", { try site.send("POST", "/api/lists/\(list)/add", json: ["contact_ids": [contact]]) }),
                ("a membership", { try site.calculate() }),
                ("a type", { try site.send("PUT", "/api/fields/attributes.plan", json: ["type": "text"]) }),
                ("a setting", { try site.owner.execute("UPDATE workspaces SET timezone = 'Europe/Rome'") }),
                (
                    "an event",
                    {
                        try site.owner.runDynamic(
                            "INSERT INTO events (workspace_id, contact_id, name, occurred_at) VALUES ($1, $2, 'x', now())",
                            [site.workspace.sqlValue, .text(contact.string ?? "")])
                    }
                ),
                ("a deletion", { try site.send("DELETE", path) }),
            ]
            for (what, write) in writes {
                _ = try preview(site, gold)
                #expect(try preview(site, gold)["cached"] == true, "before \(what)")
                try write()
                #expect(try preview(site, gold)["cached"] == false, "after \(what)")
            }
            #expect(try preview(site, gold)["count"] == 1)
        }
    }

    @Test func `a write that was under way while it was counted makes it old when it commits, however late`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let writer = try site.database.connect(as: .worker)
            try writer.transaction { db in
                try db.setWorkspace(site.workspace)
                // Took its number first, commits last; others write and commit meanwhile.
                try db.runDynamic(
                    "UPDATE contacts SET attributes = '{\"plan\": \"iron\"}' WHERE workspace_id = $1", [site.workspace.sqlValue])
                _ = try site.add(["attributes": ["plan": "gold"]])
                #expect(try preview(site, gold)["count"] == 2)
                #expect(try preview(site, gold)["cached"] == true)
            }
            let after = try preview(site, gold)
            #expect(after["cached"] == false && after["count"] == 1)
            // What was rolled back changed nothing.
            struct Undone: Error {}
            #expect(throws: Undone.self) {
                try writer.transaction { db in
                    try db.setWorkspace(site.workspace)
                    try db.runDynamic("DELETE FROM contacts WHERE workspace_id = $1", [site.workspace.sqlValue])
                    throw Undone()
                }
            }
            #expect(try preview(site, gold)["cached"] == true)
        }
    }

    @Test func `a rule that reads time is kept for seconds only, and no workspace keeps more than 500`() throws {
        try withAudience { site throws in
            let recent: JSONValue = ["match": ["field": "created_at", "op": "after", "value": ["ago": "30d"]]]
            for rule in [recent, gold] where rule == recent { _ = try preview(site, rule) }
            let seconds: Double = try site.owner.value("SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 FROM rule_counts")
            #expect((0...5).contains(seconds))
            try site.owner.execute("UPDATE rule_counts SET expires_at = now() - interval '1 second'")
            #expect(try preview(site, recent)["cached"] == false)
            try site.owner.runDynamic(
                """
                INSERT INTO rule_counts SELECT $1, sha256(int4send(n)), '{}', now() - make_interval(secs => n), pg_current_snapshot(),
                       now() + interval '1 minute' FROM generate_series(1, 600) n
                """, [site.workspace.sqlValue])
            _ = try preview(site, ["match": ["any": []]])
            #expect(try site.count("rule_counts") == 500)
            // The chores of every day find nothing to object to.
            _ = try preview(site, ["match": ["any": []]])
        }
    }

    @Test func `an estimate says that it is one, and its bounds hold what is counted`() throws {
        try withAudience { site throws in
            try site.owner.runDynamic(
                """
                INSERT INTO contacts (workspace_id, ordinal, phone, attributes)
                SELECT $1, n, '+1202' || 5000000 + n, jsonb_build_object('n', n % 100) FROM generate_series(1, 30000) n WHERE n % 10 <> 0
                """, [site.workspace.sqlValue])
            try site.owner.execute("INSERT INTO contact_ordinals SELECT id, 30000 FROM workspaces; ANALYZE contacts")
            try site.owner.execute(
                "INSERT INTO fields (workspace_id, key, type, may_be) SELECT id, 'attributes.n', 'number', 1 FROM workspaces")
            try site.owner.execute("UPDATE workspaces SET settings = '{\"consent_mode\": \"opt_out\"}'")
            let rule: JSONValue = ["match": ["field": "attributes.n", "op": "less_than", "value": 20]]
            #expect(try preview(site, rule)["count"] == 5400)
            var inside = 0
            for _ in 0..<10 {
                let estimate = try preview(site, rule, ["mode": "estimate", "fresh": true])
                #expect(estimate["exact"] == false && estimate["estimate"]?["of"] == 30000)
                #expect((2200...2500).contains(estimate["estimate"]?["sampled"]?.integer ?? 0))
                let bounds = try #require(estimate["estimate"]?["count"])
                let (low, high) = (bounds["low"]?.integer ?? 0, bounds["high"]?.integer ?? 0)
                #expect(low <= estimate["count"]?.integer ?? -1 && high - low < 1200)
                if (low...high).contains(5400) { inside += 1 }
                #expect(estimate["reachable"]?["sms"] == estimate["count"] && estimate["reachable"]?["email"] == 0)
                #expect(estimate["sample"]?.array?.count == 10)
            }
            // 95 of 100 hold it; that fewer than 6 of 10 do happens once in 10,000 runs.
            #expect(inside >= 6)
            #expect(try preview(site, rule, ["mode": "estimate"])["cached"] == true, "the last one is kept, apart from exact ones")
            let saved = try site.segment("Low", rule["match"]!)
            #expect(try site.send("GET", saved + "/preview?mode=estimate").json["exact"] == false)
        }
    }

    @Test func `with few contacts an estimate is a count`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let estimate = try preview(site, gold, ["mode": "estimate"])
            #expect(estimate["exact"] == true && estimate["count"] == 1 && estimate["estimate"] == nil)
        }
    }

    @Test(arguments: [(0, 4000, 1_000_000), (4000, 4000, 1_000_000), (40, 4000, 1_000_000), (2000, 4000, 4001), (7, 10, 10), (0, 0, 5)])
    func `bounds hold what was seen and no more than there is`(hits: Int, drawn: Int, places: Int) {
        let interval = Estimate.interval(hits: hits, drawn: drawn, places: places)
        #expect(hits <= interval.low || drawn == 0)
        #expect(interval.low <= interval.high && interval.high <= places - (drawn - hits))
        #expect(drawn == 0 || (interval.low...interval.high).contains(interval.count))
        // None of 4,000: fewer than one in a thousand, with a little more than the rule of three says.
        if hits == 0, drawn == 4000 { #expect((700...1000).contains(interval.high)) }
    }
}
