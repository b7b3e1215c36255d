// The numbers of one or all campaigns, from rollups that the ledger keeps itself.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// Counts over some time. Messages are counted where they happened: sent when sent, delivered when delivered.
struct Figures: RowDecodable, Sendable {
    var recipients = 0
    var sent = 0
    var delivered = 0
    var undelivered = 0
    var failed = 0
    var unknown = 0
    var parts = 0
    var replied = 0
    var clicked = 0
    var optedOut = 0
    var converted = 0

    init() {}
    init(_ row: borrowing Row) throws(PostgresError) {
        recipients = try row["recipients"]
        sent = try row["sent"]
        delivered = try row["delivered"]
        undelivered = try row["undelivered"]
        failed = try row["failed"]
        unknown = try row["unknown"]
        parts = try row["parts"]
        replied = try row["replied"]
        clicked = try row["clicked"]
        optedOut = try row["opted_out"]
        converted = try row["converted"]
    }

    var members: JSONObject {
        [
            "recipients": JSONValue(recipients), "sent": JSONValue(sent), "delivered": JSONValue(delivered),
            "undelivered": JSONValue(undelivered), "failed": JSONValue(failed), "unknown": JSONValue(unknown),
            "replied": JSONValue(replied), "clicked": JSONValue(clicked), "opted_out": JSONValue(optedOut),
            "converted": JSONValue(converted), "parts": JSONValue(parts),
        ]
    }

    /// Fractions of what was sent; `null` where nothing was: no messages is not a rate of 0.
    var rates: JSONValue {
        func of(_ count: Int) -> JSONValue { sent == 0 ? .null : .real(Double(count) / Double(sent)) }
        return [
            "delivery_rate": of(delivered), "failure_rate": of(failed + undelivered), "reply_rate": of(replied),
            "click_rate": of(clicked), "opt_out_rate": of(optedOut), "conversion_rate": of(converted),
        ]
    }
}

enum FigureSQL {
    /// Of one campaign, over all time.
    static let campaign = Statement<Figures, CampaignID>("""
        SELECT coalesce(sum(messages) FILTER (WHERE measure = 'frozen'), 0)::bigint AS recipients,
               coalesce(sum(messages) FILTER (WHERE measure = 'sent'), 0)::bigint AS sent,
               coalesce(sum(messages) FILTER (WHERE measure = 'delivered'), 0)::bigint AS delivered,
               coalesce(sum(messages) FILTER (WHERE measure = 'undelivered'), 0)::bigint AS undelivered,
               coalesce(sum(messages) FILTER (WHERE measure = 'failed'), 0)::bigint AS failed,
               coalesce(sum(messages) FILTER (WHERE measure = 'unknown'), 0)::bigint AS unknown,
               coalesce(sum(parts) FILTER (WHERE measure = 'sent'), 0)::bigint AS parts,
               (SELECT count(*) FROM campaign_responses r WHERE r.workspace_id = current_workspace() AND r.campaign_id = $1 AND r.kind = 'replied') AS replied,
               (SELECT count(*) FROM campaign_responses r WHERE r.workspace_id = current_workspace() AND r.campaign_id = $1 AND r.kind = 'clicked') AS clicked,
               (SELECT count(*) FROM campaign_responses r WHERE r.workspace_id = current_workspace() AND r.campaign_id = $1 AND r.kind = 'opted_out') AS opted_out,
               (SELECT count(*) FROM campaign_responses r WHERE r.workspace_id = current_workspace() AND r.campaign_id = $1 AND r.kind = 'converted') AS converted
          FROM campaign_stats
         WHERE workspace_id = current_workspace() AND campaign_id = $1
        """)

    static let exists = Statement<Bool, CampaignID>("""
        SELECT EXISTS (SELECT FROM campaigns WHERE workspace_id = current_workspace() AND id = $1)
        """)

    /// The campaign on the same segment before this one; without one, none: another audience compares nothing.
    static let before = Statement<CampaignID, CampaignID>("""
        SELECT p.id FROM campaigns c
          JOIN campaigns p ON p.workspace_id = c.workspace_id AND p.segment_id = c.segment_id AND p.channel = c.channel
                          AND p.frozen_at < c.frozen_at
         WHERE c.workspace_id = current_workspace() AND c.id = $1
         ORDER BY p.frozen_at DESC LIMIT 1
        """)

    static let reasons = Statement<Reason, CampaignID, String>("""
        SELECT reason, sum(messages)::bigint AS messages
          FROM campaign_stats
         WHERE workspace_id = current_workspace() AND campaign_id = $1 AND measure = $2
         GROUP BY reason HAVING sum(messages) <> 0
         ORDER BY 2 DESC, 1
        """)

    /// Points in the workspace's zone, where its days begin. Stored hours are UTC; in a zone off by a half hour a day's
    /// first half hour counts to the day before.
    static let timeline = Statement<JSONValue, CampaignID?, String, Instant?, Instant?>("""
        WITH zone AS (SELECT timezone FROM workspaces WHERE id = current_workspace()),
             counted AS (
                SELECT date_trunc($2, s.hour AT TIME ZONE z.timezone) AS at, s.measure, sum(s.messages) AS messages
                  FROM campaign_stats s CROSS JOIN zone z
                 WHERE s.workspace_id = current_workspace() AND ($1::uuid IS NULL OR s.campaign_id = $1)
                   AND s.measure IN ('sent', 'delivered', 'undelivered', 'failed')
                   AND ($3::timestamptz IS NULL OR s.hour >= $3) AND ($4::timestamptz IS NULL OR s.hour < $4)
                 GROUP BY 1, 2
                UNION ALL
                SELECT date_trunc($2, r.occurred_at AT TIME ZONE z.timezone), r.kind, count(*)
                  FROM campaign_responses r CROSS JOIN zone z
                 WHERE r.workspace_id = current_workspace() AND ($1::uuid IS NULL OR r.campaign_id = $1)
                   AND ($3::timestamptz IS NULL OR r.occurred_at >= $3) AND ($4::timestamptz IS NULL OR r.occurred_at < $4)
                 GROUP BY 1, 2),
             points AS (
                SELECT at, jsonb_object_agg(measure, messages) AS counts FROM counted WHERE messages <> 0 GROUP BY at)
        SELECT coalesce(jsonb_agg(
                   jsonb_build_object('at', rfc3339(p.at AT TIME ZONE z.timezone), 'sent', 0, 'delivered', 0, 'undelivered', 0,
                                      'failed', 0, 'replied', 0, 'clicked', 0, 'opted_out', 0, 'converted', 0) || p.counts
                   ORDER BY p.at), '[]')
          FROM points p CROSS JOIN zone z
        """)

    /// Of all campaigns, from one instant to another.
    static let period = Statement<Figures, Instant, Instant>("""
        WITH counted AS (
                SELECT measure, sum(messages) AS messages, sum(parts) AS parts FROM campaign_stats
                 WHERE workspace_id = current_workspace() AND hour >= $1 AND hour < $2 GROUP BY measure),
             answered AS (
                SELECT kind, count(*) AS people FROM campaign_responses
                 WHERE workspace_id = current_workspace() AND occurred_at >= $1 AND occurred_at < $2 GROUP BY kind)
        SELECT coalesce((SELECT messages FROM counted WHERE measure = 'frozen'), 0)::bigint AS recipients,
               coalesce((SELECT messages FROM counted WHERE measure = 'sent'), 0)::bigint AS sent,
               coalesce((SELECT messages FROM counted WHERE measure = 'delivered'), 0)::bigint AS delivered,
               coalesce((SELECT messages FROM counted WHERE measure = 'undelivered'), 0)::bigint AS undelivered,
               coalesce((SELECT messages FROM counted WHERE measure = 'failed'), 0)::bigint AS failed,
               coalesce((SELECT messages FROM counted WHERE measure = 'unknown'), 0)::bigint AS unknown,
               coalesce((SELECT parts FROM counted WHERE measure = 'sent'), 0)::bigint AS parts,
               coalesce((SELECT people FROM answered WHERE kind = 'replied'), 0)::bigint AS replied,
               coalesce((SELECT people FROM answered WHERE kind = 'clicked'), 0)::bigint AS clicked,
               coalesce((SELECT people FROM answered WHERE kind = 'opted_out'), 0)::bigint AS opted_out,
               coalesce((SELECT people FROM answered WHERE kind = 'converted'), 0)::bigint AS converted
        """)

    static let contacts = Statement<Int>("""
        SELECT count(*) FROM contacts WHERE workspace_id = current_workspace()
        """)
}

struct Reason: RowDecodable {
    let reason: String
    let messages: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        reason = try row["reason"]
        messages = try row["messages"]
    }
}
