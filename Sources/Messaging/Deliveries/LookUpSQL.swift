internal import PostgreSQL
internal import Vocabulary

enum LookUpSQL {
    static let workspacesDue = Statement<WorkspaceID>("SELECT workspaces_with_due_look_ups()")

    /// Those of the due ones that have been settled, or went with their partition; and silent ones that have been asked for twice: most of them are on
    /// routes without receipts, and nothing is wrong with them.
    static let forgetSettled = Statement<Int, Int>(
        """
        DELETE FROM look_ups l
         USING (SELECT d.message_id, m.state, d.looks
                  FROM (SELECT q.message_id, q.created_at, q.looks FROM look_ups q
                         WHERE q.workspace_id = current_workspace() AND q.due_at <= now()
                         ORDER BY q.due_at LIMIT $1 * 50 FOR UPDATE SKIP LOCKED) d
                  LEFT JOIN messages m ON m.workspace_id = current_workspace() AND m.id = d.message_id AND m.created_at = d.created_at) s
         WHERE l.workspace_id = current_workspace() AND l.message_id = s.message_id
           AND (s.state IS NULL OR s.state NOT IN ('unknown', 'sent') OR s.state = 'sent' AND s.looks >= 2)
        """)

    /// Due ones, unknown ones first. Each is planned anew: an unknown one after as long again as it has been, a day at
    /// most; a silent one after a day.
    static let take = Statement<SilentMessage, Int>(
        """
        WITH due AS MATERIALIZED (
            SELECT l.message_id, l.created_at FROM look_ups l
              JOIN messages m ON m.workspace_id = current_workspace() AND m.id = l.message_id AND m.created_at = l.created_at
             WHERE l.workspace_id = current_workspace() AND l.due_at <= now() AND m.state IN ('unknown', 'sent')
             ORDER BY m.state = 'sent', l.due_at LIMIT $1 FOR UPDATE OF l SKIP LOCKED)
        UPDATE look_ups l
           SET looks = l.looks + 1,
               due_at = CASE m.state WHEN 'unknown' THEN now() + least(interval '1 day', greatest(interval '30 seconds', now() - l.since))
                                     ELSE now() + interval '1 day' END
          FROM due d
          JOIN messages m ON m.workspace_id = current_workspace() AND m.id = d.message_id AND m.created_at = d.created_at
          JOIN senders s ON s.workspace_id = current_workspace() AND s.id = m.sender_id
         WHERE l.workspace_id = current_workspace() AND l.message_id = d.message_id
        RETURNING m.id, m.created_at, m.sender_id, l.account_sid, s.from_number, m.to_address, m.body, m.sid, m.provider_status,
                  m.started_at, m.attempt
        """)

    /// Asked for again once its sender has rested.
    static let postpone = Statement<Int, MessageID>(
        """
        UPDATE look_ups SET looks = looks - 1, due_at = now() + interval '1 minute'
         WHERE workspace_id = current_workspace() AND message_id = $1
        """)

    static let alone = Statement<Bool>(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('look-ups ' || current_workspace()::text, 0)) IS NULL
        """)

    /// What we know by now: of the message `$1`, of others to its number, and which of the sids are messages of ours.
    static let known = Statement<KnownOfMessage, MessageID, Instant, String, [String]>(
        """
        SELECT EXISTS (SELECT FROM messages m
                        WHERE m.workspace_id = current_workspace() AND m.id = $1 AND m.created_at = $2 AND m.state = 'unknown')
               AND NOT EXISTS (SELECT FROM receipts r
                                WHERE r.workspace_id = current_workspace() AND r.message_id = $1 AND r.due_at IS NOT NULL) AS is_unknown,
               ARRAY(SELECT m.sid FROM messages m WHERE m.workspace_id = current_workspace() AND m.sid = ANY ($4)
                     UNION ALL
                     SELECT f.sid FROM former_attempts f WHERE f.workspace_id = current_workspace() AND f.sid = ANY ($4)
                     UNION ALL
                     SELECT r.sid FROM receipts r
                      WHERE r.workspace_id = current_workspace() AND r.due_at IS NOT NULL AND r.sid = ANY ($4)) AS taken,
               ARRAY(SELECT m.started_at
                       FROM look_ups l
                       JOIN messages m ON m.workspace_id = current_workspace() AND m.id = l.message_id AND m.created_at = l.created_at
                      WHERE l.workspace_id = current_workspace() AND l.message_id <> $1 AND m.to_address = $3
                        AND m.state = 'unknown') AS others_unknown,
               (SELECT count(*) FROM messages m
                 WHERE m.workspace_id = current_workspace() AND m.state = 'started' AND m.to_address = $3) AS others_under_way
        """)

    static let uncertain = Statement<Int, MessageID>(
        """
        UPDATE look_ups SET misses = 0 WHERE workspace_id = current_workspace() AND message_id = $1
        """)

    /// No trace. The second time, and an hour after it became unknown, unknown → failed: the provider never took it.
    /// Requests end after seconds, and with the process that made them.
    static let missed = Statement<Int, MessageID, Instant, Int>(
        """
        WITH missed AS (
            UPDATE look_ups SET misses = misses + 1
             WHERE workspace_id = current_workspace() AND message_id = $1
            RETURNING misses, since)
        UPDATE messages
           SET state = 'failed', provider_status = 'not_found', provider_rank = 4, settled_at = now(), unknown_reason = NULL
         WHERE workspace_id = current_workspace() AND id = $1 AND created_at = $2 AND attempt = $3 AND state = 'unknown'
           AND EXISTS (SELECT FROM missed s WHERE s.misses >= 2 AND s.since < now() - interval '1 hour')
        """)

    /// Messages that were sent an hour to a day ago and of whose end nobody told: at most so many of a workspace, so that
    /// a route without receipts does not keep everybody busy.
    static let planSilent = Statement<Int, Int>(
        """
        WITH silent AS (
            SELECT m.workspace_id, m.id, m.created_at, s.account_sid,
                   row_number() OVER (PARTITION BY m.workspace_id ORDER BY m.sent_at) AS place
              FROM messages m
              JOIN senders s ON s.workspace_id = m.workspace_id AND s.id = m.sender_id
             WHERE s.provider = 'twilio' AND m.state = 'sent' AND m.sent_at BETWEEN now() - interval '1 day' AND now() - interval '1 hour'
               AND m.created_at > now() - interval '40 days'
               AND NOT EXISTS (SELECT FROM look_ups l WHERE l.workspace_id = m.workspace_id AND l.message_id = m.id))
        INSERT INTO look_ups (workspace_id, message_id, created_at, account_sid, due_at)
        SELECT s.workspace_id, s.id, s.created_at, s.account_sid, now() FROM silent s WHERE s.place <= $1
        ON CONFLICT DO NOTHING
        """)
}

struct KnownOfMessage: RowDecodable {
    let isUnknown: Bool
    let taken: [String]
    let othersUnknown: [Instant]
    let othersUnderWay: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        isUnknown = try row["is_unknown"]
        taken = try row["taken"]
        othersUnknown = try row["others_unknown"]
        othersUnderWay = try row["others_under_way"]
    }
}
