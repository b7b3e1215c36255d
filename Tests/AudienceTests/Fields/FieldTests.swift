import Audience
import JSON
import TestSupport
import Testing

@Suite struct FieldTests {
    private func types(_ site: AudienceSite) throws -> [String: String] {
        let items = try site.send("GET", "/api/fields?limit=200").json["items"]?.array ?? []
        return Dictionary(uniqueKeysWithValues: items.map { ($0["key"]?.string ?? "", $0["type"]?.string ?? "") })
    }

    @Test func `fields are those of every contact and those that were seen, with types and examples`() throws {
        try withAudience { site throws in
            _ = try site.add([
                "email": "a@example.com",
                "attributes": ["n": 5, "flag": true, "day": "2026-01-31", "address": ["city": "Rome"], "colours": ["red"]],
            ])
            _ = try site.add([
                "email": "b@example.com", "attributes": ["n": "7.5", "flag": "no", "day": "2026-02-01T10:00", "address": ["city": "Oslo"]],
            ])
            let types = try types(site)
            #expect(types["email"] == "email" && types["tags"] == "tags" && types["created_at"] == "time")
            #expect(types["attributes.n"] == "number" && types["attributes.flag"] == "boolean" && types["attributes.day"] == "time")
            #expect(types["attributes.address.city"] == "text" && types["attributes.colours"] == "tags")
            let items = try site.send("GET", "/api/fields?limit=200").json["items"]?.array ?? []
            #expect(items.first { $0["key"] == "attributes.address.city" }?["examples"] == ["Oslo", "Rome"])
            #expect(items.first?["built_in"] == true && items.last?["built_in"] == false)
        }
    }

    @Test func `a type narrows as values come, never widens`() throws {
        try withAudience { site throws in
            for (value, type) in [("1", "number"), ("0", "number"), ("yes", "boolean"), ("maybe", "text"), ("1", "text")] {
                _ = try site.add(["attributes": ["x": .string(value)]])
                #expect(try types(site)["attributes.x"] == type)
            }
        }
    }

    @Test func `a declared type wins until it is taken back`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["zip": "02134"]])
            let put = try site.send("PUT", "/api/fields/attributes.zip", json: ["type": "text", "label": "ZIP"])
            #expect(put.status == 200 && put.json["type"] == "text" && put.json["declared"] == true && put.json["label"] == "ZIP")
            _ = try site.add(["attributes": ["zip": "10001"]])
            #expect(try types(site)["attributes.zip"] == "text")
            #expect(
                try site.send("PUT", "/api/fields/attributes.zip", json: ["type": "number"], headers: [("If-Match", "\"v1\"")]).status
                    == 412)
            #expect(try site.send("DELETE", "/api/fields/attributes.zip").status == 204)
            #expect(try types(site)["attributes.zip"] == "number")
            // Declared before any value was seen, and forgotten without a trace.
            #expect(try site.send("PUT", "/api/fields/attributes.later", json: ["type": "date"]).status == 201)
            #expect(try site.send("DELETE", "/api/fields/attributes.later").status == 204)
            #expect(try site.send("GET", "/api/fields/attributes.later").status == 404)
        }
    }

    @Test func `what is no attribute cannot be declared`() throws {
        try withAudience { site throws in
            #expect(try site.send("PUT", "/api/fields/email", json: ["type": "text"]).code == "built_in_field")
            #expect(try site.send("PUT", "/api/fields/attributes.", json: ["type": "text"]).code == "bad_key")
            #expect(try site.send("PUT", "/api/fields/nonsense", json: ["type": "text"]).code == "bad_key")
            #expect(try site.send("PUT", "/api/fields/attributes.x", json: ["type": "colour"]).code == "not_one_of")
            #expect(try site.send("GET", "/api/fields/email").json["type"] == "email")
        }
    }

    @Test(
        arguments: [
            ("5", FieldTypes.number), ("-1.5e3", .number), ("1", [.number, .boolean]), ("TRUE", .boolean), ("2026-02-29", []),
            ("2028-02-29", [.date, .time]), ("2026-01-31T10:00:00+02:00", .time), ("1e9999", []), ("NaN", []), ("0x10", []), ("x", []),
        ] as [(String, FieldTypes)])
    func `a text is what it converts to`(text: String, types: FieldTypes) {
        #expect(FieldTypes(of: .string(text)) == types)
    }
}
