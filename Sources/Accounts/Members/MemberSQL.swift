internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum MemberSQL {
    static let page = Statement<PageRow, TimestampText, UserID, Int>(
        """
        SELECT json_build_object('user_id', user_id, 'name', name, 'email', email, 'role', role,
                                 'created_at', rfc3339(created_at), 'version', version),
               created_at, user_id
          FROM member_users
         WHERE workspace_id = current_workspace()
           AND (created_at, user_id) < ($1::timestamptz, $2::uuid)
         ORDER BY created_at DESC, user_id DESC
         LIMIT $3
        """)

    static let read = Statement<Stored, UserID>(
        """
        SELECT json_build_object('user_id', user_id, 'name', name, 'email', email, 'role', role,
                                 'created_at', rfc3339(created_at), 'version', version) AS item,
               version
          FROM member_users WHERE workspace_id = current_workspace() AND user_id = $1
        """)

    /// Locked before any role changes: of two owners who remove each other, the second finds one owner left.
    static let lockOwners = Statement<UserID>(
        """
        SELECT user_id FROM members
         WHERE workspace_id = current_workspace() AND role = 'owner'
         ORDER BY user_id FOR UPDATE
        """)

    static let lock = Statement<LockedMember, UserID>(
        """
        SELECT role, version FROM members WHERE workspace_id = current_workspace() AND user_id = $1 FOR UPDATE
        """)

    static let setRole = Statement<Int, UserID, String>(
        """
        UPDATE members SET role = $2, version = version + 1 WHERE workspace_id = current_workspace() AND user_id = $1
        """)

    static let remove = Statement<Int, UserID>(
        """
        DELETE FROM members WHERE workspace_id = current_workspace() AND user_id = $1
        """)

    /// Keys that this person made and that hold more than `$2`.
    static let revokeKeysBeyond = Statement<Int, UserID, [String]>(
        """
        UPDATE api_keys SET revoked_at = now()
         WHERE workspace_id = current_workspace() AND created_by = $1 AND revoked_at IS NULL AND NOT scopes <@ $2::text[]
        """)

    /// Open invitations that this person made to roles other than `$2`.
    static let revokeInvitationsBeyond = Statement<Int, UserID, [String]>(
        """
        UPDATE invitations SET revoked_at = now()
         WHERE workspace_id = current_workspace() AND invited_by = $1 AND accepted_at IS NULL AND revoked_at IS NULL
           AND role <> ALL ($2::text[])
        """)
}

struct LockedMember: RowDecodable {
    let role: String
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        role = try row["role"]
        version = try row["version"]
    }
}
