import JSON
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct CampaignRouteTests {
    @Test func `a campaign is drafted, read, changed, listed and deleted`() throws {
        try withMessagingSite { site throws in
            let made = try site.post(
                "/api/campaigns",
                [
                    "name": "Sale", "channel": "sms", "segment_id": .string(site.scene.segment.description),
                    "sender_id": .string(site.scene.sender.description), "body": "Hi {{ name | default: \"there\" }}",
                    "goal_event": "purchase",
                ])
            #expect(made.status == 201, "\(made.text)")
            let path = try #require(made.header("location"))
            let read = try site.get(path).json
            #expect(read["status"]?.string == "draft")
            #expect(read["counts"]?["frozen"]?.integer == 0)
            #expect(read["attribution_window_seconds"]?.integer == 604_800)
            #expect(try site.send("PATCH", path, ["name": "Big sale", "goal_event": .null]).json["goal_event"]?.isNull == true)
            #expect(try site.get("/api/campaigns?status=draft").json["items"]?.array?.count == 2)
            #expect(try site.get("/api/campaigns?status=sending").json["items"]?.array?.count == 0)
            #expect(try site.get("/api/campaigns?status=odd").status == 422)
            #expect(try site.send("DELETE", path).status == 204)
            #expect(try site.get(path).status == 404)
        }
    }

    @Test func `a draft may only name what is there`() throws {
        try withMessagingSite { site throws in
            let nobody = JSONValue.string("00000000-0000-7000-8000-000000000000")
            let answer = try site.post("/api/campaigns", ["name": "Sale", "channel": "sms", "segment_id": nobody, "sender_id": nobody])
            #expect(answer.status == 422)
            #expect(answer.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/segment_id", "/sender_id"])
            #expect(try site.post("/api/campaigns", ["name": "Sale", "channel": "pigeon"]).code == "not_one_of")
        }
    }

    @Test func `a campaign goes to no segment that is archived, and to none that its author may not use`() throws {
        try withMessagingSite { site throws in
            let segment = JSONValue.string(site.scene.segment.description)
            func codes(_ token: String) throws -> [String?] {
                let made = try site.responder.send(
                    "POST", "/api/campaigns", token: token, json: ["name": "Sale", "channel": "sms", "segment_id": segment])
                let started = try site.responder.send("POST", site.campaign + "/start", token: token)
                let looked = try site.responder.send("POST", site.campaign + "/preflight", token: token)
                #expect(looked.status == 200 && looked.json["can_start"] == false, "\(looked.text)")
                return [made.code, started.code]
            }
            try site.owner.execute("UPDATE segments SET archived_at = now()")
            #expect(try codes(site.manager.token) == ["segment_archived", "segment_archived"])
            try site.owner.execute("UPDATE segments SET archived_at = NULL, is_restricted = true")
            #expect(try codes(site.manager.token) == ["not_found", "not_found"])
            let looked = try site.responder.send("POST", site.campaign + "/preflight", token: site.manager.token).json
            #expect(looked["waterfall"] == nil && looked["sample"] == nil, "\(looked.text)")
            let share =
                "INSERT INTO segment_shares (workspace_id, segment_id, user_id, permission) SELECT workspace_id, id, '\(site.manager.id)'"
            try site.owner.execute(share + ", 'view' FROM segments")
            #expect(try codes(site.manager.token) == ["segment_not_usable", "segment_not_usable"])
            try site.owner.execute("UPDATE segment_shares SET permission = 'use'")
            let started = try site.responder.send("POST", site.campaign + "/start", token: site.manager.token)
            #expect(started.status == 200, "\(started.text)")
        }
    }

    @Test func `starting asks for the segment and the freeze, and only a draft starts`() throws {
        try withMessagingSite { site throws in
            let started = try site.post(site.campaign + "/start")
            #expect(started.status == 200, "\(started.text)")
            #expect(started.json["status"]?.string == "freezing")
            let jobs: [String] = try site.owner.dynamic("SELECT kind FROM jobs ORDER BY kind", [])
            #expect(jobs == ["calculate_segment", "freeze_campaign"])
            let again = try site.post(site.campaign + "/start")
            #expect(again.status == 409 && again.code == "wrong_state")
            #expect(again.json["detail"]?.string?.contains("`freezing`") == true)
            #expect(try site.send("PATCH", site.campaign, ["name": "Late"]).code == "wrong_state")
            #expect(try site.send("DELETE", site.campaign).code == "wrong_state")
        }
    }

    @Test func `what is missing keeps a campaign from starting, all of it told at once`() throws {
        try withMessagingSite { site throws in
            let path = try #require(try site.post("/api/campaigns", ["name": "Empty", "channel": "sms"]).header("location"))
            let answer = try site.post(path + "/start")
            #expect(answer.status == 422)
            #expect(answer.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/body", "/segment_id", "/sender_id"])
        }
    }

    @Test func `a variable that no contact has keeps it from starting, unless it has a default`() throws {
        try withMessagingSite(body: "Hi {{ frist_name }}") { site throws in
            let answer = try site.post(site.campaign + "/start")
            #expect(answer.status == 422 && answer.code == "unknown_variable")
            #expect(answer.text.contains("attributes.frist_name"))
            _ = try site.send("PATCH", site.campaign, ["body": "Hi {{ frist_name | default: \"there\" }}"])
            let preflight = try site.post(site.campaign + "/preflight").json
            #expect(preflight["can_start"]?.bool == true)
            #expect(preflight["warnings"]?.array?.map { $0["code"]?.string } == ["unknown_variable"])
            #expect(try site.post(site.campaign + "/start").status == 200)
        }
    }

    @Test func `each action fits some states, and names the one it met`() throws {
        try withMessagingSite { site throws in
            for action in ["pause", "resume", "cancel"] {
                let answer = try site.post(site.campaign + "/" + action)
                #expect(answer.status == 409 && answer.json["detail"]?.string?.contains("`draft`") == true, "\(action)")
            }
            try site.scene.freeze(site.owner)
            #expect(try site.post(site.campaign + "/resume").status == 409)
            #expect(try site.post(site.campaign + "/pause").json["status"]?.string == "paused")
            #expect(try site.post(site.campaign + "/pause").status == 409)
            #expect(try site.post(site.campaign + "/resume").json["status"]?.string == "sending")
            #expect(try site.post(site.campaign + "/cancel").json["status"]?.string == "cancelled")
            for action in ["start", "pause", "resume", "cancel"] {
                #expect(try site.post(site.campaign + "/" + action).json["detail"]?.string?.contains("`cancelled`") == true, "\(action)")
            }
        }
    }

    @Test func `a campaign of a suspended sender does not resume`() throws {
        try withMessagingSite { site throws in
            try site.scene.freeze(site.owner)
            _ = try site.post(site.campaign + "/pause")
            try site.owner.execute("UPDATE senders SET status = 'suspended', status_reason = 'authentication_failed'")
            #expect(try site.post(site.campaign + "/resume").code == "sender_suspended")
        }
    }

    @Test func `preflight tells who is left out and why, parts, encoding and time`() throws {
        try withMessagingSite(contacts: 5, consenting: 4, body: "Hi {{ first_name }} – see {{ city }}") { site throws in
            try site.owner.execute("UPDATE contacts SET phone = NULL WHERE first_name = 'P1'")
            try site.owner.runDynamic(
                "INSERT INTO fields (workspace_id, key, type) VALUES ($1, 'attributes.city', 'text')", [site.scene.workspace.sqlValue])
            try site.owner.runDynamic(
                "UPDATE contacts SET attributes = jsonb_build_object('city', repeat('a', 80)) WHERE first_name = 'P2'", [])
            try site.owner.execute("UPDATE senders SET rate_parts_per_second = 2")
            let report = try site.post(site.campaign + "/preflight").json
            let waterfall = report["waterfall"]
            #expect(waterfall?["members"] == 5 && waterfall?["recipients"] == 3)
            #expect(waterfall?["skipped"] == ["no_address": 1, "no_consent": 1])
            let steps = waterfall?["steps"]?.array ?? []
            #expect(
                steps.map { "\($0["reason"]!.string!) \($0["count"]!.integer!) \($0["remaining"]!.integer!)" } == [
                    "no_address 1 4", "invalid_address 0 4", "duplicate_address 0 4", "opted_out 0 4", "suppressed 0 4", "no_consent 1 3",
                    "holdout 0 3", "quiet_hours 0 3", "over_cap 0 3",
                ])
            #expect(steps[0]["sample"] == [["id": .string(site.scene.contacts[0].description), "name": "P1"]])
            #expect(steps[5]["sample"] == [["id": .string(site.scene.contacts[4].description), "name": "P5"]])
            #expect(steps[6]["sample"] == [])
            #expect(report["parts"] == ["exact": true, "rendered": 3, "histogram": ["1": 2, "2": 1], "total": 4])
            #expect(report["encoding"]?["ucs2"]?.integer == 3)
            #expect(report["encoding"]?["forced_by"]?.array?.first == ["character": "–", "code": "U+2013", "messages": 3])
            #expect(report["estimated_seconds"]?.real == 2)
            #expect(report["can_start"]?.bool == true)
            #expect(report["sample"]?.array?.count == 3)
            // What preflight says is what freezing does.
            try site.scene.freeze(site.owner)
            #expect(try site.scene.states(site.owner) == ["pending": 3, "skipped/no_address": 1, "skipped/no_consent": 1])
        }
    }

    @Test func `messages are listed page by page, with their reasons`() throws {
        try withMessagingSite(contacts: 5, consenting: 3) { site throws in
            try site.scene.freeze(site.owner)
            var found: [String] = []
            var path: String? = site.campaign + "/messages?limit=2"
            while let page = path {
                let answer = try site.get(page)
                #expect(answer.status == 200)
                found += answer.json["items"]?.array?.compactMap { $0["contact_id"]?.string } ?? []
                path = answer.json["pagination"]?["next_cursor"]?.string.map { site.campaign + "/messages?limit=2&cursor=\($0)" }
            }
            #expect(found == site.scene.contacts.sorted().map(\.description))
            let skipped = try site.get(site.campaign + "/messages?state=skipped").json["items"]?.array ?? []
            #expect(skipped.map { $0["skip_reason"]?.string } == ["no_consent", "no_consent"])
            let message = try site.get("/api/messages/\(skipped[0]["id"]!.string!)")
            #expect(message.status == 200 && message.json["receipts"] == [])
            #expect(try site.get("/api/messages/\(skipped[0]["id"]!.string!)", as: site.stranger).status == 404)
        }
    }

    @Test func `a test goes to one number, outside audience and counts`() throws {
        try withMessagingSite { site throws in
            let answer = try site.post(
                site.campaign + "/test", ["to": "+12025550188", "contact_id": .string(site.scene.contacts[1].description)])
            #expect(answer.status == 202, "\(answer.text)")
            let path = try #require(answer.header("location"))
            #expect(try site.get(path).json["body"]?.string == "Hi P2")
            #expect(try site.get(path).json["kind"]?.string == "test")
            #expect(try site.get(site.campaign).json["counts"]?["frozen"]?.integer == 0)
            #expect(try site.get(site.campaign + "/messages").json["items"]?.array == [])
            #expect(try site.post(site.campaign + "/test", ["to": "12025550188"]).code == "bad_format")
        }
    }

    @Test func `a key for campaigns alone is shown no contact, in a test, a preview or a sample`() throws {
        try withMessagingSite(contacts: 3, consenting: 2) { site throws in
            let contact: JSONValue = .string(site.scene.contacts[0].description)
            let template = try #require(try site.post("/api/templates", ["name": "T", "body": "Hi {{ first_name }}"]).header("location"))
            func post(_ path: String, _ json: JSONValue = [:], scopes: String...) throws -> TestAnswer {
                let key = try site.owner.createAPIKey(in: site.scene.workspace, scopes: scopes)
                return try site.responder.send("POST", path, token: key.token, json: json)
            }
            let mine: JSONValue = ["to": "+12025550188", "contact_id": contact]
            let requests: [(path: String, body: JSONValue, scope: String)] = [
                (site.campaign + "/test", mine, "campaigns:write"),
                ("/api/templates/preview", ["body": "{{ phone }} {{ email }}", "contact_id": contact], "campaigns:read"),
                (template + "/preview", ["contact_id": contact], "campaigns:read"),
            ]
            for (path, body, scope) in requests {
                let refused = try post(path, body, scopes: scope)
                #expect(refused.status == 403 && refused.code == "forbidden" && refused.text.contains("audience:read"), "\(path)")
                #expect(try post(path, body, scopes: scope, "audience:write").status == 403)
                #expect(try post(path, body, scopes: scope, "audience:read").status / 100 == 2, "\(path)")
            }
            #expect(try site.owner.value("SELECT count(*) FROM messages WHERE kind = 'test'", as: Int.self) == 1)
            // Without a contact there is nothing to hide.
            #expect(try post(site.campaign + "/test", ["to": "+12025550188"], scopes: "campaigns:write").status == 202)
            #expect(try post(template + "/preview", scopes: "campaigns:read").status == 200)

            func samples(_ scopes: String...) throws -> [Int?] {
                let key = try site.owner.createAPIKey(in: site.scene.workspace, scopes: scopes)
                let report = try site.responder.send("POST", site.campaign + "/preflight", token: key.token, json: [:])
                #expect(report.json["waterfall"]?["recipients"] == 2 && report.json["waterfall"]?["skipped"] == ["no_consent": 1])
                let steps = report.json["waterfall"]?["steps"]?.array ?? []
                return [report.json["sample"]?.array?.count, steps.reduce(0) { $0 + ($1["sample"]?.array?.count ?? 0) }]
            }
            #expect(try samples("campaigns:read") == [0, 0])
            #expect(try samples("campaigns:read", "audience:read") == [2, 1])
        }
    }

    @Test func `a viewer looks on, a stranger does not even see it`() throws {
        try withMessagingSite { site throws in
            #expect(try site.get(site.campaign, as: site.viewer).status == 200)
            #expect(try site.post(site.campaign + "/preflight", as: site.viewer).status == 200)
            for action in ["start", "pause", "resume", "cancel"] {
                #expect(try site.post(site.campaign + "/" + action, as: site.viewer).status == 403, "\(action)")
                #expect(try site.post(site.campaign + "/" + action, as: site.stranger).status == 404, "\(action)")
            }
            #expect(try site.post(site.campaign + "/test", ["to": "+12025550188"], as: site.viewer).status == 403)
            #expect(try site.post(site.campaign + "/test", ["to": "+12025550188"], as: site.stranger).status == 404)
            #expect(try site.post("/api/campaigns", ["name": "Mine", "channel": "sms"], as: site.viewer).status == 403)
            #expect(try site.send("PATCH", site.campaign, ["name": "Mine"], as: site.viewer).status == 403)
            #expect(try site.send("PATCH", site.campaign, ["name": "Mine"], as: site.stranger).status == 404)
            #expect(try site.send("DELETE", site.campaign, as: site.viewer).status == 403)
            #expect(try site.send("DELETE", site.campaign, as: site.stranger).status == 404)
            #expect(try site.get(site.campaign, as: site.stranger).status == 404)
            #expect(try site.post(site.campaign + "/preflight", as: site.stranger).status == 404)
            #expect(try site.get(site.campaign + "/messages", as: site.stranger).status == 404)
            #expect(try site.get("/api/campaigns", as: site.stranger).json["items"]?.array == [])
            // A segment of another workspace does not exist either.
            let answer = try site.post(
                "/api/campaigns", ["name": "Theirs", "channel": "sms", "segment_id": .string(site.scene.segment.description)],
                as: site.stranger)
            #expect(answer.status == 422)
        }
    }
}
