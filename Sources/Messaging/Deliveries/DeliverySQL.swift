internal import PostgreSQL
internal import Vocabulary

enum DeliverySQL {
    static let senderForWebhook = Statement<WebhookSender, SenderID>(
        """
        SELECT workspace_id, provider, credentials FROM sender_for_webhook($1)
        """)

    static let setWorkspace = Statement<Bool, WorkspaceID>(
        """
        SELECT set_workspace($1) IS NULL
        """)

    /// The same for statements whose plan never depends on their parameters: planning them anew each time, as PostgreSQL would where
    /// a guess makes that look cheaper, costs more than running them.
    static let setWorkspaceAndPlanOnce = Statement<Bool, WorkspaceID>(
        """
        SELECT set_workspace($1) IS NULL, set_config('plan_cache_mode', 'force_generic_plan', true)
        """)

    static let insertReceipt = Statement<Int, SenderID, MessageID?, Int?, String, String, Int?, String>(
        """
        INSERT INTO receipts (workspace_id, sender_id, message_id, attempt, sid, status, error_code, body)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6, $7)
        """)

    /// The same for several, in the order in which they came: of two final statuses of a message the first counts.
    static let insertReceipts = Statement<Int, [SenderID], [MessageID?], [Int?], [String], [String], [Int?], [String]>(
        """
        INSERT INTO receipts (workspace_id, sender_id, message_id, attempt, sid, status, error_code, body, received_at, due_at)
        SELECT current_workspace(), r.sender, r.message, r.attempt, r.sid, r.status, r.code, r.body, t.at, t.at
          FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::int[], $7::text[])
               WITH ORDINALITY AS r (sender, message, attempt, sid, status, code, body, place)
         CROSS JOIN LATERAL (SELECT now() + (r.place - 1) * interval '1 microsecond' AS at) t
        """)

    static let receiveInbound = Statement<String, SenderID, String, String, String, String, String, Bool>(
        """
        SELECT receive_reply($1, $2, $3, $4, $5, $6, $7)
        """)

    static let workspacesDue = Statement<WorkspaceID>(
        """
        SELECT workspaces_with_due_receipts()
        """)

    /// Sets the workspace before a batch is settled, and has its statement planned once in a while instead of each time, which takes
    /// longer than a batch: see `Settling.plansLastSeconds`. As `LedgerSQL.beginByKey`, but for joins by hashes, which a list of ids
    /// keeps small here.
    static let beginSettling = Statement<String?, WorkspaceID>(
        """
        SELECT set_workspace($1)::text, set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
               set_config('enable_mergejoin', 'off', true), set_config('idle_in_transaction_session_timeout', '10s', true)
        """)

    /// Merges the oldest due receipts, at most `$1`, into the ledger, and says of each what it came to. new, parked →
    /// applied | ignored; one whose message is not known yet, or is in other hands, waits: → parked.
    ///
    /// What is told of an attempt that was followed by another says nothing of the message any more. A message is committed before
    /// the provider hears of it, so one that is told of by our id and is not there is hardly worth asking for again.
    /// Looking up a message by id asks each partition; `LIMIT 1` keeps the planner from reading one of them whole.
    /// The list of ids keeps it from reading all receipts of the workspace for each of these, as it would with a plan that was made
    /// when there were few.
    static let settle = Statement<SettledReceipt, Int>(
        """
        WITH due AS MATERIALIZED (
            SELECT r.id, r.received_at, r.message_id, r.attempt, r.sender_id, r.sid, r.status, r.error_code
              FROM receipts r
             WHERE r.workspace_id = current_workspace() AND r.due_at <= now()
             ORDER BY r.due_at, r.id LIMIT $1 FOR UPDATE SKIP LOCKED),
        found AS MATERIALIZED (
            SELECT d.*, CASE WHEN o.is_former IS NULL THEN coalesce(a.id, b.id) END AS message, o.is_former, row_number() OVER (ORDER BY d.received_at, d.id) AS place
              FROM due d
              LEFT JOIN LATERAL (SELECT m.id FROM messages m
                                  WHERE m.workspace_id = current_workspace() AND m.id = d.message_id LIMIT 1) a ON true
              LEFT JOIN LATERAL (SELECT m.id FROM messages m
                                  WHERE a.id IS NULL AND m.workspace_id = current_workspace() AND m.sid = d.sid LIMIT 1) b ON true
              LEFT JOIN LATERAL (SELECT true AS is_former FROM former_attempts f
                                  WHERE f.workspace_id = current_workspace() AND f.sid = d.sid LIMIT 1) e ON true
              LEFT JOIN LATERAL (SELECT true AS is_former FROM former_attempts f
                                  WHERE f.workspace_id = current_workspace() AND f.message_id = d.message_id AND f.attempt = d.attempt
                                  LIMIT 1) g ON true
             CROSS JOIN LATERAL (SELECT coalesce(e.is_former, g.is_former) AS is_former) o),
        judged AS MATERIALIZED (
            SELECT f.*, CASE WHEN f.is_former THEN 'former_attempt' ELSE v.verdict END AS verdict
              FROM (SELECT array_agg(h.message ORDER BY h.place) AS messages, array_agg(h.sender_id ORDER BY h.place) AS senders,
                           array_agg(h.sid ORDER BY h.place) AS sids, array_agg(h.status ORDER BY h.place) AS statuses,
                           array_agg(h.error_code ORDER BY h.place) AS codes, array_agg(h.received_at ORDER BY h.place) AS ats
                      FROM found h) l
             CROSS JOIN LATERAL apply_statuses(l.messages, l.senders, l.sids, l.statuses, l.codes, l.ats) v
              JOIN found f ON f.place = v.place),
        closed AS (
            UPDATE receipts r
               SET state = CASE WHEN j.verdict IN ('applied', 'stale', 'conflict') THEN 'applied'
                                WHEN j.verdict = 'busy' THEN r.state
                                WHEN j.verdict IN ('no_message', 'not_started') AND r.received_at > now() - interval '72 hours' THEN 'parked'
                                ELSE 'ignored' END,
                   outcome = j.verdict,
                   due_at = CASE WHEN j.verdict = 'busy' THEN now() + interval '100 milliseconds'
                                 WHEN j.verdict IN ('no_message', 'not_started') AND r.received_at > now() - interval '72 hours'
                                 THEN now() + least(interval '1 hour', greatest(
                                     CASE WHEN j.verdict = 'no_message' AND r.message_id IS NOT NULL THEN interval '1 minute'
                                          ELSE interval '1 second' END,
                                     (now() - r.received_at) / 2)) END
              FROM judged j
             WHERE r.workspace_id = current_workspace() AND r.id = ANY (ARRAY(SELECT k.id FROM judged k))
               AND r.id = j.id AND r.received_at = j.received_at)
        SELECT j.verdict, CASE WHEN j.verdict = 'applied' THEN j.error_code END AS error_code,
               m.channel, m.to_address, m.campaign_id, m.sender_id, m.started_at
          FROM judged j
          LEFT JOIN LATERAL (SELECT e.channel, e.to_address, e.campaign_id, e.sender_id, e.started_at FROM messages e
                              WHERE j.verdict = 'applied' AND j.error_code IS NOT NULL
                                AND e.workspace_id = current_workspace() AND e.id = j.message LIMIT 1) m ON true
         ORDER BY m.to_address
        """)

    /// Puts the first due receipt behind the others, for an hour: it cannot be settled as it is.
    static let setAside = Statement<Int>(
        """
        UPDATE receipts r SET state = 'parked', outcome = 'error', due_at = now() + interval '1 hour'
          FROM (SELECT q.id, q.received_at FROM receipts q
                 WHERE q.workspace_id = current_workspace() AND q.due_at <= now()
                 ORDER BY q.due_at, q.id LIMIT 1 FOR UPDATE SKIP LOCKED) d
         WHERE r.workspace_id = current_workspace() AND r.id = d.id AND r.received_at = d.received_at
        """)

    // MARK: What a failure says beyond its own message

    static let optOut = Statement<Bool, Channel, String, Int>(
        """
        SELECT record_provider_opt_out($1, $2, $3) IS NULL
        """)

    /// How often this code came back from an address in so many days.
    static let failures = Statement<Int, String, Int, Int>(
        """
        SELECT count(*) FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.to_address = $1 AND m.error_code = $2
           AND m.sent_at > now() - make_interval(days => $3)
        """)

    /// How many messages of a campaign ended with one of these codes, and how many were sent, since it was started or
    /// resumed. Nothing for a message that was started before that: whoever resumed it knew of those.
    static let failureShare = Statement<FailureShare, CampaignID, [String], Instant>(
        """
        SELECT coalesce(sum(s.messages) FILTER (WHERE s.measure IN ('failed', 'undelivered') AND s.reason = ANY ($2)), 0)::bigint AS failed,
               coalesce(sum(s.messages) FILTER (WHERE s.measure = 'sent'), 0)::bigint AS sent
          FROM campaigns c
          JOIN campaign_stats s ON s.workspace_id = current_workspace() AND s.campaign_id = c.id
                               AND s.slot >= date_bin('15 minutes', c.updated_at, '2000-01-01 00:00:00+00')
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'sending' AND c.updated_at <= $3
        """)

    /// Not when it was changed after the message had been started: what it is now has not failed yet.
    static let suspendSender = Statement<Int, SenderID, String, Instant>(
        """
        UPDATE senders SET status = 'suspended', status_reason = $2, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'active' AND updated_at < $3
        """)
}

struct WebhookSender: RowDecodable {
    let workspace: WorkspaceID
    let provider: String
    let credentials: [UInt8]
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        provider = try row["provider"]
        credentials = try row["credentials"]
    }
}

/// What a receipt came to. With a code, it ended its message, and tells of the address and the sender too.
struct SettledReceipt: RowDecodable {
    let verdict: String
    let failure: Failure?

    struct Failure {
        let code: Int
        let channel: Channel
        let address: String
        let campaign: CampaignID
        let sender: SenderID
        let startedAt: Instant
    }

    init(_ row: borrowing Row) throws(PostgresError) {
        verdict = try row["verdict"]
        guard let code: Int = try row["error_code"] else {
            failure = nil
            return
        }
        failure = Failure(
            code: code, channel: try row["channel"], address: try row["to_address"], campaign: try row["campaign_id"],
            sender: try row["sender_id"], startedAt: try row["started_at"])
    }
}

struct FailureShare: RowDecodable {
    let failed: Int
    let sent: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        failed = try row["failed"]
        sent = try row["sent"]
    }
}
