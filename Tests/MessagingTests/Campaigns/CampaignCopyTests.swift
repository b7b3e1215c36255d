import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct CampaignCopyTests {
    @Test func `every column of a draft is either copied or said to be a campaign's own`() throws {
        try withDatabase { db throws in
            for table in [CampaignCopy.campaigns, .budgets, .experiments, .variants] {
                let columns: [String] = try db.dynamic(
                    "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 ORDER BY 1",
                    [table.table.sqlValue])
                #expect((table.copied + table.own).sorted() == columns, "\(table.table): a new column has to be in one of the two lists")
            }
        }
    }

    /// What refers to a campaign either belongs to its draft, and is copied, or is what came of it.
    @Test func `every table beside campaigns is copied or known to be what came of one`() throws {
        let copied = [CampaignCopy.budgets, .experiments].map(\.table)
        let results = [
            "arm_conversions", "campaign_arms", "campaign_responses", "campaign_resumptions", "monthly_shortages", "recurring_campaigns",
            "recurring_occurrences", "request_campaigns",
        ]
        try withDatabase { db throws in
            let tables: [String] = try db.dynamic(
                """
                SELECT DISTINCT k.conrelid::regclass::text FROM pg_constraint k
                 WHERE k.contype = 'f' AND k.confrelid = 'campaigns'::regclass ORDER BY 1
                """, [])
            #expect(tables.filter { !copied.contains($0) && !results.contains($0) } == [])
        }
    }

    @Test func `a copy has everything that the other has, and nothing of what became of it`() throws {
        try withMessagingSite { site throws in
            let changed = try site.send(
                "PATCH", site.campaign,
                [
                    "goal_event": "bought", "attribution_window_seconds": 3600, "track_links": true, "holdout_percent": 5,
                    "respects_quiet_hours": false, "tags": ["sale"], "ignores_caps": true, "send_until": "2099-01-01T00:00:00Z",
                    "experiment": [
                        "variants": [["name": "a", "weight": 1, "body": "A"], ["name": "b", "weight": 3]], "test_percent": 20,
                        "winner": "automatic", "measure": "clicked", "decide_after_seconds": 600,
                    ],
                ])
            #expect(changed.status == 200, "\(changed.text)")
            try site.owner.inWorkspace(site.scene.workspace) { db in
                try db.run(BudgetSQL.set, site.scene.campaign, 1000, "USD", 10_000_000)
                try db.run(BudgetSQL.spend, site.scene.campaign, 7)
            }
            try site.scene.freeze(site.owner)
            let original = try site.get(site.campaign).json
            let copy = try site.post(site.campaign + "/copy")
            #expect(copy.status == 201 && copy.json["name"] == "Copy of Test" && copy.json["status"] == "draft", "\(copy.text)")
            let own = [
                "id", "name", "status", "frozen_at", "start_requested_at", "counts", "created_at", "updated_at", "version", "budget",
            ]
            for (key, value) in (original.object ?? [:]).members where !own.contains(key) {
                #expect(copy.json[key] == value, "\(key)")
            }
            #expect(copy.json["budget"]?["amount"] == 1000 && copy.json["budget"]?["spent"]?["amount"] != 7)
            #expect(try site.owner.value("SELECT count(*) FROM campaign_budgets WHERE spent_micros = 0") == 1)
            #expect(try site.post(site.campaign + "/copy", ["name": "Again"]).json["name"] == "Again")
            #expect(try site.post(site.campaign + "/copy", as: site.stranger).status == 404)
        }
    }
}
