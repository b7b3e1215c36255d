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

/// Brings live segments up to date, and asks for the calculations that schedules want. What time changes is looked for on
/// threads of its own, two, so that one large workspace does not keep the others waiting.
public let segmentLoops: [WorkerLoop] = [
    WorkerLoop("freshness") { context in
        turns(context, FreshnessSQL.workspaces) { workspace in try Freshness.round(workspace, context.db) }
    },
    WorkerLoop("segment time", threads: { _ in 2 }) { context in
        turns(context, SweepSQL.workspaces) { workspace in try Freshness.sweep(workspace, context.db) }
    },
]

/// Gives each workspace its turn, at once again while one says that there is more. One in which something fails rests:
/// what is to be done there is as it was, and it must not keep the others from their turn.
private func turns(
    _ context: WorkerContext, _ workspaces: Statement<WorkspaceID>, _ turn: @escaping (WorkspaceID) throws -> Bool
) -> () throws -> Double {
    var resting: [WorkspaceID: Instant] = [:]
    return {
        resting = resting.filter { $0.value > .steady() }
        var isMore = false
        for workspace in try context.db.all(workspaces) where !context.isStopping && resting[workspace] == nil {
            do {
                if try turn(workspace) { isMore = true }
            } catch let error as PostgresError where error.sqlState != nil {
                resting[workspace] = .steady() + (error.isTransient ? 0.2 : 10)
                Log.error("segments not freshened", [("workspace", .string(workspace.description)), ("error", .string("\(error)"))])
            }
        }
        return isMore ? 0 : 0.1
    }
}

/// One round in one workspace.
final class Freshness {
    /// Marks per round, at most. Most rounds find few; many are cheap together, which an import needs.
    static let batch = 10_000
    /// For each statement about one segment.
    static let timeoutSeconds = 30.0

    /// Contacts of one segment that come again while a calculation is at it.
    static let mostPostponed = 100

    let db: Connection
    /// Whom each segment must look at.
    private var wanted: [SegmentID: Set<ContactID>] = [:]
    /// When the oldest of the marks was written.
    private var since = Instant.now()
    private var graph = SegmentGraph([])

    /// - Returns: whether there is more to do at once.
    static func round(_ workspace: WorkspaceID, _ db: Connection, batch: Int = batch) throws -> Bool {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            guard try db.one(FreshnessSQL.tryWorkspace) else { return false }
            // Counters of segments are what a deletion of contacts waits for as well, in another order. A look gives way
            // before the server would have to choose which of the two to end.
            _ = try db.one(FreshnessSQL.giveWay)
            let round = Freshness(db)
            let taken = try round.take(batch)
            try round.look()
            return taken >= batch
        }
    }

    init(_ db: Connection) { self.db = db }

    /// Asks for a calculation, unless one waits: whatever begins later sees all that was changed until now. One that runs
    /// may have looked before.
    func calculate(_ id: SegmentID) throws {
        guard try !db.one(FreshnessSQL.calculationWaits, id.description) else { return }
        try db.enqueue("calculate_segment", payload: ["segment_id": .string(id.description)])
    }

    // MARK: What there is to do

    private func take(_ most: Int) throws -> Int {
        var taken = 0
        var readers: [String: [SegmentID]] = [:]
        var groups: [(contacts: [ContactID], reads: [String])] = []
        for marked in try db.all(FreshnessSQL.take, most) {
            switch marked {
            case .readers(let segments, let word): readers[word] = segments
            case .contacts(let contacts, let reads, let count, let oldest):
                taken += count
                since = min(since, oldest)
                groups.append((contacts, reads))
            }
        }
        var contacted: Set<ContactID> = []
        for group in groups {
            for segment in Set(group.reads.flatMap { readers[$0] ?? [] }) { wanted[segment, default: []].formUnion(group.contacts) }
            if group.reads.contains("contacted") { contacted.formUnion(group.contacts) }
        }
        if !contacted.isEmpty { try db.run(FreshnessSQL.contacted, contacted.sorted()) }
        return taken
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
        guard let stored = try db.first(FreshnessSQL.liveRule, id) else { return }
        try failing(id) { db in
            try db.setLocalTimeout(seconds: Self.timeoutSeconds)
            let (rule, scope) = try RuleLibrary.read(stored, db, isStored: true)
            if !contacts.isEmpty {
                let (sql, values) = SegmentSQL.difference(RuleCompiler.compile(rule, scope, among: contacts), segment: id, among: contacts)
                let moved: [ContactID] = try db.dynamic(sql, values)
                for reader in moved.isEmpty ? [] : graph.readers(of: id) { wanted[reader, default: []].formUnion(moved) }
            }
            if !contacts.isEmpty, let sweep = RuleCompiler.compileSweep(rule, scope, since: scope.now, among: contacts) {
                let flip: [Instant?] = try db.dynamic(sweep.nextFlip.sql, sweep.nextFlip.values)
                if let flip = flip[0] { try db.run(FreshnessSQL.flipsAt, id, flip, stored) }
            }
        }
    }

    /// Work on one segment. What is wrong with it concerns no other: a rule that no longer holds fails its segment, and
    /// what takes too long is left to a calculation, which may take longer.
    func failing(_ id: SegmentID, _ work: (Connection) throws -> Void) throws {
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
