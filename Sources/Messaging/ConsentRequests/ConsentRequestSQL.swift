internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum ConsentRequestSQL {
    static let page = Statement<PageRow, TimestampText, ConsentRequestID, Int, ContactID?, String?>(
        """
        SELECT consent_request_json(r), r.requested_at, r.id FROM consent_requests r
         WHERE r.workspace_id = current_workspace() AND (r.requested_at, r.id) < ($1::timestamptz, $2)
           AND ($4::uuid IS NULL OR r.contact_id = $4) AND ($5::text IS NULL OR r.state = $5)
         ORDER BY r.requested_at DESC, r.id DESC LIMIT $3
        """)

    static let read = Statement<JSONText, ConsentRequestID>(
        """
        SELECT consent_request_json(r) FROM consent_requests r WHERE r.workspace_id = current_workspace() AND r.id = $1
        """)

    /// The contact's address on a channel, and the contact held: of two who ask at once one waits. NULL: none.
    static let lockAddress = Statement<String?, ContactID, Channel>(
        """
        SELECT CASE $2::text WHEN 'sms' THEN phone ELSE email END FROM contacts WHERE workspace_id = current_workspace() AND id = $1
           FOR NO KEY UPDATE
        """)

    static let fault = Statement<String?, ContactID, Channel, String, String>("SELECT consent_request_fault($1, $2, $3, $4)")

    /// The same of somebody who has been asked.
    static let refusal = Statement<String?, ContactID, Channel, String>("SELECT consent_refusal($1, $2, $3)")

    static let insert = Statement<
        Int, ConsentRequestID, ContactID, Channel, String, String, SenderID, String, String?, String, JSONValue, UserID?
    >(
        """
        INSERT INTO consent_requests (workspace_id, id, contact_id, channel, purpose, address, sender_id, wording, wording_version, source,
                                      evidence, expires_at, created_by)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + interval '7 days', $11)
        """)

    static let campaign = Statement<CampaignID, SenderID>("SELECT request_campaign($1)")

    /// Due before everything: somebody waits for it.
    static let insertMessage = Statement<Int, MessageID, ConsentRequestID, Bool, CampaignID, String, Int>(
        """
        WITH asked AS (
            INSERT INTO messages (workspace_id, id, campaign_id, kind, contact_id, sender_id, channel, to_address, body, parts, due_at,
                                  created_at)
            SELECT r.workspace_id, $1, $4, 'request', r.contact_id, r.sender_id, r.channel, r.address, $5, $6, '-infinity', now()
              FROM consent_requests r WHERE r.workspace_id = current_workspace() AND r.id = $2
            RETURNING id, created_at)
        INSERT INTO consent_request_messages (workspace_id, message_id, created_at, request_id, is_reminder)
        SELECT current_workspace(), a.id, a.created_at, $2, $3 FROM asked a
        """)

    /// Like `lockAddress`, of whom a request asked.
    static let lockPerson = Statement<String?, ConsentRequestID>(
        """
        SELECT CASE r.channel WHEN 'sms' THEN c.phone ELSE c.email END
          FROM consent_requests r JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = r.contact_id
         WHERE r.workspace_id = current_workspace() AND r.id = $1
           FOR NO KEY UPDATE OF c
        """)

    static let lock = Statement<ConsentRequest, ConsentRequestID>(
        """
        SELECT r.contact_id, r.channel, r.purpose, r.address, r.sender_id, r.wording, r.state, r.expires_at <= now() AS is_over,
               r.reminded_at IS NOT NULL AS is_reminded,
               EXISTS (SELECT FROM consent_request_messages q
                         JOIN messages m ON m.workspace_id = q.workspace_id AND m.id = q.message_id AND m.created_at = q.created_at
                        WHERE q.workspace_id = current_workspace() AND q.request_id = r.id
                          AND m.state IN ('sent', 'delivered', 'undelivered', 'unknown')
                          AND m.started_at <= now() - interval '1 day') AS may_be_reminded
          FROM consent_requests r WHERE r.workspace_id = current_workspace() AND r.id = $1 FOR NO KEY UPDATE
        """)

    static let cancel = Statement<Int, ConsentRequestID>(
        """
        UPDATE consent_requests SET state = 'cancelled', ended_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND state = 'pending'
        """)

    static let remind = Statement<Int, ConsentRequestID>(
        """
        UPDATE consent_requests SET reminded_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND state = 'pending' AND reminded_at IS NULL
        """)

    /// How people know the workspace, and where it can be written to.
    static let asker = Statement<Asker>(
        """
        SELECT coalesce(settings ->> 'brand', name) AS brand, settings ->> 'postal_address' AS postal_address
          FROM workspaces WHERE id = current_workspace()
        """)

    /// The requests that messages are of.
    static let ofMessages = Statement<RequestOfMessage, [MessageID]>(
        """
        SELECT message_id, request_id FROM consent_request_messages
         WHERE workspace_id = current_workspace() AND message_id = ANY ($1)
        """)

    // MARK: The page

    static let shown = Statement<ShownRequest, ConsentRequestID>(
        """
        SELECT coalesce(w.settings ->> 'brand', w.name) AS brand, r.channel, r.address, r.wording,
               CASE WHEN r.state = 'pending' AND r.expires_at <= now() THEN 'expired' ELSE r.state END AS state,
               r.address IS NOT DISTINCT FROM CASE r.channel WHEN 'sms' THEN c.phone ELSE c.email END
                   AND NOT EXISTS (SELECT FROM suppressions s
                                    WHERE s.workspace_id = current_workspace() AND s.channel = r.channel AND s.address = r.address)
                   AND 'opted_in' IS NOT DISTINCT FROM (
                       SELECT e.state FROM consent_events e
                        WHERE e.workspace_id = current_workspace() AND e.contact_id = r.contact_id AND e.channel = r.channel
                          AND e.purpose = r.purpose
                        ORDER BY e.occurred_at DESC, e.sequence DESC LIMIT 1) AS is_in_force
          FROM consent_requests r
          JOIN workspaces w ON w.id = r.workspace_id
          JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = r.contact_id
         WHERE r.workspace_id = current_workspace() AND r.id = $1
        """)

    static let confirm = Statement<String?, ConsentRequestID, JSONText>("SELECT confirm_consent_request($1, $2::jsonb)")

    /// Of every workspace: what nobody answered in time.
    static let expire = Statement<Int>(
        """
        UPDATE consent_requests r SET state = 'expired', ended_at = now()
          FROM (SELECT o.workspace_id, o.id FROM consent_requests o WHERE o.state = 'pending' AND o.expires_at <= now()
                 LIMIT 10000 FOR UPDATE SKIP LOCKED) late
         WHERE r.workspace_id = late.workspace_id AND r.id = late.id
        """)
}

struct ConsentRequest: RowDecodable {
    let contact: ContactID
    let channel: Channel
    let purpose: String
    let address: String
    let sender: SenderID
    let wording: String
    let state: String
    let isOver: Bool
    let isReminded: Bool
    /// The first message went out a day ago or longer.
    let mayBeReminded: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        contact = try row["contact_id"]
        channel = try row["channel"]
        purpose = try row["purpose"]
        address = try row["address"]
        sender = try row["sender_id"]
        wording = try row["wording"]
        state = try row["state"]
        isOver = try row["is_over"]
        isReminded = try row["is_reminded"]
        mayBeReminded = try row["may_be_reminded"]
    }
}

struct Asker: RowDecodable {
    let brand: String
    let postalAddress: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        brand = try row["brand"]
        postalAddress = try row["postal_address"]
    }
}

struct RequestOfMessage: RowDecodable {
    let message: MessageID
    let request: ConsentRequestID
    init(_ row: borrowing Row) throws(PostgresError) {
        message = try row["message_id"]
        request = try row["request_id"]
    }
}

struct ShownRequest: RowDecodable {
    let brand: String
    let channel: Channel
    let address: String
    let wording: String
    let state: String
    /// What was agreed to is what the ledger says last, and the address may get it.
    let isInForce: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        brand = try row["brand"]
        channel = try row["channel"]
        address = try row["address"]
        wording = try row["wording"]
        state = try row["state"]
        isInForce = try row["is_in_force"]
    }
}
