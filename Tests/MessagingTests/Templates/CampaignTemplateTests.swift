import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct CampaignTemplateTests {
    private func fault(_ answer: TestAnswer) -> String {
        let fault = answer.json["errors"]?.array?.first
        return (fault?["pointer"]?.string ?? "\(answer.status)") + " " + (fault?["code"]?.string ?? answer.code ?? "")
    }

    private func template(_ site: MessagingSite, _ body: JSONObject, as user: TestUser? = nil) throws -> JSONValue {
        let answer = try site.post("/api/templates", .object(body), as: user)
        #expect(answer.status == 201, "\(answer.text)")
        return answer.json["id"] ?? .null
    }

    @Test func `a campaign takes the newest version of its template, once`() throws {
        try withMessagingSite { site throws in
            let id = try template(site, ["name": "Hello", "channel": "sms", "body": "First"])
            _ = try site.send("PATCH", "/api/templates/\(id.string!)", ["body": "Second"])
            let draft: JSONObject = ["name": "From it", "channel": "sms", "template_id": id]
            let created = try site.post("/api/campaigns", .object(draft))
            #expect(created.status == 201 && created.json["body"] == "Second", "\(created.text)")
            #expect(created.json["template_id"] == id && created.json["template_version"] == 2)
            let path = "/api/campaigns/" + created.json["id"]!.string!
            _ = try site.send("PATCH", "/api/templates/\(id.string!)", ["body": "Third"])
            #expect(try site.get(path).json["body"] == "Second")
            let copy = try site.post(path + "/copy").json
            #expect(copy["body"] == "Second" && copy["template_version"] == 2)
            let change: JSONObject = ["template_id": id]
            let changed = try site.send("PATCH", path, .object(change)).json
            #expect(changed["body"] == "Third" && changed["template_version"] == 3 && changed["version"] == 2)
            #expect(try site.send("DELETE", "/api/templates/\(id.string!)").status == 204)
            #expect(try site.get(path).json["body"] == "Third")
            let byHand = try site.send("PATCH", path, ["body": "By hand"]).json
            #expect(byHand["template_id"] == id && byHand["body"] == "By hand")
            let cleared = try site.send("PATCH", path, ["template_id": .null]).json
            #expect(cleared["template_id"]?.isNull == true && cleared["template_version"]?.isNull == true && cleared["body"] == "By hand")
        }
    }

    @Test func `by e-mail subject and HTML come with it`() throws {
        try withMessagingSite { site throws in
            let id = try template(site, ["name": "Mail", "channel": "email", "subject": "S", "body": "B", "html": "<p>H</p>"])
            let draft: JSONObject = ["name": "From it", "channel": "email", "preheader": "P", "template_id": id]
            let created = try site.post("/api/campaigns", .object(draft)).json
            #expect(created["subject"] == "S" && created["html"] == "<p>H</p>" && created["body"] == "B" && created["preheader"] == "P")
            let plain = try template(site, ["name": "Plain", "channel": "email", "subject": "S2", "body": "B2"])
            let change: JSONObject = ["template_id": plain]
            let changed = try site.send("PATCH", "/api/campaigns/" + created["id"]!.string!, .object(change)).json
            #expect(changed["subject"] == "S2" && changed["html"]?.isNull == true, "\(changed.text)")
        }
    }

    @Test func `what is wrong with it is told there, and nothing is left`() throws {
        try withMessagingSite { site throws in
            let text = try template(site, ["name": "Hello", "channel": "sms", "body": "Hi"])
            let foreign = try template(site, ["name": "Hello", "channel": "sms", "body": "Hi"], as: site.stranger)
            func draft(_ channel: JSONValue, _ template: JSONValue, _ more: JSONObject = [:]) throws -> String {
                var body: JSONObject = ["name": "From it", "channel": channel, "template_id": template]
                for member in more { body[member.key] = member.value }
                return fault(try site.post("/api/campaigns", .object(body)))
            }
            #expect(try draft("email", text) == "/template_id wrong_channel")
            #expect(try draft("sms", foreign) == "/template_id not_found")
            #expect(try draft("sms", .string(TemplateID.new().description)) == "/template_id not_found")
            #expect(try draft("sms", text, ["body": "Hi"]) == "/template_id not_expected")
            #expect(try site.campaigns() == 1)
            let change: JSONObject = ["template_id": foreign, "name": "Other"]
            #expect(fault(try site.send("PATCH", site.campaign, .object(change))) == "/template_id not_found")
            #expect(try site.get(site.campaign).json["name"] == "Test")
        }
    }
}
