internal import JSON
internal import PostgreSQL
internal import Secrets
internal import Vocabulary
internal import Web

func signUp(_ call: Call) throws -> Response {
    guard call.configuration.allowsSignUp else {
        throw Problem(403, "sign_up_closed", "Sign-up is closed", "Ask who runs this server for an account.")
    }
    let draft = try call.body(SignUpDraft.self)
    try call.limit(.signIn, subject: draft.email)
    let hash = try passwordHash(draft.password)
    let session = NewSession(call)
    let account = try call.db.transaction { db in
        try checkTimezone(draft.workspace.timezone, db)
        guard
            let made = try db.first(
                UserSQL.signUp, draft.email, draft.name, hash, draft.workspace.name, draft.workspace.timezone, draft.workspace.country)
        else { throw Problem.conflict("email_taken", "There is a user with this address; sign in.") }
        try auditCreation(of: made.workspace, by: made.user, call, db)
        try session.begin(for: made.user, db)
        return try db.one(UserSQL.account, made.user)
    }
    return session.response(account, call, status: 201).with("Location", "/auth/user")
}

func currentUser(_ call: Call) throws -> Response {
    let person = try call.signedInUser()
    return .json(try call.db.one(UserSQL.account, person.id))
}

/// Hashing needs 64 MiB, which the machine may lack for a moment.
func passwordHash(_ password: String) throws -> String {
    do { return try Password.hash(password) } catch {
        throw Problem.unavailable(retryAfter: 2, "The server is too busy to check passwords; try again shortly.")
    }
}
