internal import PostgreSQL
internal import Vocabulary
internal import Web

enum SenderSQL {
    /// Parameter `$1` of every statement that gives items: the public URL, for what to enter at the provider. With the
    /// wish to be called again, because a reply that we could not store may be a STOP.
    static let item = """
        json_build_object('id', s.id, 'name', s.name, 'channel', s.channel, 'provider', s.provider, 'from', s.from_number,
            'messaging_service_sid', s.messaging_service_sid, 'account_sid', s.account_sid,
            'rate_parts_per_second', s.rate_parts_per_second, 'status', s.status, 'status_reason', s.status_reason,
            'from_email', s.from_email, 'from_name', s.from_name, 'reply_to', s.reply_to,
            'inbound_webhook', CASE WHEN s.provider = 'twilio'
                                    THEN $1::text || '/webhooks/twilio/' || s.id || '/inbound\(TwilioClient.retries)' END,
            'event_webhook', CASE WHEN s.provider = 'sendgrid' THEN $1::text || '/webhooks/sendgrid/' || s.id || '/events' END,
            'created_at', rfc3339(s.created_at), 'updated_at', rfc3339(s.updated_at), 'version', s.version)::text AS item
        """

    static let page = Statement<PageRow, String, TimestampText, SenderID, Int>(
        """
        SELECT \(item), s.created_at::text, s.id::text
          FROM senders s
         WHERE s.workspace_id = current_workspace() AND (s.created_at, s.id) < ($2::timestamptz, $3)
         ORDER BY s.created_at DESC, s.id DESC
         LIMIT $4
        """)

    static let insert = Statement<Stored, String, SenderID, String, String?, String?, Double, String, [UInt8]>(
        """
        INSERT INTO senders AS s (workspace_id, id, name, channel, provider, from_number, messaging_service_sid,
                                  rate_parts_per_second, account_sid, credentials)
        VALUES (current_workspace(), $2, $3, 'sms', 'twilio', $4, $5, $6, $7, $8)
        RETURNING \(item), s.version
        """)

    static let read = Statement<Stored, String, SenderID>(
        """
        SELECT \(item), s.version FROM senders s WHERE s.workspace_id = current_workspace() AND s.id = $2
        """)

    static let lock = Statement<LockedSender, SenderID>(
        """
        SELECT version, provider FROM senders WHERE workspace_id = current_workspace() AND id = $1 FOR UPDATE
        """)

    /// A new origin of one kind takes the other kind's place.
    static let change = Statement<Stored, String, SenderID, String?, String?, String?, Double?, String?, [UInt8]?, Bool>(
        """
        UPDATE senders AS s
           SET name = coalesce($3, s.name),
               from_number = CASE WHEN $5::text IS NULL THEN coalesce($4, s.from_number) END,
               messaging_service_sid = CASE WHEN $4::text IS NULL THEN coalesce($5, s.messaging_service_sid) END,
               rate_parts_per_second = coalesce($6, s.rate_parts_per_second),
               account_sid = coalesce($7, s.account_sid), credentials = coalesce($8, s.credentials),
               status = CASE WHEN $9 THEN 'active' ELSE s.status END,
               status_reason = CASE WHEN $9 THEN NULL ELSE s.status_reason END,
               version = s.version + 1, updated_at = now()
         WHERE s.workspace_id = current_workspace() AND s.id = $2
        RETURNING \(item), s.version
        """)

    static let delete = Statement<Int, SenderID>(
        """
        DELETE FROM senders WHERE workspace_id = current_workspace() AND id = $1
        """)

    /// What the sending loop needs of a sender. The credentials are sealed.
    static let forSending = Statement<SenderRow, SenderID>(
        """
        SELECT id, channel, provider, from_number, messaging_service_sid, from_email, from_name, reply_to,
               rate_parts_per_second, credentials, status, version
          FROM senders WHERE workspace_id = current_workspace() AND id = $1
        """)

    /// As it is and will be until the transaction ends.
    static let lockStatus = Statement<String, SenderID>(
        """
        SELECT status FROM senders WHERE workspace_id = current_workspace() AND id = $1 FOR SHARE
        """)

    /// Not when it was changed meanwhile: its new credentials have not been tried yet.
    static let suspend = Statement<Int, SenderID, String, Int>(
        """
        UPDATE senders SET status = 'suspended', status_reason = $2, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'active' AND version = $3
        """)
}

struct LockedSender: RowDecodable {
    let version: Int
    let provider: String
    init(_ row: borrowing Row) throws(PostgresError) {
        version = try row["version"]
        provider = try row["provider"]
    }
}

/// A sender as the sending loop knows it.
struct SenderRow: RowDecodable, Sendable {
    let id: SenderID
    let channel: Channel
    let provider: String
    let from: String?
    let messagingServiceSID: String?
    let fromEmail: String?
    let fromName: String?
    let replyTo: String?
    let rate: Double
    let sealedCredentials: [UInt8]
    let isActive: Bool
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        channel = try row["channel"]
        provider = try row["provider"]
        from = try row["from_number"]
        messagingServiceSID = try row["messaging_service_sid"]
        fromEmail = try row["from_email"]
        fromName = try row["from_name"]
        replyTo = try row["reply_to"]
        rate = try row["rate_parts_per_second"]
        sealedCredentials = try row["credentials"]
        isActive = try row["status"] == "active"
        version = try row["version"]
    }
}
