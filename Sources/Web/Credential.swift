// Who a request says it is, before the database is asked.
internal import Secrets
public import Vocabulary

/// A bearer token or session cookie that is well formed. Only its SHA-256 goes further.
struct Credential {
    let tokenHash: [UInt8]
    let isAPIKey: Bool
    /// Browsers send cookies by themselves, so requests that change something need an Origin check.
    let fromCookie: Bool

    /// - Returns: `nil` without credentials.
    /// - Throws: 401 for a token that cannot be ours: its checksum says so without a look-up.
    static func read(_ request: Request, cookieName: String) throws -> Credential? {
        if let header = request.header("authorization") {
            guard header.count > 7, header.prefix(7).lowercased() == "bearer " else { throw Problem.unauthorized }
            return try Credential(String(header.dropFirst(7)), fromCookie: false)
        }
        if let cookie = request.cookie(cookieName), !cookie.isEmpty {
            return try Credential(cookie, fromCookie: true)
        }
        return nil
    }

    private init(_ token: String, fromCookie: Bool) throws {
        guard token.utf8.count <= 200, let kind = APIKeyFormat.kind(of: token) else { throw Problem.unauthorized }
        tokenHash = Hash.sha256(Array(token.utf8))
        isAPIKey = kind == .apiKey
        self.fromCookie = fromCookie
    }
}

/// Who acts, once the database has said so.
public struct Actor: Sendable {
    public let workspace: WorkspaceID
    /// The person, or who made the API key.
    public let user: UserID?
    public let apiKey: APIKeyID?
    /// `nil` for an API key, which has scopes instead.
    public let role: Role?

    /// What idempotency keys and audit entries are kept under.
    var id: UUID { apiKey?.uuid ?? user?.uuid ?? UUID(high: 0, low: 0) }
}
