// Recency, frequency and monetary value: in which fifth of the buyers a contact is, by each.
//
// Source: Hughes 1994, with equal values in one fifth instead of being torn apart by chance.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum RFM {
    /// Fewer buyers than this have no fifths worth the name: five for each.
    static let leastBuyers = 25

    struct Result {
        let contacts: Int
        let changed: Int
    }

    /// In the open transaction and its workspace. - Returns: `nil` when nobody has said what a purchase is.
    static func calculate(_ db: Connection) throws -> Result? {
        try db.setLocalTimeout(seconds: 600)
        _ = try db.one(RFMSQL.alone)
        guard let settings = try db.first(RFMSQL.lock) else { return nil }
        // By SQL's clock: an event of this moment counts.
        let counts = try db.one(RFMSQL.write, settings.event, settings.path, settings.windowDays, leastBuyers, Scores.mostMarks)
        let problem =
            counts.buyers >= leastBuyers
            ? nil
            : "Only \(counts.buyers) contacts did \(settings.event) in \(settings.windowDays) days; fifths need at least \(leastBuyers)."
        try db.run(RFMSQL.calculated, problem)
        if counts.changed > Scores.mostMarks { try Scores.recalculate(readersOf: RuleContext.rfm.keys.sorted(), db) }
        return Result(contacts: problem == nil ? counts.buyers : 0, changed: counts.changed)
    }

    /// What is left of groups that nobody wants any more, in batches. - Returns: how many contacts had one.
    static func drop(inTransaction: ((Connection) throws -> Void) throws -> Void) throws -> Int {
        var (total, dropped) = (0, 0)
        repeat {
            try inTransaction { db in
                _ = try db.one(RFMSQL.alone)
                // Not when somebody has said again what a purchase is: those are theirs.
                dropped = try db.first(RFMSQL.lock) == nil ? try db.run(RFMSQL.drop, 10_000) : 0
                // With the first, because a worker that dies finds nothing left to drop; and with the last.
                if (total == 0) != (dropped == 0) { try Scores.recalculate(readersOf: RuleContext.rfm.keys.sorted(), db) }
            }
            total += dropped
        } while dropped > 0
        return total
    }

    /// In a transaction after that of the groups.
    static func recalculateReaders(savedSince start: Instant, _ db: Connection) throws {
        try Scores.recalculate(readersOf: RuleContext.rfm.keys.sorted(), since: start, db)
    }
}

struct RFMSettings: RowDecodable {
    let event: String
    /// Keys into the event's properties; empty: purchases have no value.
    let path: [String]
    let windowDays: Int
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        event = try row["event"]
        let property: String? = try row["value_property"]
        path = property.map { $0.split(separator: ".").map(String.init) } ?? []
        windowDays = try row["window_days"]
        version = try row["version"]
    }
}

struct RFMCounts: RowDecodable {
    let buyers: Int
    let changed: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        buyers = try row["buyers"]
        changed = try row["changed"]
    }
}

enum RFMSQL {
    static let lock = Statement<RFMSettings>(
        """
        SELECT event, value_property, window_days, version FROM rfm_settings WHERE workspace_id = current_workspace() FOR NO KEY UPDATE
        """)
    static let set = Statement<Int, String, String?, Int>(
        """
        INSERT INTO rfm_settings AS r (workspace_id, event, value_property, window_days) VALUES (current_workspace(), $1, $2, $3)
        ON CONFLICT (workspace_id) DO UPDATE
           SET event = excluded.event, value_property = excluded.value_property, window_days = excluded.window_days, updated_at = now(),
               version = r.version + 1
        """)
    /// Groups are not removed while they are written. Until the transaction ends.
    static let alone = Statement<Bool>(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('rfm ' || current_workspace()::text, 0)) IS NULL
        """)
    static let delete = Statement<Int>(
        """
        DELETE FROM rfm_settings WHERE workspace_id = current_workspace()
        """)
    static let drop = Statement<Int, Int>(
        """
        DELETE FROM contact_rfm
         WHERE workspace_id = current_workspace()
           AND contact_id = ANY (ARRAY(SELECT r.contact_id FROM contact_rfm r WHERE r.workspace_id = current_workspace() LIMIT $1))
        """)
    static let calculated = Statement<Int, String?>(
        """
        UPDATE rfm_settings SET state = CASE WHEN $1::text IS NULL THEN 'ready' ELSE 'too_few' END, problem = $1, calculated_at = now()
         WHERE workspace_id = current_workspace()
        """)

    /// The grid, and the groups that its cells are in. An answer before anybody has said what a purchase is says that.
    static let read = Statement<Stored>(
        """
        SELECT json_build_object(
                   'event', s.event, 'value_property', s.value_property, 'window_days', s.window_days, 'state', coalesce(s.state, 'unset'),
                   'problem', s.problem, 'as_of', rfc3339(s.calculated_at),
                   'contacts', (SELECT count(*) FROM contact_rfm r WHERE r.workspace_id = current_workspace()),
                   'grid', (SELECT coalesce(json_agg(g ORDER BY g.recency DESC, g.frequency DESC), '[]') FROM (
                       SELECT r.recency, r.frequency, count(*) AS contacts, round(avg(r.value_sum), 2) AS mean_value
                         FROM contact_rfm r WHERE r.workspace_id = current_workspace() GROUP BY r.recency, r.frequency) g),
                   'groups', (SELECT coalesce(json_agg(g ORDER BY g.contacts DESC, g."group"), '[]') FROM (
                       SELECT r.rfm_group AS "group", count(*) AS contacts, round(avg(r.value_sum), 2) AS mean_value,
                              round(avg(r.event_count), 2) AS mean_count
                         FROM contact_rfm r WHERE r.workspace_id = current_workspace() GROUP BY r.rfm_group) g),
                   'version', coalesce(s.version, 0)) AS item,
               coalesce(s.version, 0) AS version
          FROM (SELECT 1) one LEFT JOIN rfm_settings s ON s.workspace_id = current_workspace()
        """)

    /// The fifths of all buyers, written as differences. A fifth is that of the middle of those who are equal: rank() - 1
    /// are below, cume_dist() tells how many are not above. In whole numbers, so that no rounding moves a border.
    static let write = Statement<RFMCounts, String, [String], Int, Int, Int>(
        """
        WITH bought AS MATERIALIZED (
                SELECT e.contact_id, max(e.occurred_at) AS last_at, count(*) AS event_count,
                       CASE WHEN cardinality($2::text[]) > 0 THEN coalesce(sum(number_of(e.properties #> $2::text[])), 0) END AS value_sum
                  FROM events e
                  JOIN contacts c ON c.workspace_id = e.workspace_id AND c.id = e.contact_id
                 WHERE e.workspace_id = current_workspace() AND e.name = $1 AND e.occurred_at <= now()
                   AND e.occurred_at > now() - make_interval(days => $3)
                 GROUP BY e.contact_id),
             placed AS (
                SELECT b.*, count(*) OVER () AS buyers,
                       rank() OVER r - 1 AS r_below, (cume_dist() OVER r * count(*) OVER ())::numeric AS r_within,
                       rank() OVER f - 1 AS f_below, (cume_dist() OVER f * count(*) OVER ())::numeric AS f_within,
                       rank() OVER m - 1 AS m_below, (cume_dist() OVER m * count(*) OVER ())::numeric AS m_within
                  FROM bought b
                WINDOW r AS (ORDER BY b.last_at), f AS (ORDER BY b.event_count), m AS (ORDER BY b.value_sum)),
             fifths AS (
                SELECT p.contact_id, p.last_at, p.event_count, p.value_sum, p.buyers,
                       (1 + 5 * (p.r_below + round(p.r_within)::bigint) / (2 * p.buyers))::smallint AS recency,
                       (1 + 5 * (p.f_below + round(p.f_within)::bigint) / (2 * p.buyers))::smallint AS frequency,
                       CASE WHEN p.value_sum IS NOT NULL
                            THEN (1 + 5 * (p.m_below + round(p.m_within)::bigint) / (2 * p.buyers))::smallint END AS monetary
                  FROM placed p),
             target AS MATERIALIZED (
                SELECT f.*, rfm_group(f.recency, f.frequency, f.monetary) AS rfm_group FROM fifths f WHERE f.buyers >= $4),
             gone AS (
                DELETE FROM contact_rfm r
                 WHERE r.workspace_id = current_workspace() AND NOT EXISTS (SELECT FROM target t WHERE t.contact_id = r.contact_id)
                RETURNING r.contact_id),
             written AS (
                INSERT INTO contact_rfm AS r (workspace_id, contact_id, recency, frequency, monetary, rfm_group, last_at, event_count,
                                              value_sum, calculated_at)
                SELECT current_workspace(), t.contact_id, t.recency, t.frequency, t.monetary, t.rfm_group, t.last_at, t.event_count,
                       t.value_sum, now()
                  FROM target t
                  LEFT JOIN contact_rfm o ON o.workspace_id = current_workspace() AND o.contact_id = t.contact_id
                 WHERE (o.recency, o.frequency, o.monetary, o.last_at, o.event_count, o.value_sum)
                       IS DISTINCT FROM (t.recency, t.frequency, t.monetary, t.last_at, t.event_count, t.value_sum)
                ON CONFLICT (workspace_id, contact_id) DO UPDATE
                   SET recency = excluded.recency, frequency = excluded.frequency, monetary = excluded.monetary,
                       rfm_group = excluded.rfm_group, last_at = excluded.last_at, event_count = excluded.event_count,
                       value_sum = excluded.value_sum, calculated_at = excluded.calculated_at
                RETURNING r.contact_id),
             changed AS (SELECT g.contact_id FROM gone g UNION ALL SELECT w.contact_id FROM written w),
             marked AS (
                INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
                SELECT current_workspace(), c.contact_id, i.reads
                  FROM changed c
                  JOIN (SELECT array_agg(DISTINCT s.input) AS reads FROM segment_inputs s
                         WHERE s.workspace_id = current_workspace()
                           AND s.input IN ('rfm.recency', 'rfm.frequency', 'rfm.monetary', 'rfm.group')) i ON i.reads IS NOT NULL
                 WHERE (SELECT count(*) FROM changed) <= $5)
        SELECT (SELECT count(*) FROM bought) AS buyers, (SELECT count(*) FROM changed) AS changed
        """)
}
