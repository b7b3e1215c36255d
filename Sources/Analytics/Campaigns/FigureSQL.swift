internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum FigureSQL {
    static let campaign = Statement<Count, CampaignID>(
        """
        SELECT measure, reason, sum(messages)::bigint AS messages, sum(parts)::bigint AS parts
          FROM campaign_stats
         WHERE workspace_id = current_workspace() AND campaign_id = $1
         GROUP BY measure, reason HAVING sum(messages) <> 0 OR sum(parts) <> 0
        UNION ALL
        SELECT kind, '', count(*), 0
          FROM campaign_responses
         WHERE workspace_id = current_workspace() AND campaign_id = $1
         GROUP BY kind
         ORDER BY measure, reason
        """)

    /// Of all campaigns, from one instant to another; both begin a quarter of an hour.
    static let period = Statement<Count, Instant, Instant>(
        """
        SELECT measure, reason, sum(messages)::bigint AS messages, sum(parts)::bigint AS parts
          FROM campaign_stats
         WHERE workspace_id = current_workspace() AND slot >= $1 AND slot < $2
         GROUP BY measure, reason HAVING sum(messages) <> 0 OR sum(parts) <> 0
        UNION ALL
        SELECT kind, '', count(*), 0
          FROM campaign_responses
         WHERE workspace_id = current_workspace() AND occurred_at >= $1 AND occurred_at < $2
         GROUP BY kind
         ORDER BY measure, reason
        """)

    static let exists = Statement<Bool, CampaignID>(
        """
        SELECT EXISTS (SELECT FROM campaigns WHERE workspace_id = current_workspace() AND id = $1)
        """)

    /// The campaign on the same segment before this one; without one, none: another audience compares nothing.
    static let before = Statement<CampaignID, CampaignID>(
        """
        SELECT p.id FROM campaigns c
          JOIN campaigns p ON p.workspace_id = c.workspace_id AND p.segment_id = c.segment_id AND p.channel = c.channel
                          AND p.frozen_at < c.frozen_at
         WHERE c.workspace_id = current_workspace() AND c.id = $1
         ORDER BY p.frozen_at DESC LIMIT 1
        """)

    /// From the first thing that happened to the last, without gaps. $2: hour, day, week, month, or NULL for what fits.
    static let campaignTimeline = Statement<JSONValue, CampaignID, String?>(
        timeline(stats: "s.campaign_id = $1", responses: "r.campaign_id = $1", group: "$2", from: "NULL", to: "NULL"))

    /// From $1 to $2 without gaps; the first week or month holds only what is in the period.
    static let periodTimeline = Statement<JSONValue, Instant, Instant, String>(
        timeline(
            stats: "s.slot >= $1 AND s.slot < $2", responses: "r.occurred_at >= $1 AND r.occurred_at < $2", group: "$3",
            from: "$1", to: "$2"))

    /// Points in the workspace's zone. Days, weeks and months are stepped in local time, where they have their length;
    /// hours in UTC, where one follows the other also when clocks change. A join on both sides loses no count, even
    /// where a zone shifts by half an hour and points miss the steps.
    private static func timeline(stats: String, responses: String, group: String, from: String, to: String) -> String {
        """
        WITH zone AS MATERIALIZED (SELECT timezone AS name FROM workspaces WHERE id = current_workspace()),
             facts AS MATERIALIZED (
                SELECT s.slot AS at, s.measure, sum(s.messages) AS n
                  FROM campaign_stats s
                 WHERE s.workspace_id = current_workspace() AND \(stats)
                   AND s.measure IN ('sent', 'delivered', 'undelivered', 'failed')
                 GROUP BY s.slot, s.measure HAVING sum(s.messages) <> 0
                UNION ALL
                SELECT date_bin('15 minutes', r.occurred_at, '2000-01-01 00:00:00+00'), r.kind, count(*)
                  FROM campaign_responses r
                 WHERE r.workspace_id = current_workspace() AND \(responses)
                 GROUP BY 1, 2),
             chosen AS MATERIALIZED (
                SELECT coalesce(\(group)::text, CASE WHEN max(at) - min(at) > interval '3 days' THEN 'day' ELSE 'hour' END) AS step,
                       coalesce(\(from)::timestamptz, min(at)) AS starts,
                       coalesce(\(to)::timestamptz - interval '1 microsecond', max(at)) AS ends
                  FROM facts),
             steps AS (
                SELECT l.at AT TIME ZONE z.name AS at
                  FROM chosen c CROSS JOIN zone z
                 CROSS JOIN generate_series(date_trunc(c.step, c.starts AT TIME ZONE z.name), c.ends AT TIME ZONE z.name,
                                            ('1 ' || c.step)::interval) AS l (at)
                 WHERE c.step <> 'hour'
                UNION ALL
                -- More hours than two months have nobody looks at one by one.
                SELECT u.at
                  FROM chosen c CROSS JOIN zone z
                 CROSS JOIN generate_series(date_trunc('hour', c.starts, z.name), c.ends, interval '1 hour') AS u (at)
                 WHERE c.step = 'hour' AND c.ends - c.starts < interval '62 days'),
             points AS (
                SELECT date_trunc(c.step, f.at, z.name) AS at,
                       sum(f.n) FILTER (WHERE f.measure = 'sent') AS sent,
                       sum(f.n) FILTER (WHERE f.measure = 'delivered') AS delivered,
                       sum(f.n) FILTER (WHERE f.measure = 'undelivered') AS undelivered,
                       sum(f.n) FILTER (WHERE f.measure = 'failed') AS failed,
                       sum(f.n) FILTER (WHERE f.measure = 'replied') AS replied,
                       sum(f.n) FILTER (WHERE f.measure = 'clicked') AS clicked,
                       sum(f.n) FILTER (WHERE f.measure = 'opted_out') AS opted_out,
                       sum(f.n) FILTER (WHERE f.measure = 'complained') AS complained,
                       sum(f.n) FILTER (WHERE f.measure = 'converted') AS converted
                  FROM facts f CROSS JOIN chosen c CROSS JOIN zone z
                 GROUP BY 1)
        SELECT json_build_object('timezone', z.name, 'group', c.step, 'timeline', (
                   SELECT coalesce(json_agg(json_build_object(
                              'at', rfc3339(at), 'sent', coalesce(p.sent, 0), 'delivered', coalesce(p.delivered, 0),
                              'undelivered', coalesce(p.undelivered, 0), 'failed', coalesce(p.failed, 0),
                              'replied', coalesce(p.replied, 0), 'clicked', coalesce(p.clicked, 0),
                              'opted_out', coalesce(p.opted_out, 0), 'complained', coalesce(p.complained, 0),
                              'converted', coalesce(p.converted, 0)) ORDER BY at), '[]')
                     FROM steps FULL JOIN points p USING (at)))
          FROM chosen c CROSS JOIN zone z
        """
    }
}
