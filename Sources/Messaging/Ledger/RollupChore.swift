// Proof that the rollup equals the ledger, and repair where it does not.
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

public let messagingChores: [Chore] = [
    Chore("rollup", "Compare campaign counts with the ledger, report and repair each difference") { db in
        var differences = 0
        let campaigns = try db.all(RollupSQL.recentCampaigns)
        for campaign in campaigns { differences += try repairRollup(of: campaign, db) }
        return [("campaigns", campaigns.count), ("differences", differences)]
    },
    Chore("rescue-messages", "Take back messages whose worker died") { db in
        let rescued = try db.one(LedgerSQL.rescue, 10_000, nil)
        return [("released", rescued.released), ("unknown", rescued.lost)]
    },
    Chore("plan-look-ups", "Ask providers for messages that were sent and never heard of again") { db in
        [("planned", try db.run(LookUpSQL.planSilent, 5_000))]
    },
    rescueCampaigns,
    expireConsentRequests,
]

/// Each difference is a bug: the triggers keep both in step. It is told, then mended.
private func repairRollup(of campaign: RecentCampaign, _ db: Connection) throws -> Int {
    // One statement sees one instant, and what is counted later is counted in both.
    let differences = try db.all(RollupSQL.differences, campaign.workspace, campaign.id)
    for difference in differences {
        Log.error(
            "rollup differs from ledger",
            [
                ("workspace", .string(campaign.workspace.description)), ("campaign", .string(campaign.id.description)),
                ("measure", .string(difference.measure)), ("reason", .string(difference.reason)),
                ("slot", .string(difference.slot.description)), ("messages", .integer(difference.messages)),
                ("parts", .integer(difference.parts)),
            ])
        try db.run(
            RollupSQL.mend, campaign.workspace, campaign.id, difference.slot, difference.measure, difference.reason,
            difference.messages, difference.parts)
    }
    return differences.count
}

enum RollupSQL {
    /// Campaigns whose messages may still change: receipts come for up to three days.
    static let recentCampaigns = Statement<RecentCampaign>(
        """
        SELECT workspace_id, id FROM campaigns
         WHERE status IN ('sending', 'paused') OR frozen_at IS NOT NULL AND coalesce(finished_at, cancelled_at) > now() - interval '4 days'
         ORDER BY workspace_id, id
        """)

    /// What the ledger counts more than the rollup; negative: less. No row: they are equal.
    static let differences = Statement<RollupDifference, WorkspaceID, CampaignID>(
        """
        WITH ledger AS (
            SELECT c.slot, c.measure, c.reason, count(*) AS messages, sum(c.parts) AS parts
              FROM messages m
             CROSS JOIN LATERAL measures_of(m.state, m.skip_reason, m.error_code, m.parts, m.created_at, m.started_at,
                                            m.sent_at, m.settled_at) c
             WHERE m.workspace_id = $1 AND m.campaign_id = $2 AND m.kind = 'campaign'
             GROUP BY c.slot, c.measure, c.reason),
        rollup AS (
            SELECT slot, measure, reason, sum(messages) AS messages, sum(parts) AS parts
              FROM campaign_stats WHERE workspace_id = $1 AND campaign_id = $2
             GROUP BY slot, measure, reason)
        SELECT slot, measure, reason,
               (coalesce(l.messages, 0) - coalesce(r.messages, 0))::bigint AS messages,
               (coalesce(l.parts, 0) - coalesce(r.parts, 0))::bigint AS parts
          FROM ledger l FULL JOIN rollup r USING (slot, measure, reason)
         WHERE coalesce(l.messages, 0) <> coalesce(r.messages, 0) OR coalesce(l.parts, 0) <> coalesce(r.parts, 0)
         ORDER BY slot, measure, reason
        """)

    static let mend = Statement<Int, WorkspaceID, CampaignID, Instant, String, String, Int, Int>(
        """
        INSERT INTO campaign_stats AS s (workspace_id, campaign_id, slot, measure, reason, shard, messages, parts)
        VALUES ($1, $2, $3, $4, $5, 0, $6, $7)
        ON CONFLICT (workspace_id, campaign_id, slot, measure, reason, shard)
        DO UPDATE SET messages = s.messages + excluded.messages, parts = s.parts + excluded.parts
        """)
}

struct RecentCampaign: RowDecodable {
    let workspace: WorkspaceID
    let id: CampaignID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        id = try row["id"]
    }
}

struct RollupDifference: RowDecodable {
    let slot: Instant
    let measure: String
    let reason: String
    let messages: Int
    let parts: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        slot = try row["slot"]
        measure = try row["measure"]
        reason = try row["reason"]
        messages = try row["messages"]
        parts = try row["parts"]
    }
}
