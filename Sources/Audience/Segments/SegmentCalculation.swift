// Who is in: evaluated for all contacts at once, written as differences.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

public let segmentJobs: [JobHandler] = [
    JobHandler("calculate_segment") { context in
        guard let id = context.payload["segment_id"]?.string.flatMap({ SegmentID($0) }) else {
            throw JobFailure("bad_payload", "The job names no segment.")
        }
        var calculation = SegmentCalculation(isRefresh: false) { work in try context.transaction(work) }
        calculation.progress = { fraction in try context.progress(fraction) }
        guard let difference = try calculation.calculate(id) else { throw JobFailure("not_found", "The segment is gone or archived.") }
        try context.refreshStatistics(of: ["segment_members"], afterWriting: difference.entered + difference.exited)
        return [
            "segment_id": .string(id.description), "member_count": JSONValue(difference.members),
            "entered": JSONValue(difference.entered), "exited": JSONValue(difference.exited),
            "as_of": .string(difference.asOf.description),
        ]
    },
    // Put into the queue in the transaction that deletes the segment.
    JobHandler("forget_members") { context in
        guard let id = context.payload["segment_id"]?.string.flatMap({ SegmentID($0) }) else {
            throw JobFailure("bad_payload", "The job names no segment.")
        }
        while try context.transaction({ db in try db.run(SegmentSQL.forgetMembers, id, 10_000) }) > 0 {
            if context.isStopping { throw JobSnooze(seconds: 0) }
        }
        return ["segment_id": .string(id.description)]
    },
]

/// What a calculation changed.
struct Difference {
    let members: Int
    let entered: Int
    let exited: Int
    let asOf: Instant
    /// Entries and exits that no change still waiting to be looked at explains.
    let unexplained: Int
    var isEmpty: Bool { entered + exited == 0 }
}

/// Calculates segments after those that they read.
struct SegmentCalculation {
    /// A refresh calculates every segment that is read. Otherwise that is done for those that are not up to date, and
    /// the segments that read this one are queued when its membership changed.
    let isRefresh: Bool
    /// For each statement of one segment's calculation.
    let timeoutSeconds: Double
    /// Told before the segment is evaluated, and after each that it reads: one evaluation is one statement, which tells
    /// nothing while it runs.
    var progress: (Double) throws -> Void = { _ in }
    /// Opens a transaction in the segment's workspace.
    let inTransaction: ((Connection) throws -> Void) throws -> Void
    private var done: Set<SegmentID> = []
    /// Those that wait for the ones that they read.
    private var waiting: Set<SegmentID> = []
    /// Those whose membership this value changed.
    private var moved: Set<SegmentID> = []
    private(set) var counts = (segments: 0, entered: 0, exited: 0, failed: 0, mended: 0)

    init(isRefresh: Bool, timeoutSeconds: Double = 600, inTransaction: @escaping ((Connection) throws -> Void) throws -> Void) {
        self.isRefresh = isRefresh
        self.timeoutSeconds = timeoutSeconds
        self.inTransaction = inTransaction
    }

    /// - Returns: `nil` when there is no such segment, or it was calculated before by this value.
    mutating func calculate(_ id: SegmentID) throws -> Difference? {
        guard done.insert(id).inserted else { return nil }
        try calculateThose(readBy: id)
        let difference: Difference?
        do { difference = try evaluate(id) } catch let faults as Faults {
            // The rule was right when it was saved: something that it reads is gone.
            let problem = faults.list.map { "\($0.pointer): \($0.detail)" }.joined(separator: " ")
            throw try failure(id, "rule_no_longer_valid", String(problem.prefix(2000)))
        } catch let error as PostgresError where error.sqlState == .queryCanceled {
            throw try failure(
                id, "took_too_long", "The calculation was given up after \(Int(timeoutSeconds)) seconds; a simpler rule may do.")
        }
        counts.segments += 1
        counts.entered += difference?.entered ?? 0
        counts.exited += difference?.exited ?? 0
        if difference?.isEmpty == false { moved.insert(id) }
        if let difference, difference.unexplained > 0 {
            counts.mended += difference.unexplained
            Log.warning(
                "live segment mended",
                [
                    ("segment", .string(id.description)), ("contacts", .integer(difference.unexplained)),
                    ("entered", .integer(difference.entered)), ("exited", .integer(difference.exited)),
                ])
        }
        return difference
    }

    private mutating func calculateThose(readBy id: SegmentID) throws {
        var read: [SegmentID] = []
        try inTransaction { db in
            read = try db.all(isRefresh ? SegmentSQL.referenced : SegmentSQL.outdatedReferenced, id)
        }
        let isWhole = waiting.isEmpty
        waiting.insert(id)
        defer { waiting.remove(id) }
        for (index, other) in read.enumerated() {
            if isWhole { try progress(Double(index + 1) / Double(read.count + 2)) }
            // One that cannot be calculated keeps the membership that it had, and that is what is read.
            do { _ = try calculate(other) } catch is JobFailure {}
        }
        if isWhole { try progress(Double(read.count + 1) / Double(read.count + 2)) }
    }

    /// Tells the segment that it failed, and gives the error that says so.
    private mutating func failure(_ id: SegmentID, _ code: String, _ problem: String) throws -> JobFailure {
        try inTransaction { db in try db.run(SegmentSQL.failed, id, problem) }
        counts.failed += 1
        return JobFailure(code, problem)
    }

    /// Evaluates again when a contact was deleted between the evaluation and the writing, which fails the statement.
    private func evaluate(_ id: SegmentID) throws -> Difference? {
        var attempt = 1
        while true {
            do {
                var difference: Difference?
                try inTransaction { db in difference = try evaluate(id, db) }
                return difference
            } catch let error as PostgresError where error.sqlState == .foreignKeyViolation && attempt < 10 {
                attempt += 1
            }
        }
    }

    /// One evaluation in the open transaction.
    private func evaluate(_ id: SegmentID, _ db: Connection) throws -> Difference? {
        // A regular expression can be made to take for ever, and a worker has few threads.
        try db.setLocalTimeout(seconds: timeoutSeconds)
        _ = try db.one(SegmentSQL.lockCalculation, id)
        guard let stored = try db.first(SegmentSQL.read, id), stored.archivedAt == nil else { return nil }
        let (parsed, scope) = try RuleLibrary.read(stored.rule, db, isStored: true)
        let rule = RuleCompiler.compile(parsed, scope)
        let (sql, values) = SegmentSQL.difference(rule, segment: id)
        let counts: [DifferenceRow] = try db.dynamic(sql, values)
        guard let counts = counts.first else { throw PostgresError.noRow }
        // What moved in a segment that this one reads explains what moves here.
        let isExplained = try db.all(SegmentSQL.referenced, id).contains { moved.contains($0) }
        let isLive = try isRefresh && !isExplained && db.one(SegmentSQL.isFresh, id, rule.asOf)
        let difference = Difference(
            members: counts.members, entered: counts.entered, exited: counts.exited, asOf: rule.asOf,
            unexplained: isLive ? counts.unmarked : 0)
        try db.run(SegmentSQL.calculated, id, rule.asOf, stored.rule, !isRefresh || !difference.isEmpty)
        if let sweep = RuleCompiler.compileSweep(parsed, scope, since: rule.asOf) {
            let flip: [Instant?] = try db.dynamic(sweep.nextFlip.sql, sweep.nextFlip.values)
            try db.run(SegmentSQL.sweptByCalculation, id, rule.asOf, flip[0], stored.rule)
        }
        // Also in a refresh, which comes to them later itself, if nothing happens to it: a look at the same contacts finds
        // nothing moved here any more, and asks nobody.
        if !difference.isEmpty {
            for reader in try db.all(SegmentSQL.readers, id) where !waiting.contains(reader) {
                try db.enqueue("calculate_segment", payload: ["segment_id": .string(reader.description)])
            }
        }
        return difference
    }
}

private enum RefreshSQL {
    static let all = Statement<WorkspaceSegment>(
        """
        SELECT workspace_id, id FROM segments ORDER BY workspace_id, id
        """)
}

private struct WorkspaceSegment: RowDecodable {
    let workspace: WorkspaceID
    let id: SegmentID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        id = try row["id"]
    }
}

public let segmentChores: [Chore] = [
    Chore("refresh-segments", "Calculate every segment anew, those that others read first; live ones should need no mending") { db in
        var total = (segments: 0, entered: 0, exited: 0, failed: 0, mended: 0)
        for segments in try db.all(RefreshSQL.all).chunked(by: \.workspace) {
            var calculation = SegmentCalculation(isRefresh: true) { work in
                try db.transaction { db in
                    try db.setWorkspace(segments[0].workspace)
                    try work(db)
                }
            }
            for segment in segments {
                do {
                    _ = try calculation.calculate(segment.id)
                } catch let failure as JobFailure {
                    Log.warning("segment not refreshed", [("segment", .string(segment.id.description)), ("reason", .string(failure.code))])
                } catch let error as PostgresError where !error.isTransient {
                    total.failed += 1
                    Log.error(
                        "segment not refreshed", [("segment", .string(segment.id.description)), ("error", .string(error.description))])
                }
            }
            total.segments += calculation.counts.segments
            total.entered += calculation.counts.entered
            total.exited += calculation.counts.exited
            total.failed += calculation.counts.failed
            total.mended += calculation.counts.mended
        }
        return [
            ("segments", total.segments), ("entered", total.entered), ("exited", total.exited), ("failed", total.failed),
            ("mended", total.mended),
        ]
    }
]

extension Array {
    /// Neighbours with the same key together.
    fileprivate func chunked(by key: (Element) -> some Equatable) -> [[Element]] {
        var chunks: [[Element]] = []
        for element in self {
            if let last = chunks.last?.last, key(last) == key(element) {
                chunks[chunks.count - 1].append(element)
            } else {
                chunks.append([element])
            }
        }
        return chunks
    }
}
