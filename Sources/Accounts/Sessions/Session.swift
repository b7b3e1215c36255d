internal import JSON
internal import PostgreSQL
internal import Secrets
internal import Vocabulary
internal import Web

/// A session that is about to begin. The token is new each time, so a token from before sign-in is worth nothing.
struct NewSession {
    private let token = APIKeyFormat.generate(.session)
    private let userAgent: String?
    private let address: String?

    init(_ call: Call) {
        userAgent = call.request.header("user-agent")
        let peer = call.request.remoteAddress
        // Over a unix socket nginx says `unix:`, which is no address.
        address = peer.isEmpty || peer.contains(where: { !$0.isHexDigit && $0 != "." && $0 != ":" }) ? nil : peer
    }

    func begin(for user: UserID, _ db: Connection) throws {
        _ = try db.one(SessionSQL.create, user, Hash.sha256(Array(token.utf8)), userAgent, address)
    }

    /// The account with the token, and the cookie for browsers.
    func response(_ account: JSONValue, _ call: Call, status: Int = 200) -> Response {
        var body = account.object ?? [:]
        body["token"] = .string(token)
        return Response.json(.object(body), status: status).secret().with("Set-Cookie", sessionCookie(token, call))
    }
}

/// Lax, not Strict: a link from elsewhere must not look signed out. No Domain: `__Host-` forbids it.
func sessionCookie(_ token: String, _ call: Call) -> String {
    let secure = call.configuration.publicURL.hasPrefix("https://") ? "; Secure" : ""
    let end = token.isEmpty ? "; Max-Age=0" : ""
    return "\(call.cookieName)=\(token); Path=/; HttpOnly; SameSite=Lax\(secure)\(end)"
}
