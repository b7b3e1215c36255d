-- Why: whatever writes membership, a calculation or the deletion of a contact, also writes its history and its counter,
-- in the same transaction. No two of the three can disagree. And a list that a rule reads cannot be deleted.
-- Locks: segment_members for a moment; it is empty.

-- Entries are dated by the evaluation that found them, exits by the clock.
CREATE FUNCTION note_segment_changes() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz := clock_timestamp();
BEGIN
    -- In one order: two contacts that go at once, each from the same two segments, must not wait for each other.
    PERFORM FROM segments s
      WHERE (s.workspace_id, s.id) IN (SELECT r.workspace_id, r.segment_id FROM changed r)
      ORDER BY s.workspace_id, s.id FOR NO KEY UPDATE;
    -- A segment that goes, alone or with its workspace, takes its members with it; nobody left it then.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
            SELECT r.workspace_id, r.segment_id, r.contact_id, 'entered', r.entered_at FROM changed r;
        UPDATE segments s SET member_count = s.member_count + n.count
          FROM (SELECT workspace_id, segment_id, count(*) FROM changed GROUP BY workspace_id, segment_id) n
         WHERE s.workspace_id = n.workspace_id AND s.id = n.segment_id;
    ELSE
        INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
            SELECT r.workspace_id, r.segment_id, r.contact_id, 'exited', greatest(at, r.entered_at) FROM changed r
             WHERE EXISTS (SELECT FROM workspaces w WHERE w.id = r.workspace_id)
               AND EXISTS (SELECT FROM segments s WHERE s.workspace_id = r.workspace_id AND s.id = r.segment_id);
        UPDATE segments s SET member_count = s.member_count - n.count
          FROM (SELECT workspace_id, segment_id, count(*) FROM changed GROUP BY workspace_id, segment_id) n
         WHERE s.workspace_id = n.workspace_id AND s.id = n.segment_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER entries_are_noted AFTER INSERT ON segment_members REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_segment_changes();
CREATE TRIGGER exits_are_noted AFTER DELETE ON segment_members REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_segment_changes();

CREATE TABLE segment_list_references (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    list_id uuid NOT NULL,
    PRIMARY KEY (workspace_id, segment_id, list_id),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, list_id) REFERENCES lists (workspace_id, id)
);
CREATE INDEX segment_list_references_back ON segment_list_references (workspace_id, list_id);
SELECT protect('segment_list_references');
