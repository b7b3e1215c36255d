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
            let started = Instant.steady()
            let (rule, scope) = try RuleLibrary.read(segment.rule, db, isStored: true)
            guard let sweptAt = segment.sweptAt, let sweep = RuleCompiler.compileSweep(rule, scope, since: sweptAt),
                let ahead = RuleCompiler.compileSweep(rule, scope, since: scope.now)
            else {
                try db.run(SweepSQL.swept, id, nil, nil, nil, segment.rule)
                return
            }
            let found: [ContactID] = try db.dynamic(
                "SELECT f.contact_id FROM (\(sweep.candidates.sql)) f LIMIT \(Self.mostAtOnce + 1)", sweep.candidates.values)
            // Beyond some number one look at all contacts costs less.
            if found.count > Self.mostAtOnce { return try calculate(id) }
            if !found.isEmpty { try db.run(FreshnessSQL.postpone, id, found.sorted(), segment.flipsAt) }
            let flip: [Instant?] = try db.dynamic(ahead.nextFlip.sql, ahead.nextFlip.values)
            // What takes long is not repeated at once: at most a twentieth of the time is spent on it. What does not is not
            // held up.
            let seconds = Instant.steady().seconds(since: started)
            let rest = seconds < 0.05 ? nil : Optional(scope.now + 21 * seconds)
            // A round may have the segment's counter in hand until it commits.
            try db.setLocalTimeout(seconds: 600)
            try db.run(SweepSQL.swept, id, scope.now, flip[0], rest, segment.rule)
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

    /// Segments whose schedule wants them now; each is told when it is wanted next. One that a calculation has in hand
    /// comes the next time.
    static let dueSchedules = Statement<SegmentID>(
        """
        WITH due AS MATERIALIZED (
            SELECT d.id FROM segments d
             WHERE d.workspace_id = current_workspace() AND d.next_refresh_at <= now() AND d.archived_at IS NULL
               FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE segments s
           SET next_refresh_at = next_refresh(s.schedule, s.schedule_minutes, s.schedule_at, now(), w.timezone)
          FROM due d, workspaces w
         WHERE s.workspace_id = current_workspace() AND s.id = d.id AND w.id = current_workspace()
        RETURNING s.id
        """)

    /// Live segments in which time alone may have changed something, and that do not rest.
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

    static let due = Statement<DueSegment, SegmentID>(
        """
        SELECT rule, swept_at, next_flip_at FROM segments
         WHERE workspace_id = current_workspace() AND id = $1 AND schedule = 'live' AND state = 'ready' AND archived_at IS NULL
           AND next_flip_at <= now()
        """)

    /// After a look for all that time has changed up to `$2`, by this rule. NULL for `$3`: as far as was seen, time changes
    /// nothing more; what looks have noted since comes in. NULL for `$4`: without a rest.
    static let swept = Statement<Int, SegmentID, Instant?, Instant?, Instant?, JSONValue>(
        """
        UPDATE segments
           SET swept_at = $2, sweep_not_before = $4, noted_flip_at = NULL,
               next_flip_at = CASE WHEN $3::timestamptz IS NOT NULL OR noted_flip_at > $2
                                   THEN greatest($4, least($3::timestamptz, CASE WHEN noted_flip_at > $2 THEN noted_flip_at END)) END
         WHERE workspace_id = current_workspace() AND id = $1 AND rule = $5
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
