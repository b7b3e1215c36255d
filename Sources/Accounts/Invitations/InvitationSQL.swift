internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum InvitationSQL {
    static let page = Statement<PageRow, TimestampText, InvitationID, Int>(
        """
        SELECT invitation_json(i), i.created_at, i.id
          FROM invitations i
         WHERE i.workspace_id = current_workspace()
           AND (i.created_at, i.id) < ($1::timestamptz, $2::uuid)
         ORDER BY i.created_at DESC, i.id DESC
         LIMIT $3
        """)

    static let isMember = Statement<Bool, String>(
        """
        SELECT EXISTS (SELECT FROM member_users WHERE workspace_id = current_workspace() AND email = $1)
        """)

    /// The open invitations of an address end when it is invited anew.
    static let supersede = Statement<Int, String>(
        """
        UPDATE invitations SET revoked_at = now()
         WHERE workspace_id = current_workspace() AND email = $1 AND accepted_at IS NULL AND revoked_at IS NULL
        """)

    static let insert = Statement<InvitationID, String, String, [UInt8], UserID?>(
        """
        INSERT INTO invitations (workspace_id, email, role, token_hash, invited_by)
        VALUES (current_workspace(), $1, $2, $3, $4) RETURNING id
        """)

    static let read = Statement<JSONValue, InvitationID>(
        """
        SELECT invitation_json(i) FROM invitations i WHERE i.workspace_id = current_workspace() AND i.id = $1
        """)

    static let revoke = Statement<Int, InvitationID>(
        """
        UPDATE invitations SET revoked_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND accepted_at IS NULL AND revoked_at IS NULL
        """)

    static let accept = Statement<Acceptance, [UInt8], UserID, String>(
        """
        SELECT outcome, workspace_id FROM accept_invitation($1, $2, $3)
        """)
}

struct Acceptance: RowDecodable {
    let outcome: String
    let workspace: WorkspaceID?
    init(_ row: borrowing Row) throws(PostgresError) {
        outcome = try row["outcome"]
        workspace = try row["workspace_id"]
    }
}
