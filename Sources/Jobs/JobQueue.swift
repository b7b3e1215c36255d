// Which workspaces have jobs that wait, and whose turn it is: what the job threads of a process know together.
internal import PostgreSQL
internal import Synchronization
internal import Vocabulary

/// Workspaces take turns: the one of which this process runs the fewest jobs comes first, then the one that has waited longest for
/// its turn, so that a flood of one does not starve the others. A claim looks at one workspace and begins where the one before it in that
/// workspace ended: however many jobs wait, and however many that ended cannot be cleared away yet, it costs the same. What is
/// missed like that, such as a job whose transaction took long, is found when all lines are read anew: within a second, or five where
/// reading them takes long.
final class JobQueue: Sendable {
    /// Instants are of two kinds. Those of jobs are the database's and are compared with each other only; when to look is told by a
    /// clock of this process that nobody sets, so that a wrong time of day neither hides a job nor has one looked for in vain.
    private typealias Clock = ContinuousClock.Instant
    private struct Line {
        /// When its next job may run, as far as is known; `nil`: none is known of.
        var nextAt: Clock?
        /// Claims look behind this place.
        var after = Place.first
        var running = 0
        /// How often somebody said that there is something new.
        var heard = 0
    }
    struct Place: Comparable {
        let runAt: Instant
        let job: JobID
        static func < (a: Place, b: Place) -> Bool { a.runAt == b.runAt ? a.job.uuid < b.job.uuid : a.runAt < b.runAt }
        static let first = before(Instant(microseconds: 0))
        /// Before every job that may run then or later.
        static func before(_ runAt: Instant) -> Place { Place(runAt: runAt, job: JobID(UUID(high: 0, low: 0))) }
    }
    private struct State {
        var lines: [WorkspaceID: Line] = [:]
        /// When all lines are to be read again; `nil`: at once.
        var readAt: Clock?
    }

    /// How old what is known of all lines may be, and how old where reading them takes long.
    private static let refreshSeconds = 1.0
    private static let longestSeconds = 5.0
    /// At least so long after a line in which nothing was due it is looked at again, unless somebody says that there is something.
    private static let restSeconds = 0.05
    private let kinds: [String]
    /// Of each kind, how many jobs are taken together.
    private let most: [Int]
    private let leaseSeconds: Double
    private let state = Mutex(State())

    /// - Parameter kinds: that are taken, each with how many jobs of it at most are taken together.
    init(_ kinds: [(kind: String, mostAtOnce: Int)], leaseSeconds: Double = JobContext.leaseSeconds) {
        self.kinds = kinds.map(\.kind)
        most = kinds.map(\.mostAtOnce)
        self.leaseSeconds = leaseSeconds
    }

    convenience init(_ handlers: [JobHandler]) { self.init(handlers.map { ($0.kind, $0.mostAtOnce) }) }

    /// Leases what is next: jobs of one workspace and one kind; none: nothing is due. Whoever takes them says when they have `ended`.
    func take(_ db: Connection) throws -> [ClaimedJob] {
        try refresh(db)
        while let (workspace, line) = choose() {
            do {
                let claimed = try db.all(JobSQL.claim, workspace, kinds, most, leaseSeconds, line.after.runAt, line.after.job)
                if let last = claimed.map({ Place(runAt: $0.runAt, job: $0.id) }).max() {
                    passed(last, of: workspace)
                    return claimed
                }
                let seconds = try db.first(JobSQL.nextInLine, workspace, kinds)
                foundNothing(in: workspace, line, secondsUntilNext: seconds ?? nil)
            } catch {
                ended(workspace)
                throw error
            }
        }
        return []
    }

    /// Some jobs of a workspace that this process ran are over.
    func ended(_ workspace: WorkspaceID) {
        state.withLock { state in state.lines[workspace]?.running -= 1 }
    }

    /// A job was put into a line.
    /// - Parameter seconds: until it may run, or fewer.
    func heard(of workspace: WorkspaceID, inSeconds seconds: Double = 0) {
        let nextAt = Clock.now + .seconds(seconds)
        state.withLock { state in
            var line = state.lines[workspace] ?? Line()
            line.nextAt = min(line.nextAt ?? nextAt, nextAt)
            line.heard += 1
            state.lines[workspace] = line
        }
    }

    /// Something was put into some line.
    func heard() { state.withLock { $0.readAt = nil } }

    /// Until a job that is known of may run; `nil`: none is.
    var secondsUntilDue: Double? {
        state.withLock { state in state.lines.values.compactMap(\.nextAt).min() }.map { max(0, ($0 - .now) / .seconds(1)) }
    }

    // MARK: Lines

    private func refresh(_ db: Connection) throws {
        let now = Clock.now
        let isMine = state.withLock { state in
            if let readAt = state.readAt, now < readAt { return false }
            state.readAt = now + .seconds(Self.refreshSeconds)
            return true
        }
        guard isMine else { return }
        let lines = try db.all(JobSQL.lines, kinds)
        let read = Clock.now
        state.withLock { state in
            for line in lines {
                state.lines[line.workspace, default: Line()].nextAt = read + .seconds(line.seconds)
                state.lines[line.workspace]?.after = .before(line.runAt)
            }
            // Reading much that has ended must not become what the process does.
            let rest = min(Self.longestSeconds, (read - now) / .seconds(1) * 19)
            if rest > Self.refreshSeconds { state.readAt = read + .seconds(rest) }
            let known = Set(lines.map(\.workspace))
            // Whoever was heard of meanwhile stays.
            state.lines = state.lines.filter { $0.value.running > 0 || known.contains($0.key) || ($0.value.nextAt ?? now) > now }
        }
    }

    private func choose() -> (workspace: WorkspaceID, line: Line)? {
        let now = Clock.now
        return state.withLock { state in
            var best: (workspace: WorkspaceID, line: Line, nextAt: Clock)?
            for (workspace, line) in state.lines {
                guard let nextAt = line.nextAt, nextAt <= now else { continue }
                if let best, (best.line.running, best.nextAt) <= (line.running, nextAt) { continue }
                best = (workspace, line, nextAt)
            }
            guard let best else { return nil }
            // Now, so that threads that choose at the same time choose others.
            state.lines[best.workspace]?.running += 1
            return (best.workspace, best.line)
        }
    }

    private func passed(_ last: Place, of workspace: WorkspaceID) {
        let now = Clock.now
        state.withLock { state in
            guard var line = state.lines[workspace] else { return }
            line.after = max(line.after, last)
            // More of it may be due, and all others come first.
            line.nextAt = now
            state.lines[workspace] = line
        }
    }

    /// - Parameter line: as it was when it was looked at.
    private func foundNothing(in workspace: WorkspaceID, _ line: Line, secondsUntilNext: Double?) {
        let nextAt = secondsUntilNext.map { Clock.now + .seconds(max($0, Self.restSeconds)) }
        state.withLock { state in
            state.lines[workspace]?.running -= 1
            guard state.lines[workspace]?.heard == line.heard else { return }
            state.lines[workspace]?.nextAt = nextAt
        }
    }
}

struct LineOfJobs: RowDecodable {
    let workspace: WorkspaceID
    let runAt: Instant
    /// Until then.
    let seconds: Double
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        runAt = try row["run_at"]
        seconds = try row["seconds"]
    }
}
