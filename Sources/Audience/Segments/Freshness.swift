// Keeping live segments fresh: contacts that changed, and flips of time that are due, are looked at within seconds.
//
// Whatever changes a contact marks it in the same transaction (migration 0060). A round takes marks, looks at those
// contacts for the segments that read what changed, and writes the differences, all in one transaction: a worker that
// dies leaves the marks where they were. Segments that read a segment come after it and look at whoever entered or left
// it, so membership marks nothing itself. A look never waits for anybody: what somebody else holds comes again later.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

/// Brings live segments up to date, and asks for the calculations that schedules want.
public let segmentLoops: [WorkerLoop] = [
    WorkerLoop("freshness") { context in
        var backlogs: Set<WorkspaceID> = []
        var resting: [WorkspaceID: Instant] = [:]
        return {
            resting = resting.filter { $0.value > .now() }
            for workspace in try context.db.all(FreshnessSQL.workspaces) where !context.isStopping && resting[workspace] == nil {
                do {
                    let size = backlogs.contains(workspace) ? Freshness.largeBatch : Freshness.batch
                    let isMore = try Freshness.round(workspace, context.db, batch: size)
                    if isMore { backlogs.insert(workspace) } else { backlogs.remove(workspace) }
                } catch let error as PostgresError where error.sqlState != nil {
                    // Its marks are as they were. One workspace must not keep the others from their turn.
                    resting[workspace] = .now() + (error.isTransient ? 0.2 : 10)
                    backlogs.remove(workspace)
                    Log.error("segments not freshened", [("workspace", .string(workspace.description)), ("error", .string("\(error)"))])
                }
            }
            return backlogs.isEmpty ? 0.25 : 0
        }
    }
]

/// One round in one workspace.
final class Freshness {
    /// Marks per round: few are visible soon, many are cheap together, which an import needs.
    static let batch = 1000
    static let largeBatch = 10_000
    /// For each statement about one segment.
    static let timeoutSeconds = 30.0

    /// Contacts of one segment that a round looks at because of time; and that come again while a calculation is at it.
    static let mostAtOnce = 20_000
    static let mostPostponed = 100

    private struct Sweep {
        /// The end of what is swept.
        let until: Instant
        let started: Instant
    }

    private let db: Connection
    /// Whom each segment must look at.
    private var wanted: [SegmentID: Set<ContactID>] = [:]
    /// Segments in which flips are looked for as well.
    private var sweeping: [SegmentID: Sweep] = [:]
    /// When the oldest of the marks was written.
    private var since = Instant.now()
    private var graph = SegmentGraph([])

    /// - Returns: whether there is more to do at once.
    static func round(_ workspace: WorkspaceID, _ db: Connection, batch: Int = batch) throws -> Bool {
        func alone(_ work: (Freshness) throws -> Bool) throws -> Bool {
            try db.transaction { db in
                try db.setWorkspace(workspace)
                guard try db.one(FreshnessSQL.tryWorkspace) else { return false }
                // Counters of segments are what a deletion of contacts waits for as well, in another order. A look gives way
                // before the server would have to choose which of the two to end.
                _ = try db.one(FreshnessSQL.giveWay)
                return try work(Freshness(db))
            }
        }
        // Flips after the marks and on their own: looking for them may take long, and changes are to be visible soon.
        let isMore = try alone { round in
            let taken = try round.take(batch)
            try round.look()
            return taken == batch
        }
        _ = try alone { round in
            for segment in try round.db.all(FreshnessSQL.dueSchedules) { try round.calculate(segment) }
            try round.findFlips()
            try round.look()
            return false
        }
        return isMore
    }

    private init(_ db: Connection) { self.db = db }

    /// Asks for a calculation, unless one waits: whatever begins later sees all that was changed until now. One that runs
    /// may have looked before.
    private func calculate(_ id: SegmentID) throws {
        guard try !db.one(FreshnessSQL.calculationWaits, id.description) else { return }
        try db.enqueue("calculate_segment", payload: ["segment_id": .string(id.description)])
    }

    // MARK: What there is to do

    private func take(_ most: Int) throws -> Int {
        var taken = 0
        for marked in try db.all(FreshnessSQL.take, most) {
            if let segment = marked.segment {
                wanted[segment] = Set(marked.contacts)
            } else {
                (taken, since) = (marked.taken, marked.since)
                if !marked.contacts.isEmpty { try db.run(FreshnessSQL.contacted, marked.contacts) }
            }
        }
        return taken
    }

    /// Adds whoever may have flipped to those whom the segment looks at.
    private func findFlips() throws {
        for id in try db.all(FreshnessSQL.dueFlips) {
            guard try db.one(FreshnessSQL.trySegment, id), let segment = try db.first(FreshnessSQL.live, id) else { continue }
            guard try !db.one(FreshnessSQL.calculationWaits, id.description) else { continue }
            try failing(id) { db in
                try db.setLocalTimeout(seconds: Self.timeoutSeconds)
                let started = Instant.now()
                let (rule, scope) = try RuleLibrary.read(segment.rule, db)
                guard let sweptAt = segment.sweptAt, let sweep = RuleCompiler.compileSweep(rule, scope, since: sweptAt) else {
                    try db.run(FreshnessSQL.swept, id, nil, nil, segment.rule)
                    return
                }
                let found: [ContactID] = try db.dynamic(
                    "SELECT f.contact_id FROM (\(sweep.candidates.sql)) f LIMIT \(Self.mostAtOnce + 1)", sweep.candidates.values)
                // Beyond some number one look at all contacts costs less.
                if found.count > Self.mostAtOnce { return try calculate(id) }
                self.wanted[id, default: []].formUnion(found)
                self.sweeping[id] = Sweep(until: scope.now, started: started)
            }
        }
    }

    // MARK: Looking

    private func look() throws {
        guard !wanted.isEmpty else { return }
        graph = SegmentGraph(try db.all(FreshnessSQL.references))
        let everybody = wanted.values.reduce(into: Set<ContactID>()) { $0.formUnion($1) }
        let found = try everybody.isEmpty ? [] : db.all(FreshnessSQL.hold, everybody.sorted())
        let held = Set(found.filter(\.isHeld).map(\.id))
        let busy = Set(found.filter { !$0.isHeld }.map(\.id))
        while let id = graph.first(of: wanted.keys) {
            let contacts = wanted.removeValue(forKey: id)!
            let later = contacts.intersection(busy).sorted()
            if !later.isEmpty { try db.run(FreshnessSQL.postpone, id, later, since) }
            // Those who are gone have left by the deletion itself.
            try look(id, contacts.intersection(held).sorted())
        }
    }

    private func look(_ id: SegmentID, _ contacts: [ContactID]) throws {
        guard try db.one(FreshnessSQL.trySegment, id) else {
            // A calculation is at it, and may have looked at them before they changed. Few come again; many would come
            // again and again for as long as it takes, and another calculation after it costs less.
            if contacts.count > Self.mostPostponed { return try calculate(id) }
            try db.run(FreshnessSQL.postpone, id, contacts, since)
            return
        }
        // A segment that is stale or failed awaits a calculation, which will see them as they are.
        guard let segment = try db.first(FreshnessSQL.live, id) else { return }
        try failing(id) { db in
            try db.setLocalTimeout(seconds: Self.timeoutSeconds)
            let (rule, scope) = try RuleLibrary.read(segment.rule, db)
            if !contacts.isEmpty {
                let (sql, values) = SegmentSQL.difference(RuleCompiler.compile(rule, scope, among: contacts), segment: id, among: contacts)
                let moved: [ContactID] = try db.dynamic(sql, values)
                for reader in moved.isEmpty ? [] : graph.readers(of: id) { wanted[reader, default: []].formUnion(moved) }
            }
            if let swept = sweeping[id] {
                let end = RuleScope(workspace: scope.workspace, zone: scope.zone, now: swept.until)
                guard let sweep = RuleCompiler.compileSweep(rule, end, since: swept.until) else { return }
                let flip: [Instant?] = try db.dynamic(sweep.nextFlip.sql, sweep.nextFlip.values)
                // What takes long is not repeated at once: at most a twentieth of the time is spent on it.
                let now = Instant.now()
                let next = flip[0].map { max($0, now + 20 * now.seconds(since: swept.started)) }
                try db.run(FreshnessSQL.swept, id, swept.until, next, segment.rule)
            } else if !contacts.isEmpty, let sweep = RuleCompiler.compileSweep(rule, scope, since: scope.now, among: contacts) {
                let flip: [Instant?] = try db.dynamic(sweep.nextFlip.sql, sweep.nextFlip.values)
                if let flip = flip[0] { try db.run(FreshnessSQL.flipsAt, id, flip, segment.rule) }
            }
        }
    }

    /// Work on one segment. What is wrong with it concerns no other: a rule that no longer holds fails its segment, and
    /// what takes too long is left to a calculation, which may take longer.
    private func failing(_ id: SegmentID, _ work: (Connection) throws -> Void) throws {
        do {
            try db.transaction(work)
        } catch let faults as Faults {
            let problem = faults.list.map { "\($0.pointer): \($0.detail)" }.joined(separator: " ")
            try db.run(SegmentSQL.failed, id, String(problem.prefix(2000)))
        } catch let error as PostgresError where error.sqlState == .queryCanceled {
            try db.run(FreshnessSQL.leaveToCalculation, id)
            try calculate(id)
        } catch let error as PostgresError where error.sqlState == .foreignKeyViolation {
            // The segment itself was deleted meanwhile: contacts are held.
        } catch let error as PostgresError where error.sqlState != nil && !error.isTransient {
            Log.error("segment not freshened", [("segment", .string(id.description)), ("error", .string("\(error)"))])
            try db.run(SegmentSQL.failed, id, "Something went wrong here; it is in our journal under the segment's id.")
        }
    }
}

/// Which segments read which. There are no circles: a rule that closes one is refused.
struct SegmentGraph {
    private var readers: [SegmentID: [SegmentID]] = [:]
    private var depths: [SegmentID: Int] = [:]

    init(_ references: [SegmentReference]) {
        var read: [SegmentID: [SegmentID]] = [:]
        for reference in references {
            readers[reference.read, default: []].append(reference.reader)
            read[reference.reader, default: []].append(reference.read)
        }
        func depth(_ id: SegmentID) -> Int {
            if let known = depths[id] { return known }
            let depth = (read[id] ?? []).reduce(0) { max($0, 1 + depth($1)) }
            depths[id] = depth
            return depth
        }
        for id in read.keys { _ = depth(id) }
    }

    func readers(of id: SegmentID) -> [SegmentID] { readers[id] ?? [] }

    /// One of these that reads none of the others.
    func first(of segments: some Collection<SegmentID>) -> SegmentID? {
        segments.min { (depths[$0] ?? 0, $0) < (depths[$1] ?? 0, $1) }
    }
}
