internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum FreshnessSQL {
    static let workspaces = Statement<WorkspaceID>("SELECT workspaces_to_freshen()")

    /// One at a time per workspace: of two that looked at the same contact, the older look could be written last.
    static let tryWorkspace = Statement<Bool>(
        """
        SELECT pg_try_advisory_xact_lock(hashtextextended('freshness ' || current_workspace()::text, 0))
        """)

    /// Less than the second after which the server looks for a deadlock.
    static let giveWay = Statement<String>("SELECT set_config('lock_timeout', '400ms', true)")

    /// Takes the oldest marks, and a quarter as many of those for single segments, which time and postponing made and which
    /// are not to stand behind an import; and tells which live segments must look at which contacts. They are gone when, and only
    /// when, the transaction that looked commits. A first row without a segment tells how many there were.
    static let take = Statement<Marked, Int>(
        """
        WITH oldest AS MATERIALIZED (
                (SELECT d.id FROM dirty_contacts d WHERE d.workspace_id = current_workspace() ORDER BY d.id LIMIT $1)
                UNION
                (SELECT d.id FROM dirty_contacts d WHERE d.workspace_id = current_workspace() AND d.reads[1] LIKE 'segment:%'
                  ORDER BY d.marked_at LIMIT $1 / 4)),
             taken AS (
                DELETE FROM dirty_contacts d
                 WHERE d.workspace_id = current_workspace() AND d.id = ANY (ARRAY(SELECT o.id FROM oldest o))
                RETURNING d.contact_id, d.reads, d.marked_at),
             marks AS MATERIALIZED (SELECT DISTINCT t.contact_id, r.input FROM taken t CROSS JOIN LATERAL unnest(t.reads) r (input)),
             live AS MATERIALIZED (SELECT s.id FROM segments s
                               WHERE s.workspace_id = current_workspace() AND s.schedule = 'live' AND s.archived_at IS NULL),
             concerned AS (
                SELECT l.id, m.contact_id FROM marks m CROSS JOIN live l WHERE m.input = '*'
                UNION
                SELECT l.id, m.contact_id FROM marks m
                  JOIN segment_inputs i ON i.workspace_id = current_workspace() AND i.input = m.input JOIN live l ON l.id = i.segment_id
                UNION
                SELECT l.id, m.contact_id FROM marks m
                  JOIN segment_inputs i ON i.workspace_id = current_workspace() AND i.input = 'campaign:*' JOIN live l ON l.id = i.segment_id
                 WHERE m.input LIKE 'campaign:%'
                UNION
                SELECT l.id, m.contact_id FROM marks m JOIN live l ON m.input = 'segment:' || l.id)
        SELECT NULL::uuid AS segment_id, coalesce(array_agg(m.contact_id) FILTER (WHERE m.input = 'contacted'), '{}') AS contacts,
               (SELECT count(*) FROM taken) AS taken, (SELECT coalesce(min(t.marked_at), now()) FROM taken t) AS since FROM marks m
        UNION ALL
        SELECT c.id, array_agg(c.contact_id), 0, now() FROM concerned c GROUP BY c.id
        """)

    /// Those of these contacts that exist, and whether somebody is deleting one or changing what identifies it. Nobody is
    /// waited for: whoever waited here while holding a segment's counter could be what the other one waits for.
    static let hold = Statement<HeldContact, [ContactID]>(
        """
        WITH held AS MATERIALIZED (
            SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = ANY ($1) ORDER BY c.id
               FOR KEY SHARE SKIP LOCKED)
        SELECT c.id, h.id IS NOT NULL AS is_held
          FROM contacts c LEFT JOIN held h ON h.id = c.id
         WHERE c.workspace_id = current_workspace() AND c.id = ANY ($1)
        """)

    /// Marks contacts again, for one segment, as of when they were marked.
    static let postpone = Statement<Int, SegmentID, [ContactID], Instant>(
        """
        INSERT INTO dirty_contacts (workspace_id, contact_id, reads, marked_at)
        SELECT current_workspace(), c, ARRAY['segment:' || $1::uuid], $3 FROM unnest($2::uuid[]) c
        """)

    /// Whether a calculation of the segment waits: it will begin later than now, and see all that has been changed.
    static let calculationWaits = Statement<Bool, String>(
        """
        SELECT EXISTS (SELECT FROM jobs
                        WHERE workspace_id = current_workspace() AND kind = 'calculate_segment' AND state = 'queued'
                          AND payload ->> 'segment_id' = $1)
        """)

    /// A look that took too long is left to a calculation, which may take longer.
    static let leaveToCalculation = Statement<Int, SegmentID>(
        """
        UPDATE segments SET state = 'stale', problem = NULL WHERE workspace_id = current_workspace() AND id = $1
        """)

    /// Sets when contacts were last written to. Those whom somebody holds come again.
    static let contacted = Statement<Int, [ContactID]>(
        """
        WITH held AS MATERIALIZED (
                SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = ANY ($1) ORDER BY c.id
                   FOR NO KEY UPDATE SKIP LOCKED),
             again AS (
                INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
                SELECT current_workspace(), c.id, '{contacted}' FROM contacts c
                 WHERE c.workspace_id = current_workspace() AND c.id = ANY ($1) AND NOT EXISTS (SELECT FROM held h WHERE h.id = c.id))
        UPDATE contacts c SET last_contacted_at = m.sent_at
          FROM held h
         CROSS JOIN LATERAL (SELECT max(e.sent_at) AS sent_at FROM messages e
                              WHERE e.workspace_id = current_workspace() AND e.contact_id = h.id AND e.kind = 'campaign') m
         WHERE c.workspace_id = current_workspace() AND c.id = h.id
           AND m.sent_at > coalesce(c.last_contacted_at, '-infinity')
        """)

    /// Which segments read which, of the whole workspace.
    static let references = Statement<SegmentReference>(
        """
        SELECT segment_id, referenced_segment_id FROM segment_references WHERE workspace_id = current_workspace()
        """)

    /// Keeps calculations of this segment away, unless one is at it.
    static let trySegment = Statement<Bool, SegmentID>(
        """
        SELECT pg_try_advisory_xact_lock(hashtextextended('segment ' || $1::uuid::text, 0))
        """)

    static let liveRule = Statement<JSONValue, SegmentID>(
        """
        SELECT rule FROM segments
         WHERE workspace_id = current_workspace() AND id = $1 AND schedule = 'live' AND state = 'ready' AND archived_at IS NULL
        """)

    /// After a look at some contacts, of which the first will flip at `$2`. A sweep under way may not have seen them: it
    /// finds the note. What has passed is no note of anything that lies ahead.
    static let flipsAt = Statement<Int, SegmentID, Instant, JSONValue>(
        """
        UPDATE segments
           SET next_flip_at = least(next_flip_at, greatest($2, sweep_not_before)),
               noted_flip_at = CASE WHEN noted_flip_at > now() THEN least(noted_flip_at, $2) ELSE $2 END
         WHERE workspace_id = current_workspace() AND id = $1 AND rule = $3
           AND (coalesce(next_flip_at, 'infinity') > greatest($2, sweep_not_before)
                OR noted_flip_at IS NULL OR noted_flip_at <= now() OR noted_flip_at > $2)
        """)
}

/// What marks ask of a segment; without a segment, who was written to, and how many marks there were.
struct Marked: RowDecodable {
    let segment: SegmentID?
    let contacts: [ContactID]
    let taken: Int
    /// When the oldest of them was written.
    let since: Instant
    init(_ row: borrowing Row) throws(PostgresError) {
        segment = try row["segment_id"]
        contacts = try row["contacts"]
        taken = try row["taken"]
        since = try row["since"]
    }
}

struct HeldContact: RowDecodable {
    let id: ContactID
    let isHeld: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        isHeld = try row["is_held"]
    }
}

struct SegmentReference: RowDecodable {
    let reader: SegmentID
    let read: SegmentID
    init(_ row: borrowing Row) throws(PostgresError) {
        reader = try row["segment_id"]
        read = try row["referenced_segment_id"]
    }
}
