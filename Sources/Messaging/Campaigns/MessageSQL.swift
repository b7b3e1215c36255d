internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum MessageSQL {
    private static let members = """
        'id', m.id, 'campaign_id', m.campaign_id, 'contact_id', m.contact_id, 'kind', m.kind, 'channel', m.channel,
            'to', m.to_address, 'state', m.state, 'skip_reason', m.skip_reason,
            'holdout', CASE WHEN m.skip_reason = 'holdout' THEN holdout_scope(m.campaign_id, m.contact_id) END, 'attempt', m.attempt, 'parts', m.parts,
            'sid', m.sid, 'provider_status', m.provider_status, 'error_code', m.error_code,
            'unknown_reason', m.unknown_reason, 'created_at', rfc3339(m.created_at), 'started_at', rfc3339(m.started_at),
            'sent_at', rfc3339(m.sent_at), 'settled_at', rfc3339(m.settled_at),
            'due_at', CASE WHEN m.state = 'pending' AND isfinite(m.due_at) AND NOT \(Remainder.waits("m")) THEN rfc3339(m.due_at) END,
            'waits_for_winner', m.state = 'pending' AND \(Remainder.waits("m")),
            'retried_by_hand', m.state = 'pending' AND m.attempt > 0 AND EXISTS (
                SELECT FROM former_attempts f
                 WHERE f.workspace_id = current_workspace() AND f.message_id = m.id AND f.attempt = m.attempt)
        """
    static let item = "json_build_object(\(members))::text AS item"

    /// By contact, which the key of the ledger sorts by already. Tests are not of the audience.
    static let page = Statement<PageRow, CampaignID, ContactID, Int>(
        """
        SELECT \(item), m.contact_id::text
          FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign' AND m.contact_id > $2
         ORDER BY m.contact_id
         LIMIT $3
        """)

    static let pageInState = Statement<PageRow, CampaignID, ContactID, Int, String>(
        """
        SELECT \(item), m.contact_id::text
          FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign' AND m.contact_id > $2
           AND m.state = $4
         ORDER BY m.contact_id
         LIMIT $3
        """)

    /// Tests included, the newest first: ids ascend with time.
    static let newest = Statement<PageRow, MessageID, Int>(
        """
        SELECT \(item), m.id::text
          FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.id < $1
         ORDER BY m.id DESC
         LIMIT $2
        """)

    static let newestOfContact = Statement<PageRow, MessageID, Int, ContactID>(
        """
        SELECT \(item), m.id::text
          FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.contact_id = $3 AND m.id < $1
         ORDER BY m.id DESC
         LIMIT $2
        """)

    /// With its text, everything that the provider said of it, and how earlier attempts ended that somebody had repeated.
    static let read = Statement<JSONText, MessageID>(
        """
        SELECT json_build_object(\(members), 'body', m.body,
                   'variant', CASE WHEN m.kind = 'campaign' THEN (
                       SELECT v.name FROM campaign_variants v
                        WHERE v.workspace_id = current_workspace() AND v.campaign_id = m.campaign_id
                          AND v.place = variant_of(m.campaign_id, m.contact_id)) END,
                   'subject', (SELECT e.subject FROM email_contents e
                                WHERE e.workspace_id = current_workspace() AND e.message_id = m.id AND e.created_at = m.created_at),
                   'receipts', (
                   SELECT coalesce(json_agg(json_build_object('id', r.id, 'received_at', rfc3339(r.received_at), 'sid', r.sid,
                              'status', r.status, 'error_code', r.error_code, 'state', r.state, 'outcome', r.outcome)
                              ORDER BY r.received_at, r.id), '[]'::json)
                     FROM receipts r WHERE r.workspace_id = current_workspace() AND r.message_id = m.id),
                   'former_attempts', (
                   SELECT coalesce(json_agg(json_build_object('attempt', f.attempt, 'state', f.state, 'sid', f.sid,
                              'provider_status', f.provider_status, 'error_code', f.error_code, 'started_at', rfc3339(f.started_at),
                              'sent_at', rfc3339(f.sent_at), 'settled_at', rfc3339(f.settled_at), 'retried_at', rfc3339(f.retried_at))
                              ORDER BY f.attempt), '[]'::json)
                     FROM former_attempts f WHERE f.workspace_id = current_workspace() AND f.message_id = m.id))::text
          FROM messages m WHERE m.workspace_id = current_workspace() AND m.id = $1
        """)
}
