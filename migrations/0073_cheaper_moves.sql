-- Why: the first calculation of a segment of a million contacts writes a million entries, and a row per entry in four
-- tables with checks one by one took ten times as long as the evaluation. Two thirds of that were foreign keys, a fifth the
-- copy of the history among the events. So the history is the event, read as one by whoever lists a contact's events; and
-- what the foreign keys made sure of is made sure of by the statement: an entry holds its contact and its segment, and
-- whoever goes takes their memberships along.
-- Locks: segment_changes while the index is built, a scan of the history; segment_members, contacts and segments until old
-- events are deleted.

CREATE INDEX segment_changes_of_contact ON segment_changes (workspace_id, contact_id, occurred_at);

ALTER TABLE segment_members
    DROP CONSTRAINT segment_members_workspace_id_segment_id_fkey,
    DROP CONSTRAINT segment_members_workspace_id_contact_id_fkey;

-- As in migration 0022: history and counter in the transaction of the membership, and nobody is in a segment who is gone.
CREATE OR REPLACE FUNCTION note_segment_changes() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    found bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- Contacts before segments, as a deletion locks them, which waits until this commits and then takes the membership
        -- along. One look by key for each, whatever a plan that was made for other numbers would prefer.
        PERFORM FROM changed r
          CROSS JOIN LATERAL (SELECT FROM contacts c
                               WHERE c.workspace_id = r.workspace_id AND c.id = r.contact_id FOR KEY SHARE) c;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found < (SELECT count(*) FROM changed) THEN
            RAISE foreign_key_violation USING CONSTRAINT = 'members_are_contacts', MESSAGE = 'a contact is gone';
        END IF;
    END IF;
    -- In one order: two contacts that go at once, each from the same two segments, must not wait for each other.
    PERFORM FROM segments s
      WHERE (s.workspace_id, s.id) IN (SELECT r.workspace_id, r.segment_id FROM changed r)
      ORDER BY s.workspace_id, s.id FOR NO KEY UPDATE;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF TG_OP = 'INSERT' THEN
        IF found < (SELECT count(*) FROM (SELECT DISTINCT r.workspace_id, r.segment_id FROM changed r) d) THEN
            RAISE foreign_key_violation USING CONSTRAINT = 'members_have_a_segment', MESSAGE = 'a segment is gone';
        END IF;
        INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
            SELECT r.workspace_id, r.segment_id, r.contact_id, 'entered', r.entered_at FROM changed r;
        UPDATE segments s SET member_count = s.member_count + n.count
          FROM (SELECT workspace_id, segment_id, count(*) FROM changed GROUP BY workspace_id, segment_id) n
         WHERE s.workspace_id = n.workspace_id AND s.id = n.segment_id;
    ELSE
        -- A segment that goes, alone or with its workspace, takes its members with it; nobody left it then.
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

-- As a cascade of a foreign key does it: with the rights of the tables' owner. All that one statement deletes at once, and
-- by the index, whatever a plan that was made for other numbers would prefer. Those of a segment that is deleted are
-- removed by a job: a million rows are more than whoever deletes it can wait for, and nothing reads them without it.
CREATE FUNCTION end_memberships() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    DELETE FROM segment_members m USING gone g WHERE m.workspace_id = g.workspace_id AND m.contact_id = g.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER memberships_end_with_them AFTER DELETE ON contacts REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION end_memberships();

-- What was written before. Whoever sent an event of such a name keeps it; it is listed no more.
DELETE FROM events e
 WHERE e.name IN ('segment.entered', 'segment.exited')
   AND EXISTS (SELECT FROM segment_changes h
                WHERE h.workspace_id = e.workspace_id AND h.contact_id = e.contact_id AND h.occurred_at = e.occurred_at
                  AND e.properties = jsonb_build_object('segment_id', h.segment_id));
