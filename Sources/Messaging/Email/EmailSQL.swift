internal import PostgreSQL
internal import Vocabulary
internal import Web

enum EmailSQL {
    // MARK: Senders

    static let insertSender = Statement<Stored, String, SenderID, String, String, String, String?, String?, Double, [UInt8]>(
        """
        INSERT INTO senders AS s (workspace_id, id, name, channel, provider, from_email, from_name, reply_to,
                                  rate_parts_per_second, credentials)
        VALUES (current_workspace(), $2, $3, 'email', $4, $5, $6, $7, $8, $9)
        RETURNING \(SenderSQL.item), s.version
        """)

    /// What only an address has; its version moves with the rest of the change.
    static let changeOrigin = Statement<Int, SenderID, String?, String?, String?>(
        """
        UPDATE senders SET from_email = coalesce($2, from_email), from_name = coalesce($3, from_name), reply_to = coalesce($4, reply_to)
         WHERE workspace_id = current_workspace() AND id = $1 AND channel = 'email'
        """)

    // MARK: Campaigns

    /// - Parameters: campaign, subject, whether the preheader goes, preheader, whether the HTML goes, HTML.
    static let setParts = Statement<Stored, CampaignID, String?, Bool, String?, Bool, String?>(
        """
        UPDATE campaigns AS c
           SET subject = coalesce($2, c.subject), preheader = CASE WHEN NOT $3 THEN coalesce($4, c.preheader) END,
               html = CASE WHEN NOT $5 THEN coalesce($6, c.html) END
         WHERE c.workspace_id = current_workspace() AND c.id = $1
        RETURNING \(CampaignSQL.item), c.version
        """)

    /// What a mail is made of, with the address that the law wants in it.
    static let parts = Statement<EmailParts, CampaignID>(
        """
        SELECT c.subject, c.body, c.html, c.preheader, w.settings ->> 'postal_address' AS postal_address
          FROM campaigns c JOIN workspaces w ON w.id = current_workspace()
         WHERE c.workspace_id = current_workspace() AND c.id = $1
        """)

    // MARK: Messages

    /// The subjects of messages that were started.
    static let keepSubjects = Statement<Int, [MessageID], [Instant], [String]>(
        """
        INSERT INTO email_contents AS e (workspace_id, message_id, created_at, subject)
        SELECT current_workspace(), w.id, w.created_at, w.subject
          FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS w (id, created_at, subject)
        ON CONFLICT (workspace_id, message_id, created_at) DO UPDATE SET subject = excluded.subject
        """)

    /// How often mail to an address has come back with one of these codes within so many days.
    static let failures = Statement<Int, String, Int, [Int]>(
        """
        SELECT count(*) FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.to_address = $1 AND m.channel = 'email'
           AND m.state IN ('failed', 'undelivered') AND m.settled_at > now() - make_interval(days => $2)
           AND m.error_code = ANY ($3)
        """)

    // MARK: What providers tell

    /// The same event told twice at once waits for itself, until the transaction ends; in one order, so that nothing waits in
    /// a circle.
    static let lockEvents = Statement<Bool, [UUID]>(
        """
        SELECT pg_advisory_xact_lock(k.key) IS NULL
          FROM (SELECT DISTINCT hashtextextended('mail event ' || r::text, 0) AS key FROM unnest($1::uuid[]) r ORDER BY key) k
        """)

    /// One row per event, in their order: stored | repeated | foreign.
    static let receiveEvents = Statement<
        String, [UUID], [SenderID], [MessageID?], [String?], [String], [String?], [Int?], [String], [String?], [Instant], [String]
    >(
        """
        SELECT receive_mail_event(e.receipt, e.sender, e.message, e.sid, e.event, e.status, e.code, e.effect, e.url, e.at, e.body)
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[],
                      $10::timestamptz[], $11::text[])
               AS e (receipt, sender, message, sid, event, status, code, effect, url, at, body)
        """)
}

/// A campaign's mail as it is stored.
struct EmailParts: RowDecodable, Hashable {
    let subject: String?
    let body: String
    let html: String?
    let preheader: String?
    let postalAddress: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        subject = try row["subject"]
        body = try row["body"]
        html = try row["html"]
        preheader = try row["preheader"]
        postalAddress = try row["postal_address"]
    }
}
