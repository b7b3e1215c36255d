// A workspace behind real FastCGI, and a worker for the jobs that its requests leave.
import Audience
import JSON
@testable import Jobs
import PostgreSQL
import TestSupport
import Vocabulary

/// The audience's routes with an API key of one workspace.
struct AudienceSite {
    let database: TestDatabase
    let responder: TestResponder
    let owner: Connection
    let workspace: WorkspaceID
    let token: String

    @discardableResult
    func send(_ method: String, _ target: String, json: JSONValue? = nil, headers: [(String, String)] = [], as token: String? = nil) throws -> TestAnswer {
        if let json { return try responder.send(method, target, token: token ?? self.token, headers: headers, json: json) }
        return try responder.send(method, target, token: token ?? self.token, headers: headers)
    }

    /// Adds a contact and gives it as the API shows it.
    func add(_ contact: JSONValue) throws -> JSONValue {
        let answer = try send("POST", "/api/contacts", json: contact)
        guard answer.status == 201 else { throw TestSupportError("\(answer.status): \(answer.text)") }
        return answer.json
    }

    /// Runs the oldest job that waits, and gives its row.
    func work() throws -> JSONValue {
        let configuration = try testConfiguration(database: database.conninfo(as: .worker))
        let db = try database.connect(as: .worker)
        let worker = Worker(configuration, importJobs, [])
        guard let claimed = try db.first(JobSQL.claim, importJobs.map(\.kind), JobContext.leaseSeconds) else {
            throw TestSupportError("no job waits")
        }
        worker.perform(claimed, db)
        return try owner.value(
            "SELECT jsonb_build_object('state', state, 'result', result, 'problem', problem, 'attempt', attempt) FROM jobs WHERE id = $1::uuid",
            claimed.id.sqlValue)
    }

    func count(_ table: String) throws -> Int {
        try owner.value("SELECT count(*) FROM \(table) WHERE workspace_id = $1::uuid", workspace.sqlValue)
    }
}

/// - Parameter country: the default country of its phone numbers.
func withAudience(country: String? = "US", _ body: (AudienceSite) throws -> Void) throws {
    try withOwnDatabase { database throws in
        let owner = try database.connect()
        let workspace = try owner.createWorkspace(country: country)
        let key = try owner.createAPIKey(in: workspace)
        let responder = try TestResponder(contactRoutes + importRoutes, database)
        defer { responder.stop() }
        try body(AudienceSite(database: database, responder: responder, owner: owner, workspace: workspace, token: key.token))
    }
}
