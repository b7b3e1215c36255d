internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum MonthlyLimitSQL {
    /// What each message would take of the month, and whether it fits with all before it into what is left. No rows: there is no
    /// limit.
    static let take = Statement<MonthShare, Channel, [MessageID], [Instant], [Int]>(
        """
        WITH month AS MATERIALIZED (SELECT l.month, l.rest FROM lock_month($1) l WHERE l.rest IS NOT NULL),
        wanted AS (
            SELECT w.id, w.place, l.month, l.rest, CASE WHEN \(LedgerSQL.isNew) IS FALSE THEN 0 ELSE w.parts END AS units
              FROM unnest($2::uuid[], $3::timestamptz[], $4::int[]) WITH ORDINALITY AS w (id, created_at, parts, place)
             CROSS JOIN month l
              LEFT JOIN messages m ON m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at)
        SELECT w.id, w.month::text AS month, w.units, sum(w.units) OVER (ORDER BY w.place) <= w.rest AS fits FROM wanted w ORDER BY w.place
        """)

    static let spend = Statement<Int, Channel, String, Int>(
        """
        UPDATE month_usage SET used = used + $3
         WHERE workspace_id = current_workspace() AND channel = $1 AND month = $2::text::date
        """)

    static let need = Statement<Int, CampaignID, String, Int>(
        """
        INSERT INTO monthly_shortages (workspace_id, campaign_id, month, needed) VALUES (current_workspace(), $1, $2::text::date, $3)
        ON CONFLICT (workspace_id, campaign_id) DO UPDATE SET month = excluded.month, needed = excluded.needed
        """)

    /// NULL without a limit.
    static let left = Statement<Int?, Channel>(
        """
        SELECT CASE WHEN l.most IS NOT NULL THEN greatest(l.most - month_used($1), 0) END
          FROM (SELECT monthly_limit($1) AS most FROM workspaces WHERE id = current_workspace()) l
        """)

    /// Whether the month for which a campaign was paused goes on, and still does not suffice; also where somebody has held it back since.
    static let keepsPaused = Statement<Bool, CampaignID>(
        """
        SELECT EXISTS (
            SELECT FROM campaigns c
              JOIN monthly_shortages s ON s.workspace_id = c.workspace_id AND s.campaign_id = c.id
             CROSS JOIN workspace_month() w
             WHERE c.workspace_id = current_workspace() AND c.id = $1 AND s.month = w.month AND monthly_limit(c.channel) - month_used(c.channel) < s.needed)
        """)

    static let due = Statement<DueCampaign>("SELECT workspace_id, campaign_id FROM campaigns_of_past_months()")

    static let resume = Statement<Int, CampaignID>(
        """
        UPDATE campaigns c
           SET status = 'sending', paused_at = NULL, status_reason = NULL, version = c.version + 1, updated_at = now()
          FROM monthly_shortages s, workspace_month() w
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'paused'
           AND c.status_reason = 'monthly_limit_reached'
           AND s.workspace_id = c.workspace_id AND s.campaign_id = c.id AND s.month < w.month
        """)

    /// No new month resumes it any more.
    static let holdBack = Statement<Stored, CampaignID>(
        """
        UPDATE campaigns AS c
           SET status_reason = NULL, version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'paused' AND c.status_reason = 'monthly_limit_reached'
        RETURNING \(CampaignSQL.item), c.version
        """)

    static let usage = Statement<JSONValue>(
        """
        SELECT jsonb_build_object('month', to_char(m.month, 'YYYY-MM'), 'timezone', w.timezone) || jsonb_object_agg(
                   CASE k.channel WHEN 'sms' THEN 'sms_parts' ELSE 'emails' END,
                   jsonb_build_object('used', k.used, 'limit', k.most, 'left', CASE WHEN k.most IS NOT NULL THEN greatest(k.most - k.used, 0) END))
          FROM workspaces w CROSS JOIN workspace_month() m
         CROSS JOIN LATERAL (
            SELECT c.channel, month_used(c.channel) AS used, monthly_limit_of(w.settings, c.channel) AS most
              FROM (VALUES ('sms'), ('email')) c (channel)) k
         WHERE w.id = current_workspace() GROUP BY m.month, w.timezone
        """)
}

struct MonthShare: RowDecodable {
    let id: MessageID
    /// The first of the month, as PostgreSQL writes a date.
    let month: String
    let units: Int
    let fits: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        month = try row["month"]
        units = try row["units"]
        fits = try row["fits"]
    }
}
