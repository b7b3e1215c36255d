// Alerts on shares: a size of a day before changes with the clock, so nobody's change is the moment to look.
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

public let alertLoops: [WorkerLoop] = [
    WorkerLoop("segment alerts") { context in
        return {
            try ShareAlerts.round(context.db) { context.isStopping }
            return 60
        }
    }
]

enum ShareAlerts {
    private static let segments = Statement<AlertedSegment>("SELECT workspace_id, segment_id FROM segments_with_share_alerts()")
    private static let check = Statement<Int, SegmentID>("SELECT check_segment_alerts($1)")

    /// Looks at each segment once, each in a transaction of its own. One that cannot be looked at keeps no other waiting.
    static func round(_ db: Connection, isStopping: () -> Bool = { false }) throws {
        for segment in try db.all(segments) where !isStopping() {
            do {
                try db.transaction(timeoutSeconds: 30) { db in
                    try db.setWorkspace(segment.workspace)
                    _ = try db.one(check, segment.id)
                }
            } catch let error as PostgresError where error.sqlState != nil {
                Log.error("segment alerts not looked at", [("segment", .string(segment.id.description)), ("error", .string("\(error)"))])
            }
        }
    }
}

private struct AlertedSegment: RowDecodable {
    let workspace: WorkspaceID
    let id: SegmentID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        id = try row["segment_id"]
    }
}
