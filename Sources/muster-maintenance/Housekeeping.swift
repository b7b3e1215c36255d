// Chores that belong to no single feature: room, ends and counters.
import Jobs
import PostgreSQL

private enum HousekeepingSQL {
    static let partitioned = Statement<String>("SELECT partitioned_tables()")
    static let makePartitions = Statement<Int, String>("SELECT create_partitions($1)")
    static let dropPartitions = Statement<Int, String, Int>("""
        SELECT drop_partitions($1, now() - make_interval(days => $2))
        """)
    /// The longest time that any workspace keeps its audit log or its raw receipts.
    static let longest = Statement<Int, String>("""
        SELECT coalesce(max(coalesce((settings ->> $1)::int, 30)), 30) FROM workspaces
        """)

    // Short batches: each a transaction of its own, so that nobody waits for a purge.
    static let purgeAudit = Statement<Int>("""
        DELETE FROM audit_log a USING (
            SELECT o.workspace_id, o.occurred_at, o.id FROM audit_log o JOIN workspaces w ON w.id = o.workspace_id
             WHERE o.occurred_at < now() - make_interval(days => coalesce((w.settings ->> 'retention_days_audit')::int, 30))
             LIMIT 5000) old
         WHERE a.workspace_id = old.workspace_id AND a.occurred_at = old.occurred_at AND a.id = old.id
        """)
    /// Receipts that are not settled yet stay, whatever their age.
    static let purgeReceipts = Statement<Int>("""
        DELETE FROM receipts r USING (
            SELECT o.workspace_id, o.received_at, o.id FROM receipts o JOIN workspaces w ON w.id = o.workspace_id
             WHERE o.due_at IS NULL
               AND o.received_at < now() - make_interval(days => coalesce((w.settings ->> 'retention_days_receipts')::int, 30))
             LIMIT 5000) old
         WHERE r.workspace_id = old.workspace_id AND r.received_at = old.received_at AND r.id = old.id
        """)
    static let purgeIdempotencyKeys = Statement<Int>("""
        DELETE FROM idempotency_keys k USING (
            SELECT workspace_id, actor_id, route, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT 5000) old
         WHERE k.workspace_id = old.workspace_id AND k.actor_id = old.actor_id AND k.route = old.route AND k.key = old.key
        """)
    static let purgeDedupeKeys = Statement<Int>("""
        DELETE FROM event_dedupe_keys k USING (
            SELECT workspace_id, dedupe_key FROM event_dedupe_keys WHERE received_at < now() - interval '90 days' LIMIT 5000) old
         WHERE k.workspace_id = old.workspace_id AND k.dedupe_key = old.dedupe_key
        """)
    /// Files of imports that ended, or that never began, after a day.
    static let purgeChunks = Statement<Int>("""
        DELETE FROM import_chunks c USING (
            SELECT k.workspace_id, k.import_id, k.seq FROM import_chunks k
              JOIN imports i ON i.workspace_id = k.workspace_id AND i.id = k.import_id
              LEFT JOIN jobs j ON j.workspace_id = i.workspace_id AND j.id = i.job_id
             WHERE i.created_at < now() - interval '1 day' AND (j.state IS NULL OR j.state NOT IN ('queued', 'running'))
             LIMIT 100) old
         WHERE c.workspace_id = old.workspace_id AND c.import_id = old.import_id AND c.seq = old.seq
        """)
    static let purgeImportErrors = Statement<Int>("""
        DELETE FROM import_errors e USING (
            SELECT k.workspace_id, k.import_id, k.line FROM import_errors k
              JOIN imports i ON i.workspace_id = k.workspace_id AND i.id = k.import_id
             WHERE i.created_at < now() - interval '30 days' LIMIT 5000) old
         WHERE e.workspace_id = old.workspace_id AND e.import_id = old.import_id AND e.line = old.line
        """)
    static let purgeRateLimits = Statement<Int>("""
        DELETE FROM rate_limits WHERE window_started_at < now() - interval '1 hour'
        """)

    static let endSessions = Statement<Int>("""
        DELETE FROM sessions WHERE token_hash IN (
            SELECT token_hash FROM sessions WHERE expires_at < now() OR absolute_expires_at < now() LIMIT 5000)
        """)

    static let wrongMemberCounts = Statement<Int>("""
        WITH truth AS (
                SELECT s.workspace_id, s.id,
                       (SELECT count(*) FROM segment_members m WHERE m.workspace_id = s.workspace_id AND m.segment_id = s.id) AS members
                  FROM segments s),
             mended AS (
                UPDATE segments s SET member_count = t.members FROM truth t
                 WHERE s.workspace_id = t.workspace_id AND s.id = t.id AND s.member_count <> t.members RETURNING 1)
        SELECT count(*) FROM mended
        """)
    static let wrongOrdinals = Statement<Int>("""
        WITH truth AS (SELECT workspace_id, max(ordinal) AS last FROM contacts GROUP BY workspace_id),
             mended AS (
                UPDATE contact_ordinals o SET last_ordinal = t.last FROM truth t
                 WHERE o.workspace_id = t.workspace_id AND o.last_ordinal < t.last RETURNING 1)
        SELECT count(*) FROM mended
        """)
}

let housekeeping: [Chore] = [
    Chore("partitions", "Make the partitions of the coming months") { db in
        var made = 0
        for table in try db.all(HousekeepingSQL.partitioned) { made += try db.one(HousekeepingSQL.makePartitions, table) }
        return [("made", made)]
    },
    Chore("purge", "Forget what is past its retention: audit log, raw receipts, keys, files") { db in
        var counts: [(String, Int)] = []
        for (parent, setting) in [("audit_log", "retention_days_audit"), ("receipts", "retention_days_receipts")] {
            let days = try db.one(HousekeepingSQL.longest, setting)
            counts.append(("\(parent)_partitions", try db.one(HousekeepingSQL.dropPartitions, parent, max(1, days))))
        }
        for (name, statement) in [
            ("audit_log", HousekeepingSQL.purgeAudit), ("receipts", HousekeepingSQL.purgeReceipts),
            ("idempotency_keys", HousekeepingSQL.purgeIdempotencyKeys), ("event_dedupe_keys", HousekeepingSQL.purgeDedupeKeys),
            ("import_chunks", HousekeepingSQL.purgeChunks), ("import_errors", HousekeepingSQL.purgeImportErrors),
            ("rate_limits", HousekeepingSQL.purgeRateLimits),
        ] {
            counts.append((name, try untilNone { try db.run(statement) }))
        }
        for chore in jobsChores where chore.name == "purge-jobs" { counts += try chore.run(db).map { ("jobs_\($0.0)", $0.1) } }
        return counts
    },
    Chore("sessions", "Forget sessions that ended") { db in [("ended", try untilNone { try db.run(HousekeepingSQL.endSessions) })] },
    Chore("counters", "Compare stored counters with what they count, and mend them") { db in
        [("segments_mended", try db.one(HousekeepingSQL.wrongMemberCounts)), ("ordinals_mended", try db.one(HousekeepingSQL.wrongOrdinals))]
    },
]

private func untilNone(_ batch: () throws -> Int) throws -> Int {
    var total = 0
    while case let count = try batch(), count > 0 { total += count }
    return total
}
