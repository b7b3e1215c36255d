// One request on its way through: what handlers work with.
public import JSON
public import PostgreSQL
public import Runtime
public import Vocabulary
internal import Secrets

/// A request, who sent it, and the database connection of its thread. Lives on one thread, for one request.
public final class Call {
    public let request: Request
    public let route: Route
    public let requestID: String
    /// The instant of the request; handlers use it instead of the clock.
    public let now: Instant
    /// This thread's connection, outside any transaction. Without a workspace it reads no workspace's row.
    public let db: Connection
    /// Set by `transaction`, `read`, `page` and `authorizeOnly`.
    public private(set) var actor: Actor!
    public var configuration: Configuration { server.configuration }
    let server: ServerContext
    let credential: Credential?
    private let parameters: [(name: String, value: String)]
    private var storedBody: [UInt8]?
    private var isInTransaction = false
    var tokenIsStale = false
    /// What is read into memory at once.
    public static let bodyLimit = 1_048_576

    init(
        request: Request, route: Route, parameters: [(name: String, value: String)], requestID: String,
        credential: Credential?, db: Connection, server: ServerContext
    ) {
        self.request = request
        self.route = route
        self.parameters = parameters
        self.requestID = requestID
        self.credential = credential
        self.db = db
        self.server = server
        now = .now()
    }

    // MARK: What was asked

    /// An id in the path. One that is malformed exists nowhere: 404.
    public func pathID<T>(_ name: String) throws -> ID<T> {
        guard let id = ID<T>(pathText(name)) else { throw Problem.notFound() }
        return id
    }

    public func pathText(_ name: String) -> String {
        guard let value = parameters.first(where: { $0.name == name })?.value else {
            preconditionFailure("\(route.path) has no part {\(name)}")
        }
        return value
    }

    /// A query parameter that the route declares; `nil` when absent.
    public func query(_ name: String) -> String? { request.query.first { $0.name == name }?.value }

    /// The whole body, exactly `Content-Length` bytes.
    /// - Throws: 413 before a byte is read, 400 when the client stopped early.
    public func rawBody(limit: Int = Call.bodyLimit) throws -> [UInt8] {
        if let storedBody { return storedBody }
        let body = try request.transport.readBody(limit: limit)
        storedBody = body
        return body
    }

    /// The body in pieces, for uploads: constant memory.
    public func streamBody(chunk: Int = 262_144, _ consume: ([UInt8]) throws -> Void) throws {
        if let storedBody { return try consume(storedBody) }
        try request.transport.streamBody(chunk: chunk, consume)
    }

    /// The JSON body, validated against its schema: all faults at once, each with its place.
    public func body<T: BodyDecodable>(_ type: T.Type, limits: JSONLimits = .body) throws -> T {
        let value = try json(limits: limits)
        let faults = T.schema.validate(value)
        guard faults.isEmpty, let object = value.object else {
            throw Problem.validation(
                faults.isEmpty ? [Fault(pointer: "", code: "wrong_type", detail: "The body is an object.")] : faults)
        }
        return try T(object)
    }

    /// The JSON body as it came: for handlers that take some of it although another part is wrong.
    /// - Throws: 415, 413, or 400 with line and column.
    public func json(limits: JSONLimits = .body) throws -> JSONValue {
        guard request.mediaType == "application/json" else { throw Problem.unsupportedMediaType("application/json") }
        return try JSONValue(parsing: try rawBody(limit: limits.maximumBytes), limits: limits)
    }

    /// The version that `If-Match` asks for; `nil` without the header or with `*`. A weak tag counts, because nginx
    /// weakens ours when it compresses.
    public func ifMatch() throws -> Int? {
        guard var tag = request.header("if-match"), tag != "*" else { return nil }
        if tag.hasPrefix("W/") { tag = String(tag.dropFirst(2)) }
        guard tag.hasPrefix("\"v"), tag.hasSuffix("\""), let version = Int(tag.dropFirst(2).dropLast()) else {
            throw Problem.preconditionFailed
        }
        return version
    }

    /// - Throws: 412 when `If-Match` names another version than `current`.
    public func checkIfMatch(_ current: Int) throws {
        if let wanted = try ifMatch(), wanted != current { throw Problem.preconditionFailed }
    }

    /// For what has no versions: no tag names its current one (RFC 9110, section 13.1.1).
    /// - Throws: 412 when `If-Match` names any.
    public func refuseIfMatch() throws {
        if try ifMatch() != nil { throw Problem.preconditionFailed }
    }

    // MARK: Who may

    private func authorizeInputs() throws -> (token: [UInt8], isKey: Bool, wanted: WorkspaceID?) {
        guard let credential else { throw Problem.unauthorized }
        var wanted: WorkspaceID?
        if let text = request.header("x-workspace-id") {
            guard let id = WorkspaceID(text) else {
                throw Problem.badRequest("bad_workspace_id", "X-Workspace-Id is a UUID.")
            }
            wanted = id
        }
        return (credential.tokenHash, credential.isAPIKey, wanted)
    }

    private func accept(_ authorization: Authorization, needing needs: Permission? = nil) throws {
        let needs = needs ?? route.needs
        switch authorization.outcome {
        case "ok":
            guard let workspace = authorization.workspace else { throw Problem.internalError }
            tokenIsStale = authorization.stale
            actor = Actor(
                workspace: workspace, user: authorization.user, apiKey: authorization.apiKey,
                role: authorization.role.flatMap(Role.init(rawValue:)))
        case "workspace_required":
            throw Problem.badRequest("workspace_required", "You have several workspaces or none: name one in X-Workspace-Id.")
        case "not_found": throw Problem.notFound("workspace")
        case "forbidden":
            throw Problem.forbidden(
                credential?.isAPIKey == true
                    ? "This API key lacks the scope \(needs.scope)."
                    : "This needs one of the roles \(needs.roles.map(\.rawValue).joined(separator: ", ")).")
        default: throw Problem.unauthorized
        }
    }

    /// Asks for one more permission than the route's, where only the data tell that it is needed.
    /// - Throws: 403.
    public func require(_ permission: Permission) throws {
        try accept(try authorization(for: permission), needing: permission)
    }

    /// Whether the caller holds one more permission than the route's, where whoever does is shown more.
    public func may(_ permission: Permission) throws -> Bool { try authorization(for: permission).outcome == "ok" }

    private func authorization(for permission: Permission) throws -> Authorization {
        precondition(isInTransaction, "what is asked about was read in a transaction")
        let who = try authorizeInputs()
        return try db.one(WebSQL.authorize, who.token, who.isKey, who.wanted, permission.roleNames, permission.scope)
    }

    /// The person behind a session, for routes that need no workspace. API keys are not persons.
    public func signedInUser() throws -> SignedInUser {
        guard let credential, !credential.isAPIKey, let user = try db.first(WebSQL.person, credential.tokenHash) else {
            throw Problem.unauthorized
        }
        tokenIsStale = user.stale
        return user
    }

    /// SHA-256 of the session token or API key that came with the request.
    public var tokenHash: [UInt8]? { credential?.tokenHash }

    // MARK: Transactions

    /// Begins, authorises and sets the workspace in one round trip; then runs `work` and commits.
    /// Inside a request with an Idempotency-Key the commit waits for the answer to be stored with it.
    /// - Throws: whatever `work` throws, after a rollback; 401, 403, 404 before it ran.
    public func transaction<T>(timeoutSeconds: Double? = nil, _ work: (Connection) throws -> T) throws -> T {
        if isInTransaction {
            if let timeoutSeconds { try db.setLocalTimeout(seconds: timeoutSeconds) }
            return try work(db)
        }
        let inputs = try authorizeInputs()
        return try db.transaction(
            first: WebSQL.authorize, inputs.token, inputs.isKey, inputs.wanted, route.needs.roleNames, route.needs.scope
        ) { authorization in
            try accept(authorization)
            isInTransaction = true
            defer { isInTransaction = false }
            if let timeoutSeconds { try db.setLocalTimeout(seconds: timeoutSeconds) }
            return try work(db)
        }
    }

    /// As `transaction`, for handlers that only read.
    public func read<T>(timeoutSeconds: Double? = nil, _ work: (Connection) throws -> T) throws -> T {
        try transaction(timeoutSeconds: timeoutSeconds, work)
    }

    /// One list, in one round trip: authorisation and the statement share a pipeline. The statement sees no row
    /// unless the authorisation in front of it set the workspace.
    public func page<each Input: SQLEncodable>(
        _ statement: Statement<PageRow, repeat each Input>, _ paging: Paging, _ inputs: repeat each Input
    ) throws -> Response {
        if isInTransaction { return page(try db.all(statement, repeat each inputs), paging) }
        let who = try authorizeInputs()
        let (authorization, rows) = try db.pair(
            WebSQL.authorize, (who.token, who.isKey, who.wanted, route.needs.roleNames, route.needs.scope),
            statement, (repeat each inputs))
        try accept(authorization)
        return page(rows, paging)
    }

    /// Only asks whether the caller may, for handlers that do their own thing with the connection.
    public func authorizeOnly() throws { try transaction { _ in } }

    /// Runs the handler, inside one transaction with the key's bookkeeping when there is an Idempotency-Key.
    func handle() throws -> Response {
        guard route.needs != .anyone, let key = try IdempotencyKey(self) else { return try route.handler(self) }
        guard route.needs == .signedIn else {
            return try transaction { db in try key.once(as: actor.id, db) { try route.handler(self) } }
        }
        // A person in no workspace: kept under one that nobody has. Whose session has ended is the handler's matter.
        guard let credential, !credential.isAPIKey, let person = try db.first(WebSQL.person, credential.tokenHash) else {
            return try route.handler(self)
        }
        let nowhere = WorkspaceID(UUID(high: 0, low: 0))
        return try db.transaction { db in
            try db.setWorkspace(nowhere)
            return try key.once(as: person.id.uuid, db) {
                let response = try route.handler(self)
                try db.setWorkspace(nowhere)
                return response
            }
        }
    }

    // MARK: Others

    /// Adds a line to the workspace's audit log, in the transaction of what it tells.
    /// - Parameter details: ids and names of fields; never message bodies, addresses or secrets.
    public func audit(
        _ action: String, _ subjectType: String, _ subject: UUID?, details: JSONValue = [:], in db: Connection
    ) throws {
        _ = try db.run(
            WebSQL.audit, actor.user, actor.apiKey, action, subjectType, subject, JSONText(details), requestID)
    }

    /// One more limit than the route's own, such as per account at sign-in.
    /// - Parameter subject: hashed before it is kept.
    public func limit(_ rateClass: RateClass, subject: String) throws {
        let hash = Hash.sha256(Array((rateClass.rawValue + ":" + subject).utf8))
        let verdict = try server.limiter.spend(rateClass, subject: hash, nowSeconds: now.microseconds / 1_000_000) {
            try db.one(WebSQL.leaseForSubject, hash, rateClass.rawValue, rateClass.capacity, RateClass.windowSeconds, rateClass.lot)
        }
        if let verdict, !verdict.allowed { throw Problem.tooManyRequests(verdict) }
    }

    /// The name of the session cookie: `__Host-` wherever browsers accept it, which needs https.
    public var cookieName: String { server.cookieName }
}

extension Problem {
    static func tooManyRequests(_ verdict: RateVerdict) -> Problem {
        var problem = Problem(
            429, "rate_limited", "Too many requests",
            "More than \(verdict.capacity) requests in \(RateClass.windowSeconds) seconds; wait \(verdict.resetsInSeconds) s.")
        problem.headers = verdict.headers + [("Retry-After", String(verdict.resetsInSeconds))]
        return problem
    }
}
