internal import PostgreSQL
internal import Vocabulary

enum RestoreSQL {
    static let isHeld = Statement<Bool>("SELECT sending_is_held()")
    static let hold = Statement<Bool>("SELECT hold_sending() IS NULL")
    static let release = Statement<Bool>("SELECT release_sending() IS NULL")
    static let begin = Statement<Instant>("SELECT begin_reconciliation()")
    static let workspaces = Statement<WorkspaceID>("SELECT workspaces_to_reconcile()")

    // MARK: What would start by itself

    static let scheduled = Statement<CampaignID>(
        """
        SELECT id FROM campaigns WHERE workspace_id = current_workspace() AND status = 'scheduled' AND scheduled_at <= now() FOR UPDATE
        """)

    static let freezing = Statement<CampaignID>(
        """
        SELECT id FROM campaigns WHERE workspace_id = current_workspace() AND status = 'freezing' FOR UPDATE
        """)

    static let recurring = Statement<RecurringCampaignID>(
        """
        SELECT id FROM recurring_campaigns WHERE workspace_id = current_workspace() AND status = 'active' AND next_at <= now()
        """)

    /// pending → skipped: tests, and what asks for consent. Whoever wants one asks for another.
    static let skipSingles = Statement<Int>(
        """
        UPDATE messages SET state = 'skipped', skip_reason = 'restored', settled_at = now()
         WHERE workspace_id = current_workspace() AND kind <> 'campaign' AND state = 'pending'
        """)

    // MARK: Senders

    static let senders = Statement<SenderRow>(
        """
        SELECT s.id, s.channel, s.provider, s.from_number, s.messaging_service_sid, s.from_email, s.from_name, s.reply_to,
               s.rate_parts_per_second, s.credentials, s.status, s.version
          FROM senders s WHERE s.workspace_id = current_workspace() ORDER BY s.id
        """)

    static let hasWaiting = Statement<Bool, SenderID>(
        """
        SELECT EXISTS (SELECT FROM campaigns c
                         JOIN messages m ON m.workspace_id = current_workspace() AND m.campaign_id = c.id AND m.kind = 'campaign'
                                        AND m.state = 'pending'
                        WHERE c.workspace_id = current_workspace() AND c.sender_id = $1)
        """)

    /// sending or paused → paused, for a person to decide: campaigns of a sender that have messages left.
    static let pause = Statement<CampaignID, SenderID>(
        """
        UPDATE campaigns c
           SET status = 'paused', paused_at = coalesce(c.paused_at, now()), status_reason = 'restored', updated_at = now(),
               version = c.version + 1
         WHERE c.workspace_id = current_workspace() AND c.sender_id = $1 AND c.status IN ('sending', 'paused')
           AND c.status_reason IS DISTINCT FROM 'restored'
           AND EXISTS (SELECT FROM messages m
                        WHERE m.workspace_id = current_workspace() AND m.campaign_id = c.id AND m.kind = 'campaign' AND m.state = 'pending')
        RETURNING c.id
        """)

    // MARK: Messages

    /// What of a sender waits for some numbers, with what its text reads.
    static let waiting = Statement<WaitingMessage, SenderID, [String]>(
        """
        SELECT m.id, m.created_at, m.kind, m.contact_id, m.to_address, m.body, false AS is_skipped, m.campaign_id,
               CASE WHEN c.id IS NOT NULL THEN \(TemplateSQL.contactFields("c"))::text END AS contact
          FROM unnest($2::text[]) AS n (number)
          JOIN messages m ON m.workspace_id = current_workspace() AND m.to_address = n.number
          JOIN campaigns p ON p.workspace_id = current_workspace() AND p.id = m.campaign_id
          LEFT JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = m.contact_id
         WHERE m.sender_id = $1 AND m.kind = 'campaign' AND m.state = 'pending' AND p.status IN ('sending', 'paused')
         ORDER BY m.campaign_id, m.id FOR UPDATE OF m
        """)

    /// Of which nobody knows whether they were taken.
    static let unknown = Statement<UnknownText, SenderID, [String]>(
        """
        SELECT m.to_address, m.body
          FROM unnest($2::text[]) AS n (number)
          JOIN messages m ON m.workspace_id = current_workspace() AND m.to_address = n.number
         WHERE m.sender_id = $1 AND m.state IN ('started', 'unknown')
        """)

    /// Which of the provider's are messages of ours.
    static let known = Statement<String, [String]>(
        """
        SELECT m.sid FROM messages m WHERE m.workspace_id = current_workspace() AND m.sid = ANY ($1)
        UNION ALL
        SELECT f.sid FROM former_attempts f WHERE f.workspace_id = current_workspace() AND f.sid = ANY ($1)
        """)

    /// pending → started, as when they were sent.
    /// - Parameters: ids, creation times, texts, parts, instants.
    static let start = Statement<StartedMessage, [MessageID], [Instant], [String], [Int], [Instant]>(
        """
        UPDATE messages m
           SET state = 'started', attempt = m.attempt + 1, body = w.body, parts = w.parts, started_at = w.at,
               lease_token = uuid_v7(), lease_until = now()
          FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::int[], $5::timestamptz[]) AS w (id, created_at, body, parts, at)
         WHERE m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at AND m.state = 'pending'
        RETURNING m.id, m.state, m.attempt
        """)

    /// started → sent. What became of them since is told by receipts.
    static let send = Statement<Int, [MessageID], [Instant], [String]>(
        """
        UPDATE messages m
           SET state = 'sent', sid = w.sid, sent_at = m.started_at, provider_status = 'queued', provider_rank = provider_rank('queued'),
               lease_token = NULL, lease_until = NULL
          FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS w (id, created_at, sid)
         WHERE m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at AND m.state = 'started'
        """)

    static let skip = Statement<Int, [MessageID], [Instant]>(
        """
        UPDATE messages m SET state = 'skipped', skip_reason = 'restored', settled_at = now()
          FROM unnest($1::uuid[], $2::timestamptz[]) AS w (id, created_at)
         WHERE m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at AND m.state = 'pending'
        """)
}

struct WaitingMessage: RowDecodable {
    let campaign: CampaignID
    let message: ClaimedMessage
    init(_ row: borrowing Row) throws(PostgresError) {
        campaign = try row["campaign_id"]
        message = try ClaimedMessage(row)
    }
}

struct UnknownText: RowDecodable {
    let to: String
    let text: String
    init(_ row: borrowing Row) throws(PostgresError) {
        to = try row["to_address"]
        text = try row["body"]
    }
}
