import JSON
import TestSupport
import Testing

@Suite struct TemplateRouteTests {
    @Test func `a template is made, read, changed, listed and deleted`() throws {
        try withMessagingSite { site throws in
            let made = try site.post("/api/templates", ["name": "Welcome", "body": "Hi {{ name }}"])
            #expect(made.status == 201)
            let path = try #require(made.header("location"))
            #expect(made.header("etag") == "\"v1\"")
            #expect(try site.get(path).json["body"]?.string == "Hi {{ name }}")
            let changed = try site.send("PATCH", path, ["body": "Hello {{ name }}"], headers: [("If-Match", "\"v1\"")])
            #expect(changed.status == 200 && changed.header("etag") == "\"v2\"")
            #expect(try site.send("PATCH", path, ["name": "Other"], headers: [("If-Match", "\"v1\"")]).status == 412)
            #expect(try site.get("/api/templates").json["items"]?.array?.map { $0["name"]?.string } == ["Welcome"])
            #expect(try site.send("DELETE", path).status == 204)
            #expect(try site.get(path).status == 404)
        }
    }

    @Test func `a text that does not parse is refused with all its faults and their places`() throws {
        try withMessagingSite { site throws in
            let answer = try site.post("/api/templates", ["name": "Bad", "body": "{{ name | shout }} and {{ }}"])
            #expect(answer.status == 422)
            let faults = answer.json["errors"]?.array ?? []
            #expect(faults.map { $0["pointer"]?.string } == ["/body", "/body"])
            #expect(faults.map { $0["code"]?.string } == ["template_unknown_filter", "template_empty_variable"])
            #expect(try site.post("/api/templates", ["name": "Bad"]).code == "required")
            #expect(try site.post("/api/templates", ["name": "Bad", "body": "x", "colour": "red"]).code == "unknown_member")
        }
    }

    @Test func `a template of an e-mail has a subject and may have HTML, one of a text message neither`() throws {
        try withMessagingSite { site throws in
            let contact = site.scene.contacts[0].description
            let mail: JSONObject = [
                "name": "Mail", "channel": "email", "subject": "For {{ first_name }}", "body": "Hi {{ first_name }}",
                "html": "<b>{{ nick | default: \"<you>\" }}</b> {{ nobody_has_this }}",
            ]
            let path = try #require(try site.post("/api/templates", .object(mail)).header("location"))
            let shown = try site.post(path + "/preview", ["contact_id": .string(contact)])
            #expect(shown.json["subject"] == "For P1" && shown.json["text"] == "Hi P1" && shown.json["html"] == "<b>&lt;you&gt;</b>")
            let unknown = shown.json["variables"]?.array?.filter { $0["is_unknown"] == true }.map { $0["name"]?.string }
            #expect(unknown == ["attributes.nick", "attributes.nobody_has_this"])
            #expect(try site.send("PATCH", path, ["html": .null]).json["html"]?.isNull == true)
            func faults(_ body: JSONValue) throws -> [String?] {
                try site.post("/api/templates", body).json["errors"]?.array?.map { $0["code"]?.string } ?? []
            }
            #expect(try faults(["name": "a", "channel": "email", "body": "x"]) == ["required"])
            #expect(try faults(["name": "a", "body": "x", "subject": "x", "html": "x"]) == ["not_for_channel", "not_for_channel"])
            #expect(try faults(["name": "a", "body": .string(String(repeating: "x", count: 1601))]) == ["too_long"])
            #expect(
                try faults(["name": "a", "channel": "email", "subject": "{{ }}", "body": "{% if %}", "html": "{{ a | b }}"])
                    == ["template_empty_variable", "template_unexpected", "template_unclosed", "template_unknown_filter"])
        }
    }

    @Test func `every save keeps what the template was, and what it was can be restored`() throws {
        try withMessagingSite { site throws in
            let path = try #require(try site.post("/api/templates", ["name": "T", "body": "one"]).header("location"))
            _ = try site.send("PATCH", path, ["name": "U", "body": "two"])
            _ = try site.send("PATCH", path, ["body": "three"])
            func bodies() throws -> [String?] { try site.get(path + "/versions").json["items"]?.array?.map { $0["body"]?.string } ?? [] }
            #expect(try bodies() == ["three", "two", "one"])
            let first = try site.get(path + "/versions/1").json
            #expect(first["name"] == "T" && first["created_by"]?.string != nil && first["created_at"]?.string != nil)
            #expect(try site.send("POST", path + "/versions/1/restore", headers: [("If-Match", "\"v2\"")]).status == 412)
            let restored = try site.send("POST", path + "/versions/1/restore", headers: [("If-Match", "\"v3\"")])
            #expect(restored.json["body"] == "one" && restored.json["name"] == "U" && restored.header("etag") == "\"v4\"")
            #expect(try bodies() == ["one", "three", "two", "one"])
            #expect(try site.get(path + "/versions/9").status == 404)
            #expect(try site.get(path + "/versions?limit=1").json["items"]?.array?.count == 1)
            #expect(try site.get(path + "/versions", as: site.stranger).status == 404)
            #expect(try site.get(path + "/versions/1", as: site.stranger).status == 404)
            #expect(try site.send("POST", path + "/versions/1/restore", as: site.stranger).status == 404)
            #expect(try site.send("POST", path + "/versions/1/restore", as: site.viewer).status == 403)
            #expect(try site.send("DELETE", path).status == 204)
        }
    }

    @Test func `a name is taken once`() throws {
        try withMessagingSite { site throws in
            _ = try site.post("/api/templates", ["name": "Welcome", "body": "Hi"])
            #expect(try site.post("/api/templates", ["name": "Welcome", "body": "Hi"]).status == 409)
        }
    }

    @Test func `a preview shows a contact's text and what it costs`() throws {
        try withMessagingSite { site throws in
            let contact = site.scene.contacts[0].description
            let answer = try site.post(
                "/api/templates/preview", ["body": "“Hi” {{ first_name }} in {{ city | upcase }}", "contact_id": .string(contact)])
            #expect(answer.status == 200)
            #expect(answer.json["text"]?.string == "“Hi” P1 in BERLIN")
            #expect(answer.json["encoding"]?.string == "UCS-2")
            #expect(answer.json["forces_ucs2"]?.array == ["“", "”"])
            let path = try #require(
                try site.post("/api/templates", ["name": "T", "body": "Hi {{ name | default: \"you\" }}"]).header("location"))
            #expect(try site.post(path + "/preview").json["text"]?.string == "Hi you")
            #expect(try site.post(path + "/preview", ["contact_id": "00000000-0000-7000-8000-000000000000"]).status == 404)
        }
    }

    @Test func `a viewer reads and changes nothing, a stranger sees nothing`() throws {
        try withMessagingSite { site throws in
            let path = try #require(try site.post("/api/templates", ["name": "Welcome", "body": "Hi"]).header("location"))
            #expect(try site.get(path, as: site.viewer).status == 200)
            #expect(try site.post("/api/templates", ["name": "Mine", "body": "Hi"], as: site.viewer).status == 403)
            #expect(try site.send("PATCH", path, ["name": "Mine"], as: site.viewer).status == 403)
            #expect(try site.send("DELETE", path, as: site.viewer).status == 403)
            #expect(try site.get(path, as: site.stranger).status == 404)
            #expect(try site.send("PATCH", path, ["name": "Mine"], as: site.stranger).status == 404)
            #expect(try site.send("DELETE", path, as: site.stranger).status == 404)
            #expect(try site.post(path + "/preview", as: site.stranger).status == 404)
            #expect(try site.get("/api/templates", as: site.stranger).json["items"]?.array == [])
        }
    }
}
