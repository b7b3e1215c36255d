// Texts that may be opt-outs: they hold as one until somebody has read them.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct ReviewTests {
    private static let phone = "+12025550001"

    @discardableResult
    private func text(_ text: String, _ site: MessagingSite, from: String = phone) throws -> UUID {
        try site.owner.transaction { db in
            try db.setWorkspace(site.scene.workspace)
            let sid = "SM\(Vocabulary.UUID.v7())"
            _ = try db.one(
                DeliverySQL.receiveInbound, site.scene.sender, sid, from, "+12025550100", text, inboundIntent(of: text).rawValue, false)
            return try db.value("SELECT id FROM inbound_messages WHERE sid = $1", sid.sqlValue)
        }
    }

    private func standing(_ site: MessagingSite) throws -> String {
        try site.owner.value(
            """
            SELECT coalesce((SELECT s.reason || '/' || s.source FROM suppressions s WHERE s.workspace_id = $1 AND s.address = $2), 'free') || ' '
                || coalesce((SELECT k.state FROM consents k WHERE k.workspace_id = $1 AND k.contact_id = $3), 'unknown')
            """, site.scene.workspace.sqlValue, Self.phone.sqlValue, site.scene.contacts[0].sqlValue)
    }

    private func waiting(_ site: MessagingSite) throws -> [String] {
        try site.get("/api/inbound?intent=review&state=open").json["items"]?.array?.map { $0["text"]?.string ?? "" } ?? []
    }

    private func resolve(_ id: UUID, _ decision: String, _ site: MessagingSite) throws -> TestAnswer {
        try site.post("/api/inbound/\(id)/resolve", ["decision": .string(decision)])
    }

    @Test func `what may be an opt-out waits in a list, and keeping its writer lifts the pause that it made`() throws {
        try withMessagingSite { site in
            let id = try text("wrong number", site)
            try text("thank you!", site)
            #expect(try standing(site) == "opt_out/review opted_in")
            let listed = try site.get("/api/inbound?state=open").json["items"]?.array?.first
            #expect(listed?["text"] == "wrong number" && listed?["from"]?.string == Self.phone && listed?["state"] == "open")
            #expect(listed?["contact"]?["id"]?.string == site.scene.contacts[0].description)
            #expect(try site.get("/api/inbound").json["items"]?.array?.count == 2)
            #expect(try resolve(id, "keep", site).json["state"] == "kept")
            #expect(try standing(site) == "free opted_in")
            #expect(try waiting(site) == [])
            #expect(try resolve(id, "opt_out", site).code == "already_resolved")
            #expect(try standing(site) == "free opted_in")
            #expect(try site.owner.value("SELECT count(*) FROM audit_log WHERE action = 'inbound.resolved'", as: Int.self) == 1)
        }
    }

    @Test func `an opt-out is recorded in the person's own words, from when they wrote them`() throws {
        try withMessagingSite { site in
            let id = try text("not interested", site)
            try site.owner.execute("UPDATE inbound_messages SET received_at = received_at - interval '1 minute'")
            try site.owner.execute("UPDATE consents SET occurred_at = occurred_at - interval '1 day'")
            #expect(try resolve(id, "opt_out", site).status == 200)
            #expect(try standing(site) == "opt_out/inbound opted_out")
            let entry: JSONValue = try site.owner.value(
                """
                SELECT consent_json(e) FROM consent_events e WHERE e.state = 'opted_out'
                   AND e.occurred_at = (SELECT received_at FROM inbound_messages)
                """)
            #expect(entry["evidence"]?["text"] == "not interested" && entry["actor"]?["kind"] == "user")
            // A START takes it back as it does every text.
            try text("START", site)
            #expect(try standing(site) == "free opted_in")
        }
    }

    @Test func `keeping somebody lifts no other suppression, and none while another text of theirs waits`() throws {
        try withMessagingSite { site in
            let first = try text("wrong number", site)
            let second = try text("not interested", site)
            #expect(try waiting(site) == ["not interested", "wrong number"])
            _ = try resolve(first, "keep", site)
            #expect(try standing(site) == "opt_out/review opted_in", "the other one still waits")
            _ = try resolve(second, "keep", site)
            #expect(try standing(site) == "free opted_in")

            let third = try text("not interested", site)
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                let _: [Bool] = try db.dynamic("SELECT suppress('sms', $1, 'manual', 'api') IS NULL", [Self.phone.sqlValue])
            }
            #expect(try standing(site) == "opt_out/api opted_in")
            _ = try resolve(third, "keep", site)
            #expect(try standing(site) == "opt_out/api opted_in", "what the team said stays")
        }
    }

    @Test func `who writes STOP or START meanwhile has decided it`() throws {
        try withMessagingSite { site in
            let first = try text("wrong number", site)
            try text("START", site)
            #expect(try waiting(site) == [])
            #expect(try standing(site) == "free opted_in")
            #expect(try resolve(first, "opt_out", site).code == "already_resolved")
            try site.owner.execute("UPDATE consents SET occurred_at = occurred_at - interval '1 day'")
            try text("not interested", site)
            try text("STOP", site)
            #expect(try waiting(site) == [])
            #expect(try standing(site) == "opt_out/inbound opted_out")
            // Another person's text goes on waiting.
            try text("wrong number", site, from: "+12025559999")
            try text("STOP", site)
            #expect(try waiting(site) == ["wrong number"])
        }
    }

    @Test func `two who decide at once decide once`() throws {
        try withMessagingSite { site in
            let id = try text("wrong number", site)
            let (responder, token) = (site.responder, site.admin.token)
            let answers = try inParallel(8) { index in
                try responder.send(
                    "POST", "/api/inbound/\(id)/resolve", token: token, json: ["decision": index % 2 == 0 ? "keep" : "opt_out"]
                ).status
            }
            #expect(answers.filter { $0 == 200 }.count == 1 && answers.filter { $0 == 409 }.count == 7)
            let state: String = try site.owner.value("SELECT review_state FROM inbound_messages WHERE id = $1", id.sqlValue)
            #expect(try standing(site).hasPrefix(state == "kept" ? "free" : "opt_out/inbound"))
        }
    }
}
