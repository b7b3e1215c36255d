// What a job is to those who write one.
public import JSON
public import PostgreSQL
public import Vocabulary

/// A kind of job and what it does.
public struct JobHandler: Sendable {
    public let kind: String
    public let maximumAttempts: Int
    /// How many jobs of one workspace a thread takes together, one after the other: more than 1 for those that take
    /// milliseconds. They end in one transaction, so one that has run may run again, as after any crash.
    public let mostAtOnce: Int
    /// - Returns: the job's result, as `GET /api/jobs/{id}` shows it.
    public let run: @Sendable (JobContext) throws -> JSONValue
    public init(
        _ kind: String, maximumAttempts: Int = 5, mostAtOnce: Int = 1, run: @escaping @Sendable (JobContext) throws -> JSONValue
    ) {
        self.kind = kind
        self.maximumAttempts = maximumAttempts
        self.mostAtOnce = mostAtOnce
        self.run = run
    }
}

/// A failure that whoever asked for the job is told about. Anything else that is thrown is ours, and told as such.
public struct JobFailure: Error, Sendable {
    public let code: String
    public let detail: String
    /// Whether another attempt can help.
    public let retry: Bool
    public init(_ code: String, _ detail: String, retry: Bool = false) {
        self.code = code
        self.detail = detail
        self.retry = retry
    }
}

/// Not now: come back later. Does not count as an attempt.
public struct JobSnooze: Error, Sendable {
    public let seconds: Double
    public init(seconds: Double) { self.seconds = seconds }
}

/// Another worker has the job now; whatever this one still does is not committed.
public struct JobLost: Error, Sendable {}
/// Somebody asked for the job to stop.
public struct JobCancelled: Error, Sendable {}

/// A running job: its payload, its workspace, and the right to write while the lease holds.
public final class JobContext {
    public let job: JobID
    public let workspace: WorkspaceID
    public let payload: JSONValue
    public let attempt: Int
    /// The worker's connection, outside any transaction.
    public let db: Connection
    /// Where files for nginx to hand out are put; see `Configuration.exports`.
    public let exports: String
    let lease: UUID
    let stopping: @Sendable () -> Bool
    /// How long a silent job stays ours. Progress and every transaction renew it.
    static let leaseSeconds = 60.0

    init(_ claimed: ClaimedJob, _ db: Connection, exports: String = "", stopping: @escaping @Sendable () -> Bool) {
        job = claimed.id
        workspace = claimed.workspace
        payload = claimed.payload
        attempt = claimed.attempt
        lease = claimed.lease
        self.db = db
        self.exports = exports
        self.stopping = stopping
    }

    /// Whether the process wants to end: long jobs stop at a good place by throwing `JobSnooze(seconds: 0)`.
    public var isStopping: Bool { stopping() }

    /// One transaction in the job's workspace. Renews the lease in it, so that it commits only while the job is ours.
    /// The job's row stays locked meanwhile, so nobody can rescue it however long `work` takes.
    /// - Throws: `JobLost` or `JobCancelled` before `work` ran, or what `work` throws.
    public func transaction<T>(_ work: (Connection) throws -> T) throws -> T {
        let started = Instant.steady()
        return try db.transaction { db in
            try db.setWorkspace(workspace)
            try check(try db.first(JobSQL.holdLease, job, lease, Self.leaseSeconds))
            let value = try work(db)
            // A long transaction must not end with a lease that has run out under it.
            if Instant.steady().seconds(since: started) > Self.leaseSeconds / 4 {
                _ = try db.first(JobSQL.holdLease, job, lease, Self.leaseSeconds)
            }
            return value
        }
    }

    /// Tells how far the job is, in a short transaction of its own.
    /// - Parameters:
    ///   - fraction: `0...1`.
    ///   - partial: what is known of the result so far.
    public func progress(_ fraction: Double, partial: JSONValue? = nil) throws {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            try check(try db.first(JobSQL.progress, job, lease, min(1, max(0, fraction)), Self.leaseSeconds, partial))
        }
    }

    private func check(_ cancelled: Bool?) throws {
        guard let cancelled else { throw JobLost() }
        if cancelled { throw JobCancelled() }
    }
}

extension Connection {
    /// Puts a job into the queue, in the open transaction and its workspace: it exists if and only if that commits.
    /// - Parameter key: at most one open job of the kind has it; a second one gives the first one's id.
    @discardableResult
    public func enqueue(
        _ kind: String, payload: JSONValue = [:], key: String? = nil, runAt: Instant? = nil, maximumAttempts: Int = 5,
        by user: UserID? = nil
    ) throws -> JobID {
        precondition(isInTransaction, "a job is enqueued in the transaction of what it belongs to")
        for _ in 0..<10 {
            guard let id = try first(JobSQL.enqueue, kind, payload, key, runAt, maximumAttempts, user) else { continue }
            _ = try one(JobSQL.notify)
            return id
        }
        throw PostgresError.noRow
    }

    /// Ends a waiting job, and asks a running one to stop. In the open transaction and its workspace.
    /// - Returns: whether there was an open job.
    public func cancelJob(_ job: JobID) throws -> Bool {
        precondition(isInTransaction, "a job is cancelled in a transaction of its workspace")
        return try run(JobSQL.cancel, job) > 0
    }
}
