// Retyping and renaming: whom it touches, and that nobody is between two names.
@testable import Audience
import JSON
@testable import Jobs
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct FieldChangeTests {
    private func rename(_ site: AudienceSite) throws -> JSONValue {
        let db = try site.database.connect(as: .worker)
        let claimed = try #require(try JobQueue([("rename_field", 1)]).take(db).first)
        Worker(try testConfiguration(database: site.database.conninfo(as: .worker)), fieldJobs, []).perform(claimed, db)
        return try site.owner.value(
            "SELECT jsonb_build_object('state', state, 'result', result, 'problem', problem) FROM jobs WHERE id = $1", claimed.id.sqlValue)
    }

    @Test func `retyping tells which segments it touches, and has them calculated anew`() throws {
        try withAudience { site throws in
            for n in ["2", "10"] { _ = try site.add(["attributes": ["n": .string(n)]]) }
            let many = try site.segment("Many", ["field": "attributes.n", "op": "at_least", "value": 5])
            _ = try site.segment("Others", ["field": "email", "op": "is_known"])
            try site.calculate()
            let trial = try site.send("PUT", "/api/fields/attributes.n?dry_run=true", json: ["type": "text"])
            let affected = try #require(trial.json["segments_affected"]?.array)
            #expect(trial.status == 200 && affected.count == 1 && affected[0]["name"] == "Many" && affected[0]["valid"] == false)
            #expect(affected[0]["problem"]?.string?.isEmpty == false)
            #expect(try site.send("GET", "/api/fields/attributes.n").json["type"] == "number", "nothing has happened")
            #expect(try site.calculate().isEmpty)
            let money = try site.send("PUT", "/api/fields/attributes.n", json: ["type": "money"])
            #expect(money.status == 200 && money.json["segments_affected"]?.array?.first?["valid"] == true, "\(money.text)")
            #expect(try site.calculate().map { $0["state"] } == ["succeeded"])
            #expect(try site.send("PUT", "/api/fields/attributes.n", json: ["type": "text"]).status == 200)
            #expect(try site.calculate().map { $0["state"] } == ["failed"])
            let segment = try site.send("GET", many).json
            #expect(segment["state"] == "failed" && segment["member_count"] == 1)
            #expect(try site.send("DELETE", "/api/fields/attributes.n").status == 204)
            #expect(try site.calculate().map { $0["state"] } == ["succeeded"])
        }
    }

    @Test func `a renamed field is another name for the same values, in contacts and in rules`() throws {
        try withAudience { site throws in
            let rome = try site.add(["attributes": ["city": "Rome", "plan": "gold"]])["id"]?.string ?? ""
            _ = try site.add(["attributes": ["plan": "iron"]])
            #expect(try site.send("PUT", "/api/fields/attributes.city", json: ["type": "text", "label": "City"]).status == 200)
            let inner: JSONValue = [
                "all": [
                    ["field": "attributes.city", "op": "is", "value": "Rome"],
                    ["not": ["event": "bought", "where": ["field": "attributes.city", "op": "is", "value": "x"]]],
                ]
            ]
            let segment = try site.segment("Romans", inner)
            try site.calculate()
            let path = "/api/fields/attributes.city/rename"
            let trial = try site.send("POST", path + "?dry_run=true", json: ["to": "attributes.home.town"])
            #expect(trial.status == 200 && trial.json["segments_affected"]?.array?.first?["name"] == "Romans")
            let started = try site.send("POST", path, json: ["to": "attributes.home.town"])
            #expect(started.status == 202 && started.json["job"]?["kind"] == "rename_field")
            let job = try rename(site)
            #expect(job["state"] == "succeeded" && job["result"]?["contacts"] == 1, "\(job.text)")
            #expect(try site.send("GET", "/api/contacts/\(rome)").json["attributes"] == ["plan": "gold", "home": ["town": "Rome"]])
            let rule = try site.send("GET", segment).json["rule"]
            #expect(rule?[pointer: "/match/all/0/field"] == "attributes.home.town")
            #expect(rule?[pointer: "/match/all/1/not/where/field"] == "attributes.city", "a property of an event has kept its name")
            #expect(try site.send("GET", "/api/fields/attributes.home.town").json["label"] == "City")
            #expect(try site.send("GET", "/api/fields/attributes.city").status == 404)
            #expect(try site.owner.value("SELECT input FROM segment_inputs WHERE input LIKE 'attributes.%'") == "attributes.home")
            #expect(try site.send("GET", segment + "/preview").json["count"] == 1)
            // Nobody left and came again.
            #expect(try site.count("segment_changes") == 1)
        }
    }

    @Test func `a renaming that dies has done nothing, and is done by the next worker`() throws {
        try withActions { actions throws in
            let site = actions.site
            for _ in 0..<3 { _ = try site.add(["attributes": ["city": "Rome"]]) }
            let segment = try site.segment("Romans", ["field": "attributes.city", "op": "is", "value": "Rome"])
            try site.calculate()
            #expect(try site.send("POST", "/api/fields/attributes.city/rename", json: ["to": "attributes.town"]).status == 202)
            try actions.workDying(at: "before_rename_commit:1")
            #expect(try site.owner.value("SELECT count(*) FROM contacts WHERE attributes ? 'city' AND version = 1") == 3)
            #expect(try site.send("GET", segment).json["rule"]?[pointer: "/match/field"] == "attributes.city")
            #expect(try rename(site)["state"] == "succeeded")
            #expect(try site.owner.value("SELECT count(*) FROM contacts WHERE attributes ? 'town' AND version = 2") == 3)
        }
    }

    @Test(arguments: ["body", "subject", "preheader", "html"])
    func `what any text of a mail or of its variants names keeps its name`(member: String) throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["city": "Rome"]])
            func refusal() throws -> String {
                let answer = try site.send("POST", "/api/fields/attributes.city/rename?dry_run=true", json: ["to": "attributes.town"])
                return answer.status == 200 ? "" : answer.text
            }
            try site.owner.runDynamic(
                """
                INSERT INTO campaigns (workspace_id, id, name, channel, body, subject)
                VALUES ($1, $2, 'Mail', 'email', 'Hi', 'Hi')
                """, [site.workspace.sqlValue, site.workspace.sqlValue])
            #expect(try refusal() == "")
            try site.owner.execute("UPDATE campaigns SET \(member) = 'From {{ attributes.city }}'")
            #expect(try refusal().contains("campaign Mail"))
            try site.owner.execute(
                """
                UPDATE campaigns SET \(member) = 'Hi';
                INSERT INTO campaign_experiments (workspace_id, campaign_id, test_basis_points, winner_by)
                SELECT workspace_id, id, 10000, 'none' FROM campaigns;
                INSERT INTO campaign_variants (workspace_id, campaign_id, place, name, weight, \(member))
                SELECT workspace_id, id, 0, 'a', 1, 'From {{ city | upcase }}' FROM campaigns;
                """)
            #expect(try refusal().contains("campaign Mail"))
        }
    }

    @Test func `what cannot follow keeps a field from being renamed`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["city": "Rome", "plan": ["a": 1]]])
            _ = try site.add(["attributes": ["home": "x", "city": "Oslo"]])
            func rename(_ to: String, _ key: String = "attributes.city") throws -> TestAnswer {
                try site.send("POST", "/api/fields/\(key)/rename", json: ["to": .string(to)])
            }
            #expect(try rename("attributes.home").code == "field_exists")
            #expect(try rename("attributes.city.name").code == "bad_key" && rename("attributes.city").code == "bad_key")
            #expect(try rename("city").code == "bad_key" && rename("attributes.x", "email").code == "built_in_field")
            #expect(try rename("attributes.x", "attributes.none").status == 404)
            // An object is needed where a contact has a text: nothing is done at all.
            #expect(try rename("attributes.home.city").status == 202)
            #expect(try self.rename(site)["problem"]?["code"] == "field_in_the_way")
            #expect(try site.owner.value("SELECT count(*) FROM contacts WHERE attributes ? 'city' AND version = 1") == 2)
            try site.owner.runDynamic(
                "INSERT INTO templates (workspace_id, name, channel, body) VALUES ($1, 'Hi', 'sms', 'In {{ city | default: \"x\" }}')",
                [site.workspace.sqlValue])
            let refused = try rename("attributes.town")
            #expect(refused.code == "field_in_use" && refused.text.contains("template Hi"))
            #expect(try rename("attributes.level", "attributes.plan.a").status == 202, "a part of a name is another name")
            try site.owner.execute("DELETE FROM templates; DELETE FROM jobs")
            _ = try site.segment("Moved", ["field": "attributes.city", "changed": ["last": "30d"]])
            #expect(try rename("attributes.town").text.contains("Moved"))
        }
    }

    @Test func `a key with a slash or another odd character is one part of the path`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["a/b": "x", "c+d e%": "y"]])
            #expect(try site.send("GET", "/api/fields/attributes.a%2Fb").json["key"] == "attributes.a/b")
            #expect(try site.send("GET", "/api/fields/attributes.a%2fb/values").json["items"]?.array?.first?["value"] == "x")
            #expect(try site.send("GET", "/api/fields/attributes.c+d%20e%25").json["key"] == "attributes.c+d e%")
            let made = try site.send("PUT", "/api/fields/attributes.new%2Fone", json: ["type": "date"])
            #expect(made.status == 201 && made.header("location") == "/api/fields/attributes.new%2Fone")
            #expect(try site.send("GET", try #require(made.header("location"))).json["type"] == "date")
            #expect(try site.send("DELETE", "/api/fields/attributes.new%2Fone").status == 204)
            #expect(try site.send("GET", "/api/fields%2Femail").status == 404)
        }
    }
}
