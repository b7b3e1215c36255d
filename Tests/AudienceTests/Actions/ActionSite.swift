// What the tests of actions share: many contacts, and a worker that leaves or dies where it is told to.
@testable import Audience
import Foundation
import JSON
@testable import Jobs
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

/// An audience whose exports have a folder of their own.
struct ActionSite {
    let site: AudienceSite
    let exports: URL

    func send(_ method: String, _ target: String, json: JSONValue? = nil, as token: String? = nil) throws -> TestAnswer {
        try site.send(method, target, json: json, as: token)
    }

    /// Starts an action and gives its path.
    func start(_ segment: String, _ kind: String, _ body: JSONValue) throws -> String {
        let answer = try send("POST", "\(segment)/actions/\(kind)", json: body)
        guard answer.status == 202, let path = answer.json["action"]?["url"]?.string else {
            throw TestSupportError("\(answer.status): \(answer.text)")
        }
        return path
    }

    /// Starts an action, runs it to its end, and gives it as the API shows it.
    func act(_ segment: String, _ kind: String, _ body: JSONValue) throws -> JSONValue {
        let path = try start(segment, kind, body)
        try work()
        return try send("GET", path).json
    }

    /// Undoes an action and gives its `undo`.
    func undo(_ action: JSONValue) throws -> JSONValue {
        let path = "/api/segment-actions/\(action["id"]?.string ?? "")"
        let answer = try send("POST", path + "/undo")
        guard answer.status == 202 else { throw TestSupportError("\(answer.status): \(answer.text)") }
        try work()
        return try send("GET", path).json["undo"] ?? .null
    }

    /// Runs whatever waits: actions and the calculations before them.
    func work() throws {
        let db = try site.database.connect(as: .worker)
        let configuration = try testConfiguration(database: site.database.conninfo(as: .worker), ["MUSTER_EXPORTS": exports.path])
        let handlers = segmentActionJobs + segmentJobs + contactJobs
        let worker = Worker(configuration, handlers, [])
        while let claimed = try JobQueue(handlers).take(db).first { worker.perform(claimed, db) }
    }

    /// Runs the waiting action in a worker that is asked to stop before its `most`-th batch, and gives the job back.
    func work(leavingBefore most: Int) throws {
        let db = try site.database.connect(as: .worker)
        let claimed = try #require(try JobQueue([("act_on_segment", 1)]).take(db).first)
        let asked = Atomic<Int>(0)
        let context = JobContext(claimed, db, exports: exports.path) { asked.wrappingAdd(1, ordering: .relaxed).newValue == most }
        #expect(throws: JobSnooze.self) { try segmentActionJobs[0].run(context) }
        try requeue()
    }

    /// The real worker process, until it kills itself at a named point. Its job is then free for the next one.
    func workDying(at point: String) throws {
        let key = exports.appendingPathComponent("sealing-key")
        try Data(Data(repeating: 7, count: 32).base64EncodedString().utf8).write(to: key)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: programs + "/muster-worker")
        process.environment = [
            "MUSTER_DATABASE": site.database.conninfo(as: .worker), "MUSTER_SEALING_KEY_FILE": key.path, "MUSTER_EXPORTS": exports.path,
            "MUSTER_CRASH_AT": point, "MUSTER_LOG_LEVEL": "error", "MUSTER_WORKER_THREADS": "1",
        ]
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // A point that is never reached fails the test instead of hanging it.
        DispatchQueue.global().asyncAfter(deadline: .now() + 150) { if process.isRunning { process.terminate() } }
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGKILL, "it did not reach \(point)")
        try requeue()
    }

    private func requeue() throws {
        try site.owner.execute(
            "UPDATE jobs SET state = 'queued', run_at = now(), lease_until = NULL, lease_token = NULL WHERE state = 'running'")
    }

    /// Adds contacts at once; each has a number, the attribute `n`.
    func addMany(_ count: Int) throws {
        try site.owner.runDynamic(
            """
            INSERT INTO contacts (workspace_id, ordinal, external_id, attributes)
            SELECT $1, n, 'x' || n, jsonb_build_object('n', n) FROM generate_series(1, $2::int) n
            """, [site.workspace.sqlValue, count.sqlValue])
        try site.owner.runDynamic(
            "INSERT INTO contact_ordinals VALUES ($1, $2) ON CONFLICT (workspace_id) DO UPDATE SET last_ordinal = $2",
            [site.workspace.sqlValue, count.sqlValue])
        try site.owner.runDynamic(
            "INSERT INTO fields (workspace_id, key, type, may_be) VALUES ($1, 'attributes.n', 'number', 1)", [site.workspace.sqlValue])
    }

    /// A saved segment of everybody.
    func everybody() throws -> String { try site.segment("Everybody", ["all": []]) }

    func value<T: SQLDecodable & RowDecodable>(_ sql: String, as type: T.Type = T.self) throws -> T { try site.owner.value(sql) }
}

func withActions(_ body: (ActionSite) throws -> Void) throws {
    try withAudience { site throws in
        let exports = FileManager.default.temporaryDirectory.appendingPathComponent("exports-\(Vocabulary.UUID.v7())")
        try FileManager.default.createDirectory(at: exports, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: exports) }
        try body(ActionSite(site: site, exports: exports))
    }
}
