-- Why: the job that removes the members of a deleted segment is as hidden as the segment was: whoever did not see it is not
-- told its id, and does not cancel the job.
-- Locks: nothing, a function only.

-- As in 0071, with that job.
CREATE OR REPLACE FUNCTION hides_job(j jobs) RETURNS boolean LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN j.created_by = current_actor() THEN false
        WHEN j.kind IN ('act_on_segment', 'undo_segment_action') THEN coalesce((
            SELECT segment_action_access(a) = 0 FROM segment_actions a
             WHERE a.workspace_id = current_workspace() AND a.id = (j.payload ->> 'action_id')::uuid), false)
        WHEN j.kind IN ('calculate_segment', 'forget_members') THEN 0 = coalesce(
            (SELECT segment_access(s) FROM segments s
              WHERE s.workspace_id = current_workspace() AND s.id = (j.payload ->> 'segment_id')::uuid),
            restricted_segment_access((j.payload ->> 'segment_id')::uuid, j.created_by))
        ELSE false END
$$;
