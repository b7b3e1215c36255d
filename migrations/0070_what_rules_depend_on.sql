-- Why: two things outside contacts decide what a rule means, the zone of the workspace and the type of a field. Segments
-- follow the one, and are not at the mercy of the other.
-- Locks: workspaces for a moment, for the trigger.

-- Days, hours and times without a zone are other ones now. What was swept was swept in the old zone.
CREATE FUNCTION follow_time_zone() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE segments s
       SET state = CASE WHEN s.schedule = 'live' AND s.state = 'ready' THEN 'stale' ELSE s.state END,
           swept_at = NULL, next_flip_at = NULL,
           next_refresh_at = next_refresh(s.schedule, s.schedule_minutes, s.schedule_at, now(), NEW.timezone)
     WHERE s.workspace_id = NEW.id AND s.archived_at IS NULL;
    INSERT INTO jobs (workspace_id, kind, payload)
    SELECT s.workspace_id, 'calculate_segment', jsonb_build_object('segment_id', s.id)
      FROM segments s WHERE s.workspace_id = NEW.id AND s.archived_at IS NULL AND s.schedule = 'live';
    PERFORM pg_notify('muster_jobs', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER segments_follow_the_time_zone AFTER UPDATE ON workspaces FOR EACH ROW
    WHEN (OLD.timezone IS DISTINCT FROM NEW.timezone) EXECUTE FUNCTION follow_time_zone();

-- As in 0010, and a field that a segment reads keeps the type that it was read with: one dirty value must not turn
-- numbers into text for a rule that compares them. It counts as missing instead; declaring a type changes it.
CREATE OR REPLACE FUNCTION note_fields(keys text[], masks int[]) RETURNS void LANGUAGE sql VOLATILE
AS $$
    INSERT INTO fields AS f (workspace_id, key, type, may_be)
        SELECT current_workspace(), k, discovered_type(m), m FROM unnest(keys, masks) AS seen (k, m) ORDER BY k
    ON CONFLICT (workspace_id, key) DO UPDATE
       SET may_be = f.may_be & excluded.may_be, updated_at = now(),
           type = CASE WHEN f.is_declared OR EXISTS (
                               SELECT FROM segment_inputs i
                                WHERE i.workspace_id = f.workspace_id
                                  AND i.input = split_part(f.key, '.', 1) || '.' || split_part(f.key, '.', 2))
                       THEN f.type ELSE discovered_type(f.may_be & excluded.may_be) END
     WHERE f.may_be & excluded.may_be <> f.may_be
$$;
