// Taking back what each kind did to one batch, wherever that is still as the action left it. Each gives how many were
// restored.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum UndoSQL {
    /// Not to somebody who has left the workspace meanwhile.
    static let assign = Statement<Int, SegmentActionID, Int>(
        """
        WITH restored AS (
            UPDATE contacts c SET assigned_to = x.before, updated_at = now(), version = c.version + 1
              FROM segment_action_batches b
             CROSS JOIN jsonb_to_recordset(b.changes) AS x (id uuid, before uuid, after uuid)
             WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
               AND c.workspace_id = current_workspace() AND c.id = x.id AND c.assigned_to = x.after
               AND (x.before IS NULL
                    OR EXISTS (SELECT FROM members m WHERE m.workspace_id = current_workspace() AND m.user_id = x.before))
            RETURNING 1)
        UPDATE segment_action_batches SET undone_at = now()
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING (SELECT count(*) FROM restored)
        """)

    /// Other tags do not matter: only those that the action added or took off. Who has one of these again, in whatever
    /// case, was changed since.
    static let tag = Statement<Int, SegmentActionID, Int>(
        """
        WITH restored AS (
            UPDATE contacts c
               SET tags = ARRAY(SELECT t FROM unnest(c.tags) t WHERE t <> ALL (x.added)) || x.removed,
                   updated_at = now(), version = c.version + 1
              FROM segment_action_batches b
             CROSS JOIN jsonb_to_recordset(b.changes) AS x (id uuid, added text[], removed text[])
             WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
               AND c.workspace_id = current_workspace() AND c.id = x.id AND c.tags @> x.added AND NOT lower_all(c.tags) && lower_all(x.removed)
            RETURNING 1)
        UPDATE segment_action_batches SET undone_at = now()
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING (SELECT count(*) FROM restored)
        """)

    /// `$3`: keys into the attributes; `$4`: what the action wrote there.
    static let attribute = Statement<Int, SegmentActionID, Int, [String], JSONValue?>(
        """
        WITH told AS MATERIALIZED (
            SELECT x.id, put_attribute(c.attributes, $3::text[], nullif(x.before, 'null')) AS attributes
              FROM segment_action_batches b
             CROSS JOIN jsonb_to_recordset(b.changes) AS x (id uuid, before jsonb)
              JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = x.id
             WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
               AND c.attributes #> $3::text[] IS NOT DISTINCT FROM $4::jsonb),
        restored AS (
            UPDATE contacts c SET attributes = t.attributes, updated_at = now(), version = c.version + 1
              FROM told t
             WHERE c.workspace_id = current_workspace() AND c.id = t.id AND pg_column_size(t.attributes) <= 262144
            RETURNING 1)
        UPDATE segment_action_batches SET undone_at = now()
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING (SELECT count(*) FROM restored)
        """)

    /// `$3`: status, timezone or country; `$4`: what the action wrote there.
    static let column = Statement<Int, SegmentActionID, Int, String, String?>(
        """
        WITH restored AS (
            UPDATE contacts c
               SET status = CASE $3 WHEN 'status' THEN x.before ELSE c.status END,
                   timezone = CASE $3 WHEN 'timezone' THEN x.before ELSE c.timezone END,
                   country = CASE $3 WHEN 'country' THEN x.before ELSE c.country END,
                   updated_at = now(), version = c.version + 1
              FROM segment_action_batches b
             CROSS JOIN jsonb_to_recordset(b.changes) AS x (id uuid, before text)
             WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
               AND c.workspace_id = current_workspace() AND c.id = x.id
               AND CASE $3 WHEN 'status' THEN c.status WHEN 'timezone' THEN c.timezone ELSE c.country END IS NOT DISTINCT FROM $4
            RETURNING 1)
        UPDATE segment_action_batches SET undone_at = now()
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING (SELECT count(*) FROM restored)
        """)

    /// Who was taken off and added again since is on the list by somebody else's wish.
    static let list = Statement<Int, SegmentActionID, Int, ListID>(
        """
        WITH restored AS (
            DELETE FROM list_members l
             USING segment_action_batches b
             CROSS JOIN jsonb_to_recordset(b.changes) AS x (id uuid, at timestamptz)
             WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
               AND l.workspace_id = current_workspace() AND l.list_id = $3 AND l.contact_id = x.id AND l.added_at = x.at
            RETURNING 1)
        UPDATE segment_action_batches SET undone_at = now()
         WHERE workspace_id = current_workspace() AND action_id = $1 AND seq = $2
        RETURNING (SELECT count(*) FROM restored)
        """)
}
