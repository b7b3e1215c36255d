public import PostgreSQL
public import Vocabulary

enum WebSQL {
    /// One round trip with the statement behind it; see migration 0002.
    static let authorize = Statement<Authorization, [UInt8], Bool, WorkspaceID?, RoleNames, String>(
        """
        SELECT outcome, workspace, user_id, api_key_id, role, plan, stale FROM authorize($1, $2, $3, $4, $5)
        """)

    static let person = Statement<SignedInUser, [UInt8]>(
        """
        SELECT user_id, session_id, stale FROM session_user_of($1)
        """)

    static let touch = Statement<Bool, [UInt8], Bool>(
        """
        SELECT touch_token($1, $2) IS NOT NULL
        """)

    /// The plan decides the capacity; a token that nobody knows leases nothing.
    static let leaseForToken = Statement<Lease, [UInt8], Bool, String, Int, Int, Int>(
        """
        SELECT l.granted, l.remaining, l.resets_in_seconds, p.plan = 'unlimited' AS unlimited
          FROM token_plan($1, $2) AS p (plan),
               lease_requests($1, $3, CASE p.plan WHEN 'unlimited' THEN 100000000 ELSE $4 END, $5,
                              CASE p.plan WHEN 'unlimited' THEN 1000000 ELSE $6 END) AS l
         WHERE p.plan IS NOT NULL
        """)

    static let leaseForSubject = Statement<Lease, [UInt8], String, Int, Int, Int>(
        """
        SELECT granted, remaining, resets_in_seconds, false AS unlimited FROM lease_requests($1, $2, $3, $4, $5)
        """)

    static let lockIdempotencyKey = Statement<Bool, UUID, String, String>(
        """
        SELECT pg_try_advisory_xact_lock(hashtextextended(
                   concat_ws(chr(10), current_workspace()::text, $1::uuid::text, $2::text, $3::text), 7))
        """)

    static let storedAnswer = Statement<StoredAnswer, UUID, String, String>(
        """
        SELECT body_hash, status, headers, body
          FROM idempotency_keys
         WHERE workspace_id = current_workspace() AND actor_id = $1 AND route = $2 AND key = $3
           AND created_at > now() - interval '24 hours'
        """)

    static let forgetOldAnswer = Statement<Int, UUID, String, String>(
        """
        DELETE FROM idempotency_keys
         WHERE workspace_id = current_workspace() AND actor_id = $1 AND route = $2 AND key = $3
           AND created_at <= now() - interval '24 hours'
        """)

    static let storeAnswer = Statement<Int, UUID, String, String, [UInt8], Int, JSONText, [UInt8]?>(
        """
        INSERT INTO idempotency_keys (workspace_id, actor_id, route, key, body_hash, status, headers, body)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6, $7)
        """)

    static let audit = Statement<Int, UserID?, APIKeyID?, String, String, UUID?, JSONText, String>(
        """
        INSERT INTO audit_log (workspace_id, actor_user_id, actor_api_key_id, action, subject_type, subject_id, details, request_id)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6, $7)
        """)

    static let migrationLevel = Statement<Int, Bool>(
        """
        SELECT migration_level($1)
        """)
}

/// The outcome of `authorize`.
struct Authorization: RowDecodable {
    let outcome: String
    let workspace: WorkspaceID?
    let user: UserID?
    let apiKey: APIKeyID?
    let role: String?
    let stale: Bool

    init(_ row: borrowing Row) throws(PostgresError) {
        outcome = try row["outcome"]
        workspace = try row["workspace"]
        user = try row["user_id"]
        apiKey = try row["api_key_id"]
        role = try row["role"]
        let stale: Bool? = try row["stale"]
        self.stale = stale ?? false
    }
}

/// A person without a workspace.
public struct SignedInUser: RowDecodable, Sendable {
    public let id: UserID
    public let session: UUID
    let stale: Bool
    public init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["user_id"]
        session = try row["session_id"]
        stale = try row["stale"]
    }
}

struct Lease {
    let granted: Int
    let remaining: Int
    let resetsInSeconds: Int
    let unlimited: Bool
}
extension Lease: RowDecodable {
    init(_ row: borrowing Row) throws(PostgresError) {
        granted = try row["granted"]
        remaining = try row["remaining"]
        resetsInSeconds = try row["resets_in_seconds"]
        unlimited = try row["unlimited"]
    }
}

struct StoredAnswer: RowDecodable {
    let bodyHash: [UInt8]
    let status: Int
    let headers: JSONText
    let body: [UInt8]?
    init(_ row: borrowing Row) throws(PostgresError) {
        bodyHash = try row["body_hash"]
        status = try row["status"]
        headers = try row["headers"]
        body = try row["body"]
    }
}
