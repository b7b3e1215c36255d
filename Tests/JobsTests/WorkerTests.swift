import Glibc
import JSON
@testable import Jobs
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

/// A database, a workspace in it, and a worker with one kind of job that runs on this thread.
private struct Bench {
    let owner: Connection
    let db: Connection
    let workspace: WorkspaceID
    let database: TestDatabase

    init(_ database: TestDatabase) throws {
        self.database = database
        owner = try database.connect()
        db = try database.connect(as: .worker)
        workspace = try owner.createWorkspace()
        try owner.execute("CREATE TABLE effects (n int); GRANT ALL ON effects TO muster_worker")
    }

    /// Enqueues a job, runs it once, and tells what its row says then.
    func outcome(
        maximumAttempts: Int = 5, leaseSeconds: Double = 60, of run: @escaping @Sendable (JobContext) throws -> JSONValue
    ) throws -> JobState {
        let job = try owner.enqueue(in: workspace, maximumAttempts: maximumAttempts)
        try perform(leaseSeconds: leaseSeconds, run)
        return try owner.state(of: job)
    }

    func perform(leaseSeconds: Double = 60, _ run: @escaping @Sendable (JobContext) throws -> JSONValue) throws {
        let configuration = try testConfiguration(database: database.conninfo(as: .worker))
        let worker = Worker(configuration, [JobHandler("test", run: run)], [])
        worker.perform(try #require(try db.claim(leaseSeconds: leaseSeconds)), db)
    }

    var effects: Int { get throws { try owner.value("SELECT count(*) FROM effects") } }
}
private func withBench(_ body: (Bench) throws -> Void) throws { try withOwnDatabase { try body(Bench($0)) } }

private let effect = Statement<Int>("INSERT INTO effects VALUES (1)")
private struct Ours: Error {}

@Suite struct WorkerTests {
    @Test func `a job that returns has succeeded with its result`() throws {
        try withBench { bench throws in
            let end = try bench.outcome { context in
                #expect(context.payload == ["n": 1])
                #expect(context.attempt == 1)
                try context.transaction { db in _ = try db.run(effect) }
                try context.progress(0.5)
                return ["done": true]
            }
            #expect(end.state == "succeeded")
            #expect(end.result == ["done": true])
            #expect(try bench.effects == 1)
        }
    }

    @Test func `short jobs are taken together, and each has its own outcome`() throws {
        try withBench { bench throws in
            let jobs = try (0..<5).map { _ in try bench.owner.enqueue(in: bench.workspace) }
            _ = try bench.owner.enqueue(in: bench.workspace, "other")
            let failing = jobs[1]
            let handlers = [
                JobHandler("test", mostAtOnce: 4) { context in
                    if context.job == failing { throw JobFailure("bad", "No.") }
                    return ["job": .string(context.job.description)]
                }, JobHandler("other") { _ in [:] },
            ]
            let configuration = try testConfiguration(database: bench.database.conninfo(as: .worker))
            let (worker, queue) = (Worker(configuration, handlers, []), JobQueue(handlers))
            var sizes: [Int] = []
            while case let claimed = try queue.take(bench.db), let first = claimed.first {
                sizes.append(claimed.count)
                // Nobody else has them meanwhile.
                let others = try JobQueue(handlers).take(try bench.database.connect(as: .worker)).map(\.id)
                #expect(Set(others).isDisjoint(with: claimed.map(\.id)))
                try bench.owner.execute(
                    "UPDATE jobs SET state = 'queued', attempt = 0, lease_token = NULL, lease_until = NULL WHERE id = ANY ('{\(others.map(\.description).joined(separator: ","))}')"
                )
                queue.heard()
                worker.perform(claimed, bench.db)
                queue.ended(first.workspace)
            }
            #expect(sizes == [4, 1, 1])
            for job in jobs {
                let end = try bench.owner.state(of: job)
                #expect(end.attempt == 1)
                if job == failing {
                    #expect(end.state == "failed" && end.problem?["code"] == "bad")
                } else {
                    #expect(end.state == "succeeded" && end.result?["job"]?.string == job.description)
                }
            }
        }
    }

    @Test func `a job runs in its own workspace`() throws {
        try withBench { bench throws in
            let other = try bench.owner.createWorkspace()
            let end = try bench.outcome { context in
                try context.transaction { db in
                    let here: UUID = try db.value("SELECT current_workspace()")
                    let seen: Int = try db.value("SELECT count(*) FROM workspaces WHERE id = $1::uuid", other.sqlValue)
                    return ["workspace": .string("\(here)"), "others": .integer(Int64(seen))]
                }
            }
            #expect(end.result == ["workspace": .string("\(bench.workspace)"), "others": 0])
        }
    }

    @Test func `a failure that another attempt cannot help is told and final`() throws {
        try withBench { bench throws in
            let end = try bench.outcome { _ in throw JobFailure("csv_empty", "The file has no rows.") }
            #expect(end.state == "failed")
            #expect(end.problem == ["code": "csv_empty", "detail": "The file has no rows."])
        }
    }

    @Test func `an error of ours is tried again later, and its words stay in the journal`() throws {
        try withBench { bench throws in
            let end = try bench.outcome { _ in throw Ours() }
            #expect(end.state == "queued")
            #expect(end.attempt == 1)
            #expect((0.5...2.1).contains(end.secondsUntilRun))
            #expect(end.problem?["code"] == "internal_error")
            #expect(end.problem?["detail"]?.string?.contains("Ours") == false)
        }
    }

    @Test func `the last attempt's error is final`() throws {
        try withBench { bench throws in
            #expect(try bench.outcome(maximumAttempts: 1) { _ in throw Ours() }.state == "failed")
            #expect(try bench.outcome(maximumAttempts: 1) { _ in throw JobFailure("busy", "Busy.", retry: true) }.state == "failed")
            #expect(try bench.outcome(maximumAttempts: 2) { _ in throw JobFailure("busy", "Busy.", retry: true) }.state == "queued")
        }
    }

    @Test func `a snoozed job comes back without having used an attempt`() throws {
        try withBench { bench throws in
            let end = try bench.outcome { _ in throw JobSnooze(seconds: 100) }
            #expect(end.state == "queued")
            #expect(end.attempt == 0)
            #expect((95...100).contains(end.secondsUntilRun))
        }
    }

    @Test func `a running job that is cancelled stops at its next step, which writes nothing`() throws {
        try withBench { bench throws in
            let database = bench.database
            let workspace = bench.workspace
            let end = try bench.outcome { context in
                let responder = try database.connect(as: .responder)
                try responder.transaction { db in
                    try db.setWorkspace(workspace)
                    #expect(try db.cancelJob(context.job))
                }
                try context.transaction { db in _ = try db.run(effect) }
                return [:]
            }
            #expect(end.state == "cancelled")
            #expect(try bench.effects == 0)
        }
    }

    @Test func `a worker that lost its lease writes nothing and settles nothing`() throws {
        try withBench { bench throws in
            let database = bench.database
            let end = try bench.outcome(leaseSeconds: 0) { context in
                let other = try database.connect(as: .worker)
                #expect(try other.one(JobSQL.rescue) == 1)
                let second = try #require(try other.claim())
                #expect(second.id == context.job)
                #expect(throws: JobLost.self) { try context.transaction { db in _ = try db.run(effect) } }
                #expect(throws: JobLost.self) { try context.progress(0.9) }
                return ["zombie": true]
            }
            #expect(end.state == "running")
            #expect(end.attempt == 2)
            #expect(end.result == nil)
            #expect(try bench.effects == 0)
        }
    }

    @Test func `nobody rescues a job in the middle of its transaction, however long that takes`() throws {
        try withBench { bench throws in
            let database = bench.database
            let end = try bench.outcome(leaseSeconds: 0.3) { context in
                try context.transaction { db in
                    let other = try database.connect(as: .worker)
                    try other.execute("SELECT pg_sleep(0.4)")
                    #expect(try other.one(JobSQL.rescue) == 0)
                    _ = try db.run(effect)
                }
                return [:]
            }
            #expect(end.state == "succeeded")
            #expect(try bench.effects == 1)
        }
    }

    @Test func `two workers do every job once, and stop when they are told`() throws {
        try withOwnDatabase { database throws in
            let owner = try database.connect()
            let workspaces = try (0..<3).map { _ in try owner.createWorkspace() }
            try owner.execute("CREATE TABLE effects (n int); GRANT ALL ON effects TO muster_worker")
            let configuration = try testConfiguration(database: database.conninfo(as: .worker), ["MUSTER_WORKER_THREADS": "3"])
            let rounds = Atomic<Int>(0)
            let handler = JobHandler("test") { context in
                try context.transaction { db in _ = try db.run(effect) }
                return [:]
            }
            let loop = WorkerLoop("counting") { _ in
                {
                    _ = rounds.wrappingAdd(1, ordering: .relaxed); return 0.01
                }
            }
            let workers = [Worker(configuration, [handler], [loop]), Worker(configuration, [handler], [])]
            for worker in workers { worker.start() }
            for number in 0..<90 { _ = try owner.enqueue(in: workspaces[number % 3]) }
            for _ in 0..<1000 where try owner.value("SELECT count(*) FROM jobs WHERE state <> 'succeeded'") > 0 { usleep(10_000) }
            let start = Instant.now()
            for worker in workers { worker.stop(withinSeconds: 10) }
            #expect(Instant.now().seconds(since: start) < 5)
            #expect(try owner.value("SELECT count(*) FROM jobs WHERE state = 'succeeded' AND attempt = 1") == 90)
            #expect(try owner.value("SELECT count(*) FROM effects") == 90)
            #expect(rounds.load(ordering: .relaxed) > 0)
        }
    }

    @Test func `a loop that waits when the worker stops has a last round, in which it knows`() throws {
        try withOwnDatabase { database throws in
            let configuration = try testConfiguration(database: database.conninfo(as: .worker))
            let rounds = Mutex<[Bool]>([])
            let loop = WorkerLoop("holding") { context in
                {
                    rounds.withLock { $0.append(context.isStopping) }
                    return 3600
                }
            }
            let worker = Worker(configuration, [], [loop])
            worker.start()
            for _ in 0..<500 where rounds.withLock({ $0.isEmpty }) { usleep(2000) }
            worker.stop(withinSeconds: 10)
            #expect(rounds.withLock { $0 } == [false, true])
        }
    }
}
