internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum UserSQL {
    /// No row: the address is taken.
    static let signUp = Statement<SignedUp, String, String, String, String, String, String?>(
        """
        SELECT user_id, workspace_id FROM sign_up($1, $2, $3, $4, $5, $6)
        """)

    static let passwordOf = Statement<StoredPassword, String>(
        """
        SELECT user_id, password_hash FROM password_of($1)
        """)

    static let setPasswordHash = Statement<Bool, UserID, String>(
        """
        SELECT set_password_hash($1, $2) IS NOT NULL
        """)

    /// The person and their workspaces, as sign-up, sign-in and `GET /auth/user` show them.
    static let account = Statement<JSONValue, UserID>(
        """
        SELECT json_build_object(
                   'user', json_build_object('id', p.id, 'email', p.email, 'name', p.name, 'created_at', rfc3339(p.created_at)),
                   'workspaces', coalesce(
                       (SELECT json_agg(json_build_object(
                                   'id', w.id, 'name', w.name, 'role', w.role, 'timezone', w.timezone,
                                   'default_country', w.default_country, 'plan', w.plan, 'created_at', rfc3339(w.created_at))
                                   ORDER BY w.created_at, w.id)
                          FROM workspaces_of(p.id) w), '[]'::json))
          FROM person($1) p
        """)
}

struct SignedUp: RowDecodable {
    let user: UserID
    let workspace: WorkspaceID
    init(_ row: borrowing Row) throws(PostgresError) {
        user = try row["user_id"]
        workspace = try row["workspace_id"]
    }
}

struct StoredPassword: RowDecodable {
    let user: UserID
    let hash: String
    init(_ row: borrowing Row) throws(PostgresError) {
        user = try row["user_id"]
        hash = try row["password_hash"]
    }
}
