import JSON
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// What people decide of messages that have ended, or of which nobody can tell.
@Suite struct ByHandTests {
    /// The first two messages failed, at the provider and later; the third was delivered, the fourth is unknown.
    private func withEnds(
        prepare: (MessagingSite) throws -> Void = { _ in }, _ work: (MessagingSite, [MessageID]) throws -> Void
    ) throws {
        try withMessagingSite(contacts: 4) { site throws in
            try prepare(site)
            try site.scene.freeze(site.owner)
            let started = try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                return try site.scene.startAll(db)
            }
            let ids = started.map(\.message.id)
            let ends: [(String, String, Int?)] = [
                ("failed", "rejected", 30034), ("undelivered", "undelivered", 30003), ("delivered", "delivered", nil),
            ]
            for (index, (state, status, code)) in ends.enumerated() {
                try site.owner.runDynamic(
                    """
                    UPDATE messages SET state = $2, provider_status = $3, provider_rank = 4, error_code = $4, settled_at = now(),
                           sid = CASE WHEN $2 <> 'failed' THEN $5 END, sent_at = CASE WHEN $2 <> 'failed' THEN now() END,
                           lease_token = NULL, lease_until = NULL
                     WHERE id = $1
                    """, [ids[index].sqlValue, state.sqlValue, status.sqlValue, code.sqlValue, "SM\(index)".sqlValue])
            }
            try site.owner.runDynamic(
                "UPDATE messages SET state = 'unknown', unknown_reason = 'no_answer', lease_token = NULL, lease_until = NULL WHERE id = $1",
                [ids[3].sqlValue])
            try work(site, ids)
        }
    }

    private func finish(_ site: MessagingSite) throws {
        try site.owner.execute("UPDATE campaigns SET status = 'finished', finished_at = now() WHERE status = 'sending'")
    }

    private func counts(_ site: MessagingSite) throws -> [String: Int] {
        let counts = try site.get(site.campaign).json["counts"]?.object ?? [:]
        return Dictionary(uniqueKeysWithValues: counts.map { ($0.key, $0.value.integer ?? -1) })
    }

    @Test func `a failed message is tried again as a new attempt, and the former one stays on record`() throws {
        try withEnds { site, ids in
            try finish(site)
            let before = try counts(site)
            #expect(before["undelivered"] == 1 && before["sent"] == 2 && before["waiting"] == 0)
            let answer = try site.post("/api/messages/\(ids[1])/retry")
            #expect(answer.status == 200 && answer.json["state"] == "pending", "\(answer.text)")
            let former = try #require(answer.json["former_attempts"]?.array?.first)
            #expect(former["attempt"] == 1 && former["state"] == "undelivered" && former["sid"] == "SM1" && former["error_code"] == 30003)
            #expect(try site.get(site.campaign).json["status"] == "sending")
            let after = try counts(site)
            #expect(after["undelivered"] == 0 && after["sent"] == 1 && after["waiting"] == 1 && after["frozen"] == 4)
            // It goes out once more, under the next number.
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                let again = try site.scene.startAll(db)
                #expect(again.map(\.message.id) == [ids[1]] && again.map(\.attempt) == [2])
            }
            #expect(try site.owner.value("SELECT count(*) FROM audit_log WHERE action = 'message.retried'", as: Int.self) == 1)
        }
    }

    @Test func `what is still told of a former attempt changes nothing of the next one`() throws {
        try withEnds { site, ids in
            #expect(try site.post("/api/messages/\(ids[1])/retry").status == 200)
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                _ = try site.scene.startAll(db)
                _ = try db.run(DeliverySQL.insertReceipt, site.scene.sender, ids[1], nil, "SM1", "delivered", nil, "")
                _ = try db.run(DeliverySQL.insertReceipt, site.scene.sender, ids[1], 2, "SM9", "sent", nil, "")
            }
            let worker = try site.database.connect(as: .worker)
            try Settling.round(site.scene.workspace, worker)
            let message = try site.get("/api/messages/\(ids[1])").json
            #expect(message["state"] == "sent" && message["sid"] == "SM9", "\(message)")
            let outcomes = message["receipts"]?.array?.map { "\($0["sid"]!.string!) \($0["outcome"]?.string ?? "")" }.sorted()
            #expect(outcomes == ["SM1 former_attempt", "SM9 applied"])
        }
    }

    @Test func `only what has failed is tried again, and only by whoever may send`() throws {
        try withEnds { site, ids in
            #expect(try site.post("/api/messages/\(ids[2])/retry").status == 409)
            #expect(try site.post("/api/messages/\(ids[3])/retry").status == 409)
            #expect(try site.post("/api/messages/\(ids[0])/retry", as: site.viewer).status == 403)
            #expect(try site.post("/api/messages/\(ids[0])/retry", as: site.stranger).status == 404)
            #expect(try site.post("/api/messages/\(ids[0])/retry").status == 200)
            // It waits now, so there is nothing to try again.
            #expect(try site.post("/api/messages/\(ids[0])/retry").status == 409)
            _ = try site.post(site.campaign + "/cancel")
            #expect(try site.post("/api/messages/\(ids[1])/retry").status == 409)
        }
    }

    @Test func `a campaign tries again those that ended in one way, and whoever opted out meanwhile gets nothing`() throws {
        try withEnds { site, ids in
            try finish(site)
            #expect(try site.post(site.campaign + "/retry", ["error_codes": [99_999]]).json["retried"] == 0)
            #expect(try site.get(site.campaign).json["status"] == "finished")
            #expect(try site.post(site.campaign + "/retry", ["states": ["sent"]]).status == 422)
            let answer = try site.post(site.campaign + "/retry", ["states": ["undelivered"], "error_codes": [30003]])
            #expect(answer.json == ["retried": 1, "has_more": false], "\(answer.text)")
            #expect(try site.post(site.campaign + "/retry").json["retried"] == 1)
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.runDynamic("SELECT suppress('sms', to_address, 'opt_out', 'inbound') FROM messages WHERE id = $1", [ids[0].sqlValue])
                #expect(try site.scene.startAll(db).map(\.message.id) == [ids[1]])
            }
            #expect(try site.get("/api/messages/\(ids[0])").json["skip_reason"] == "opted_out")
        }
    }

    @Test func `what a variant would say with a hole is not tried again`() throws {
        let variants = [("own", 1, nil), ("city", 1, "In {{ attributes.city }}")]
        try withEnds(
            prepare: { site in
                try site.owner.execute(
                    "INSERT INTO fields (workspace_id, key, type) SELECT workspace_id, 'attributes.city', 'text' FROM campaigns"
                )
                try site.scene.addExperiment(site.owner, variants)
            }
        ) { site, ids in
            try finish(site)
            try site.owner.execute("DELETE FROM fields WHERE key = 'attributes.city'")
            let answer = try site.post("/api/messages/\(ids[0])/retry")
            #expect(
                answer.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/experiment/variants/1/body"], "\(answer.text)")
            #expect(try site.post(site.campaign + "/retry").code == "unknown_variable")
            #expect(try site.get(site.campaign).json["status"] == "finished")
        }
    }

    @Test func `nothing but a recorded retry makes an ended message pending`() throws {
        try withEnds { site, ids in
            #expect(throws: PostgresError.self) {
                try site.owner.execute(
                    "UPDATE messages SET state = 'pending', sid = NULL, sent_at = NULL, settled_at = NULL WHERE state = 'undelivered'")
            }
        }
    }

    @Test func `somebody says what became of a message that nobody could tell of`() throws {
        try withEnds { site, ids in
            let path = "/api/messages/\(ids[3])/settle"
            #expect(try site.post(path, ["outcome": "sent"]).json["errors"]?.array?.map { $0["pointer"]?.string } == ["/sid"])
            #expect(
                try site.post(path, ["outcome": "not_sent", "sid": "SM7"]).json["errors"]?.array?.map { $0["pointer"]?.string } == ["/sid"])
            #expect(
                try site.post(path, ["outcome": "sent", "sid": "SM2"]).json["errors"]?.array?.map { $0["pointer"]?.string } == ["/sid"])
            #expect(try site.post(path, ["outcome": "not_sent"], as: site.viewer).status == 403)
            #expect(try site.post("/api/messages/\(ids[2])/settle", ["outcome": "not_sent"]).status == 409)
            let answer = try site.post(path, ["outcome": "not_sent"])
            #expect(answer.json["state"] == "failed" && answer.json["provider_status"] == "declared_unsent", "\(answer.text)")
            // Then it may be tried again.
            #expect(try site.post("/api/messages/\(ids[3])/retry").json["state"] == "pending")
        }
    }

    @Test func `what the provider has told already is stronger than what somebody says`() throws {
        try withEnds { site, ids in
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                try db.run(DeliverySQL.insertReceipt, site.scene.sender, ids[3], 1, "SM3", "delivered", nil, "")
            }
            #expect(try site.post("/api/messages/\(ids[3])/settle", ["outcome": "not_sent"]).code == "provider_has_told")
        }
    }

    @Test func `an attempt that was declared unsent and was sent after all is not taken for the next one`() throws {
        try withEnds { site, ids in
            #expect(try site.post("/api/messages/\(ids[3])/settle", ["outcome": "not_sent"]).status == 200)
            #expect(try site.post("/api/messages/\(ids[3])/retry").status == 200)
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                _ = try site.scene.startAll(db)
                try db.run(DeliverySQL.insertReceipt, site.scene.sender, ids[3], 1, "SM3", "delivered", nil, "")
                try db.run(DeliverySQL.insertReceipt, site.scene.sender, ids[3], 2, "SM4", "sent", nil, "")
            }
            try Settling.round(site.scene.workspace, try site.database.connect(as: .worker))
            let message = try site.get("/api/messages/\(ids[3])").json
            #expect(message["state"] == "sent" && message["sid"] == "SM4", "\(message)")
        }
    }

    /// A worker finds nothing left to send and waits for the campaign's row, while somebody makes messages pending.
    @Test func `a campaign does not finish over messages that are being tried again`() throws {
        try withEnds { site, ids in
            _ = try site.post("/api/messages/\(ids[3])/settle", ["outcome": "sent", "sid": "SM7"])
            let (scene, database, message) = (site.scene, site.database, ids[1])
            let isHeld = Atomic<Bool>(false)
            let results: [Int] = try inParallel(2) { thread throws in
                if thread == 0 {
                    try waitUntil("somebody retries") { isHeld.load(ordering: .acquiring) }
                    return try database.connect(as: .worker).inWorkspace(scene.workspace) { db in try SendLoop.finish(scene.campaign, db) }
                }
                let watching = try database.connect(as: .superuser)
                return try database.connect().transaction { db in
                    try db.setWorkspace(scene.workspace)
                    _ = try db.one(CampaignSQL.lock, scene.campaign)
                    let count = try db.one(ByHandSQL.retry, scene.campaign, message, ["undelivered"], nil, 1)
                    isHeld.store(true, ordering: .releasing)
                    try waitUntil("the worker waits") {
                        try watching.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", as: Int.self) > 0
                    }
                    return count
                }
            }
            #expect(results == [0, 1])
            #expect(try scene.status(site.owner) == "sending")
        }
    }

    @Test func `a message that was sent after all goes on under the provider's id`() throws {
        try withEnds { site, ids in
            let answer = try site.post("/api/messages/\(ids[3])/settle", ["outcome": "sent", "sid": "SM7"])
            #expect(answer.json["state"] == "sent" && answer.json["sid"] == "SM7", "\(answer.text)")
            #expect(try counts(site)["unknown"] == 0)
        }
    }
}
