// Chores that belong to no single feature: room, ends and counters.
import Glibc
import Jobs
import PostgreSQL
import Runtime

private enum HousekeepingSQL {
    static let partitioned = Statement<String>("SELECT partitioned_tables()")
    static let makePartitions = Statement<Int, String>("SELECT create_partitions($1)")
    static let dropPartitions = Statement<Int, String, Int>(
        """
        SELECT drop_partitions($1, now() - make_interval(days => $2))
        """)
    /// The longest and the shortest time that any workspace keeps its audit log or its raw receipts.
    static let longest = Statement<Int, String>(
        """
        SELECT coalesce(max(coalesce((settings ->> $1)::int, 30)), 30) FROM workspaces
        """)
    static let shortest = Statement<Int, String>(
        """
        SELECT coalesce(min(coalesce((settings ->> $1)::int, 30)), 30) FROM workspaces
        """)

    // Short batches: each a transaction of its own, so that nobody waits for a purge. The shortest time that anybody
    // keeps things, `$1`, is what spares the younger partitions from being read.
    static let purgeAudit = Statement<Int, Int>(
        """
        DELETE FROM audit_log a USING (
            SELECT o.workspace_id, o.occurred_at, o.id FROM audit_log o JOIN workspaces w ON w.id = o.workspace_id
             WHERE o.occurred_at < now() - make_interval(days => $1)
               AND o.occurred_at < now() - make_interval(days => coalesce((w.settings ->> 'retention_days_audit')::int, 30))
             LIMIT 5000) old
         WHERE a.workspace_id = old.workspace_id AND a.occurred_at = old.occurred_at AND a.id = old.id
        """)
    /// Receipts that are not settled yet stay, whatever their age.
    static let purgeReceipts = Statement<Int, Int>(
        """
        DELETE FROM receipts r USING (
            SELECT o.workspace_id, o.received_at, o.id FROM receipts o JOIN workspaces w ON w.id = o.workspace_id
             WHERE o.due_at IS NULL AND o.received_at < now() - make_interval(days => $1)
               AND o.received_at < now() - make_interval(days => coalesce((w.settings ->> 'retention_days_receipts')::int, 30))
             LIMIT 5000) old
         WHERE r.workspace_id = old.workspace_id AND r.received_at = old.received_at AND r.id = old.id
        """)
    static let purgeIdempotencyKeys = Statement<Int>(
        """
        DELETE FROM idempotency_keys k USING (
            SELECT workspace_id, actor_id, route, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT 5000) old
         WHERE k.workspace_id = old.workspace_id AND k.actor_id = old.actor_id AND k.route = old.route AND k.key = old.key
        """)
    static let purgeDedupeKeys = Statement<Int>(
        """
        DELETE FROM event_dedupe_keys k USING (
            SELECT workspace_id, dedupe_key FROM event_dedupe_keys WHERE received_at < now() - interval '90 days' LIMIT 5000) old
         WHERE k.workspace_id = old.workspace_id AND k.dedupe_key = old.dedupe_key
        """)
    /// Files of imports that ended, or that never began, after a day.
    static let purgeChunks = Statement<Int>(
        """
        DELETE FROM import_chunks c USING (
            SELECT k.workspace_id, k.import_id, k.seq FROM import_chunks k
              JOIN imports i ON i.workspace_id = k.workspace_id AND i.id = k.import_id
              LEFT JOIN jobs j ON j.workspace_id = i.workspace_id AND j.id = i.job_id
             WHERE i.created_at < now() - interval '1 day' AND (j.state IS NULL OR j.state NOT IN ('queued', 'running'))
             LIMIT 100) old
         WHERE c.workspace_id = old.workspace_id AND c.import_id = old.import_id AND c.seq = old.seq
        """)
    static let purgeImportErrors = Statement<Int>(
        """
        DELETE FROM import_errors e USING (
            SELECT k.workspace_id, k.import_id, k.line FROM import_errors k
              JOIN imports i ON i.workspace_id = k.workspace_id AND i.id = k.import_id
             WHERE i.created_at < now() - interval '30 days' LIMIT 5000) old
         WHERE e.workspace_id = old.workspace_id AND e.import_id = old.import_id AND e.line = old.line
        """)
    /// What actions changed on segments, after the time in which they can be undone; a while later the actions themselves.
    static let purgeActionBatches = Statement<Int>(
        """
        DELETE FROM segment_action_batches b USING (
            SELECT k.workspace_id, k.action_id, k.seq FROM segment_actions a
              JOIN segment_action_batches k ON k.workspace_id = a.workspace_id AND k.action_id = a.id
             WHERE a.created_at < now() - interval '7 days' LIMIT 1000) old
         WHERE b.workspace_id = old.workspace_id AND b.action_id = old.action_id AND b.seq = old.seq
        """)
    static let purgeActions = Statement<Int>(
        """
        DELETE FROM segment_actions a USING (
            SELECT workspace_id, id FROM segment_actions WHERE created_at < now() - interval '30 days' LIMIT 5000) old
         WHERE a.workspace_id = old.workspace_id AND a.id = old.id
        """)
    static let purgeCounts = Statement<Int>(
        """
        DELETE FROM rule_counts r USING (
            SELECT workspace_id, key FROM rule_counts WHERE expires_at < now() LIMIT 5000) old
         WHERE r.workspace_id = old.workspace_id AND r.key = old.key
        """)
    /// What sessions wrote long ago is seen by every count that is kept: those end within minutes.
    static let purgeWrites = Statement<Int>(
        """
        DELETE FROM workspace_writes w USING (
            SELECT workspace_id, backend FROM workspace_writes WHERE written_at < now() - interval '1 day' LIMIT 5000) old
         WHERE w.workspace_id = old.workspace_id AND w.backend = old.backend AND w.written_at < now() - interval '1 day'
        """)
    /// Deliveries go with their events: `created_at` is the event's.
    static let dropWebhookPartitions = Statement<Int>("SELECT drop_webhook_partitions(now() - interval '30 days')")
    static let purgeWebhookDeliveries = Statement<Int>(
        """
        DELETE FROM webhook_deliveries d USING (
            SELECT workspace_id, id, created_at FROM webhook_deliveries
             WHERE created_at < now() - interval '30 days' LIMIT 5000) old
         WHERE d.workspace_id = old.workspace_id AND d.id = old.id AND d.created_at = old.created_at
        """)
    static let purgeWebhookEvents = Statement<Int>(
        """
        DELETE FROM webhook_events e USING (
            SELECT workspace_id, id, occurred_at FROM webhook_events
             WHERE occurred_at < now() - interval '30 days' LIMIT 5000) old
         WHERE e.workspace_id = old.workspace_id AND e.id = old.id AND e.occurred_at = old.occurred_at
        """)
    static let purgeNotices = Statement<Int>(
        """
        DELETE FROM notices n USING (
            SELECT workspace_id, id FROM notices WHERE created_at < now() - interval '1 year' LIMIT 5000) old
         WHERE n.workspace_id = old.workspace_id AND n.id = old.id
        """)
    static let purgeRateLimits = Statement<Int>(
        """
        DELETE FROM rate_limits WHERE window_started_at < now() - interval '1 hour'
        """)

    static let endSessions = Statement<Int>(
        """
        DELETE FROM sessions WHERE token_hash IN (
            SELECT token_hash FROM sessions WHERE expires_at < now() OR absolute_expires_at < now() LIMIT 5000)
        """)

    static let wrongMemberCounts = Statement<Int>(
        """
        WITH truth AS (
                SELECT s.workspace_id, s.id,
                       (SELECT count(*) FROM segment_members m WHERE m.workspace_id = s.workspace_id AND m.segment_id = s.id) AS members
                  FROM segments s),
             mended AS (
                UPDATE segments s SET member_count = t.members FROM truth t
                 WHERE s.workspace_id = t.workspace_id AND s.id = t.id AND s.member_count <> t.members RETURNING 1)
        SELECT count(*) FROM mended
        """)
    /// Left by a job that was cancelled, or by somebody who deleted a segment in SQL.
    static let orphanedMembers = Statement<Int>(
        """
        DELETE FROM segment_members m
         WHERE m.ctid = ANY (ARRAY(
               SELECT o.ctid FROM segment_members o
                WHERE (o.workspace_id, o.segment_id) NOT IN (SELECT s.workspace_id, s.id FROM segments s) LIMIT 10000))
           AND NOT EXISTS (SELECT FROM segments s WHERE s.workspace_id = m.workspace_id AND s.id = m.segment_id)
        """)
    /// Contacts of somebody who is no member.
    static let orphanedContacts = Statement<Int>(
        """
        UPDATE contacts c SET assigned_to = NULL, updated_at = now(), version = c.version + 1
         WHERE (c.workspace_id, c.id) IN (
               SELECT o.workspace_id, o.id FROM contacts o
                WHERE o.assigned_to IS NOT NULL
                  AND (o.workspace_id, o.assigned_to) NOT IN (SELECT m.workspace_id, m.user_id FROM members m)
                ORDER BY o.workspace_id, o.id LIMIT 1000 FOR NO KEY UPDATE)
        """)
    static let wrongOrdinals = Statement<Int>(
        """
        WITH truth AS (SELECT workspace_id, max(ordinal) AS last FROM contacts GROUP BY workspace_id),
             mended AS (
                UPDATE contact_ordinals o SET last_ordinal = t.last FROM truth t
                 WHERE o.workspace_id = t.workspace_id AND o.last_ordinal < t.last RETURNING 1)
        SELECT count(*) FROM mended
        """)
}

let housekeeping: [Chore] = [
    Chore("partitions", "Make the partitions of the coming months") { db in
        try each(
            try db.all(HousekeepingSQL.partitioned).map { table in
                (table, { try patiently { try db.one(HousekeepingSQL.makePartitions, table) } })
            })
    },
    Chore("purge", "Forget what is past its retention: audit log, raw receipts, keys, files") { db in
        func partitions(_ parent: String, _ setting: String) -> (String, () throws -> Int) {
            (
                "\(parent)_partitions",
                {
                    let days = max(1, try db.one(HousekeepingSQL.longest, setting))
                    return try patiently { try db.one(HousekeepingSQL.dropPartitions, parent, days) }
                }
            )
        }
        func rows(_ name: String, _ setting: String, _ statement: Statement<Int, Int>) -> (String, () throws -> Int) {
            (
                name,
                {
                    let days = try db.one(HousekeepingSQL.shortest, setting)
                    return try untilNone { try db.run(statement, days) }
                }
            )
        }
        func rows(_ name: String, _ statement: Statement<Int>) -> (String, () throws -> Int) {
            (name, { try untilNone { try db.run(statement) } })
        }
        return try each([
            partitions("audit_log", "retention_days_audit"), partitions("receipts", "retention_days_receipts"),
            // A month longer than links live, so that one that has expired says so for a while.
            ("links_partitions", { try patiently { try db.one(HousekeepingSQL.dropPartitions, "links", 396) } }),
            ("link_hits_partitions", { try patiently { try db.one(HousekeepingSQL.dropPartitions, "link_hits", 396) } }),
            rows("audit_log", "retention_days_audit", HousekeepingSQL.purgeAudit),
            rows("receipts", "retention_days_receipts", HousekeepingSQL.purgeReceipts),
            rows("idempotency_keys", HousekeepingSQL.purgeIdempotencyKeys), rows("event_dedupe_keys", HousekeepingSQL.purgeDedupeKeys),
            rows("import_chunks", HousekeepingSQL.purgeChunks), rows("import_errors", HousekeepingSQL.purgeImportErrors),
            rows("segment_action_batches", HousekeepingSQL.purgeActionBatches),
            rows("segment_actions", HousekeepingSQL.purgeActions),
            rows("rule_counts", HousekeepingSQL.purgeCounts), rows("workspace_writes", HousekeepingSQL.purgeWrites),
            ("webhook_partitions", { try patiently { try db.one(HousekeepingSQL.dropWebhookPartitions) } }),
            rows("webhook_deliveries", HousekeepingSQL.purgeWebhookDeliveries), rows("webhook_events", HousekeepingSQL.purgeWebhookEvents),
            rows("notices", HousekeepingSQL.purgeNotices),
            rows("rate_limits", HousekeepingSQL.purgeRateLimits),
            ("jobs", { try jobsChores.first { $0.name == "purge-jobs" }!.run(db).reduce(0) { $0 + $1.1 } }),
        ])
    },
    Chore("sessions", "Forget sessions that ended") { db in [("ended", try untilNone { try db.run(HousekeepingSQL.endSessions) })] },
    Chore("counters", "Compare stored counters with what they count, and mend them") { db in
        [
            ("memberships_ended", try untilNone { try db.run(HousekeepingSQL.orphanedMembers) }),
            ("contacts_released", try untilNone { try db.run(HousekeepingSQL.orphanedContacts) }),
            ("segments_mended", try db.one(HousekeepingSQL.wrongMemberCounts)),
            ("ordinals_mended", try db.one(HousekeepingSQL.wrongOrdinals)),
        ]
    },
]

private func untilNone(_ batch: () throws -> Int) throws -> Int {
    var total = 0
    while case let count = try batch(), count > 0 { total += count }
    return total
}

/// Does each of these, whatever becomes of the others. The first error is thrown in the end.
private func each(_ tasks: [(name: String, work: () throws -> Int)]) throws -> [(String, Int)] {
    var counts: [(String, Int)] = []
    var failure: (any Error)?
    for task in tasks {
        do {
            counts.append((task.name, try task.work()))
        } catch {
            Log.error("part of a chore", [("part", .string(task.name)), ("error", .string(String(describing: error)))])
            failure = failure ?? error
        }
    }
    if let failure { throw failure }
    return counts
}

/// Tries again while others hold what is needed. They are waited for a second at a time, because everybody who comes
/// later stands behind.
private func patiently(_ work: () throws -> Int) throws -> Int {
    for _ in 0..<5 {
        do { return try work() } catch let error as PostgresError where error.sqlState == .lockNotAvailable { sleep(1) }
    }
    return try work()
}
