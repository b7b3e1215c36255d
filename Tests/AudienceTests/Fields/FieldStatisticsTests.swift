// What fields tell of their values: missing, distinct, most frequent, and what begins like this.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct FieldStatisticsTests {
    private func profile(_ site: AudienceSite) throws {
        let db = try site.database.connect(as: .maintenance)
        let counts = try #require(fieldChores.first).run(db)
        #expect(counts.first { $0.0 == "failed" }?.1 == 0)
    }

    private func values(_ site: AudienceSite, _ key: String, _ query: String = "") throws -> [String] {
        try site.send("GET", "/api/fields/\(key)/values?\(query)").json["items"]?.array?.compactMap {
            "\($0["value"]?.string ?? "") \($0["contacts"]?.integer.map(String.init) ?? "-")"
        } ?? []
    }

    @Test func `a field tells what is missing and how many values there are, at once and after a night`() throws {
        try withAudience { site throws in
            for city in ["Rome", "Rome", "Oslo", ""] {
                _ = try site.add(["attributes": ["address": ["city": .string(city)]], "tags": ["x", "y"]])
            }
            _ = try site.add(["attributes": ["address": ["city": "Bern"]]])
            func statistics(_ key: String) throws -> JSONValue? { try site.send("GET", "/api/fields/\(key)").json["statistics"] }
            for round in 0..<2 {
                let city = try #require(try statistics("attributes.address.city"))
                #expect(city["examined"] == 5 && city["missing_rate"]?.real == 0.2 && city["distinct"] == 3, "\(round): \(city.text)")
                #expect(city["exact"] == true)
                let tags = try #require(try statistics("tags"))
                #expect(tags["distinct"] == 2 && tags["missing_rate"]?.real == 0.2)
                let phone = try #require(try statistics("phone"))
                #expect(phone["missing_rate"]?.real == 1 && phone["distinct"] == 0)
                let items = try site.send("GET", "/api/fields?limit=200").json["items"]?.array ?? []
                #expect(items.allSatisfy { $0["statistics"]?["examined"] == 5 })
                try profile(site)
            }
        }
    }

    @Test func `what the field's type cannot read is missing, as it is to rules`() throws {
        try withAudience { site throws in
            for value in [7, "8", "n/a", ["k": 1], [1], .null] as [JSONValue] { _ = try site.add(["attributes": ["n": value]]) }
            func statistics() throws -> JSONValue? { try site.send("GET", "/api/fields/attributes.n").json["statistics"] }
            for (type, missing, distinct) in [("number", 4.0, 2), ("text", 3.0, 3), ("tags", 6.0, 0)] {
                #expect(try site.send("PUT", "/api/fields/attributes.n", json: ["type": .string(type)]).status < 300)
                for round in 0..<2 {
                    if round == 1 { try profile(site) } else { try site.owner.execute("DELETE FROM field_statistics") }
                    let found = try #require(try statistics())
                    #expect(found["examined"] == 6 && found["distinct"]?.integer == distinct, "\(type) \(round): \(found.text)")
                    #expect(abs((found["missing_rate"]?.real ?? 0) - missing / 6) < 1e-5, "\(type) \(round): \(found.text)")
                    let unknown: JSONValue = ["rule": ["match": ["field": "attributes.n", "op": "is_unknown"]], "fresh": true]
                    #expect(try site.send("POST", "/api/segments/preview", json: unknown).json["count"]?.real == missing)
                }
            }
        }
    }

    @Test func `values are suggested by how they begin, the most frequent first`() throws {
        try withAudience { site throws in
            for city in ["Rome", "Rome", "Riga", "Oslo", "Rom%"] { _ = try site.add(["attributes": ["city": .string(city)]]) }
            #expect(try values(site, "attributes.city") == ["Oslo -", "Riga -", "Rom% -", "Rome -"])
            try profile(site)
            #expect(try values(site, "attributes.city") == ["Rome 2", "Oslo 1", "Riga 1", "Rom% 1"])
            #expect(try values(site, "attributes.city", "prefix=r&limit=2") == ["Rome 2", "Riga 1"])
            #expect(try values(site, "attributes.city", "prefix=rom%25") == ["Rom% 1"])
            // One that came after the night is suggested as well.
            let late = try site.add([
                "email": "Late@Example.com", "phone": "+12025550123", "external_id": "L1", "attributes": ["city": "Reims"],
            ])
            #expect(late["email"] == "late@example.com")
            #expect(try values(site, "attributes.city", "prefix=R") == ["Rome 2", "Riga 1", "Rom% 1", "Reims -"])
            // What identifies somebody comes from its index.
            #expect(try values(site, "email", "prefix=LATE") == ["late@example.com 1"])
            #expect(try values(site, "phone", "prefix=%2B1202") == ["+12025550123 1"] && values(site, "phone", "prefix=+1202").count == 1)
            #expect(try values(site, "external_id", "prefix=L") == ["L1 1"] && values(site, "external_id", "prefix=M").isEmpty)
            #expect(try site.send("GET", "/api/fields/attributes.none/values").status == 404)
            let other = try site.owner.createAPIKey(in: try site.owner.createWorkspace()).token
            #expect(try site.send("GET", "/api/fields/attributes.city/values", as: other).status == 404)
            #expect(try site.send("GET", "/api/fields/email/values", as: other).json["items"] == [])
        }
    }

    @Test func `of many contacts some are examined, and say so`() throws {
        try withAudience { site throws in
            try site.owner.runDynamic(
                """
                INSERT INTO contacts (workspace_id, ordinal, attributes)
                SELECT $1, n, jsonb_build_object('plan', CASE WHEN n % 4 = 0 THEN 'gold' ELSE 'iron' END, 'serial', n) FROM generate_series(1, 60000) n
                """, [site.workspace.sqlValue])
            try site.owner.execute(
                """
                INSERT INTO contact_ordinals SELECT id, 60000 FROM workspaces;
                INSERT INTO fields (workspace_id, key, type) SELECT id, k, 'text' FROM workspaces, unnest(ARRAY['attributes.plan', 'attributes.serial']) k
                """)
            try profile(site)
            let serial = try #require(try site.send("GET", "/api/fields/attributes.serial").json["statistics"])
            #expect(serial["exact"] == false && (16_000..<20_000).contains(serial["examined"]?.integer ?? 0), "\(serial.text)")
            #expect((58_000...60_000).contains(serial["distinct"]?.integer ?? 0), "\(serial.text)")
            #expect(try site.send("GET", "/api/fields/attributes.plan").json["statistics"]?["distinct"] == 2)
            let plans = try site.send("GET", "/api/fields/attributes.plan/values").json
            #expect(plans["exact"] == false && plans["items"]?.array?.first?["value"] == "iron")
            #expect((43_000...47_000).contains(plans["items"]?.array?.first?["contacts"]?.integer ?? 0), "\(plans.text)")
        }
    }
}
