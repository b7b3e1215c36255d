// Campaigns that go wrong pause by themselves.
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

/// Looks at every campaign that sends, each two seconds: receipts settle and people opt out in other processes.
public let stopRuleLoops: [WorkerLoop] = [
    WorkerLoop("stop rules") { context in
        return {
            for work in try context.db.all(LedgerSQL.campaignsToSend) where !context.isStopping {
                try StopRules.check(work.campaign, in: work.workspace, context.db)
            }
            return 2
        }
    }
]

/// What became of a campaign since it was started or last resumed, and the workspace's rules for that.
struct StopRules: RowDecodable {
    /// Of fewer, any share may be chance.
    private static let fewest = 3

    /// How many were tried: sent, refused, or nobody knows.
    let tried: Int
    let minimum: Int
    let version: Int
    private let found: [(rule: String, count: Int, most: Double?)]

    init(_ row: borrowing Row) throws(PostgresError) {
        tried = try row["tried"]
        minimum = try row["minimum_messages"]
        version = try row["version"]
        found = [
            ("filtered_rate", try row["filtered"], try row["filtered_rate"]),
            ("complaint_rate", try row["complaints"], try row["complaint_rate"]),
            ("opt_out_rate", try row["opt_outs"], try row["opt_out_rate"]),
            ("failure_rate", try row["failed"], try row["failure_rate"]),
        ]
    }

    /// The first rule that does not hold; `nil`: all do. A rate equal to the threshold is still allowed.
    var broken: (rule: String, count: Int)? {
        guard tried >= minimum else { return nil }
        return found.first { _, count, most in most.map { count >= Self.fewest && Double(count) > $0 * Double(tried) } ?? false }
            .map { ($0.rule, $0.count) }
    }

    /// sending → paused where a rule does not hold. What somebody did to the campaign meanwhile stays.
    static func check(_ campaign: CampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        try db.inWorkspace(workspace) { db in
            guard let rules = try db.first(StopRuleSQL.look, campaign, filterCodes), let broken = rules.broken,
                try db.run(StopRuleSQL.pause, campaign, rules.version, "stop_rule:" + broken.rule) > 0
            else { return }
            try Notice.campaignPaused(campaign, "stop_rule:" + broken.rule, db, because: "\(broken.count) of \(rules.tried) messages")
        }
    }

    private static let filterCodes = TwilioError.table.filter { $0.errorClass == .content }.map(\.code)
}

enum StopRuleSQL {
    /// Of a campaign that sends. What was started before somebody last resumed it counts nowhere: they knew of that.
    static let look = Statement<StopRules, CampaignID, [Int]>(
        """
        SELECT c.version, coalesce((rules ->> 'minimum_messages')::bigint, 1) AS minimum_messages,
               (rules ->> 'failure_rate')::float8 AS failure_rate, (rules ->> 'filtered_rate')::float8 AS filtered_rate,
               (rules ->> 'opt_out_rate')::float8 AS opt_out_rate, (rules ->> 'complaint_rate')::float8 AS complaint_rate,
               (SELECT coalesce(sum(CASE s.measure WHEN 'frozen' THEN s.messages ELSE -s.messages END), 0)::bigint
                  FROM campaign_stats s
                 WHERE s.workspace_id = current_workspace() AND s.campaign_id = c.id
                   AND s.measure IN ('frozen', 'skipped', 'waiting')) - coalesce(r.tried, 0) AS tried,
               w.failed, w.filtered, p.opt_outs, p.complaints
          FROM campaigns c
          LEFT JOIN campaign_resumptions r ON r.workspace_id = current_workspace() AND r.campaign_id = c.id
         CROSS JOIN LATERAL (SELECT coalesce(r.resumed_at, c.frozen_at) AS since) t
         CROSS JOIN LATERAL (SELECT stop_rules_of(x.settings) AS rules FROM workspaces x WHERE x.id = current_workspace()) y
         CROSS JOIN LATERAL (
            SELECT count(*) AS failed, count(*) FILTER (
                       WHERE m.channel = 'sms' AND m.error_code = ANY ($2)
                          -- RFC 3463: X.6.X and X.7.X.
                          OR m.channel = 'email' AND m.error_code >= 40000 AND m.error_code / 100 % 100 IN (6, 7)) AS filtered
              FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.campaign_id = c.id AND m.kind = 'campaign'
               AND m.state IN ('undelivered', 'failed') AND m.started_at >= t.since) w
         CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE q.kind = 'opted_out') AS opt_outs, count(*) FILTER (WHERE q.kind = 'complained') AS complaints
              FROM campaign_responses q
              JOIN messages m ON m.workspace_id = current_workspace() AND m.campaign_id = c.id AND m.contact_id = q.contact_id
                             AND m.created_at = c.frozen_at AND m.started_at >= t.since
             WHERE q.workspace_id = current_workspace() AND q.campaign_id = c.id AND q.kind IN ('opted_out', 'complained')) p
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'sending'
        """)

    static let pause = Statement<Int, CampaignID, Int, String>(
        """
        UPDATE campaigns
           SET status = 'paused', paused_at = now(), status_reason = $3, updated_at = now(), version = version + 1
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'sending' AND version = $2
        """)

    /// In the transaction in which somebody resumes a campaign.
    static let remember = Statement<Int, CampaignID>(
        """
        INSERT INTO campaign_resumptions (workspace_id, campaign_id, resumed_at, tried)
        SELECT current_workspace(), $1, now(), coalesce(sum(CASE s.measure WHEN 'frozen' THEN s.messages ELSE -s.messages END), 0)
          FROM campaign_stats s
         WHERE s.workspace_id = current_workspace() AND s.campaign_id = $1 AND s.measure IN ('frozen', 'skipped', 'waiting')
        ON CONFLICT (workspace_id, campaign_id) DO UPDATE SET resumed_at = excluded.resumed_at, tried = excluded.tried
        """)
}
