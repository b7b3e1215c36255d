internal import JSON
internal import PostgreSQL
internal import Secrets
internal import Vocabulary
internal import Web

/// The same answer, after the same work, whether the address or the password is wrong.
func signIn(_ call: Call) throws -> Response {
    let request = try call.body(SignInRequest.self)
    try call.limit(.signIn, subject: request.email)
    guard let stored = try call.db.first(UserSQL.passwordOf, request.email) else {
        Password.verifyNobody(request.password)
        throw wrongCredentials
    }
    guard Password.verify(request.password, against: stored.hash) else { throw wrongCredentials }
    let newHash = Password.needsRehash(stored.hash) ? try passwordHash(request.password) : nil
    let session = NewSession(call)
    let account = try call.db.transaction { db in
        if let newHash { _ = try db.one(UserSQL.setPasswordHash, stored.user, newHash) }
        try session.begin(for: stored.user, db)
        return try db.one(UserSQL.account, stored.user)
    }
    return session.response(account, call)
}

private let wrongCredentials = Problem(401, "wrong_credentials", "Not signed in", "The address or the password is wrong.")

/// A session that has ended already is as good as ended: the cookie goes in any case.
func signOut(_ call: Call) throws -> Response {
    let hasBody = (call.request.contentLength ?? 0) > 0
    let request = hasBody ? try call.body(SignOutRequest.self) : SignOutRequest()
    if let token = call.tokenHash { _ = try call.db.one(SessionSQL.end, token, request.everywhere) }
    return Response.noContent.with("Set-Cookie", sessionCookie("", call))
}
