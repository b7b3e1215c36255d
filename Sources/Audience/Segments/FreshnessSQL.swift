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

    /// Less than the second after which the server looks for a deadlock. Without waiting for the disk: marks whose look a crash
    /// loses are there again, and are looked at again. And a process that stands still in here keeps nobody from the contacts for
    /// longer than the minute.
    static let giveWay = Statement<String>(
        """
        SELECT set_config('lock_timeout', '400ms', true) || set_config('synchronous_commit', 'off', true)
            || set_config('idle_in_transaction_session_timeout', '60s', true)
        """)

    /// Takes the oldest marks, and a quarter as many of those for single segments, which time and postponing made and which
    /// are not to stand behind an import. They are gone when, and only when, the transaction that looked commits. Contacts
    /// with the same words come together; and each word with the live segments that must look at whoever it was written of.
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
             groups AS MATERIALIZED (
                SELECT t.reads, array_agg(t.contact_id) AS contacts, count(*) AS taken, min(t.marked_at) AS since
                  FROM taken t GROUP BY t.reads),
             words AS MATERIALIZED (SELECT DISTINCT r.input FROM groups g CROSS JOIN LATERAL unnest(g.reads) r (input)),
             live AS MATERIALIZED (SELECT s.id FROM segments s
                               WHERE s.workspace_id = current_workspace() AND s.schedule = 'live' AND s.archived_at IS NULL),
             readers AS (
                SELECT w.input, l.id FROM words w CROSS JOIN live l WHERE w.input = '*'
                UNION
                SELECT w.input, l.id FROM words w
                  JOIN segment_inputs i ON i.workspace_id = current_workspace() AND i.input = w.input JOIN live l ON l.id = i.segment_id
                UNION
                SELECT w.input, l.id FROM words w
                  JOIN segment_inputs i ON i.workspace_id = current_workspace() AND i.input = 'campaign:*' JOIN live l ON l.id = i.segment_id
                 WHERE w.input LIKE 'campaign:%'
                UNION
                SELECT w.input, l.id FROM words w JOIN live l ON w.input = 'segment:' || l.id)
        SELECT NULL AS word, g.reads, g.contacts AS ids, g.taken, g.since FROM groups g
        UNION ALL
        SELECT r.input, NULL, array_agg(r.id), 0, NULL FROM readers r GROUP BY r.input
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

/// Contacts whose marks have the same words; or a word, and the segments that it is read by.
enum Marked: RowDecodable {
    /// How many marks they had, and when the oldest was written.
    case contacts([ContactID], reads: [String], taken: Int, since: Instant)
    case readers([SegmentID], of: String)
    init(_ row: borrowing Row) throws(PostgresError) {
        if let word: String = try row["word"] {
            self = .readers(try row["ids"], of: word)
        } else {
            self = .contacts(try row["ids"], reads: try row["reads"], taken: try row["taken"], since: try row["since"])
        }
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
