import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct StopRuleTests {
    @Test(arguments: [(30007, "filtered_rate", 12), (30003, "failure_rate", 30)])
    func `a campaign pauses when more than its share goes wrong, and tells so once`(code: Int, rule: String, allowed: Int) throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 60)
            let messages = try started(scene, database)
            try insert(messages.prefix(allowed + 1).map { ($0, "undelivered") }, code: code, scene, database)
            try insert(messages.dropFirst(allowed + 1).map { ($0, "delivered") }, scene, database)
            try settleAll(scene, database)
            try owner.execute(#"UPDATE workspaces SET settings = '{"stop_rules":{"minimum_messages":61}}'"#)
            try check(scene, database)
            #expect(try scene.status(owner) == "sending")
            try owner.execute("UPDATE workspaces SET settings = '{}'")
            try check(scene, database)
            try check(scene, database)
            #expect(try owner.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused stop_rule:\(rule)")
            #expect(try owner.value("SELECT subject ->> 'reason' FROM notices") == "stop_rule:\(rule)")
            #expect(try owner.value("SELECT count(*) FROM notices", as: Int.self) == 1)
        }
    }

    @Test func `exactly the share is still allowed, few say nothing, and a rule that is taken away stops nothing`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 60)
            let messages = try started(scene, database)
            try insert(messages.prefix(12).map { ($0, "undelivered") }, code: 30007, scene, database)
            try insert(messages.dropFirst(12).map { ($0, "delivered") }, scene, database)
            try settleAll(scene, database)
            for settings in [
                "{}", #"{"stop_rules":{"filtered_rate":0.2,"failure_rate":0.2}}"#,
                #"{"stop_rules":{"filtered_rate":null,"failure_rate":null,"minimum_messages":1}}"#,
            ] {
                try owner.runDynamic("UPDATE workspaces SET settings = $1::jsonb", [settings.sqlValue])
                try check(scene, database)
                #expect(try scene.status(owner) == "sending", "\(settings)")
            }
            try owner.execute(#"UPDATE workspaces SET settings = '{"stop_rules":{"filtered_rate":0.19}}'"#)
            try check(scene, database)
            #expect(try scene.status(owner) == "paused")
        }
    }

    @Test func `opt-outs stop it as well, but not those of messages from before it was resumed`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 60)
            let messages = try started(scene, database)
            try insert(messages.map { ($0, "delivered") }, scene, database)
            try settleAll(scene, database)
            func optOut(_ count: Int) throws {
                try owner.runDynamic(
                    """
                    INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
                    SELECT $1, $2, 'opted_out', c, now() FROM unnest($3::uuid[]) c ON CONFLICT DO NOTHING
                    """, [scene.workspace.sqlValue, scene.campaign.sqlValue, Array(scene.contacts.prefix(count)).sqlValue])
            }
            try optOut(6)
            try check(scene, database)
            #expect(try scene.status(owner) == "sending")
            try optOut(7)
            try check(scene, database)
            #expect(try owner.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused stop_rule:opt_out_rate")
            try owner.inWorkspace(scene.workspace) { db in
                try db.run(StopRuleSQL.remember, scene.campaign)
                _ = try db.one(CampaignSQL.resume, scene.campaign)
            }
            // Sixteen more people of whom somebody knew when they resumed it.
            try optOut(23)
            try check(scene, database)
            #expect(try scene.status(owner) == "sending")
            #expect(try owner.value("SELECT tried FROM campaign_resumptions") == 60)
        }
    }

    @Test func `a campaign of which too many complain pauses, without a row of the ledger going wrong`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 60)
            let messages = try started(scene, database)
            try insert(messages.map { ($0, "delivered") }, scene, database)
            try settleAll(scene, database)
            try owner.execute(#"UPDATE workspaces SET settings = settings || '{"stop_rules": {"complaint_rate": 0.05}}'"#)
            for (complaints, status) in [(3, "sending"), (4, "paused")] {
                try owner.runDynamic(
                    """
                    INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
                    SELECT $1, $2, 'complained', c, now() FROM unnest($3::uuid[]) c ON CONFLICT DO NOTHING
                    """, [scene.workspace.sqlValue, scene.campaign.sqlValue, Array(scene.contacts.prefix(complaints)).sqlValue])
                try check(scene, database)
                #expect(try scene.status(owner) == status, "\(complaints)")
            }
            #expect(try owner.value("SELECT status_reason FROM campaigns") == "stop_rule:complaint_rate")
        }
    }

    @Test func `resuming remembers what had been tried`() throws {
        try withMessagingSite(contacts: 5) { site throws in
            try site.scene.freeze(site.owner)
            _ = try site.post(site.campaign + "/pause")
            #expect(try site.post(site.campaign + "/resume").status == 200)
            #expect(try site.owner.value("SELECT tried FROM campaign_resumptions") == 0)
        }
    }

    private func check(_ scene: Scene, _ database: TestDatabase) throws {
        try StopRules.check(scene.campaign, in: scene.workspace, try database.connect(as: .worker))
    }
}
