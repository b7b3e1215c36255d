internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum WorkspaceSQL {
    static let page = Statement<PageRow, UserID, TimestampText, WorkspaceID, Int>(
        """
        SELECT json_build_object('id', id, 'name', name, 'role', role, 'timezone', timezone, 'default_country', default_country,
                                 'plan', plan, 'created_at', rfc3339(created_at)),
               created_at, id
          FROM workspaces_of($1)
         WHERE (created_at, id) > ($2::timestamptz, $3::uuid)
         ORDER BY created_at, id
         LIMIT $4
        """)

    static let create = Statement<WorkspaceID, UserID, String, String, String?>(
        """
        SELECT create_workspace($1, $2, $3, $4)
        """)

    /// NULL: no member, or the workspace is suspended.
    static let memberRole = Statement<String?, UserID, WorkspaceID>(
        """
        SELECT member_role($1, $2)
        """)

    /// The workspace of the transaction, as a person with role `$1` sees it.
    static let read = Statement<Stored, String>(
        """
        SELECT json_build_object('id', id, 'name', name, 'role', $1::text, 'timezone', timezone, 'default_country', default_country,
                                 'plan', plan, 'created_at', rfc3339(created_at), 'version', version) AS item,
               version
          FROM workspaces WHERE id = current_workspace()
        """)

    static let lock = Statement<Int>(
        """
        SELECT version FROM workspaces WHERE id = current_workspace() FOR UPDATE
        """)

    /// `$3`: whether `$4`, the country, is to be written. `$5` is laid over the settings.
    static let change = Statement<Int, String?, String?, Bool, String?, JSONValue>(
        """
        UPDATE workspaces
           SET name = coalesce($1, name), timezone = coalesce($2, timezone),
               default_country = CASE WHEN $3 THEN $4 ELSE default_country END, settings = settings || $5::jsonb,
               version = version + 1, updated_at = now()
         WHERE id = current_workspace()
        """)

    static let isTimezone = Statement<Bool, String>(
        """
        SELECT is_timezone($1)
        """)

    /// For requests of people in no workspace yet; others go through `Call.audit`.
    static let audit = Statement<Int, UserID, String, JSONValue, String>(
        """
        INSERT INTO audit_log (workspace_id, actor_user_id, action, subject_type, subject_id, details, request_id)
        VALUES (current_workspace(), $1, $2, 'workspace', current_workspace(), $3, $4)
        """)
}
