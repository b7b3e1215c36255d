// Copies of segments, and segments that are put away instead of deleted.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum LifecycleSQL {
    /// `Copy of NAME`, or the first of `Copy of NAME (2)`, `(3)` … that nobody has.
    static let freeName = Statement<String, String>(
        """
        SELECT n.name
          FROM (SELECT 0 AS rank, 'Copy of ' || left($1, 180) AS name
                UNION ALL
                SELECT i, 'Copy of ' || left($1, 180) || ' (' || i || ')' FROM generate_series(2, 1000) i) n
         WHERE NOT EXISTS (SELECT FROM segments s WHERE s.workspace_id = current_workspace() AND s.name = n.name)
         ORDER BY n.rank LIMIT 1
        """)

    /// As open as the original: a copy must not show to others what that one did not.
    static let copy = Statement<SegmentID, SegmentID, String, JSONValue, UserID?>(
        """
        INSERT INTO segments (workspace_id, name, description, rule, schedule, schedule_minutes, schedule_at, next_refresh_at,
                              is_restricted, created_by)
        SELECT current_workspace(), $2, s.description, $3, s.schedule, s.schedule_minutes, s.schedule_at, s.next_refresh_at,
               s.is_restricted, $4
          FROM segments s WHERE s.workspace_id = current_workspace() AND s.id = $1
        RETURNING id
        """)

    static let archive = Statement<Int, SegmentID>(
        """
        UPDATE segments SET archived_at = now(), version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND archived_at IS NULL
        """)

    /// What it missed is calculated.
    static let unarchive = Statement<Int, SegmentID>(
        """
        UPDATE segments SET archived_at = NULL, state = 'stale', problem = NULL, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND archived_at IS NOT NULL
        """)
}

struct SegmentCopy: BodyDecodable {
    let name: String?
    static let schema: Schema = .object([
        .optional("name", .string(min: 1, max: 200), "Unique in the workspace; `Copy of …` when absent")
    ])
    init(_ body: JSONObject) throws {
        name = body.optionalString("name").map { storedText($0) ?? "" }
        if name == "" { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
    }
}

func copySegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let wanted = try call.body(SegmentCopy.self)
    let copy = try withFreeSegmentName {
        try call.transaction { db in
            let original = try db.segment(id, for: .view)
            try SegmentReferences.check(original.rule, db)
            let rule = try RuleLibrary.parse(original.rule, db, isStored: true)
            let name = try wanted.name ?? db.one(LifecycleSQL.freeName, original.name)
            let copy = try db.one(LifecycleSQL.copy, id, name, rule.json, call.actor.user)
            try refer(copy, rule, db)
            _ = try db.one(SegmentVersionSQL.keep, copy, "Copied from \(original.name)")
            try enqueueCalculation(copy, db, call)
            try call.audit("segment.copied", "segment", copy.uuid, details: ["from": .string(id.description)], in: db)
            return try db.one(SegmentSQL.read, copy)
        }
    }
    return .created(copy.json, at: "/api/segments/\(copy.id)").etag(version: copy.version)
}

/// Asked for twice, the second changes nothing.
func archiveSegment(_ call: Call) throws -> Response {
    try turn(call, LifecycleSQL.archive, "segment.archived") { _, _ in }
}

func unarchiveSegment(_ call: Call) throws -> Response {
    try turn(call, LifecycleSQL.unarchive, "segment.unarchived") { id, db in try enqueueCalculation(id, db, call) }
}

private func turn(
    _ call: Call, _ statement: Statement<Int, SegmentID>, _ action: String, then: (SegmentID, Connection) throws -> Void
) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let segment = try call.transaction { db in
        try call.checkIfMatch(try db.lockSegment(id, evenArchived: true).version)
        if try db.run(statement, id) == 1 {
            try then(id, db)
            try call.audit(action, "segment", id.uuid, in: db)
        }
        return try db.one(SegmentSQL.read, id)
    }
    return .json(segment.json).etag(version: segment.version)
}
