// The worker process: threads that take jobs, and loops that watch over queues of their own.
internal import Glibc
internal import JSON
public import PostgreSQL
public import Runtime
internal import Synchronization
internal import Vocabulary

/// A thread of its own beside the job threads: sending, settling receipts.
public struct WorkerLoop: Sendable {
    public let name: String
    /// How many threads run it.
    let threads: @Sendable (Configuration) -> Int
    /// Called once on each thread; the closure it gives does one round and says after how many seconds it wants the
    /// next one. 0: at once, there is more to do. The last round is done when the worker is already stopping.
    public let make: @Sendable (WorkerContext) -> (() throws -> Double)
    public init(
        _ name: String, threads: @escaping @Sendable (Configuration) -> Int = { _ in 1 },
        make: @escaping @Sendable (WorkerContext) -> (() throws -> Double)
    ) {
        self.name = name
        self.threads = threads
        self.make = make
    }
}

/// What a loop works with; owned by its thread.
public final class WorkerContext {
    public let db: Connection
    public let configuration: Configuration
    private let stopping: @Sendable () -> Bool
    init(_ configuration: Configuration, _ name: String, _ stopping: @escaping @Sendable () -> Bool) {
        self.configuration = configuration
        self.stopping = stopping
        db = Connection(lazily: configuration.database, applicationName: "muster-worker \(name)")
    }
    public var isStopping: Bool { stopping() }
}

/// A maintenance chore: idempotent, in short batches.
public struct Chore: Sendable {
    public let name: String
    public let summary: String
    /// - Returns: what was done, counted.
    public let run: @Sendable (Connection) throws -> [(String, Int)]
    public init(_ name: String, _ summary: String, run: @escaping @Sendable (Connection) throws -> [(String, Int)]) {
        self.name = name
        self.summary = summary
        self.run = run
    }
}

/// Seconds before attempt `attempt + 1`: 2 s doubling to 5 minutes, half of it by chance.
func retrySeconds(after attempt: Int) -> Double {
    min(300, pow(2, Double(min(attempt, 12)))) * Double.random(in: 0.5...1)
}

/// Runs jobs and loops until SIGTERM; then each thread finishes its step, and leases are given back.
public func runWorker(handlers: [JobHandler], loops: [WorkerLoop]) {
    let configuration: Configuration
    do {
        configuration = try Configuration.load()
    } catch {
        Log.error("configuration", [("faults", .string("\(error)"))])
        exit(78)
    }
    Log.setLevel(configuration.logLevel)
    Worker(configuration, handlers, loops).run()
}

final class Worker: Sendable {
    private let configuration: Configuration
    private let handlers: [String: JobHandler]
    private let queue: JobQueue
    private let loops: [WorkerLoop]
    private let isStopping = Atomic<Bool>(false)
    /// Becomes readable when the worker stops; nobody reads it, so it ends every wait.
    private let stopSignal: (read: Int32, write: Int32)
    private let running = Atomic<Int>(0)

    init(_ configuration: Configuration, _ handlers: [JobHandler], _ loops: [WorkerLoop]) {
        self.configuration = configuration
        self.handlers = Dictionary(uniqueKeysWithValues: handlers.map { ($0.kind, $0) })
        queue = JobQueue(handlers)
        self.loops = loops
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "no descriptors left")
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        stopSignal = (ends[0], ends[1])
    }

    deinit {
        close(stopSignal.read)
        close(stopSignal.write)
    }

    /// Works until SIGTERM or SIGINT.
    func run() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
        start()
        var received: Int32 = 0
        sigwait(&signals, &received)
        stop(withinSeconds: 30)
    }

    func start() {
        for _ in 0..<configuration.workerThreads { thread { self.takeJobs() } }
        thread { self.rescue() }
        for loop in loops {
            for _ in 0..<loop.threads(configuration) { thread { self.go(round: loop) } }
        }
        Log.notice("worker started", [("threads", .integer(running.load(ordering: .relaxed)))])
    }

    /// Lets every thread finish its step. What still runs after the time is rescued like after a crash.
    func stop(withinSeconds seconds: Double) {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        _ = write(stopSignal.write, [1], 1)
        let deadline = Instant.steady() + seconds
        while running.load(ordering: .acquiring) > 0, Instant.steady() < deadline { usleep(20_000) }
        Log.notice("worker stopped", [("left", .integer(running.load(ordering: .relaxed)))])
    }

    // MARK: Threads

    private func takeJobs() {
        let db = Connection(lazily: configuration.database, applicationName: "muster-worker jobs")
        var isListening = false
        while !isStopping.load(ordering: .relaxed) {
            do {
                if !isListening {
                    try db.listen("muster_jobs")
                    isListening = true
                    // What was told before is lost.
                    queue.heard()
                }
                let claimed = try queue.take(db)
                if let first = claimed.first {
                    perform(claimed, db)
                    queue.ended(first.workspace)
                } else {
                    // New jobs notify; the wait is for those that wait for their time, and in case a notice was lost.
                    try hear(db, withinSeconds: min(5, max(0.02, queue.secondsUntilDue ?? 5)))
                }
            } catch {
                isListening = false
                pause(error, "jobs")
            }
        }
    }

    /// Waits for a notice, and takes all that have come.
    private func hear(_ db: Connection, withinSeconds seconds: Double) throws {
        var timeout = seconds
        while let notice = try db.waitForNotification(timeoutSeconds: timeout, orReadable: stopSignal.read) {
            if let workspace = WorkspaceID(notice.payload) { queue.heard(of: workspace) } else { queue.heard() }
            timeout = 0
        }
    }

    private func rescue() {
        let db = Connection(lazily: configuration.database, applicationName: "muster-worker rescue")
        while !isStopping.load(ordering: .relaxed) {
            do {
                let rescued = try db.one(JobSQL.rescue)
                if rescued > 0 { Log.warning("jobs rescued", [("count", .integer(rescued))]) }
            } catch { pause(error, "rescue") }
            sleep(seconds: 5)
        }
    }

    private func go(round loop: WorkerLoop) {
        let context = WorkerContext(configuration, loop.name) { self.isStopping.load(ordering: .relaxed) }
        let round = loop.make(context)
        while true {
            // The last round begins after the stop: there a loop gives back what it holds.
            let isLast = isStopping.load(ordering: .relaxed)
            do {
                let seconds = try round()
                if seconds > 0 { sleep(seconds: seconds) }
            } catch { pause(error, loop.name) }
            if isLast { return }
        }
    }

    // MARK: One job

    func perform(_ claimed: ClaimedJob, _ db: Connection) { perform([claimed], db) }

    /// Runs claimed jobs of one workspace to their outcomes, which are in the table when this returns.
    func perform(_ claimed: [ClaimedJob], _ db: Connection) {
        var done: [(job: ClaimedJob, context: JobContext, result: JSONValue, started: Instant)] = []
        for job in claimed {
            guard let handler = handlers[job.kind] else { continue }
            let context = JobContext(job, db, exports: configuration.exports) { self.isStopping.load(ordering: .relaxed) }
            let started = Instant.steady()
            do {
                done.append((job, context, try handler.run(context), started))
            } catch {
                tell(job, fail(context, job, error), since: started)
            }
        }
        guard let first = done.first else { return }
        do {
            try settle(first.context) { db in
                try db.run(JobSQL.succeed, done.map(\.context.job), done.map(\.context.lease), done.map(\.result))
            }
            for end in done { tell(end.job, "succeeded", since: end.started) }
        } catch {
            for end in done { tell(end.job, fail(end.context, end.job, error), since: end.started) }
        }
    }

    private func tell(_ claimed: ClaimedJob, _ outcome: String, since started: Instant) {
        Log.info(
            "job",
            [
                ("kind", .string(claimed.kind)), ("job", .string(claimed.id.description)), ("outcome", .string(outcome)),
                ("attempt", .integer(claimed.attempt)), ("seconds", .real(Instant.steady().seconds(since: started))),
            ])
    }

    /// Decides what an error means, and says it in the job.
    private func fail(_ context: JobContext, _ claimed: ClaimedJob, _ error: any Error) -> String {
        do {
            switch error {
            case let snooze as JobSnooze:
                try settle(context) { db in try db.run(JobSQL.retry, context.job, context.lease, snooze.seconds, nil, 1) }
                queue.heard(of: context.workspace, inSeconds: snooze.seconds)
                return "snoozed"
            case is JobCancelled:
                let problem: JSONValue = ["code": "cancelled", "detail": "Somebody asked for it to stop."]
                try settle(context) { db in try db.run(JobSQL.end, context.job, context.lease, "cancelled", problem) }
                return "cancelled"
            case is JobLost: return "lost"
            case let failure as JobFailure where !failure.retry || claimed.attempt >= claimed.maximumAttempts:
                let problem: JSONValue = ["code": .string(failure.code), "detail": .string(failure.detail)]
                try settle(context) { db in try db.run(JobSQL.end, context.job, context.lease, "failed", problem) }
                return "failed"
            default:
                if !(error is JobFailure) {
                    Log.error(
                        "job failed",
                        [
                            ("job", .string(claimed.id.description)), ("kind", .string(claimed.kind)),
                            ("error", .string(String(describing: error))),
                        ])
                }
                let problem: JSONValue = [
                    "code": "internal_error", "detail": "Something went wrong here; it is in our journal under the job's id.",
                ]
                if claimed.attempt >= claimed.maximumAttempts {
                    try settle(context) { db in try db.run(JobSQL.end, context.job, context.lease, "failed", problem) }
                    return "failed"
                }
                let seconds = retrySeconds(after: claimed.attempt)
                try settle(context) { db in try db.run(JobSQL.retry, context.job, context.lease, seconds, problem, 0) }
                return "retried"
            }
        } catch {
            // The database is away or the lease is lost: the rescue finds the job when its lease ends.
            return "unsettled"
        }
    }

    private func settle(_ context: JobContext, _ work: (Connection) throws -> Int) throws {
        try context.db.transaction { db in
            try db.setWorkspace(context.workspace)
            if try work(db) == 0 { throw JobLost() }
        }
    }

    // MARK: Small things

    private func pause(_ error: any Error, _ name: String) {
        Log.warning("worker round failed", [("name", .string(name)), ("error", .string(String(describing: error)))])
        // While the database is away every thread comes here: neither it nor the journal needs them to hurry.
        if case PostgresError.cannotConnect = error { return sleep(seconds: Double.random(in: 1...2)) }
        sleep(seconds: Double.random(in: 0.3...0.8))
    }

    /// Sleeps, but not beyond the stop.
    private func sleep(seconds: Double) {
        var descriptor = pollfd(fd: stopSignal.read, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, Int32(min(seconds, 86_400) * 1000) + 1)
    }

    private func thread(_ body: @escaping @Sendable () -> Void) {
        running.wrappingAdd(1, ordering: .sequentiallyConsistent)
        startThread { [self] in
            body()
            running.wrappingSubtract(1, ordering: .releasing)
        }
    }
}
