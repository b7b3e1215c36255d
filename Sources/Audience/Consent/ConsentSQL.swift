internal import PostgreSQL
internal import Vocabulary
internal import Web

enum ConsentSQL {
    static let ledger = Statement<PageRow, String?, EventID, Int>(
        """
        SELECT consent_json(e), e.id FROM consent_events e
         WHERE e.workspace_id = current_workspace() AND ($1::text IS NULL OR e.channel = $1) AND e.id < $2
         ORDER BY e.id DESC LIMIT $3
        """)
    static let ledgerOfContact = Statement<PageRow, ContactID, String?, EventID, Int>(
        """
        SELECT consent_json(e), e.id FROM consent_events e
         WHERE e.workspace_id = current_workspace() AND e.contact_id = $1 AND ($2::text IS NULL OR e.channel = $2) AND e.id < $3
         ORDER BY e.id DESC LIMIT $4
        """)
    static let event = Statement<JSONText, EventID>(
        """
        SELECT consent_json(e) FROM consent_events e WHERE e.workspace_id = current_workspace() AND e.id = $1
        """)
    static let record = Statement<
        EventID, ContactID, String, String, String, String?, JSONText, Instant, String, String?, String?, String, UUID?
    >(
        """
        SELECT record_consent($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10, $11, $12)
        """)
    static let addresses = Statement<Addresses, ContactID>(
        """
        SELECT email, phone FROM contacts WHERE workspace_id = current_workspace() AND id = $1 FOR SHARE
        """)
    static let state = Statement<String, ContactID, String>(
        """
        SELECT state FROM consents WHERE workspace_id = current_workspace() AND contact_id = $1 AND channel = $2
        """)
    static let states = Statement<JSONText, ContactID>(
        """
        SELECT json_object_agg(h.channel, json_build_object(
                   'address', h.address, 'state', coalesce(k.state, 'unknown'), 'source', k.source,
                   'at', rfc3339(k.occurred_at), 'suppressed', s.reason))
          FROM contacts c
         CROSS JOIN LATERAL (VALUES ('sms', c.phone), ('email', c.email)) AS h (channel, address)
          LEFT JOIN consents k ON k.workspace_id = c.workspace_id AND k.contact_id = c.id AND k.channel = h.channel
          LEFT JOIN suppressions s ON s.workspace_id = c.workspace_id AND s.channel = h.channel AND s.address = h.address
         WHERE c.workspace_id = current_workspace() AND c.id = $1
        HAVING count(*) > 0
        """)
    static let suppress = Statement<Bool, String, String>(
        """
        SELECT suppress($1, $2, 'opt_out', 'consent') IS NULL
        """)
    static let lift = Statement<Int, String, String>(
        """
        DELETE FROM suppressions
         WHERE workspace_id = current_workspace() AND channel = $1 AND address = $2 AND reason = 'opt_out' AND source = 'consent'
        """)
}

/// Where somebody can be reached.
struct Addresses: RowDecodable {
    let email: String?
    let phone: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        email = try row["email"]
        phone = try row["phone"]
    }
    func address(_ channel: Channel) -> String? { channel == .sms ? phone : email }
}
