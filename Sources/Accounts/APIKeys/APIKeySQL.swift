internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum APIKeySQL {
    static let page = Statement<PageRow, TimestampText, APIKeyID, Int>(
        """
        SELECT api_key_json(k), k.created_at, k.id
          FROM api_keys k
         WHERE k.workspace_id = current_workspace()
           AND (k.created_at, k.id) < ($1::timestamptz, $2::uuid)
         ORDER BY k.created_at DESC, k.id DESC
         LIMIT $3
        """)

    static let read = Statement<JSONValue, APIKeyID>(
        """
        SELECT api_key_json(k) FROM api_keys k WHERE k.workspace_id = current_workspace() AND k.id = $1
        """)

    static let scopes = Statement<[String], APIKeyID>(
        """
        SELECT scopes FROM api_keys WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let insert = Statement<APIKeyID, String, String, [UInt8], [String], UserID?, Instant?>(
        """
        INSERT INTO api_keys (workspace_id, name, prefix, secret_hash, scopes, created_by, expires_at)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6) RETURNING id
        """)

    static let revoke = Statement<Int, APIKeyID>(
        """
        UPDATE api_keys SET revoked_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND revoked_at IS NULL
        """)
}
