internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum RecurringSQL {
    private static let item = shown(
        upcoming: """
            'upcoming', CASE WHEN r.status = 'active' THEN (
                        SELECT json_agg(rfc3339(o) ORDER BY o) FROM occurrences_after(r, r.next_at - interval '1 microsecond', 5) o)
                        ELSE '[]' END,
            """)
    private static let listed = shown(upcoming: "")

    private static func shown(upcoming: String) -> String {
        """
        json_build_object('id', r.id, 'name', r.name, 'campaign_id', r.campaign_id, 'every', r.every, 'interval', r.interval_count,
            'weekdays', r.weekdays, 'day_of_month', r.day_of_month, 'at', to_char(r.wall_time, 'HH24:MI'), 'time_zone', r.time_zone,
            'starts_on', r.starts_on, 'ends_on', r.ends_on, 'ends_after', r.ends_after, 'send_for_seconds', r.send_for_seconds,
            'status', r.status, 'next_at', rfc3339(r.next_at), \(upcoming)
            'occurrences', (SELECT json_build_object('started', count(p.campaign_id), 'skipped', count(p.skip_reason))
                              FROM recurring_occurrences p WHERE p.workspace_id = current_workspace() AND p.recurring_id = r.id),
            'paused_at', rfc3339(r.paused_at), 'ended_at', rfc3339(r.ended_at), 'created_at', rfc3339(r.created_at),
            'updated_at', rfc3339(r.updated_at), 'version', r.version)::text AS item
        """
    }

    static let page = Statement<PageRow, TimestampText, RecurringCampaignID, Int, String?>(
        """
        SELECT \(listed), r.created_at::text, r.id::text
          FROM recurring_campaigns r
         WHERE r.workspace_id = current_workspace() AND (r.created_at, r.id) < ($1::timestamptz, $2)
           AND ($4::text IS NULL OR r.status = $4)
         ORDER BY r.created_at DESC, r.id DESC
         LIMIT $3
        """)

    static let read = Statement<Stored, RecurringCampaignID>(
        """
        SELECT \(item), r.version FROM recurring_campaigns r WHERE r.workspace_id = current_workspace() AND r.id = $1
        """)

    static let lock = Statement<RecurringCampaign, RecurringCampaignID>(
        """
        SELECT r.campaign_id, r.status, r.version, r.send_for_seconds, r.every, r.interval_count, r.weekdays, r.day_of_month,
               to_char(r.wall_time, 'HH24:MI') AS at, r.time_zone, r.starts_on, r.ends_on, r.ends_after
          FROM recurring_campaigns r WHERE r.workspace_id = current_workspace() AND r.id = $1 FOR UPDATE
        """)

    static let isTimeZone = Statement<Bool, String>("SELECT is_timezone($1)")

    /// Paused, until its first occurrence is known.
    static let insert = Statement<
        Int, RecurringCampaignID, String, CampaignID, RecurrenceUnit, Int, [String]?, Int?, String, String?, Day?, Day?, Int?, Int?, UserID?
    >(
        """
        INSERT INTO recurring_campaigns (workspace_id, id, name, campaign_id, every, interval_count, weekdays, day_of_month, wall_time,
                                         time_zone, starts_on, ends_on, ends_after, send_for_seconds, created_by, status, paused_at)
        SELECT w.id, $1, $2, $3, $4, $5, $6, $7, $8::text::time, z.name, coalesce($10::date, (now() AT TIME ZONE z.name)::date), $11, $12,
               $13, $14, 'paused', now()
          FROM workspaces w CROSS JOIN LATERAL (SELECT coalesce($9::text, w.timezone) AS name) z
         WHERE w.id = current_workspace()
        """)

    static let change = Statement<
        Stored, RecurringCampaignID, String?, CampaignID?, RecurrenceUnit, Int, [String]?, Int?, String, String?, Day?, Day?, Int?, Bool,
        Int?
    >(
        """
        UPDATE recurring_campaigns AS r
           SET name = coalesce($2, r.name), campaign_id = coalesce($3, r.campaign_id), every = $4, interval_count = $5, weekdays = $6,
               day_of_month = $7, wall_time = $8::text::time, time_zone = coalesce($9, r.time_zone),
               starts_on = coalesce($10, r.starts_on), ends_on = $11, ends_after = $12,
               send_for_seconds = CASE WHEN NOT $13 THEN coalesce($14, r.send_for_seconds) END,
               version = r.version + 1, updated_at = now()
         WHERE r.workspace_id = current_workspace() AND r.id = $1
        RETURNING \(item), r.version
        """)

    static let delete = Statement<Int, RecurringCampaignID>(
        """
        DELETE FROM recurring_campaigns WHERE workspace_id = current_workspace() AND id = $1
        """)

    // MARK: States

    /// NULL: there is none any more.
    static let next = Statement<Instant?, RecurringCampaignID>(
        """
        SELECT next_occurrence(r) FROM recurring_campaigns r WHERE r.workspace_id = current_workspace() AND r.id = $1
        """)

    /// Part of a change that has counted the version up.
    static let setNext = Statement<Stored, RecurringCampaignID, Instant>(
        """
        UPDATE recurring_campaigns AS r SET next_at = $2
         WHERE r.workspace_id = current_workspace() AND r.id = $1 AND r.status = 'active'
        RETURNING \(item), r.version
        """)

    static let activate = Statement<Stored, RecurringCampaignID, Instant>(
        """
        UPDATE recurring_campaigns AS r
           SET status = 'active', next_at = $2, paused_at = NULL, version = r.version + 1, updated_at = now()
         WHERE r.workspace_id = current_workspace() AND r.id = $1 AND r.status = 'paused'
        RETURNING \(item), r.version
        """)

    static let pause = Statement<Stored, RecurringCampaignID>(
        """
        UPDATE recurring_campaigns AS r
           SET status = 'paused', next_at = NULL, paused_at = now(), version = r.version + 1, updated_at = now()
         WHERE r.workspace_id = current_workspace() AND r.id = $1 AND r.status = 'active'
        RETURNING \(item), r.version
        """)

    static let end = Statement<Stored, RecurringCampaignID>(
        """
        UPDATE recurring_campaigns AS r
           SET status = 'ended', next_at = NULL, paused_at = NULL, ended_at = now(), version = r.version + 1, updated_at = now()
         WHERE r.workspace_id = current_workspace() AND r.id = $1 AND r.status IN ('active', 'paused')
        RETURNING \(item), r.version
        """)

    // MARK: Occurrences and patterns

    static let occurrences = Statement<PageRow, RecurringCampaignID, TimestampText, Int>(
        """
        SELECT json_build_object('occurs_at', rfc3339(o.occurs_at), 'status', CASE WHEN o.campaign_id IS NULL THEN 'skipped' ELSE 'started' END,
                                 'reason', o.skip_reason, 'campaign_id', o.campaign_id, 'campaign_name', c.name, 'campaign_status', c.status,
                                 'recorded_at', rfc3339(o.recorded_at))::text, o.occurs_at::text
          FROM recurring_occurrences o
          LEFT JOIN campaigns c ON c.workspace_id = current_workspace() AND c.id = o.campaign_id
         WHERE o.workspace_id = current_workspace() AND o.recurring_id = $1 AND o.occurs_at < $2::timestamptz
         ORDER BY o.occurs_at DESC
         LIMIT $3
        """)

    /// Of one of those that recur from a draft.
    static let nameOfPattern = Statement<String, CampaignID>(
        """
        SELECT name FROM recurring_campaigns
         WHERE workspace_id = current_workspace() AND campaign_id = $1 AND status <> 'ended'
         ORDER BY created_at LIMIT 1
        """)
}
