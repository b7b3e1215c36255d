import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary
import Web

@testable import Messaging

@Suite struct MessagingRouteTests {
    private let routes: [Route] = sendingRoutes

    private func walk(_ site: MessagingSite) throws -> (RouteWalk, [String: UUID]) {
        let template = try site.post("/api/templates", ["name": "Hello", "channel": "sms", "body": "Hi"])
        #expect(template.status == 201, "\(template.text)")
        let recurring = try site.recur()
        #expect(recurring.status == 201, "\(recurring.text)")
        // What recurs has a pattern of its own, so that the campaign can be frozen.
        let pattern: JSONValue = try site.post(site.campaign + "/copy").json["id"] ?? .null
        let change: JSONObject = ["campaign_id": pattern]
        _ = try site.send("PATCH", MessagingSite.recurring + "/" + (recurring.json["id"]?.string ?? ""), .object(change))
        try site.scene.freeze(site.owner)
        var things = [
            "/api/campaigns": site.scene.campaign.uuid, "/api/senders": site.scene.sender.uuid,
            "/api/templates": try #require(template.json["id"]?.string.flatMap { UUID($0) }),
            "/api/inbound": try site.owner.value(
                """
                INSERT INTO inbound_messages (workspace_id, sender_id, sid, from_address, to_address, body, intent, review_state)
                VALUES ($1, $2, 'SM1', '+12025550001', '+12025550100', 'wrong number', 'review', 'open') RETURNING id
                """, site.scene.workspace.sqlValue, site.scene.sender.sqlValue, as: UUID.self),
            "/api/messages": try site.owner.value("SELECT id FROM messages LIMIT 1", as: UUID.self),
        ]
        things[MessagingSite.recurring] = try #require(recurring.json["id"]?.string.flatMap { UUID($0) })
        let hit: UUID = try site.owner.value(
            """
            INSERT INTO link_hits (workspace_id, key, kind, campaign_id, message_id, agent, is_counted)
            VALUES ($1, '000000000000', 'click', $2, uuid_v7(), 'other', true) RETURNING id
            """, site.scene.workspace.sqlValue, site.scene.campaign.sqlValue)
        let sender: JSONValue = [
            "name": "Other", "channel": "sms", "provider": "twilio", "from": "+12025550199", "rate_parts_per_second": 10,
            "credentials": ["account_sid": .string("AC" + String(repeating: "0", count: 32)), "auth_token": "a-secret-token"],
        ]
        things["/api/links/hits"] = hit
        things["/api/consent-requests"] = try site.scene.request(of: 0, site.owner).uuid
        let body: JSONObject = ["name": "Offers", "campaign_id": pattern, "every": "day", "at": "09:00"]
        let bodies: [String: JSONValue] = [
            "POST /api/senders": sender, "POST /api/campaigns/{id}/schedule": ["at": "2026-01-01T00:00:00Z"],
            "POST /api/campaigns/{id}/test": ["to": "+12025550123"], "POST /api/recurring-campaigns": .object(body),
        ]
        let walk = try RouteWalk(
            routes, site.responder, site.owner, workspace: site.scene.workspace, bodies: bodies, names: ["version": "1"])
        return (walk, things)
    }

    @Test func `no route of sending answers the wrong role, scope or workspace`() throws {
        try withMessagingSite { site in
            let (walk, things) = try walk(site)
            let complaints = try walk.complaints(things: things)
            #expect(complaints == [], "\(complaints)")
        }
    }

    @Test func `whoever may read sending does`() throws {
        try withMessagingSite { site in
            let (walk, things) = try walk(site)
            #expect(try walk.refusals(things: things) == [])
        }
    }

    @Test func `nothing that fits a schema of sending is a mistake of ours`() throws {
        try withMessagingSite { site in
            let (walk, things) = try walk(site)
            #expect(try walk.mistakes(things: things) == [])
        }
    }

    @Test func `every route of sending says what is malformed, and where`() throws {
        try withMessagingSite { site in
            let (walk, things) = try walk(site)
            #expect(try walk.misunderstandings(things: things) == [])
        }
    }
}
