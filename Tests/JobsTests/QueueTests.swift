import Glibc
import JSON
@testable import Jobs
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

/// What the row of a job says.
struct JobState: RowDecodable, Equatable {
    let state: String
    let attempt: Int
    let secondsUntilRun: Double
    let problem: JSONValue?
    let result: JSONValue?
    init(_ row: borrowing Row) throws(PostgresError) {
        state = try row["state"]
        attempt = try row["attempt"]
        secondsUntilRun = try row["seconds"]
        problem = try row["problem"]
        result = try row["result"]
    }
}

extension Connection {
    func enqueue(in workspace: WorkspaceID, _ kind: String = "test", key: String? = nil, maximumAttempts: Int = 5) throws -> JobID {
        try transaction { db in
            try db.setWorkspace(workspace)
            return try db.enqueue(kind, payload: ["n": 1], key: key, maximumAttempts: maximumAttempts)
        }
    }
    func state(of job: JobID) throws -> JobState {
        let rows: [JobState] = try dynamic(
            """
            SELECT state, attempt, extract(epoch FROM run_at - now())::float8 AS seconds, problem, result
              FROM jobs WHERE id = $1::uuid
            """, [job.sqlValue])
        return try #require(rows.first)
    }
    /// As a worker does that has just begun.
    func claim(_ kinds: [String] = ["test"], leaseSeconds: Double = 60) throws -> ClaimedJob? {
        try JobQueue(kinds.map { ($0, 1) }, leaseSeconds: leaseSeconds).take(self).first
    }
}

@Suite struct QueueTests {
    @Test func `a job enqueued in a transaction that rolls back does not exist`() throws {
        struct Stop: Error {}
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            #expect(throws: Stop.self) {
                try db.transaction { db in
                    try db.setWorkspace(workspace)
                    try db.enqueue("test")
                    throw Stop()
                }
            }
            #expect(try database.connect(as: .worker).claim() == nil)
        }
    }

    @Test func `a key is unique among the open jobs of its kind and workspace`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let (here, there) = (try db.createWorkspace(), try db.createWorkspace())
            let first = try db.enqueue(in: here, key: "one")
            #expect(try db.enqueue(in: here, key: "one") == first)
            #expect(try db.enqueue(in: here, "other", key: "one") != first)
            #expect(try db.enqueue(in: there, key: "one") != first)
            #expect(try db.enqueue(in: here) != first)
            try db.execute("UPDATE jobs SET state = 'succeeded', finished_at = now()")
            #expect(try db.enqueue(in: here, key: "one") != first)
        }
    }

    @Test func `whoever asks for a job at the same moment gets the one that is made`() throws {
        try withOwnDatabase { database throws in
            let workspace = try database.connect().createWorkspace()
            let first = try database.connect()
            let joined = Mutex<JobID?>(nil)
            let made: JobID = try first.transaction { first in
                try first.setWorkspace(workspace)
                let made = try first.enqueue("test", key: "one")
                startThread {
                    let job = try? database.connect().enqueue(in: workspace, key: "one")
                    joined.withLock { $0 = job }
                }
                usleep(200_000)
                return made
            }
            for _ in 0..<500 where joined.withLock({ $0 == nil }) { usleep(10_000) }
            #expect(joined.withLock { $0 } == made)
        }
    }

    @Test func `nobody waits for the transaction that the job is in`() throws {
        try withOwnDatabase { database throws in
            let owner = try database.connect()
            let workspace = try owner.createWorkspace()
            let job = try owner.enqueue(in: workspace, key: "one")
            let worker = try database.connect(as: .worker)
            let claimed = try #require(try worker.claim())
            try worker.transaction { worker in
                try worker.setWorkspace(workspace)
                _ = try worker.one(JobSQL.holdLease, claimed.id, claimed.lease, 60)
                try owner.execute("SET lock_timeout = '1s'")
                #expect(try owner.enqueue(in: workspace, key: "one") == job)
            }
        }
    }

    @Test func `workers that claim at the same time never get the same job`() throws {
        try withOwnDatabase { database throws in
            let owner = try database.connect()
            let workspaces = [try owner.createWorkspace(), try owner.createWorkspace()]
            for number in 0..<200 { _ = try owner.enqueue(in: workspaces[number % 2]) }
            let claims = Mutex<[JobID]>([])
            let running = Atomic<Int>(8)
            for _ in 0..<8 {
                startThread {
                    defer { running.wrappingSubtract(1, ordering: .releasing) }
                    guard let db = try? database.connect(as: .worker) else { return }
                    while let claimed = try? db.claim() { claims.withLock { $0.append(claimed.id) } }
                }
            }
            while running.load(ordering: .acquiring) > 0 { usleep(2000) }
            let all = claims.withLock { $0 }
            #expect(all.count == 200)
            #expect(Set(all).count == 200)
        }
    }

    @Test func `workspaces take turns however long the queue of one is`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let (loud, quiet) = (try db.createWorkspace(), try db.createWorkspace())
            for _ in 0..<5 { _ = try db.enqueue(in: loud) }
            _ = try db.enqueue(in: quiet)
            let worker = try database.connect(as: .worker)
            let queue = JobQueue([("test", 1)])
            let order = try (0..<3).map { _ in try queue.take(worker).first?.workspace }
            #expect(order == [loud, quiet, loud])
        }
    }

    @Test func `a job whose transaction took long is found, although others of its workspace came after it and are done`() throws {
        try withOwnDatabase { database throws in
            let (db, slow) = (try database.connect(), try database.connect())
            let workspace = try db.createWorkspace()
            let worker = try database.connect(as: .worker)
            let queue = JobQueue([("test", 1)])
            let late = try slow.transaction { slow in
                try slow.setWorkspace(workspace)
                let late = try slow.enqueue("test")
                _ = try db.enqueue(in: workspace)
                #expect(try queue.take(worker).count == 1)
                queue.ended(workspace)
                return late
            }
            // It is behind nothing that a claim would look at, until the lines are read anew.
            queue.heard(of: workspace)
            var found: [ClaimedJob] = []
            try waitUntil("the late job") {
                found = try queue.take(worker)
                return !found.isEmpty
            }
            #expect(found.map(\.id) == [late])
        }
    }

    /// How many pages one more claim looks at.
    /// - Parameter runAt: the place behind which it looks.
    private func pages(_ db: Connection, _ workspace: WorkspaceID, behind runAt: String) throws -> Int {
        let plan: [String] = try db.dynamic(
            """
            EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)
            SELECT * FROM claim_jobs('\(workspace)', '{test}', '{1}', 60, '\(runAt)', '\(UUID(high: 0, low: 0))')
            """, [])
        let hit = try #require(plan.first { $0.contains("shared hit=") })
        return Int(hit.drop { $0 != "=" }.dropFirst().prefix { $0.isNumber }) ?? 0
    }

    @Test func `a claim looks at one job of many, also where nothing waited when the table was last analysed`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            try db.runDynamic(
                """
                INSERT INTO jobs (workspace_id, kind, state, finished_at) SELECT $1, 'other', 'succeeded', now() FROM generate_series(1, 2000)
                """, [workspace.sqlValue])
            try db.execute("ANALYZE jobs")
            try db.runDynamic(
                "INSERT INTO jobs (workspace_id, kind) SELECT $1, 'test' FROM generate_series(1, 5000)", [workspace.sqlValue])
            _ = try pages(db, workspace, behind: "-infinity")
            let looked = try pages(db, workspace, behind: "-infinity")
            #expect(looked < 50, "\(looked) pages")
        }
    }

    @Test func `a claim does not look at what has ended again, also where it cannot be cleared away`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            // A snapshot that needs all that was.
            let reader = try database.connect()
            try reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            try db.runDynamic(
                """
                INSERT INTO jobs (workspace_id, kind, run_at)
                SELECT $1, 'test', now() - interval '1 hour' + n * interval '1 second' FROM generate_series(1, 2000) n
                """, [workspace.sqlValue])
            let done = "run_at <= (SELECT min(run_at) FROM jobs) + interval '1990 seconds'"
            try db.execute(
                "UPDATE jobs SET state = 'running', attempt = 1, lease_token = gen_random_uuid(), lease_until = now() WHERE \(done)")
            try db.execute(
                "UPDATE jobs SET state = 'succeeded', finished_at = now(), lease_token = NULL, lease_until = NULL WHERE \(done)")
            // The first of a connection also reads the catalogue.
            _ = try pages(db, workspace, behind: "-infinity")
            let beginning = try pages(db, workspace, behind: "-infinity")
            let reached = try pages(db, workspace, behind: try db.value("SELECT max(run_at)::text FROM jobs WHERE state = 'succeeded'"))
            #expect(reached * 3 < beginning, "\(reached) pages behind the place, \(beginning) from the beginning")
        }
    }

    @Test func `a job waits for its time, and for a worker that knows its kind`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            try db.transaction { db in
                try db.setWorkspace(workspace)
                try db.enqueue("test", runAt: .now() + 3600)
                try db.enqueue("unknown")
            }
            let worker = try database.connect(as: .worker)
            let (queue, other) = (JobQueue([("test", 1)]), JobQueue([("none", 1)]))
            #expect(try queue.take(worker).isEmpty && other.take(worker).isEmpty)
            #expect((3590...3600).contains(try #require(queue.secondsUntilDue)))
            #expect(other.secondsUntilDue == nil)
            #expect(try worker.claim(["unknown"]) != nil)
        }
    }

    @Test func `a job whose worker fell silent goes to another one, and fails when that happened too often`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let job = try db.enqueue(in: try db.createWorkspace(), maximumAttempts: 2)
            let worker = try database.connect(as: .worker)
            #expect(try worker.one(JobSQL.rescue) == 0)
            _ = try worker.claim(leaseSeconds: 0)
            #expect(try worker.one(JobSQL.rescue) == 1)
            #expect(try db.state(of: job).state == "queued")
            let second = try #require(try worker.claim(leaseSeconds: 0))
            #expect(second.attempt == 2)
            #expect(try worker.one(JobSQL.rescue) == 1)
            let end = try db.state(of: job)
            #expect(end.state == "failed")
            #expect(end.problem?["code"] == "worker_lost")
        }
    }

    @Test func `a waiting job is cancelled at once, and an ended one not at all`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            let job = try db.enqueue(in: workspace)
            func cancel() throws -> Bool {
                try db.transaction { db in
                    try db.setWorkspace(workspace)
                    return try db.cancelJob(job)
                }
            }
            #expect(try cancel())
            #expect(try db.state(of: job).state == "cancelled")
            #expect(try !cancel())
            #expect(try database.connect(as: .worker).claim() == nil)
        }
    }

    @Test func `a responder sees and cancels only jobs of its workspace`() throws {
        try withOwnDatabase { database throws in
            let owner = try database.connect()
            let (ours, theirs) = (try owner.createWorkspace(), try owner.createWorkspace())
            let job = try owner.enqueue(in: theirs)
            let responder = try database.connect(as: .responder)
            try responder.transaction { db in
                try db.setWorkspace(ours)
                #expect(try !db.cancelJob(job))
                #expect(try db.value("SELECT count(*) FROM jobs") == 0)
            }
        }
    }

    @Test func `chores take back the jobs of dead workers and forget those that ended long ago`() throws {
        try withOwnDatabase { database throws in
            let db = try database.connect()
            let workspace = try db.createWorkspace()
            let old = try db.enqueue(in: workspace)
            _ = try db.enqueue(in: workspace)
            try db.runDynamic(
                "UPDATE jobs SET state = 'failed', finished_at = now() - interval '31 days' WHERE id = $1::uuid", [old.sqlValue])
            _ = try database.connect(as: .worker).claim(leaseSeconds: 0)
            let maintenance = try database.connect(as: .maintenance)
            for expected in [["rescue-jobs 1", "purge-jobs 1"], ["rescue-jobs 0", "purge-jobs 0"]] {
                let told = try jobsChores.map { chore in "\(chore.name) \(try chore.run(maintenance)[0].1)" }
                #expect(told == expected)
            }
            #expect(try db.value("SELECT string_agg(state, ' ') FROM jobs") == "queued")
        }
    }

    @Test func `pauses between attempts double up to five minutes`() {
        for attempt in 1...20 {
            let most = min(300, 2.0 * Double(1 << (attempt - 1)))
            for _ in 0..<100 { #expect((most / 2...most).contains(retrySeconds(after: attempt))) }
        }
    }
}
