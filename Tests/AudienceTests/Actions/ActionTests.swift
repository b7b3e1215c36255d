// What can be done to a segment, and taken back.
import JSON
import Jobs
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

extension JSONValue {
    /// `counts` of an action: total, changed, unchanged, refused, gone.
    fileprivate var outcome: [Int?] { ["total", "changed", "unchanged", "refused", "gone"].map { self["counts"]?[$0]?.integer } }
}

@Suite struct ActionTests {
    @Test func `contacts get owners in turn, and go back to those they had`() throws {
        try withActions { actions throws in
            let site = actions.site
            let people = try (0..<3).map { _ in try site.owner.createUser("member", in: site.workspace).id.description }
            for _ in 0..<7 { _ = try site.add([:]) }
            let owned = try site.add(["assigned_to": .string(people[2])])
            #expect(owned["assigned_to"]?.string == people[2])
            let segment = try actions.everybody()
            let first = try actions.act(segment, "assign", ["user_ids": .array(people[..<2].map { .string($0) }), "only_unassigned": true])
            #expect(first["state"] == "succeeded" && first.outcome == [8, 7, 1, 0, 0], "\(first.text)")
            func owners() throws -> String {
                try actions.value(
                    """
                    SELECT string_agg(n::text, ' ' ORDER BY n) FROM (
                        SELECT count(*) AS n FROM contacts GROUP BY assigned_to) g
                    """)
            }
            #expect(try owners() == "1 3 4")
            let all = try actions.act(segment, "assign", ["user_ids": .array(people.map { .string($0) })])
            #expect(try owners() == "2 3 3" && all["counts"]?["total"] == 8)
            // Rules read owners like any text.
            let rule: JSONValue = ["match": ["field": "assigned_to", "op": "is", "value": .string(people[0])]]
            #expect(try site.send("POST", "/api/segments/preview", json: ["rule": rule]).json["count"] == 3)
            #expect(try actions.undo(all)["kept"] == 0)
            #expect(try owners() == "1 3 4")
            // Somebody leaves: nobody's contacts are theirs, and nothing goes back to them.
            let alone = try actions.act(segment, "assign", ["user_ids": [.string(people[0])]])
            try site.owner.runDynamic("DELETE FROM members WHERE user_id = $1", [people[2].sqlValue])
            #expect(try actions.undo(alone)["kept"] == 1)
            let stranger = try site.owner.createUser("member", in: try site.owner.createWorkspace()).id.description
            #expect(try actions.send("POST", segment + "/actions/assign", json: ["user_ids": [.string(stranger)]]).code == "not_a_member")
            #expect(try site.send("POST", "/api/contacts", json: ["assigned_to": .string(stranger)]).code == "not_a_member")
        }
    }

    @Test func `who leaves keeps no contact, whoever gives them one in the same moment`() throws {
        try withActions { actions throws in
            let site = actions.site
            let people = try (0..<2).map { _ in try site.owner.createUser("member", in: site.workspace).id }
            let mine = try (0..<3).map { _ in try site.add(["assigned_to": .string(people[0].description)])["id"]?.string ?? "" }
            let other = try site.add(["assigned_to": .string(people[1].description)])["id"]?.string ?? ""
            let giver = try site.database.connect(as: .owner)
            try giver.runDynamic("BEGIN", [])
            try giver.runDynamic("UPDATE contacts SET assigned_to = $1 WHERE id = $2", [people[0].sqlValue, other.sqlValue])
            #expect { () throws in
                try site.owner.transaction { db in
                    try db.runDynamic("SET LOCAL lock_timeout = '50ms'", [])
                    try db.runDynamic("DELETE FROM members WHERE user_id = $1", [people[0].sqlValue])
                }
            } throws: { ($0 as? PostgresError)?.sqlState == .lockNotAvailable }
            try giver.runDynamic("COMMIT", [])
            try site.owner.transaction { db in
                try db.setWorkspace(site.workspace)
                try db.runDynamic("DELETE FROM members WHERE user_id = $1", [people[0].sqlValue])
                try db.enqueue("release_contacts", payload: ["user_id": .string(people[0].description)])
            }
            let before = try site.send("GET", "/api/contacts/\(mine[0])").json
            try actions.work()
            for id in mine + [other] {
                let contact = try site.send("GET", "/api/contacts/\(id)").json
                #expect(contact["assigned_to"] == .null)
            }
            #expect(try site.send("GET", "/api/contacts/\(mine[0])").json["version"]?.integer == (before["version"]?.integer ?? 0) + 1)
            let answer = try site.send("PATCH", "/api/contacts/\(other)", json: ["assigned_to": .string(people[0].description)])
            #expect(answer.status == 422 && answer.code == "not_a_member")
        }
    }

    @Test func `tags come and go, and later wishes are left alone when that is undone`() throws {
        try withActions { actions throws in
            let site = actions.site
            let new = try site.add(["tags": ["old", "x"]])["id"]?.string ?? ""
            let tagged = try site.add(["tags": ["new", "x"]])["id"]?.string ?? ""
            let later = try site.add(["tags": ["old"]])["id"]?.string ?? ""
            _ = try site.add(["tags": .array((0..<100).map { .string("t\($0)") })])
            let segment = try actions.everybody()
            let action = try actions.act(segment, "tag", ["add": ["new"], "remove": ["old"]])
            #expect(action.outcome == [4, 2, 1, 1, 0], "\(action.text)")
            func tags(_ id: String) throws -> Set<String> {
                Set(try site.send("GET", "/api/contacts/\(id)").json["tags"]?.array?.compactMap(\.string) ?? [])
            }
            #expect(try tags(new) == ["new", "x"] && tags(tagged) == ["new", "x"] && tags(later) == ["new"])
            // Other tags do not stand in the way; taking the added one off does.
            #expect(try site.send("PATCH", "/api/contacts/\(new)", json: ["tags": ["new", "x", "more"]]).status == 200)
            #expect(try site.send("PATCH", "/api/contacts/\(later)", json: ["tags": ["mine"]]).status == 200)
            let undo = try actions.undo(action)
            #expect(undo["state"] == "succeeded" && undo["restored"] == 1 && undo["kept"] == 1, "\(undo.text)")
            #expect(try tags(new) == ["old", "x", "more"] && tags(later) == ["mine"] && tags(tagged) == ["new", "x"])
            let id = action["id"]?.string ?? ""
            #expect(try actions.send("POST", "/api/segment-actions/\(id)/undo").code == "already_undone")
            #expect(try actions.send("POST", segment + "/actions/tag", json: ["add": ["a"], "remove": ["a"]]).code == "one_of_two")
            #expect(try actions.send("POST", segment + "/actions/tag", json: [:]).code == "empty")
        }
    }

    @Test func `tags are the same in any case, as they are to rules`() throws {
        try withActions { actions throws in
            let site = actions.site
            let has = try site.add(["tags": ["VIP", "Old"]])["id"]?.string ?? ""
            let none = try site.add(["tags": ["old", "OLD"]])["id"]?.string ?? ""
            let segment = try actions.everybody()
            let action = try actions.act(segment, "tag", ["add": ["vip", "Vip"], "remove": ["oLd"]])
            func tags(_ id: String) throws -> Set<String> {
                Set(try site.send("GET", "/api/contacts/\(id)").json["tags"]?.array?.compactMap(\.string) ?? [])
            }
            #expect(try tags(has) == ["VIP"] && tags(none) == ["Vip"], "\(action.text)")
            // Who got it back in another case was changed since.
            #expect(try site.send("PATCH", "/api/contacts/\(has)", json: ["tags": ["VIP", "olD"]]).status == 200)
            let undo = try actions.undo(action)
            #expect(undo["restored"] == 1 && undo["kept"] == 1, "\(undo.text)")
            #expect(try tags(has) == ["VIP", "olD"] && tags(none) == ["old", "OLD"])
            let both = try actions.send("POST", segment + "/actions/tag", json: ["add": ["É"], "remove": ["é"]])
            #expect(both.code == "one_of_two")
        }
    }

    @Test func `a value takes no object's place, and one that the declared type cannot read is refused`() throws {
        try withActions { actions throws in
            let site = actions.site
            let rome = try site.add(["attributes": ["address": ["city": "Rome"]]])["id"]?.string ?? ""
            let segment = try actions.everybody()
            let action = try actions.act(segment, "field", ["field": "attributes.address", "value": "Rome"])
            #expect(action.outcome == [1, 0, 0, 1, 0], "\(action.text)")
            #expect(try site.send("GET", "/api/contacts/\(rome)").json["attributes"] == ["address": ["city": "Rome"]])
            func answer(_ type: String, _ value: JSONValue) throws -> TestAnswer {
                #expect(try site.send("PUT", "/api/fields/attributes.x", json: ["type": .string(type)]).status < 300)
                return try actions.send("POST", segment + "/actions/field", json: ["field": "attributes.x", "value": value])
            }
            for (type, value) in [
                ("number", "many"), ("boolean", 2), ("date", "tomorrow"), ("time", true), ("tags", "a"), ("text", ["a"]),
            ] as [(String, JSONValue)] {
                let refused = try answer(type, value)
                #expect(refused.code == "wrong_type" && refused.json["errors"]?.array?.first?["pointer"] == "/value", "\(type)")
            }
            for (type, value) in [
                ("number", "1.5"), ("boolean", "yes"), ("date", "2026-01-31"), ("tags", .null), ("text", ""), ("tags", []),
            ] as [(String, JSONValue)] {
                #expect(try answer(type, value).status == 202, "\(type)")
                try actions.work()
            }
        }
    }

    @Test func `a field is set where it was not, nested ones too, and goes back to what it was or was not`() throws {
        try withActions { actions throws in
            let site = actions.site
            let rome = try site.add(["attributes": ["address": ["city": "Rome", "zip": "1"]]])["id"]?.string ?? ""
            let none = try site.add([:])["id"]?.string ?? ""
            _ = try site.add(["attributes": ["address": "Oslo"]])
            _ = try site.add(["attributes": ["address": ["city": "Bern"]]])
            let segment = try actions.everybody()
            let action = try actions.act(segment, "field", ["field": "attributes.address.city", "value": "Bern"])
            #expect(action.outcome == [4, 2, 1, 1, 0], "\(action.text)")
            func attributes(_ id: String) throws -> JSONValue? { try site.send("GET", "/api/contacts/\(id)").json["attributes"] }
            #expect(try attributes(rome) == ["address": ["city": "Bern", "zip": "1"]])
            #expect(try attributes(none) == ["address": ["city": "Bern"]])
            #expect(try actions.undo(action)["restored"] == 2)
            #expect(try attributes(rome) == ["address": ["city": "Rome", "zip": "1"]] && attributes(none) == [:])

            let status = try actions.act(segment, "field", ["field": "status", "value": " Won "])
            #expect(status.outcome == [4, 4, 0, 0, 0] && status["parameters"]?["value"] == "Won")
            #expect(try site.send("PATCH", "/api/contacts/\(rome)", json: ["status": "Lost"]).status == 200)
            #expect(try actions.undo(status)["kept"] == 1)
            #expect(try actions.value("SELECT count(*) FROM contacts WHERE status IS NULL") == 3)
            // Made missing, and there again.
            let cleared = try actions.act(segment, "field", ["field": "attributes.address", "value": .null])
            #expect(cleared.outcome == [4, 3, 1, 0, 0])
            #expect(try actions.undo(cleared)["restored"] == 3)
            #expect(try attributes(rome) == ["address": ["city": "Rome", "zip": "1"]])
            for (field, value, code) in [
                ("email", "x", "unknown_field"), ("attributes.a..b", "x", "unknown_field"), ("attributes", "x", "unknown_field"),
                ("status", 5, "wrong_type"), ("country", "XX", "bad_format"), ("timezone", "Mars/Base", "bad_format"),
                ("attributes.a", ["x": 1], "wrong_type"), ("attributes.a", .string(String(repeating: "x", count: 10_001)), "too_long"),
            ] as [(String, JSONValue, String)] {
                let answer = try actions.send("POST", segment + "/actions/field", json: ["field": .string(field), "value": value])
                #expect(answer.status == 422 && answer.code == code, "\(field): \(answer.text)")
            }
        }
    }

    @Test func `a list takes who is not on it, and undoing takes off only those`() throws {
        try withActions { actions throws in
            let site = actions.site
            let contacts = try (0..<4).map { _ in try site.add([:])["id"] ?? .null }
            let list = try site.send("POST", "/api/lists", json: ["name": "L"]).json["id"]?.string ?? ""
            #expect(try site.send("POST", "/api/lists/\(list)/add", json: ["contact_ids": [contacts[0]]]).status < 300)
            let segment = try actions.everybody()
            let action = try actions.act(segment, "list", ["list_id": .string(list)])
            #expect(action.outcome == [4, 3, 1, 0, 0], "\(action.text)")
            // Taken off and added again by somebody: theirs.
            #expect(try site.send("POST", "/api/lists/\(list)/remove", json: ["contact_ids": [contacts[1]]]).status < 300)
            #expect(try site.send("POST", "/api/lists/\(list)/add", json: ["contact_ids": [contacts[1]]]).status < 300)
            let undo = try actions.undo(action)
            #expect(undo["restored"] == 2 && undo["kept"] == 1)
            #expect(try site.count("list_members") == 2)
            #expect(
                try actions.send("POST", segment + "/actions/list", json: ["list_id": .string(UUID.v7().description)]).code == "not_found")
        }
    }

    @Test func `a campaign is drafted once, and goes again unless somebody worked on it`() throws {
        try withActions { actions throws in
            let segment = try actions.everybody()
            let first = try actions.act(segment, "message", ["name": "Hello"])
            #expect(first["state"] == "succeeded" && first["result"]?["campaign_id"]?.string != nil, "\(first.text)")
            #expect(
                try actions.value(
                    "SELECT name || ' ' || status || ' ' || channel || ' ' || (segment_id = '\(idOf(segment).string ?? "")') FROM campaigns"
                )
                    == "Hello draft sms true")
            #expect(try actions.undo(first)["restored"] == 1)
            #expect(try actions.value("SELECT count(*) FROM campaigns") == 0)
            let second = try actions.act(segment, "message", ["name": "Hello again"])
            try actions.site.owner.execute("UPDATE campaigns SET body = 'Hi', version = version + 1")
            #expect(try actions.undo(second)["kept"] == 1)
            #expect(try actions.value("SELECT count(*) FROM campaigns") == 1)
        }
    }

    @Test func `who may not use a segment does nothing to it, and gets nothing of it`() throws {
        try withActions { actions throws in
            let site = actions.site
            _ = try site.add(["attributes": ["plan": "gold"]])
            let (viewer, stranger) = (
                try site.owner.createUser("manager", in: site.workspace), try site.owner.createUser("manager", in: site.workspace)
            )
            let segment = try site.segment("Gold", ["field": "attributes.plan", "op": "is", "value": "gold"])
            #expect(try site.send("PUT", segment + "/shares", json: ["sharing": "restricted"]).status == 200)
            #expect(try site.send("PUT", segment + "/shares/\(viewer.id)", json: ["permission": "view"]).status == 200)
            let action = try actions.act(segment, "export", [:])
            let path = "/api/segment-actions/\(action["id"]?.string ?? "")"
            for (user, use, view) in [(viewer, 403, 200), (stranger, 404, 404)] {
                #expect(try actions.send("POST", segment + "/actions/tag", json: ["add": ["x"]], as: user.token).status == use)
                #expect(try actions.send("POST", path + "/undo", as: user.token).status == use)
                for target in [path, path + "/download", segment + "/actions"] {
                    #expect(try actions.send("GET", target, as: user.token).status == view, "\(target)")
                }
            }
            // A field that it reads is retyped without telling a name.
            let put = try actions.send("PUT", "/api/fields/attributes.plan?dry_run=true", json: ["type": "number"], as: stranger.token)
            let affected = put.json["segments_affected"]?.array?.first
            #expect(
                affected?["id"] == .null && affected?["name"] == "(not shared with you)" && affected?["problem"] == .null, "\(put.text)")
            #expect(try site.send("POST", segment + "/archive").status < 300)
            #expect(try actions.send("POST", segment + "/actions/tag", json: ["add": ["x"]]).code == "segment_archived")
        }
    }

    @Test func `nobody in a segment is nothing to do, and says so`() throws {
        try withActions { actions throws in
            let segment = try actions.site.segment("Nobody", ["any": []])
            for (kind, body) in [("tag", ["add": ["x"]]), ("export", [:])] as [(String, JSONValue)] {
                let action = try actions.act(segment, kind, body)
                #expect(action["state"] == "succeeded" && action.outcome == [0, 0, 0, 0, 0] && action["progress"] == 1)
                #expect(try actions.undo(action)["state"] == "succeeded")
            }
            let page = try actions.send("GET", segment + "/actions").json
            #expect(page["items"]?.array?.map { $0["kind"] } == ["export", "tag"])
        }
    }

    @Test func `a segment that was never calculated is calculated first, and one that cannot be ends the action`() throws {
        try withActions { actions throws in
            _ = try actions.site.add(["attributes": ["plan": "gold"]])
            let segment = try actions.site.segment("Gold", ["field": "attributes.plan", "op": "is", "value": "gold"])
            let path = try actions.start(segment, "tag", ["add": ["x"]])
            // The action's job first: the calculation that was asked for with the segment has not run.
            try actions.site.owner.execute("DELETE FROM jobs WHERE kind = 'calculate_segment'")
            try actions.work()
            #expect(try actions.send("GET", path).json.outcome == [1, 1, 0, 0, 0])
            try actions.site.owner.execute("DELETE FROM fields; UPDATE segments SET state = 'stale'")
            let failed = try actions.act(segment, "tag", ["add": ["y"]])
            #expect(failed["state"] == "failed" && failed["problem"]?["code"] == "rule_no_longer_valid", "\(failed.text)")
        }
    }
}
