internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum WebhookSQL {
    static let page = Statement<PageRow, TimestampText, WebhookID, Int>(
        """
        SELECT webhook_json(e), e.created_at, e.id
          FROM webhook_endpoints e
         WHERE e.workspace_id = current_workspace() AND (e.created_at, e.id) < ($1::timestamptz, $2::uuid)
         ORDER BY e.created_at DESC, e.id DESC
         LIMIT $3
        """)

    static let read = Statement<Stored, WebhookID>(
        """
        SELECT webhook_json(e) AS item, e.version
          FROM webhook_endpoints e
         WHERE e.workspace_id = current_workspace() AND e.id = $1
        """)

    /// The version and whether it is active, held until the transaction ends.
    static let lock = Statement<LockedWebhook, WebhookID>(
        """
        SELECT e.version, e.status = 'active' AS is_active
          FROM webhook_endpoints e
         WHERE e.workspace_id = current_workspace() AND e.id = $1 FOR NO KEY UPDATE
        """)

    static let count = Statement<Int>(
        """
        SELECT count(*) FROM webhook_endpoints WHERE workspace_id = current_workspace()
        """)

    static let insert = Statement<Int, WebhookID, String, String, [String], [UInt8], UserID?>(
        """
        INSERT INTO webhook_endpoints (workspace_id, id, url, description, event_types, sealed_secret, created_by)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6)
        """)

    /// Another address has not failed yet.
    static let change = Statement<Int, WebhookID, String?, String?, [String]?>(
        """
        UPDATE webhook_endpoints e
           SET url = coalesce($2::text, e.url), description = coalesce($3::text, e.description),
               event_types = coalesce($4::text[], e.event_types),
               failing_since = CASE WHEN $2::text <> e.url THEN NULL ELSE e.failing_since END,
               failures = CASE WHEN $2::text <> e.url THEN 0 ELSE e.failures END,
               rests_until = CASE WHEN $2::text <> e.url THEN NULL ELSE e.rests_until END,
               updated_at = now(), version = e.version + 1
         WHERE e.workspace_id = current_workspace() AND e.id = $1
        """)

    static let delete = Statement<Int, WebhookID>(
        """
        DELETE FROM webhook_endpoints WHERE workspace_id = current_workspace() AND id = $1
        """)

    /// Of two rotations within a day the second drops the first secret.
    static let rotate = Statement<Int, WebhookID, [UInt8]>(
        """
        UPDATE webhook_endpoints
           SET previous_sealed_secret = sealed_secret, previous_secret_until = now() + interval '24 hours',
               sealed_secret = $2, updated_at = now(), version = version + 1
         WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let enable = Statement<Int, WebhookID>(
        """
        UPDATE webhook_endpoints
           SET status = 'active', status_reason = NULL, disabled_at = NULL, failing_since = NULL, failures = 0, rests_until = NULL,
               updated_at = now(), version = version + 1
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'disabled'
        """)

    static let disable = Statement<Int, WebhookID>(
        """
        UPDATE webhook_endpoints
           SET status = 'disabled', status_reason = 'asked', disabled_at = now(), updated_at = now(), version = version + 1
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'active'
        """)
}

struct LockedWebhook: RowDecodable {
    let version: Int
    let isActive: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        version = try row["version"]
        isActive = try row["is_active"]
    }
}
