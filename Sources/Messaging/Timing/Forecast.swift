// Whom quiet hours and caps would keep from a campaign that started now: SQL for preflight. What sends looks again, message by
// message, when each is due (`QuietHours`, `FrequencyCaps`).

enum Forecast {
    /// `audience`, a query of contact_id, address, due_at and reason, with what the time adds: `reason`, now also `quiet_hours` and
    /// `over_cap`, and `opens_at` for those who would get it when their quiet hours are over; NULL: when it is due.
    ///
    /// A cap counts what left until now, as the start of a message will count what left until then. It is counted over the
    /// campaigns that were under way in its hours, each in its partition, not contact by contact: `cap_reason` for a million takes
    /// minutes.
    static func audience(_ audience: String, campaign: String, channel: String) -> String {
        """
        WITH frozen AS MATERIALIZED (\(audience)),
        plan AS MATERIALIZED (
            SELECT p.tags, p.ignores_caps, p.respects_quiet_hours, coalesce(p.send_until, 'infinity') AS send_until
              FROM campaigns p WHERE p.workspace_id = current_workspace() AND p.id = \(campaign)),
        placed AS MATERIALIZED (
            SELECT f.contact_id, greatest(f.due_at, now()) AS due_at, coalesce(c.timezone, '') AS zone,
                   coalesce(left(c.phone, 5), '') AS prefix
              FROM frozen f JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = f.contact_id
             WHERE f.reason IS NULL AND (SELECT p.respects_quiet_hours FROM plan p)),
        hours AS MATERIALIZED (
            SELECT d.due_at, quiet_until(\(channel), array_agg(nullif(d.zone, '')), array_agg(nullif(d.prefix, '')), d.due_at) AS until
              FROM (SELECT DISTINCT p.due_at, p.zone, p.prefix FROM placed p) d GROUP BY d.due_at),
        quiet AS MATERIALIZED (
            SELECT p.contact_id, (h.until ->> (p.zone || '/' || p.prefix))::timestamptz AS opens_at
              FROM placed p JOIN hours h ON h.due_at = p.due_at
             WHERE h.until ? (p.zone || '/' || p.prefix)),
        caps AS MATERIALIZED (
            SELECT k.at_most, k.tag, now() - make_interval(hours => k.per_hours) AS since
              FROM workspaces w CROSS JOIN plan p
             CROSS JOIN LATERAL jsonb_to_recordset(w.settings -> 'frequency_caps')
                   AS k (channel text, at_most bigint, per_hours int, tag text)
             WHERE w.id = current_workspace() AND NOT p.ignores_caps AND k.channel = \(channel)
               AND (k.tag IS NULL OR k.tag = ANY (p.tags))),
        under_way AS MATERIALIZED (
            SELECT k.at_most, k.tag, k.since, p.id, p.frozen_at
              FROM caps k
              JOIN campaigns p ON p.workspace_id = current_workspace() AND p.frozen_at IS NOT NULL AND NOT p.ignores_caps
                              AND (k.tag IS NULL OR k.tag = ANY (p.tags))
                              AND (p.finished_at IS NULL OR p.finished_at > k.since)
                              AND (p.cancelled_at IS NULL OR p.cancelled_at > k.since)),
        capped AS MATERIALIZED (
            SELECT DISTINCT n.contact_id
              FROM (SELECT m.contact_id
                      FROM under_way u
                     -- Campaign by campaign, and so the rows of these only: OFFSET keeps the planner from reading the ledger at once.
                     CROSS JOIN LATERAL (
                        SELECT e.contact_id
                          FROM messages e
                         WHERE e.workspace_id = current_workspace() AND e.campaign_id = u.id AND e.created_at = u.frozen_at
                           AND e.kind = 'campaign' AND e.channel = \(channel) AND e.started_at > u.since
                           AND e.state IN ('started', 'unknown', 'sent', 'delivered', 'undelivered')
                        OFFSET 0) m
                     GROUP BY m.contact_id, u.at_most, u.tag, u.since
                    HAVING count(*) >= u.at_most) n)
        SELECT f.contact_id, f.address, q.opens_at,
               CASE WHEN f.reason IS NOT NULL THEN f.reason
                    WHEN q.opens_at >= (SELECT p.send_until FROM plan p) THEN 'quiet_hours'
                    WHEN x.contact_id IS NOT NULL THEN 'over_cap' END AS reason
          FROM frozen f
          LEFT JOIN quiet q ON q.contact_id = f.contact_id
          LEFT JOIN capped x ON x.contact_id = f.contact_id
        """
    }
}
