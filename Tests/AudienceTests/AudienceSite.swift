// A workspace behind real FastCGI, and a worker for the jobs that its requests leave.
import Audience
import JSON
@testable import Jobs
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

/// The audience's routes with an API key of one workspace.
struct AudienceSite {
    let database: TestDatabase
    let responder: TestResponder
    let owner: Connection
    let workspace: WorkspaceID
    let token: String

    @discardableResult
    func send(_ method: String, _ target: String, json: JSONValue? = nil, headers: [(String, String)] = [], as token: String? = nil) throws
        -> TestAnswer
    {
        if let json { return try responder.send(method, target, token: token ?? self.token, headers: headers, json: json) }
        return try responder.send(method, target, token: token ?? self.token, headers: headers)
    }

    /// Adds a contact and gives it as the API shows it.
    func add(_ contact: JSONValue) throws -> JSONValue {
        let answer = try send("POST", "/api/contacts", json: contact)
        guard answer.status == 201 else { throw TestSupportError("\(answer.status): \(answer.text)") }
        return answer.json
    }

    /// Runs the oldest import that waits, and gives its job's row.
    func work() throws -> JSONValue {
        guard let job = try work(on: importJobs) else { throw TestSupportError("no import waits") }
        return try row(of: job)
    }

    /// Runs all calculations that wait, those included that they ask for. Their jobs' rows, in this order.
    @discardableResult
    func calculate() throws -> [JSONValue] {
        var rows: [JSONValue] = []
        while let job = try work(on: segmentJobs) { rows.append(try row(of: job)) }
        return rows
    }

    private func work(on handlers: [JobHandler]) throws -> JobID? {
        let db = try database.connect(as: .worker)
        guard let claimed = try JobQueue(handlers).take(db).first else { return nil }
        Worker(try testConfiguration(database: database.conninfo(as: .worker)), handlers, []).perform(claimed, db)
        return claimed.id
    }

    private func row(of job: JobID) throws -> JSONValue {
        try owner.value(
            """
            SELECT jsonb_build_object('state', state, 'progress', progress, 'result', result, 'problem', problem, 'attempt', attempt)
              FROM jobs WHERE id = $1::uuid
            """, job.sqlValue)
    }

    /// Runs it in a worker that leaves before the `most`-th piece of the file, and gives the job back to the queue.
    func work(leavingBefore most: Int) throws {
        let (job, db) = try claim()
        let asked = Counter()
        let context = JobContext(job, db) { asked.next() == most }
        #expect(throws: JobSnooze.self) { try importJobs[0].run(context) }
        let _: [Int] = try owner.dynamic(
            "UPDATE jobs SET state = 'queued', lease_until = NULL, lease_token = NULL WHERE id = $1::uuid RETURNING 1", [job.id.sqlValue])
    }

    private func claim() throws -> (ClaimedJob, Connection) {
        let db = try database.connect(as: .worker)
        guard let claimed = try JobQueue([("import_contacts", 1)]).take(db).first else {
            throw TestSupportError("no import waits")
        }
        return (claimed, db)
    }

    func count(_ table: String) throws -> Int {
        try owner.value("SELECT count(*) FROM \(table) WHERE workspace_id = $1::uuid", workspace.sqlValue)
    }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).newValue }
}

/// - Parameter country: the default country of its phone numbers.
func withAudience(country: String? = "US", _ body: (AudienceSite) throws -> Void) throws {
    try withOwnDatabase { database throws in
        let owner = try database.connect()
        let workspace = try owner.createWorkspace(country: country)
        let key = try owner.createAPIKey(in: workspace)
        let responder = try TestResponder(audienceRoutes, database, threads: 4)
        defer { responder.stop() }
        try body(AudienceSite(database: database, responder: responder, owner: owner, workspace: workspace, token: key.token))
    }
}
