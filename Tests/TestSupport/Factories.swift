// Things that tests need before they can say what they are about. Defaults everywhere; a test states what matters.
import JSON
import PostgreSQL
import Secrets
import Vocabulary

/// A person with a session.
public struct TestUser: Sendable {
    public let id: UserID
    public let email: String
    /// A session token, for `Authorization: Bearer`.
    public let token: String
}

/// An API key with its secret.
public struct TestKey: Sendable {
    public let id: APIKeyID
    public let token: String
}

private enum FactorySQL {
    static let workspace = Statement<WorkspaceID, String, String, String, String?, JSONValue>(
        """
        INSERT INTO workspaces (name, timezone, plan, default_country, settings)
        VALUES ($1, $2, $3, $4, '{"quiet_hours_sms": "off"}' || $5::jsonb) RETURNING id
        """)
    static let user = Statement<UserID, String, String, String>(
        """
        INSERT INTO users (email, name, password_hash) VALUES ($1, $2, $3) RETURNING id
        """)
    static let member = Statement<Int, WorkspaceID, UserID, String>(
        """
        INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, $3)
        """)
    static let session = Statement<Int, [UInt8], UserID>(
        """
        INSERT INTO sessions (token_hash, user_id) VALUES ($1, $2)
        """)
    static let key = Statement<APIKeyID, WorkspaceID, String, String, [UInt8], [String]>(
        """
        INSERT INTO api_keys (workspace_id, name, prefix, secret_hash, scopes) VALUES ($1, $2, $3, $4, $5) RETURNING id
        """)
}

// For a connection of the owner: `withDatabase`'s default, or `TestDatabase.connect(as: .owner)`.
extension Connection {
    /// - Parameters:
    ///   - plan: `unlimited` has no rate limits.
    ///   - settings: laid over those that let tests be run at night.
    public func createWorkspace(
        _ name: String = "Test", plan: String = "unlimited", timezone: String = "UTC", country: String? = "US",
        settings: JSONValue = [:]
    ) throws -> WorkspaceID {
        try one(FactorySQL.workspace, name, timezone, plan, country, settings)
    }

    /// A person; a member of `workspace` with `role` when one is given.
    /// - Parameter passwordHash: nobody can sign in with the default.
    public func createUser(
        _ role: String = "owner", in workspace: WorkspaceID? = nil, email: String? = nil, name: String = "Test Person",
        passwordHash: String = "*"
    ) throws -> TestUser {
        let email = email ?? "person-\(UUID.v7())@example.com"
        let id = try one(FactorySQL.user, email, name, passwordHash)
        if let workspace { try run(FactorySQL.member, workspace, id, role) }
        let token = APIKeyFormat.generate(.session)
        try run(FactorySQL.session, Hash.sha256(Array(token.utf8)), id)
        return TestUser(id: id, email: email, token: token)
    }

    /// - Parameter scopes: `*` holds all.
    public func createAPIKey(in workspace: WorkspaceID, scopes: [String] = ["*"], name: String = "Test key") throws -> TestKey {
        let token = APIKeyFormat.generate(.apiKey)
        let id = try one(
            FactorySQL.key, workspace, name, APIKeyFormat.prefix(of: token), Hash.sha256(Array(token.utf8)), scopes)
        return TestKey(id: id, token: token)
    }

    /// One value of one row, for assertions that deserve no statement of their own.
    public func value<T: SQLDecodable & RowDecodable>(_ sql: String, _ values: SQLValue..., as type: T.Type = T.self) throws -> T {
        let rows: [T] = try dynamic(sql, values)
        guard let first = rows.first else { throw PostgresError.noRow }
        return first
    }
}
