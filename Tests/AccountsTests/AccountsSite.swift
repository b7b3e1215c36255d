import Accounts
import JSON
import PostgreSQL
import TestSupport
import Vocabulary

/// The account routes over real FastCGI, with a person of every role in one workspace and the owner of another.
final class AccountsSite {
    let database: TestDatabase
    let db: Connection
    let responder: TestResponder
    let workspace: WorkspaceID
    let owner: TestUser
    let admin: TestUser
    let manager: TestUser
    let viewer: TestUser
    let client: TestUser
    let otherWorkspace: WorkspaceID
    let stranger: TestUser

    fileprivate init(_ database: TestDatabase, _ variables: [String: String]) throws {
        self.database = database
        db = try database.connect()
        workspace = try db.createWorkspace()
        owner = try db.createUser("owner", in: workspace)
        admin = try db.createUser("admin", in: workspace)
        manager = try db.createUser("manager", in: workspace)
        viewer = try db.createUser("viewer", in: workspace)
        client = try db.createUser("client", in: workspace)
        otherWorkspace = try db.createWorkspace("Other")
        stranger = try db.createUser("owner", in: otherWorkspace)
        responder = try TestResponder(accountRoutes, database, variables)
    }
    fileprivate func stop() { responder.stop() }

    /// - Parameter token: nobody's when `nil`.
    func send(
        _ method: String, _ target: String, _ json: JSONValue? = nil, as token: String?, headers: [(String, String)] = []
    ) throws -> TestAnswer {
        if let json { return try responder.send(method, target, token: token, headers: headers, json: json) }
        return try responder.send(method, target, token: token, headers: headers)
    }
    func send(
        _ method: String, _ target: String, _ json: JSONValue? = nil, as user: TestUser, headers: [(String, String)] = []
    ) throws -> TestAnswer {
        try send(method, target, json, as: user.token, headers: headers)
    }

    func items(_ target: String, as user: TestUser) throws -> [JSONValue] {
        try send("GET", target, as: user).json["items"]?.array ?? []
    }

    /// The actions in the audit log of the workspace, oldest first.
    func audited() throws -> [String] { try items("/api/audit-log", as: owner).compactMap { $0["action"]?.string }.reversed() }
}

func withAccounts(_ variables: [String: String] = [:], _ body: (AccountsSite) throws -> Void) throws {
    try withOwnDatabase { database in
        let site = try AccountsSite(database, variables)
        defer { site.stop() }
        try body(site)
    }
}
