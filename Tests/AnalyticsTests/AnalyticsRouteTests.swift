import JSON
import TestSupport
import Testing
import Vocabulary

@testable import Analytics

@Suite struct AnalyticsRouteTests {
    @Test func `no route of analytics answers the wrong role, scope or workspace`() throws {
        try withAnalytics { site in
            let campaign = try site.campaign(frozenAt: .now())
            let event: JSONValue = ["contact": ["external_id": "c1"], "name": "order.placed"]
            let walk = try RouteWalk(
                eventRoutes + analyticsRoutes, site.responder, site.db, workspace: site.workspace, bodies: ["POST /api/events": event])
            let things = ["/api/campaigns": campaign.uuid, "/api/analytics/campaigns": campaign.uuid]
            #expect(try walk.complaints(things: things) == [])
            #expect(try walk.refusals(things: things) == [])
            #expect(try walk.misunderstandings(things: things) == [])
            #expect(try walk.mistakes(things: things) == [])
        }
    }

    @Test func `bodies that are no JSON are told where they break`() throws {
        try withAnalytics { site throws in
            func send(_ text: String, type: String = "application/json") throws -> TestAnswer {
                try site.responder.send("POST", "/api/events", token: site.key.token, contentType: type, body: Array(text.utf8))
            }
            #expect(try send("{\"name\":").code == "json_syntax")
            #expect(try send(String(repeating: "[", count: 100)).code == "json_too_deep")
            #expect(try send("{\"name\":1,\"name\":2}").code == "json_duplicate_key")
            #expect(try send("7").code == "wrong_type")
            #expect(try send("{}", type: "text/plain").status == 415)
        }
    }
}
