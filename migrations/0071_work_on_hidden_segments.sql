-- Why: what is not shared with somebody does not show through the jobs and actions on it either, not even when it is gone.
-- Locks: nothing, functions only.

-- What whoever asks may do with what was done to a segment: as with the segment itself. With whom one was shared that is
-- gone nobody knows any more: what was done to it belongs to whoever did it, to owners and admins.
CREATE FUNCTION segment_action_access(a segment_actions) RETURNS int LANGUAGE sql STABLE
AS $$
    SELECT coalesce((SELECT segment_access(s) FROM segments s WHERE s.workspace_id = current_workspace() AND s.id = a.segment_id),
                    restricted_segment_access(a.segment_id, a.created_by))
$$;

-- Whether a job's result, which counts members, and its problem, which quotes rules, are not for whoever asks: it is about a
-- segment that is not shared with them, and they did not ask for it themselves.
CREATE FUNCTION hides_job(j jobs) RETURNS boolean LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN j.created_by = current_actor() THEN false
        WHEN j.kind IN ('act_on_segment', 'undo_segment_action') THEN coalesce((
            SELECT segment_action_access(a) = 0 FROM segment_actions a
             WHERE a.workspace_id = current_workspace() AND a.id = (j.payload ->> 'action_id')::uuid), false)
        WHEN j.kind = 'calculate_segment' THEN 0 = coalesce(
            (SELECT segment_access(s) FROM segments s
              WHERE s.workspace_id = current_workspace() AND s.id = (j.payload ->> 'segment_id')::uuid),
            restricted_segment_access((j.payload ->> 'segment_id')::uuid, j.created_by))
        ELSE false END
$$;

-- As in 0005, without what is hidden.
CREATE OR REPLACE FUNCTION job_json(j jobs) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', j.id, 'kind', j.kind, 'state', j.state, 'progress', j.progress,
        'result', CASE WHEN NOT v.hidden THEN j.result END, 'problem', CASE WHEN NOT v.hidden THEN j.problem END,
        'created_at', rfc3339(j.created_at), 'finished_at', rfc3339(j.finished_at))
      FROM (SELECT hides_job(j) AS hidden) v
$$;
GRANT EXECUTE ON FUNCTION segment_action_access(segment_actions), hides_job(jobs) TO muster_responder, muster_worker;
