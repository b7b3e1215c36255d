// What each kind does to one batch. Its contacts are locked, so what is read here is what is changed. The batch keeps
// what it changed, and that it was acted on, in the same statement: it is done once or not at all.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum ActSQL {
    /// Owners take turns along the audience. `$3`: the owners; `$4`: only for those who belong to nobody.
    static let assign = Statement<ActOutcome, SegmentActionID, Int, [UserID], Bool>(
        """
        WITH turn AS (
                SELECT CASE WHEN $4 THEN a.changed_count ELSE a.changed_count + a.unchanged_count END AS first
                  FROM segment_actions a WHERE a.workspace_id = current_workspace() AND a.id = $1),
             found AS MATERIALIZED (
                SELECT c.id, c.assigned_to AS before,
                       ($3::uuid[])[1 + (turn.first + row_number() OVER (ORDER BY c.id) - 1) % cardinality($3::uuid[])] AS after
                  FROM turn CROSS JOIN segment_action_batches b CROSS JOIN unnest(b.contact_ids) AS i (contact_id)
                  JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = i.contact_id
                 WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
                   AND NOT ($4 AND c.assigned_to IS NOT NULL)),
             changed AS (
                UPDATE contacts c SET assigned_to = f.after, updated_at = now(), version = c.version + 1
                  FROM found f
                 WHERE c.workspace_id = current_workspace() AND c.id = f.id AND f.before IS DISTINCT FROM f.after
                RETURNING c.id, f.before, f.after)
        UPDATE segment_action_batches
           SET acted_at = now(), changes = (
               SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'before', c.before, 'after', c.after)), '[]') FROM changed c)
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING jsonb_array_length(changes) AS changed, 0 AS refused
        """)

    /// `$3`: tags to add; `$4`: tags to take off. As in rules, case is no difference: who has VIP needs no vip, and loses
    /// VIP when vip is taken off. Nobody gets more than 100.
    static let tag = Statement<ActOutcome, SegmentActionID, Int, [String], [String]>(
        """
        WITH found AS MATERIALIZED (
                SELECT c.id, cardinality(c.tags) AS size,
                       ARRAY(SELECT t FROM unnest($3::text[]) t WHERE lower(t) <> ALL (lower_all(c.tags))) AS added,
                       ARRAY(SELECT t FROM unnest(c.tags) t WHERE lower(t) = ANY (lower_all($4::text[]))) AS removed
                  FROM segment_action_batches b CROSS JOIN unnest(b.contact_ids) AS i (contact_id)
                  JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = i.contact_id
                 WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2),
             judged AS MATERIALIZED (
                SELECT f.*, f.added <> '{}' AND f.size + cardinality(f.added) - cardinality(f.removed) > 100 AS is_refused
                  FROM found f WHERE f.added <> '{}' OR f.removed <> '{}'),
             changed AS (
                UPDATE contacts c
                   SET tags = ARRAY(SELECT t FROM unnest(c.tags) t WHERE t <> ALL (j.removed)) || j.added,
                       updated_at = now(), version = c.version + 1
                  FROM judged j
                 WHERE c.workspace_id = current_workspace() AND c.id = j.id AND NOT j.is_refused
                RETURNING c.id, j.added, j.removed)
        UPDATE segment_action_batches
           SET acted_at = now(), changes = (
               SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'added', c.added, 'removed', c.removed)), '[]') FROM changed c)
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING jsonb_array_length(changes) AS changed, (SELECT count(*) FROM judged WHERE is_refused) AS refused
        """)

    /// `$3`: keys into the attributes; `$4`: the value, NULL to remove it. A value takes no object's place.
    static let attribute = Statement<ActOutcome, SegmentActionID, Int, [String], JSONValue?>(
        """
        WITH found AS MATERIALIZED (
                SELECT c.id, c.attributes #> $3::text[] AS before, put_attribute(c.attributes, $3::text[], $4::jsonb) AS after
                  FROM segment_action_batches b CROSS JOIN unnest(b.contact_ids) AS i (contact_id)
                  JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = i.contact_id
                 WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2),
             judged AS MATERIALIZED (
                SELECT f.*, f.after IS NULL OR (jsonb_typeof(f.before) = 'object' AND $4::jsonb IS NOT NULL) IS TRUE
                            OR pg_column_size(f.after) > 262144 AS is_refused
                  FROM found f WHERE f.before IS DISTINCT FROM $4::jsonb),
             changed AS (
                UPDATE contacts c SET attributes = j.after, updated_at = now(), version = c.version + 1
                  FROM judged j
                 WHERE c.workspace_id = current_workspace() AND c.id = j.id AND NOT j.is_refused
                RETURNING c.id, j.before)
        UPDATE segment_action_batches
           SET acted_at = now(), changes = (
               SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'before', c.before)), '[]') FROM changed c)
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING jsonb_array_length(changes) AS changed, (SELECT count(*) FROM judged WHERE is_refused) AS refused
        """)

    /// `$3`: status, timezone or country; `$4`: the value, NULL to make it missing.
    static let column = Statement<ActOutcome, SegmentActionID, Int, String, String?>(
        """
        WITH found AS MATERIALIZED (
                SELECT c.id, CASE $3 WHEN 'status' THEN c.status WHEN 'timezone' THEN c.timezone ELSE c.country END AS before
                  FROM segment_action_batches b CROSS JOIN unnest(b.contact_ids) AS i (contact_id)
                  JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = i.contact_id
                 WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2),
             changed AS (
                UPDATE contacts c
                   SET status = CASE $3 WHEN 'status' THEN $4 ELSE c.status END,
                       timezone = CASE $3 WHEN 'timezone' THEN $4 ELSE c.timezone END,
                       country = CASE $3 WHEN 'country' THEN $4 ELSE c.country END,
                       updated_at = now(), version = c.version + 1
                  FROM found f
                 WHERE c.workspace_id = current_workspace() AND c.id = f.id AND f.before IS DISTINCT FROM $4
                RETURNING c.id, f.before)
        UPDATE segment_action_batches
           SET acted_at = now(), changes = (
               SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'before', c.before)), '[]') FROM changed c)
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING jsonb_array_length(changes) AS changed, 0 AS refused
        """)

    static let addToList = Statement<ActOutcome, SegmentActionID, Int, ListID>(
        """
        WITH added AS (
                INSERT INTO list_members (workspace_id, list_id, contact_id, added_at)
                SELECT current_workspace(), $3, c.id, now()
                  FROM segment_action_batches b CROSS JOIN unnest(b.contact_ids) AS i (contact_id)
                  JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = i.contact_id
                 WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
                ON CONFLICT DO NOTHING
                RETURNING contact_id, added_at)
        UPDATE segment_action_batches
           SET acted_at = now(), changes = (
               SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.contact_id, 'at', a.added_at)), '[]') FROM added a)
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING jsonb_array_length(changes) AS changed, 0 AS refused
        """)

    // MARK: Export

    /// Contacts `$3` to `$4` of a batch, from 1.
    static let rows = Statement<JSONText, SegmentActionID, Int, Int, Int>(
        """
        SELECT contact_json(c)
          FROM segment_action_batches b CROSS JOIN unnest(b.contact_ids[$3:$4]) AS i (contact_id)
          JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = i.contact_id
         WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
         ORDER BY c.id
        """)
    static let exported = Statement<Int, SegmentActionID, Int>(
        """
        UPDATE segment_action_batches SET acted_at = now() WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        """)
    static let written = Statement<Int, SegmentActionID, Int>(
        """
        UPDATE segment_actions SET bytes = $2 WHERE workspace_id = current_workspace() AND id = $1
        """)
    /// The file is gone: everything is written again.
    static let startOver = Statement<Int, SegmentActionID>(
        """
        UPDATE segment_actions
           SET bytes = 0, done_count = 0, changed_count = 0, unchanged_count = 0, refused_count = 0, gone_count = 0
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let forgetBatches = Statement<Int, SegmentActionID>(
        """
        UPDATE segment_action_batches SET acted_at = NULL WHERE workspace_id = current_workspace() AND action_id = $1
        """)
}

struct ActOutcome: RowDecodable {
    let changed: Int
    let refused: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        changed = try row["changed"]
        refused = try row["refused"]
    }
}
