internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum CampaignSQL {
    /// `skipped` and `waiting` are of the frozen audience; `sent` was handed over, whatever came of it later.
    private static let counts = """
        (SELECT json_build_object(
             'frozen', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'frozen'), 0),
             'skipped', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'skipped'), 0),
             'waiting', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'waiting'), 0),
             'sent', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'sent'), 0),
             'delivered', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'delivered'), 0),
             'undelivered', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'undelivered'), 0),
             'failed', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'failed'), 0),
             'unknown', coalesce(sum(s.messages) FILTER (WHERE s.measure = 'unknown'), 0),
             'parts', coalesce(sum(s.parts) FILTER (WHERE s.measure = 'sent'), 0))
           FROM campaign_stats s WHERE s.workspace_id = current_workspace() AND s.campaign_id = c.id)
        """

    static let item = shown(html: "'html', c.html,", experiment: Experiment.item)
    /// Of a list, which would be large with all of its HTML and variants.
    private static let listed = shown(html: "", experiment: Experiment.listed)

    private static func shown(html: String, experiment: String) -> String {
        """
        json_build_object('id', c.id, 'name', c.name, 'channel', c.channel, 'segment_id', c.segment_id,
            'sender_id', c.sender_id, 'subject', c.subject, 'preheader', c.preheader, 'body', c.body, \(html)
            'status', c.status, 'status_reason', c.status_reason,
            'goal_event', c.goal_event, 'attribution_window_seconds', c.attribution_window_seconds,
            'tags', c.tags, 'ignores_caps', c.ignores_caps,
            'respects_quiet_hours', c.respects_quiet_hours, 'send_until', rfc3339(c.send_until),
            'scheduled_local', to_char(c.scheduled_local, 'YYYY-MM-DD"T"HH24:MI'), 'late', c.late,
            'scheduled_at', rfc3339(c.scheduled_at), 'start_requested_at', rfc3339(c.start_requested_at),
            'frozen_at', rfc3339(c.frozen_at), 'paused_at', rfc3339(c.paused_at), 'finished_at', rfc3339(c.finished_at),
            'cancelled_at', rfc3339(c.cancelled_at), \(CampaignPlan.item), 'counts', \(counts), 'created_at', rfc3339(c.created_at),
            'track_links', c.track_links, 'experiment', \(experiment),
            'template_id', c.template_id, 'template_version', c.template_version,
            'recurring_id', (SELECT o.recurring_id FROM recurring_occurrences o
                              WHERE o.workspace_id = current_workspace() AND o.campaign_id = c.id),
            'updated_at', rfc3339(c.updated_at), 'version', c.version)::text AS item
        """
    }

    private static let columns = "id, status, channel, segment_id, sender_id, body, version, start_requested_at, send_until"

    static let page = Statement<PageRow, TimestampText, CampaignID, Int>(
        """
        SELECT \(listed), c.created_at::text, c.id::text
          FROM campaigns c
         WHERE c.workspace_id = current_workspace() AND (c.created_at, c.id) < ($1::timestamptz, $2)
           AND NOT EXISTS (SELECT FROM request_campaigns q WHERE q.workspace_id = current_workspace() AND q.campaign_id = c.id)
         ORDER BY c.created_at DESC, c.id DESC
         LIMIT $3
        """)

    static let pageInStatus = Statement<PageRow, TimestampText, CampaignID, Int, String>(
        """
        SELECT \(listed), c.created_at::text, c.id::text
          FROM campaigns c
         WHERE c.workspace_id = current_workspace() AND c.status = $4 AND (c.created_at, c.id) < ($1::timestamptz, $2)
           AND NOT EXISTS (SELECT FROM request_campaigns q WHERE q.workspace_id = current_workspace() AND q.campaign_id = c.id)
         ORDER BY c.created_at DESC, c.id DESC
         LIMIT $3
        """)

    static let insert = Statement<Stored, CampaignID, String, Channel, SegmentID?, SenderID?, String, String?, Int?, UserID?>(
        """
        INSERT INTO campaigns AS c (workspace_id, id, name, channel, segment_id, sender_id, body, goal_event,
                                    attribution_window_seconds, created_by)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6, $7, coalesce($8, 604800), $9)
        RETURNING \(item), c.version
        """)

    static let read = Statement<Stored, CampaignID>(
        """
        SELECT \(item), c.version FROM campaigns c WHERE c.workspace_id = current_workspace() AND c.id = $1
        """)

    static let find = Statement<Campaign, CampaignID>(
        """
        SELECT \(columns) FROM campaigns WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let lock = Statement<Campaign, CampaignID>(
        """
        SELECT \(columns) FROM campaigns WHERE workspace_id = current_workspace() AND id = $1 FOR UPDATE
        """)

    static let change = Statement<Stored, CampaignID, String?, SegmentID?, SenderID?, String?, String?, Bool, Int?>(
        """
        UPDATE campaigns AS c
           SET name = coalesce($2, c.name), segment_id = coalesce($3, c.segment_id), sender_id = coalesce($4, c.sender_id),
               body = coalesce($5, c.body), goal_event = CASE WHEN $7 THEN NULL ELSE coalesce($6, c.goal_event) END,
               attribution_window_seconds = coalesce($8, c.attribution_window_seconds), status_reason = NULL,
               version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft'
        RETURNING \(item), c.version
        """)

    static let delete = Statement<Int, CampaignID>(
        """
        DELETE FROM campaigns WHERE workspace_id = current_workspace() AND id = $1 AND status = 'draft'
        """)

    /// Whether the segment and the sender that a draft names are this workspace's, and may be chosen by whoever asks.
    static let references = Statement<References, SegmentID?, SenderID?>(
        """
        SELECT CASE WHEN $1::uuid IS NOT NULL THEN nullif(segment_fault($1), '') END AS segment_fault,
               $2::uuid IS NULL
               OR EXISTS (SELECT FROM senders WHERE workspace_id = current_workspace() AND id = $2) AS sender_exists
        """)

    // MARK: Transitions. No row: it was in another state.

    static let start = Statement<Stored, CampaignID>(
        """
        UPDATE campaigns AS c
           SET status = 'freezing', start_requested_at = now(), status_reason = NULL, version = c.version + 1, updated_at = now(),
               \(Holdout.settled)
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status IN ('draft', 'scheduled')
        RETURNING \(item), c.version
        """)

    static let pause = Statement<Stored, CampaignID>(
        """
        UPDATE campaigns AS c
           SET status = 'paused', paused_at = now(), status_reason = NULL, version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'sending'
        RETURNING \(item), c.version
        """)

    static let resume = Statement<Stored, CampaignID>(
        """
        UPDATE campaigns AS c
           SET status = 'sending', paused_at = NULL, status_reason = NULL, version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'paused'
        RETURNING \(item), c.version
        """)

    static let cancel = Statement<Stored, CampaignID, String?>(
        """
        UPDATE campaigns AS c
           SET status = 'cancelled', cancelled_at = now(), paused_at = NULL, status_reason = $2,
               version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1
           AND c.status IN ('scheduled', 'freezing', 'sending', 'paused')
        RETURNING \(item), c.version
        """)

    // MARK: Freezing

    static let segment = Statement<SegmentState, SegmentID>(
        """
        SELECT state, problem, calculated_at, member_count, nullif(segment_fault(id), '') AS fault FROM segments
         WHERE workspace_id = current_workspace() AND id = $1
        """)

    /// Whether a calculation of this segment waits or runs.
    static let isBeingCalculated = Statement<Bool, String>(
        """
        SELECT EXISTS (SELECT FROM jobs WHERE workspace_id = current_workspace() AND kind = 'calculate_segment' AND key = $1
                          AND state IN ('queued', 'running'))
        """)

    /// Before a statement over a whole segment: joins by hashing. A loop of look-ups is what the planner takes for
    /// tables that were just filled and have no statistics yet, and it is never the better one here. What is hashed and sorted is the
    /// audience: it should not go through files.
    static let planSetWise = Statement<String>(
        "SELECT set_config('enable_nestloop', 'off', true) || set_config('work_mem', '64MB', true)")

    /// One row per member of the segment, all at once: pending, or skipped with the reason. The instant is the
    /// transaction's, so that it equals `frozen_at` of the campaign that `freeze` sets.
    static let insertAudience = Statement<Int, CampaignID, SegmentID, SenderID, Channel>(
        """
        INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, state, skip_reason,
                              settled_at, due_at, created_at)
        SELECT current_workspace(), $1, r.contact_id, $3, $4, r.address,
               CASE WHEN r.reason IS NULL THEN 'pending' ELSE 'skipped' END, r.reason,
               CASE WHEN r.reason IS NOT NULL THEN now() END,
               coalesce(r.due_at, now()) + \(Remainder.wait(of: "r.contact_id", campaign: "$1::uuid")), now()
          FROM (\(Holdout.audience(campaign: "$1::uuid", segment: "$2", channel: "$4")) OFFSET 0) r
        """)

    /// freezing → sending.
    static let freeze = Statement<Int, CampaignID>(
        """
        UPDATE campaigns
           SET status = 'sending', frozen_at = now(), status_reason = NULL, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'freezing'
        """)

    static let reasons = Statement<ReasonCount, CampaignID>(
        """
        SELECT reason, sum(messages)::bigint AS count FROM campaign_stats
         WHERE workspace_id = current_workspace() AND campaign_id = $1 AND measure = 'skipped'
         GROUP BY reason ORDER BY reason
        """)

    /// Members of a segment, each with their address on a channel and the reason to leave them out.
    static func audience(segment: String, channel: String) -> String {
        let address = Reachability.address("c", channel: channel)
        return """
            SELECT m.contact_id, c.timezone, c.phone, \(address) AS address,
                           CASE WHEN \(address) IS NULL THEN 'no_address' ELSE \(Reachability.reason) END AS reason
                      FROM segment_members m
                      JOIN contacts c ON c.workspace_id = m.workspace_id AND c.id = m.contact_id
                      \(Reachability.joins(contact: "c.id", address: address, channel: channel))
                     WHERE m.workspace_id = current_workspace() AND m.segment_id = \(segment)
            """
    }

    // MARK: Tests

    /// Due before everything: somebody waits for it, and a campaign under way may take hours.
    static let insertTest = Statement<PageRow, MessageID, CampaignID, ContactID?, SenderID, Channel, String, String, Int>(
        """
        INSERT INTO messages AS m (workspace_id, id, campaign_id, kind, contact_id, sender_id, channel, to_address, body,
                                   parts, due_at, created_at)
        VALUES (current_workspace(), $1, $2, 'test', $3, $4, $5, $6, $7, $8, '-infinity', now())
        RETURNING \(MessageSQL.item), m.id::text
        """)
}

struct References: RowDecodable {
    /// `nil`: it can be chosen.
    let segmentFault: String?
    let senderExists: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        segmentFault = try row["segment_fault"]
        senderExists = try row["sender_exists"]
    }
    /// - Throws: a fault for each that is missing.
    func check() throws {
        var faults = Faults()
        SegmentState.tell(segmentFault, in: &faults)
        if !senderExists { faults.add("/sender_id", "not_found", "There is no such sender here.") }
        try faults.check()
    }
}

struct SegmentState: RowDecodable {
    let state: String
    let problem: String?
    let calculatedAt: Instant?
    let memberCount: Int
    /// Why whoever asks cannot send to it; `nil` when they can. Jobs are kept only from what is archived.
    let fault: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        fault = try row["fault"]
        state = try row["state"]
        problem = try row["problem"]
        calculatedAt = try row["calculated_at"]
        memberCount = try row["member_count"]
    }
}

extension SegmentState {
    /// - Parameter fault: as `segment_fault` gives it (migration 0063).
    static func tell(_ fault: String?, in faults: inout Faults) {
        switch fault {
        case nil: break
        case "segment_archived":
            faults.add("/segment_id", "segment_archived", "The segment is archived; choose another, or unarchive it.")
        case "segment_not_usable":
            faults.add("/segment_id", "segment_not_usable", "The segment is shared with you to view, not to use.")
        default: faults.add("/segment_id", "not_found", "There is no such segment here.")
        }
    }
}

struct ReasonCount: RowDecodable {
    let reason: String?
    let count: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        reason = try row["reason"]
        count = try row["count"]
    }
}
