// Who is in: evaluated for all contacts at once, written as differences.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Vocabulary

public let segmentJobs: [JobHandler] = [
    JobHandler("calculate_segment") { context in
        guard let id = context.payload["segment_id"]?.string.flatMap({ SegmentID($0) }) else {
            throw JobFailure("bad_payload", "The job names no segment.")
        }
        var done: Set<SegmentID> = []
        let difference = try SegmentCalculation.calculate(id, &done) { work in try context.transaction(work) } progress: {
            try context.progress($0)
        }
        guard let difference else { throw JobFailure("not_found", "The segment is gone.") }
        return [
            "segment_id": .string(id.description), "member_count": JSONValue(difference.members),
            "entered": JSONValue(difference.entered), "exited": JSONValue(difference.exited),
        ]
    }
]

enum SegmentCalculation {
    typealias InTransaction = ((Connection) throws -> Difference?) throws -> Difference?

    /// Calculates a segment, and before it those that it reads and that are not up to date.
    /// - Parameter inTransaction: opens a transaction in the segment's workspace.
    /// - Returns: `nil` when there is no such segment.
    static func calculate(
        _ id: SegmentID, _ done: inout Set<SegmentID>, inTransaction: InTransaction, progress: (Double) throws -> Void
    ) throws -> Difference? {
        guard done.insert(id).inserted else { return nil }
        var first: [SegmentID] = []
        _ = try inTransaction { db in
            first = try db.all(SegmentSQL.referenced, id)
            return nil
        }
        for other in first { _ = try calculate(other, &done, inTransaction: inTransaction) { _ in } }
        try progress(0.1)
        do {
            return try inTransaction { db in try evaluate(id, db) }
        } catch let faults as Faults {
            // The rule was right when it was saved: something that it reads is gone.
            let problem = faults.list.first.map { "\($0.pointer): \($0.detail)" } ?? "The rule no longer fits the workspace."
            _ = try inTransaction { db in
                try db.run(SegmentSQL.failed, id, problem)
                return nil
            }
            throw JobFailure("rule_no_longer_valid", problem)
        }
    }

    /// One evaluation in the open transaction. The segment's row lock keeps two of one segment apart.
    private static func evaluate(_ id: SegmentID, _ db: Connection) throws -> Difference? {
        guard let stored = try db.first(SegmentSQL.lock, id) else { return nil }
        let now = try db.one(SegmentSQL.now)
        let library = try RuleLibrary(db)
        let rule = RuleCompiler.compile(try library.parse(stored.rule), now: now, workspaceZone: library.workspaceZone)
        let (sql, values) = SegmentSQL.difference(rule, segment: id)
        let rows: [Difference] = try db.dynamic(sql, values)
        guard let difference = rows.first else { throw PostgresError.noRow }
        try db.run(SegmentSQL.calculated, id, now, difference.members)
        return difference
    }
}

private enum RefreshSQL {
    static let all = Statement<OrderedSegment>("""
        SELECT workspace_id, id FROM segments ORDER BY workspace_id, created_at, id
        """)
}

private struct OrderedSegment: RowDecodable {
    let workspace: WorkspaceID
    let id: SegmentID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        id = try row["id"]
    }
}

public let segmentChores: [Chore] = [
    Chore("refresh-segments", "Calculate every segment anew, those that others read first") { db in
        var counts = (segments: 0, changed: 0, failed: 0)
        var done: Set<SegmentID> = []
        for segment in try db.all(RefreshSQL.all) {
            do {
                let difference = try SegmentCalculation.calculate(segment.id, &done) { work in
                    try db.transaction { db in
                        try db.setWorkspace(segment.workspace)
                        return try work(db)
                    }
                } progress: { _ in }
                guard let difference else { continue }
                counts.segments += 1
                if difference.entered + difference.exited > 0 { counts.changed += 1 }
            } catch is JobFailure {
                counts.failed += 1
            }
        }
        return [("segments", counts.segments), ("changed", counts.changed), ("failed", counts.failed)]
    }
]
