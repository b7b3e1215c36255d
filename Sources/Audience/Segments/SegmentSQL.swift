internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum SegmentSQL {
    /// One page, newest first. Keyset paging: page 900 costs what page 1 costs.
    static let page = Statement<PageRow, TimestampText, SegmentID, Int, Bool>(
        """
        SELECT segment_json(s), s.created_at, s.id
          FROM segments s
         WHERE workspace_id = current_workspace() AND (archived_at IS NOT NULL) = $4 AND segment_access(s) > 0
           AND (created_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY created_at DESC, id DESC
         LIMIT $3
        """)

    static let named = Statement<PageRow, TimestampText, SegmentID, Int, Bool, String>(
        """
        SELECT segment_json(s), s.created_at, s.id
          FROM segments s
         WHERE workspace_id = current_workspace() AND (archived_at IS NOT NULL) = $4 AND segment_access(s) > 0 AND name ILIKE $5
           AND (created_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY created_at DESC, id DESC
         LIMIT $3
        """)

    /// What whoever asks may not see is not there.
    static let read = Statement<StoredSegment, SegmentID>(
        """
        SELECT s.id, segment_json(s) AS json, s.name, s.rule, s.version, segment_access(s) AS access, s.archived_at
          FROM segments s WHERE s.workspace_id = current_workspace() AND s.id = $1 AND segment_access(s) > 0
        """)

    static let lock = Statement<StoredSegment, SegmentID>(
        """
        SELECT s.id, '{}'::json AS json, s.name, s.rule, s.version, segment_access(s) AS access, s.archived_at
          FROM segments s
         WHERE s.workspace_id = current_workspace() AND s.id = $1 AND segment_access(s) > 0
           FOR NO KEY UPDATE
        """)

    static let insert = Statement<SegmentID, String, String?, JSONValue, UserID?>(
        """
        INSERT INTO segments (workspace_id, name, description, rule, created_by)
        VALUES (current_workspace(), $1, $2, $3, $4) RETURNING id
        """)

    static let update = Statement<Int, SegmentID, String?, Bool, String?, JSONValue?>(
        """
        UPDATE segments
           SET name = coalesce($2, name), description = CASE WHEN $3 THEN $4 ELSE description END,
               rule = coalesce($5, rule), version = version + 1, updated_at = now(),
               state = CASE WHEN $5 IS NULL THEN state ELSE 'stale' END,
               problem = CASE WHEN $5 IS NULL THEN problem END
         WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let delete = Statement<Int, SegmentID>(
        """
        DELETE FROM segments WHERE workspace_id = current_workspace() AND id = $1
        """)

    // MARK: References

    static let dropReferences = Statement<Int, SegmentID>(
        """
        DELETE FROM segment_references WHERE workspace_id = current_workspace() AND segment_id = $1
        """)
    static let addReferences = Statement<Int, SegmentID, [SegmentID]>(
        """
        INSERT INTO segment_references (workspace_id, segment_id, referenced_segment_id)
        SELECT current_workspace(), $1, unnest($2::uuid[])
        """)
    static let dropListReferences = Statement<Int, SegmentID>(
        """
        DELETE FROM segment_list_references WHERE workspace_id = current_workspace() AND segment_id = $1
        """)
    static let addListReferences = Statement<Int, SegmentID, [ListID]>(
        """
        INSERT INTO segment_list_references (workspace_id, segment_id, list_id)
        SELECT current_workspace(), $1, unnest($2::uuid[])
        """)
    static let dropInputs = Statement<Int, SegmentID>(
        """
        DELETE FROM segment_inputs WHERE workspace_id = current_workspace() AND segment_id = $1
        """)
    static let addInputs = Statement<Int, SegmentID, [String]>(
        """
        INSERT INTO segment_inputs (workspace_id, segment_id, input) SELECT current_workspace(), $1, unnest($2::text[])
        """)
    /// Two rules that are saved at once could close a circle that neither sees: one waits for the other.
    static let lockReferences = Statement<Bool>(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('segment references ' || current_workspace()::text, 0)) IS NULL
        """)
    /// A way from one of `$2` to `$1`: with the new reference it would be a circle.
    static let circle = Statement<Circle, SegmentID, [SegmentID]>(
        """
        WITH RECURSIVE way AS (
            SELECT s.id, ARRAY[segment_label(s)] AS names, ARRAY[s.id] AS seen FROM segments s
             WHERE s.workspace_id = current_workspace() AND s.id = ANY ($2::uuid[])
            UNION ALL
            SELECT s.id, way.names || segment_label(s), way.seen || s.id
              FROM way
              JOIN segment_references r ON r.workspace_id = current_workspace() AND r.segment_id = way.id
              JOIN segments s ON s.workspace_id = current_workspace() AND s.id = r.referenced_segment_id
             WHERE s.id <> ALL (way.seen))
        SELECT seen[1] AS first, names FROM way WHERE id = $1 LIMIT 1
        """)
    static let users = Statement<String, SegmentID>(
        """
        SELECT 'segment ' || segment_label(s) FROM segment_references r
          JOIN segments s ON s.workspace_id = r.workspace_id AND s.id = r.segment_id
         WHERE r.workspace_id = current_workspace() AND r.referenced_segment_id = $1
        UNION ALL
        SELECT 'campaign ' || c.name FROM campaigns c
         WHERE c.workspace_id = current_workspace() AND c.segment_id = $1 AND c.status IN ('draft', 'scheduled', 'freezing')
        """)
    static let referenced = Statement<SegmentID, SegmentID>(
        """
        SELECT referenced_segment_id FROM segment_references WHERE workspace_id = current_workspace() AND segment_id = $1
        """)
    static let outdatedReferenced = Statement<SegmentID, SegmentID>(
        """
        SELECT r.referenced_segment_id FROM segment_references r
          JOIN segments s ON s.workspace_id = r.workspace_id AND s.id = r.referenced_segment_id
         WHERE r.workspace_id = current_workspace() AND r.segment_id = $1 AND s.state <> 'ready'
        """)
    static let readers = Statement<SegmentID, SegmentID>(
        """
        SELECT segment_id FROM segment_references WHERE workspace_id = current_workspace() AND referenced_segment_id = $1
        """)

    // MARK: Membership

    static let members = Statement<PageRow, SegmentID, ContactID, Int>(
        """
        SELECT contact_json(c), m.contact_id
          FROM segment_members m
          JOIN contacts c ON c.workspace_id = m.workspace_id AND c.id = m.contact_id
         WHERE m.workspace_id = current_workspace() AND m.segment_id = $1 AND m.contact_id > $2
         ORDER BY m.contact_id
         LIMIT $3
        """)
    static let history = Statement<PageRow, SegmentID, TimestampText, ContactID, String, Int>(
        """
        SELECT json_build_object('contact_id', contact_id, 'change', change, 'occurred_at', rfc3339(occurred_at)),
               occurred_at, contact_id, change
          FROM segment_changes
         WHERE workspace_id = current_workspace() AND segment_id = $1
           AND (occurred_at, contact_id, change) < ($2::timestamptz, $3, $4)
         ORDER BY occurred_at DESC, contact_id DESC, change DESC
         LIMIT $5
        """)
    /// Some members of a segment that is gone.
    static let forgetMembers = Statement<Int, SegmentID, Int>(
        """
        DELETE FROM segment_members m
         WHERE m.workspace_id = current_workspace() AND m.segment_id = $1 AND m.contact_id = ANY (ARRAY(
               SELECT o.contact_id FROM segment_members o
                WHERE o.workspace_id = current_workspace() AND o.segment_id = $1
                  AND NOT EXISTS (SELECT FROM segments s WHERE s.workspace_id = current_workspace() AND s.id = $1)
                LIMIT $2))
        """)
    /// Keeps two calculations of one segment apart, and nobody else.
    static let lockCalculation = Statement<Bool, SegmentID>(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('calculation ' || $1::uuid::text, 0)) IS NULL
            OR pg_advisory_xact_lock(hashtextextended('segment ' || $1::uuid::text, 0)) IS NULL
        """)
    /// Not when the rule was changed meanwhile: then the membership is another rule's. A refresh that changed nothing
    /// writes nothing (`$4` false); a calculation that somebody asked for, or waits for, always tells its instant.
    static let calculated = Statement<Int, SegmentID, Instant, JSONValue, Bool>(
        """
        UPDATE segments SET calculated_at = $2, state = 'ready', problem = NULL
         WHERE workspace_id = current_workspace() AND id = $1 AND rule = $3 AND (state <> 'ready' OR $4)
        """)
    /// Whether the membership should be right at `$2`: live, and nothing that time changes is waiting.
    static let isFresh = Statement<Bool, SegmentID, Instant>(
        """
        SELECT EXISTS (SELECT FROM segments
                        WHERE workspace_id = current_workspace() AND id = $1 AND schedule = 'live' AND state = 'ready'
                          AND (next_flip_at IS NULL OR next_flip_at > $2))
        """)
    /// What time will change next (`$3`), unless the rule was changed meanwhile. Not written while what is known is right.
    static let sweptByCalculation = Statement<Int, SegmentID, Instant, Instant?, JSONValue>(
        """
        UPDATE segments SET swept_at = $2, next_flip_at = $3
         WHERE workspace_id = current_workspace() AND id = $1 AND rule = $4
           AND (swept_at IS NULL OR coalesce(next_flip_at, 'infinity') <= $2
                OR coalesce(next_flip_at, 'infinity') > coalesce($3::timestamptz, 'infinity'))
        """)
    static let failed = Statement<Int, SegmentID, String>(
        """
        UPDATE segments SET state = 'failed', problem = $2 WHERE workspace_id = current_workspace() AND id = $1
        """)
    // MARK: Around a compiled predicate

    /// The difference between who is in and who should be, in one statement. History and counter follow by trigger.
    /// A full join hashes or merges whatever the planner expects; loops over a new segment would be quadratic.
    static func difference(_ rule: CompiledRule, segment: SegmentID) -> (sql: String, values: [SQLValue]) {
        let id = "$\(rule.values.count + 1)::uuid"
        let at = "$\(rule.values.count + 2)::timestamptz"
        return (
            """
            WITH target AS MATERIALIZED (SELECT c.id FROM contacts c WHERE \(rule.predicate)),
                 difference AS MATERIALIZED (
                    SELECT t.id AS come, m.contact_id AS gone
                      FROM target t
                      FULL JOIN (SELECT s.contact_id FROM segment_members s
                                  WHERE s.workspace_id = current_workspace() AND s.segment_id = \(id)) m ON m.contact_id = t.id
                     WHERE t.id IS NULL OR m.contact_id IS NULL),
                 gone AS (
                    DELETE FROM segment_members s
                     WHERE s.workspace_id = current_workspace() AND s.segment_id = \(id)
                       AND s.contact_id = ANY (ARRAY(SELECT d.gone FROM difference d WHERE d.come IS NULL))
                    RETURNING 1),
                 come AS (
                    INSERT INTO segment_members (workspace_id, segment_id, contact_id, entered_at)
                    SELECT current_workspace(), \(id), d.come, \(at) FROM difference d WHERE d.gone IS NULL
                    RETURNING 1)
            SELECT (SELECT count(*) FROM target) AS members, (SELECT count(*) FROM come) AS entered,
                   (SELECT count(*) FROM gone) AS exited,
                   (SELECT count(*) FROM difference d
                     -- Hashed, whatever the planner knows of a table that is full and empty by turns.
                     WHERE coalesce(d.come, d.gone) NOT IN (
                           SELECT w.contact_id FROM dirty_contacts w WHERE w.workspace_id = current_workspace())) AS unmarked
            """, rule.values + [segment.sqlValue, rule.asOf.sqlValue]
        )
    }

    /// The same for some contacts only, to which the rule was compiled. One row per contact that came or went.
    static func difference(_ rule: CompiledRule, segment: SegmentID, among contacts: [ContactID]) -> (sql: String, values: [SQLValue]) {
        let id = "$\(rule.values.count + 1)::uuid"
        let at = "$\(rule.values.count + 2)::timestamptz"
        let those = "$\(rule.values.count + 3)::uuid[]"
        return (
            """
            WITH target AS MATERIALIZED (SELECT c.id FROM contacts c WHERE \(rule.predicate)),
                 member AS MATERIALIZED (
                    -- A look by key for each: the planner would read the whole segment for an array that it knows.
                    SELECT s.contact_id FROM segment_members s
                     WHERE s.workspace_id = current_workspace() AND s.segment_id = \(id)
                       AND s.contact_id = ANY (ARRAY(SELECT unnest(\(those))))),
                 gone AS (
                    DELETE FROM segment_members s
                     WHERE s.workspace_id = current_workspace() AND s.segment_id = \(id)
                       AND s.contact_id = ANY (ARRAY(SELECT m.contact_id FROM member m EXCEPT SELECT t.id FROM target t))
                    RETURNING s.contact_id),
                 come AS (
                    INSERT INTO segment_members (workspace_id, segment_id, contact_id, entered_at)
                    SELECT current_workspace(), \(id), t.id, \(at) FROM target t
                     WHERE NOT EXISTS (SELECT FROM member m WHERE m.contact_id = t.id)
                    RETURNING contact_id)
            SELECT contact_id FROM gone UNION ALL SELECT contact_id FROM come
            """, rule.values + [segment.sqlValue, rule.asOf.sqlValue, contacts.sqlValue]
        )
    }

    /// For this transaction: a rule runs once, and what it compares with decides how. Responders plan otherwise.
    static let planByValues = Statement<String>("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")

    static func count(_ rule: CompiledRule) -> String { "SELECT count(*) FROM contacts c WHERE \(rule.predicate)" }

    /// Whom of them a campaign could write to now: the same reasons as Messaging's.
    static func reachable(_ rule: CompiledRule) -> String {
        """
        SELECT count(*) FILTER (WHERE c.phone IS NOT NULL AND \(consent("ks", "ss"))) AS sms,
               count(*) FILTER (WHERE c.email IS NOT NULL AND \(consent("ke", "se"))) AS email
          FROM contacts c
          LEFT JOIN consents ks ON ks.workspace_id = c.workspace_id AND ks.contact_id = c.id AND ks.channel = 'sms'
          LEFT JOIN consents ke ON ke.workspace_id = c.workspace_id AND ke.contact_id = c.id AND ke.channel = 'email'
          LEFT JOIN suppressions ss ON ss.workspace_id = c.workspace_id AND ss.channel = 'sms' AND ss.address = c.phone
          LEFT JOIN suppressions se ON se.workspace_id = c.workspace_id AND se.channel = 'email' AND se.address = c.email
         WHERE \(rule.predicate)
        """
    }

    private static func consent(_ k: String, _ s: String) -> String {
        """
        \(s).reason IS NULL AND CASE coalesce(\(k).state, 'unknown')
            WHEN 'opted_in' THEN true
            WHEN 'unknown' THEN (SELECT coalesce(settings ->> 'consent_mode', 'opt_in') = 'opt_out'
                                   FROM workspaces WHERE id = current_workspace())
            ELSE false END
        """
    }

    static func ids(_ rule: CompiledRule) -> String { "SELECT c.id FROM contacts c WHERE \(rule.predicate) ORDER BY c.id" }

    static func sample(_ rule: CompiledRule) -> String {
        "SELECT c.id FROM contacts c WHERE \(rule.predicate) ORDER BY c.id LIMIT 10"
    }
}

struct StoredSegment: RowDecodable {
    let id: SegmentID
    let json: JSONText
    let name: String
    let rule: JSONValue
    let version: Int
    /// What whoever asks may do with it; see `segment_access`.
    let access: Int
    let archivedAt: Instant?
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        json = try row["json"]
        name = try row["name"]
        rule = try row["rule"]
        version = try row["version"]
        access = try row["access"]
        archivedAt = try row["archived_at"]
    }
}

struct DifferenceRow: RowDecodable {
    let members: Int
    let entered: Int
    let exited: Int
    /// Of both, those that no mark asks to be looked at.
    let unmarked: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        members = try row["members"]
        entered = try row["entered"]
        exited = try row["exited"]
        unmarked = try row["unmarked"]
    }
}

/// Members that a campaign could write to.
struct Reachable: RowDecodable {
    let sms: Int
    let email: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        sms = try row["sms"]
        email = try row["email"]
    }
}

/// The segment of the rule with which a circle begins, and the names along the way.
struct Circle: RowDecodable {
    let first: SegmentID
    let names: [String]
    init(_ row: borrowing Row) throws(PostgresError) {
        first = try row["first"]
        names = try row["names"]
    }
}
