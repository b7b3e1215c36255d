// Templates: each a rule that finds whom its name says, and nobody else.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

/// Contacts by name, with a past each. Whoever is not said to be new came 200 days ago.
private struct TemplateWorld {
    let site: AudienceSite
    private(set) var ids: [String: String] = [:]

    init(_ site: AudienceSite) throws {
        self.site = site
        try site.send("PUT", "/api/fields/attributes.birthday", json: ["type": "date"])
        let month = Instant.now().description.prefix(7).suffix(2)
        let other = month == "01" ? "02" : "01"
        for (n, name) in ["new", "old", "replier", "quiet", "leaver", "clicker", "buyer", "refuser", "bouncer", "nameless", "addressless"]
            .enumerated()
        {
            var contact: JSONObject = [
                "external_id": .string(name),
                "attributes": [
                    "lifetime_value": .integer(Int64(n * 10)), "birthday": .string("1990-\(name == "buyer" ? String(month) : other)-15"),
                ],
            ]
            if name != "nameless" { contact["name"] = .string(name) }
            if name == "new" || name == "clicker" { contact["status"] = name == "new" ? "New" : "Open" }
            if name != "addressless" { contact["phone"] = .string("+120255501\(10 + n)") }
            if ["old", "quiet", "leaver"].contains(name) { contact["email"] = .string("\(name)@example.com") }
            ids[name] = try site.add(.object(contact))["id"]?.string
        }
        try site.owner.execute("UPDATE contacts SET created_at = now() - interval '200 days' WHERE external_id <> 'new'")
        for (name, ago, state) in [
            ("replier", 100, "delivered"), ("quiet", 60, "delivered"), ("leaver", 70, "delivered"), ("clicker", 3, "delivered"),
            ("buyer", 3, "delivered"), ("refuser", 60, "delivered"), ("bouncer", 10, "undelivered"),
        ] { try sent(name, ago, state) }
        for (name, kind, ago) in [
            ("replier", "replied", 5), ("leaver", "clicked", 60), ("clicker", "clicked", 2), ("buyer", "clicked", 2),
            ("buyer", "converted", 1),
        ] {
            try site.owner.runDynamic(
                """
                INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
                SELECT m.workspace_id, m.campaign_id, $2, m.contact_id, now() - $3 * interval '1 day' FROM messages m WHERE m.contact_id = $1::uuid
                """, [.text(ids[name] ?? ""), .text(kind), ago.sqlValue])
        }
        for (name, channel, state) in [
            ("replier", "sms", "opted_in"), ("quiet", "sms", "opted_in"), ("quiet", "email", "opted_in"), ("old", "email", "opted_in"),
            ("refuser", "sms", "opted_out"), ("addressless", "sms", "opted_in"),
        ] {
            let body: JSONValue = [
                "contact_id": .string(ids[name] ?? ""), "channel": .string(channel), "state": .string(state), "source": "form",
            ]
            #expect(try site.send("POST", "/api/consent", json: body).status == 201)
        }
        for (name, ago) in [("buyer", 1), ("buyer", 5), ("clicker", 5), ("leaver", 150)] {
            try site.owner.runDynamic(
                "INSERT INTO events (workspace_id, contact_id, name, occurred_at) VALUES ($1::uuid, $2::uuid, 'order', now() - $3 * interval '1 day')",
                [site.workspace.sqlValue, .text(ids[name] ?? ""), ago.sqlValue])
        }
    }

    private func sent(_ name: String, _ ago: Int, _ state: String) throws {
        try site.owner.runDynamic(
            """
            WITH c AS (INSERT INTO campaigns (workspace_id, name, channel) VALUES ($1::uuid, 'C', 'sms') RETURNING id)
            INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, body, parts, state, attempt, sid,
                                  due_at, created_at, started_at, sent_at, settled_at)
            SELECT $1::uuid, c.id, $2::uuid, uuid_v7(), 'sms', '+12025550100', 'x', 1, $3, 1, 'SM', t.at, t.at, t.at, t.at, t.at
              FROM c, (SELECT now() - $4 * interval '1 day') t (at)
            """, [site.workspace.sqlValue, .text(ids[name] ?? ""), .text(state), ago.sqlValue])
    }

    /// Whom the template finds, by name.
    func found(_ key: String, _ parameters: JSONValue = [:]) throws -> Set<String> {
        let answer = try site.send("POST", "/api/segment-templates/\(key)/preview", json: ["parameters": parameters])
        guard answer.status == 200, let sample = answer.json["sample"]?.array else { return ["\(answer.status) \(answer.text)"] }
        guard answer.json["count"]?.integer == sample.count || sample.count == 10 else { return ["count and sample differ"] }
        return Set(sample.compactMap { $0["external_id"]?.string })
    }
}

private func withWorld(_ body: (TemplateWorld) throws -> Void) throws {
    try withAudience { site throws in try body(try TemplateWorld(site)) }
}

@Suite struct SegmentTemplateTests {
    @Test func `every template finds whom its name says and nobody else`() throws {
        try withWorld { world throws in
            let expected: [(String, JSONValue, Set<String>)] = [
                ("new_this_week", [:], ["new"]), ("new_this_week", ["status": "New"], ["new"]), ("new_this_week", ["status": "Open"], []),
                ("added_today", [:], ["new"]), ("new_and_not_messaged", [:], ["new"]),
                ("new_and_not_messaged", ["days": 300], ["new", "old", "nameless", "addressless"]),
                ("never_messaged", [:], ["new", "old", "nameless", "addressless"]),
                ("engaged", [:], ["replier", "clicker", "buyer"]), ("engaged", ["days": 90], ["replier", "leaver", "clicker", "buyer"]),
                ("gone_quiet", [:], ["quiet", "leaver", "refuser"]), ("gone_quiet", ["days": 65], []),
                ("gone_quiet", ["days": 3], ["quiet", "leaver", "replier", "refuser", "bouncer"]),
                ("likely_to_leave", [:], ["leaver"]), ("likely_to_leave", ["before": 40], []),
                ("clicked_not_converted", [:], ["clicker"]), ("clicked_not_converted", ["days": 90], ["clicker", "leaver"]),
                ("sms_only", [:], ["replier"]), ("email_only", [:], ["old"]), ("opted_out", [:], ["refuser"]),
                ("never_asked", [:], ["new", "leaver", "clicker", "buyer", "bouncer", "nameless"]),
                ("undeliverable", [:], ["bouncer"]), ("undeliverable", ["days": 5], []),
                ("incomplete", [:], ["nameless", "addressless"]),
                ("high_value", ["at_least": 80], ["bouncer", "nameless", "addressless"]), ("high_value", [:], ["nameless", "addressless"]),
                ("birthday_this_month", [:], ["buyer"]), ("repeat_buyers", [:], ["buyer"]),
                ("repeat_buyers", ["count": 1, "days": 30], ["buyer", "clicker"]),
                ("lapsed", [:], ["leaver"]), ("lapsed", ["event": "order", "days": 2], ["leaver", "clicker"]),
                ("lapsed", ["event": "visit"], []),
            ]
            for (key, parameters, names) in expected { #expect(try world.found(key, parameters) == names, "\(key) \(parameters.text)") }
            #expect(Set(segmentTemplates.map(\.key)) == Set(expected.map(\.0)), "every template is tried")
        }
    }

    @Test func `where silence means yes, those who said nothing can be reached`() throws {
        try withWorld { world throws in
            try world.site.owner.execute("UPDATE workspaces SET settings = '{\"consent_mode\": \"opt_out\"}'")
            #expect(try world.found("sms_only") == ["new", "replier", "clicker", "buyer", "bouncer", "nameless"])
            #expect(try world.found("email_only") == [])
        }
    }

    @Test func `templates are listed with rules for this workspace, and say what it lacks`() throws {
        try withAudience { site throws in
            func items() throws -> [String: JSONValue] {
                let items = try site.send("GET", "/api/segment-templates").json["items"]?.array ?? []
                return Dictionary(uniqueKeysWithValues: items.map { ($0["key"]?.string ?? "", $0) })
            }
            let empty = try items()
            #expect(empty.count == segmentTemplates.count)
            for (key, parameter) in [
                ("high_value", "field"), ("birthday_this_month", "field"), ("lapsed", "event"), ("repeat_buyers", "event"),
            ] {
                #expect(empty[key]?["rule"] == .null, "\(key)")
                #expect(
                    empty[key]?["missing"]?.array?.contains {
                        $0["parameter"] == .string(parameter) && $0["detail"]?.string?.isEmpty == false
                    } == true, "\(key)")
                let refused = try site.send("POST", "/api/segment-templates/\(key)/preview", json: [:])
                #expect(
                    refused.code == "required" && refused.json["errors"]?.array?.first?["pointer"] == .string("/parameters/\(parameter)"))
            }
            _ = try TemplateWorld(site)
            for (key, item) in try items() {
                #expect(item["missing"] == [], "\(key): \(item.text)")
                let preview = try site.send("POST", "/api/segments/preview", json: ["rule": item["rule"] ?? .null])
                #expect(preview.status == 200, "\(key): \(preview.text)")
            }
            #expect(
                try items()["high_value"]?["rule"]?["match"] == ["field": "attributes.lifetime_value", "op": "at_least", "value": 90.0])
            #expect(try items()["lapsed"]?["parameters"]?.array?.first?["default"] == "order")
        }
    }

    @Test func `a number greater than a double holds fails no template`() throws {
        try withAudience { site throws in
            for value in ["1e400", "-1e400", "90"] { _ = try site.add(["attributes": ["lifetime_value": .string(value)]]) }
            #expect(try site.send("PUT", "/api/fields/attributes.lifetime_value", json: ["type": "number"]).status < 300)
            let items = try site.send("GET", "/api/segment-templates").json["items"]?.array ?? []
            let high = items.first { $0["key"] == "high_value" }
            #expect(high?["rule"]?["match"] == ["field": "attributes.lifetime_value", "op": "at_least", "value": 90.0])
            #expect(try site.send("GET", "/api/segments/recommendations").status == 200)
        }
    }

    @Test func `a segment is saved from a template, with its rule spelled out`() throws {
        try withWorld { world throws in
            let site = world.site
            let made = try site.send(
                "POST", "/api/segments", json: ["name": "Quiet", "template": "gone_quiet", "parameters": ["days": 65]])
            #expect(made.status == 201, "\(made.text)")
            #expect(
                made.json["rule"]?["match"]?["all"]?.array?.first == ["campaign": "*", "did": "sent", "within": ["until": ["ago": "65d"]]])
            for (body, code, pointer) in [
                (["name": "N"], "required", "/rule"), (["name": "N", "template": "nope"], "not_one_of", "/template"),
                (["name": "N", "template": "engaged", "rule": ["match": ["all": []]]], "one_of_these", "/template"),
                (["name": "N", "rule": ["match": ["all": []]], "parameters": ["days": 1]], "one_of_these", "/parameters"),
                (["name": "N", "template": "engaged", "parameters": ["weeks": 1]], "unknown_member", "/parameters/weeks"),
                (["name": "N", "template": "engaged", "parameters": ["days": 0]], "out_of_range", "/parameters/days"),
                (["name": "N", "template": "engaged", "parameters": ["days": "x"]], "out_of_range", "/parameters/days"),
                (["name": "N", "template": "high_value", "parameters": ["field": "attributes.no"]], "unknown_field", "/parameters/field"),
                (
                    ["name": "N", "template": "high_value", "parameters": ["field": "attributes.birthday"]], "wrong_type",
                    "/parameters/field"
                ),
                (["name": "N", "template": "high_value", "parameters": ["at_least": "much"]], "wrong_type", "/parameters/at_least"),
                (["name": "N", "template": "new_this_week", "parameters": ["status": 5]], "wrong_type", "/parameters/status"),
            ] as [(JSONValue, String, String)] {
                let fault = try site.send("POST", "/api/segments", json: body).json["errors"]?.array?.first
                #expect(fault?["code"] == .string(code) && fault?["pointer"] == .string(pointer), "\(body.text): \(fault?.text ?? "")")
            }
            #expect(try site.send("POST", "/api/segment-templates/nope/preview", json: [:]).status == 404)
        }
    }
}
