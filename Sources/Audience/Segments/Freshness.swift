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

    private let db: Connection
    /// Whom each segment must look at.
    private var wanted: [SegmentID: Set<ContactID>] = [:]
    /// Segments in which flips are looked for as well, and up to when.
    private var sweeping: [SegmentID: Instant] = [:]
    /// When the oldest of the marks was written.
    private var since = Instant.now()
    private var graph = SegmentGraph([])

    /// - Returns: whether there is more to do at once.
    static func round(_ workspace: WorkspaceID, _ db: Connection, batch: Int = batch) throws -> Bool {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            guard try db.one(FreshnessSQL.tryWorkspace) else { return false }
            for segment in try db.all(FreshnessSQL.dueSchedules) {
                try db.enqueue("calculate_segment", payload: ["segment_id": .string(segment.description)], key: segment.description)
            }
            let round = Freshness(db)
            let taken = try round.take(batch)
            try round.findFlips()
            try round.look()
            return taken == batch
        }
    }

    private init(_ db: Connection) { self.db = db }

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
            try failing(id) { db in
                let (rule, scope) = try RuleLibrary.read(segment.rule, db)
                guard let sweptAt = segment.sweptAt, let sweep = RuleCompiler.compileSweep(rule, scope, since: sweptAt) else { return }
                let found: [ContactID] = try db.dynamic(sweep.candidates.sql, sweep.candidates.values)
                self.wanted[id, default: []].formUnion(found)
                self.sweeping[id] = scope.now
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
            // A calculation is at it, and may have looked at them before they changed.
            try db.run(FreshnessSQL.postpone, id, contacts, since)
            return
        }
        // A segment that is stale or failed awaits a calculation, which will see them as they are.
        guard let segment = try db.first(FreshnessSQL.live, id) else { return }
        try failing(id) { db in
            try db.setLocalTimeout(seconds: Self.timeoutSeconds)
            let started = Instant.now()
            let (rule, scope) = try RuleLibrary.read(segment.rule, db)
            if !contacts.isEmpty {
                let (sql, values) = SegmentSQL.difference(RuleCompiler.compile(rule, scope, among: contacts), segment: id, among: contacts)
                let moved: [ContactID] = try db.dynamic(sql, values)
                for reader in moved.isEmpty ? [] : graph.readers(of: id) { wanted[reader, default: []].formUnion(moved) }
            }
            if let end = sweeping[id] {
                let swept = RuleScope(workspace: scope.workspace, zone: scope.zone, now: end)
                guard let sweep = RuleCompiler.compileSweep(rule, swept, since: end) else { return }
                let flip: [Instant?] = try db.dynamic(sweep.nextFlip.sql, sweep.nextFlip.values)
                // A look that takes long is not repeated at once: at most a twentieth of the time is spent on it.
                let pause = min(Double(RuleCompiler.pollSeconds), 20 * Instant.now().seconds(since: started))
                try db.run(FreshnessSQL.swept, id, end, (flip[0]).map { max($0, scope.now + pause) })
            } else if !contacts.isEmpty, let sweep = RuleCompiler.compileSweep(rule, scope, since: scope.now, among: contacts) {
                let flip: [Instant?] = try db.dynamic(sweep.nextFlip.sql, sweep.nextFlip.values)
                if let flip = flip[0] { try db.run(FreshnessSQL.flipsAt, id, flip) }
            }
        }
    }

    /// Work on one segment. A rule that no longer holds, or takes too long, fails its segment and nothing else.
    private func failing(_ id: SegmentID, _ work: (Connection) throws -> Void) throws {
        do {
            try db.transaction(work)
        } catch let faults as Faults {
            let problem = faults.list.map { "\($0.pointer): \($0.detail)" }.joined(separator: " ")
            try db.run(SegmentSQL.failed, id, String(problem.prefix(2000)))
        } catch let error as PostgresError where error.sqlState == .queryCanceled {
            try db.run(SegmentSQL.failed, id, "A look at changed contacts was given up after \(Int(Self.timeoutSeconds)) seconds.")
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
