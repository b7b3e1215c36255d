// What time alone changes in live segments: flips that are due, and schedules.
//
// A sweep looks for contacts over whose values an edge has moved, and marks them for its segment, in the transaction that
// says up to when was looked; the round that takes the marks evaluates them. So a sweep may take seconds in a large
// workspace, and what people change is looked at meanwhile.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

extension Freshness {
    /// Contacts of one segment that a sweep marks.
    static let mostAtOnce = 20_000

    /// Calculations that schedules want now, and a sweep of the segment that is most overdue.
    /// - Returns: whether something was swept, so that there may be more.
    static func sweep(_ workspace: WorkspaceID, _ db: Connection) throws -> Bool {
        // On its own: it changes segments, which others may wait for.
        try db.transaction { db in
            try db.setWorkspace(workspace)
            for segment in try db.all(SweepSQL.dueSchedules) { try Freshness(db).calculate(segment) }
        }
        return try db.transaction { db in
            try db.setWorkspace(workspace)
            guard try db.one(SweepSQL.tryWorkspace) else { return false }
            let freshness = Freshness(db)
            for id in try db.all(SweepSQL.dueFlips) where try freshness.sweep(id) { return true }
            return false
        }
    }

    /// - Returns: `false` when a calculation is at the segment, or will be: that looks at everybody.
    private func sweep(_ id: SegmentID) throws -> Bool {
        guard try !db.one(FreshnessSQL.calculationWaits, id.description), try db.one(SweepSQL.keepCalculationsAway, id),
            let segment = try db.first(SweepSQL.due, id)
        else { return false }
        try failing(id) { db in
            try db.setLocalTimeout(seconds: Self.timeoutSeconds)
            let started = Instant.now()
            let (rule, scope) = try RuleLibrary.read(segment.rule, db)
            guard let sweptAt = segment.sweptAt, let sweep = RuleCompiler.compileSweep(rule, scope, since: sweptAt) else {
                try db.run(SweepSQL.swept, id, nil, nil, segment.rule)
                return
            }
            let found: [ContactID] = try db.dynamic(
                "SELECT f.contact_id FROM (\(sweep.candidates.sql)) f LIMIT \(Self.mostAtOnce + 1)", sweep.candidates.values)
            // Beyond some number one look at all contacts costs less.
            if found.count > Self.mostAtOnce { return try calculate(id) }
            if !found.isEmpty { try db.run(FreshnessSQL.postpone, id, found.sorted(), segment.flipsAt) }
            // A look at a contact that has just changed may bring the next flip forward: not between reading and writing it.
            _ = try db.one(SweepSQL.awaitLooks, id)
            guard let ahead = RuleCompiler.compileSweep(rule, scope, since: scope.now) else { return }
            let flip: [Instant?] = try db.dynamic(ahead.nextFlip.sql, ahead.nextFlip.values)
            // What takes long is not repeated at once: at most a twentieth of the time is spent on it.
            let now = Instant.now()
            let next = flip[0].map { max($0, now + 20 * now.seconds(since: started)) }
            try db.run(SweepSQL.swept, id, scope.now, next, segment.rule)
        }
        return true
    }
}

enum SweepSQL {
    static let workspaces = Statement<WorkspaceID>("SELECT workspaces_due()")

    /// One sweep at a time in a workspace, so that a large one keeps one thread busy and not all.
    static let tryWorkspace = Statement<Bool>(
        """
        SELECT pg_try_advisory_xact_lock(hashtextextended('sweep ' || current_workspace()::text, 0))
        """)

    /// Segments whose schedule wants them now; each is told when it is wanted next.
    static let dueSchedules = Statement<SegmentID>(
        """
        UPDATE segments s
           SET next_refresh_at = next_refresh(s.schedule, s.schedule_minutes, s.schedule_at, now(), w.timezone)
          FROM workspaces w
         WHERE s.workspace_id = current_workspace() AND w.id = current_workspace() AND s.next_refresh_at <= now() AND s.archived_at IS NULL
        RETURNING s.id
        """)

    /// Live segments in which time alone may have changed something.
    static let dueFlips = Statement<SegmentID>(
        """
        SELECT id FROM segments
         WHERE workspace_id = current_workspace() AND schedule = 'live' AND state = 'ready' AND archived_at IS NULL
           AND next_flip_at <= now()
         ORDER BY next_flip_at
        """)

    /// Until the end of the transaction, unless one is at it.
    static let keepCalculationsAway = Statement<Bool, SegmentID>(
        """
        SELECT pg_try_advisory_xact_lock_shared(hashtextextended('calculation ' || $1::uuid::text, 0))
        """)

    /// Keeps looks away too, which take the lock only if it is free, and hold it until their round commits.
    static let awaitLooks = Statement<Bool, SegmentID>(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('segment ' || $1::uuid::text, 0)) IS NULL
        """)

    static let due = Statement<DueSegment, SegmentID>(
        """
        SELECT rule, swept_at, next_flip_at FROM segments
         WHERE workspace_id = current_workspace() AND id = $1 AND schedule = 'live' AND state = 'ready' AND archived_at IS NULL
           AND next_flip_at <= now()
        """)

    /// After a look for all that time has changed up to `$2`, by this rule. NULL for `$3`: time changes nothing more.
    static let swept = Statement<Int, SegmentID, Instant?, Instant?, JSONValue>(
        """
        UPDATE segments SET swept_at = $2, next_flip_at = $3 WHERE workspace_id = current_workspace() AND id = $1 AND rule = $4
        """)
}

struct DueSegment: RowDecodable {
    let rule: JSONValue
    let sweptAt: Instant?
    /// When time may first have changed somebody since.
    let flipsAt: Instant
    init(_ row: borrowing Row) throws(PostgresError) {
        rule = try row["rule"]
        sweptAt = try row["swept_at"]
        flipsAt = try row["next_flip_at"]
    }
}
