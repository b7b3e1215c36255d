-- Why: a claim looked at every job that waited, and at every trace of one that had ended which a long transaction elsewhere kept
-- from being cleared away: both made the queue slower the more there was in it. Now a worker knows which workspaces have jobs, takes
-- from one of them, and begins to look where it last found something.
-- Locks: jobs, while the index is built.

-- The line of each workspace. The statements that read it are kept from sorting: where a queue was empty when it was last analysed,
-- sorting all of it looks cheaper to the planner than walking the index to the first row.
CREATE INDEX jobs_in_line ON jobs (workspace_id, run_at, id) WHERE state = 'queued';
DROP INDEX jobs_due;
DROP FUNCTION claim_job(text[], double precision);
DROP FUNCTION seconds_until_job_due(text[]);

-- Workspaces with jobs of these kinds that wait, and when the first of each may run: from workspace to workspace by the index.
CREATE FUNCTION lines_of_jobs(kinds text[]) RETURNS TABLE (workspace_id uuid, run_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_sort = off
AS $$
    WITH RECURSIVE line AS (
        (SELECT j.workspace_id, j.run_at FROM jobs j WHERE j.state = 'queued' AND j.kind = ANY (kinds)
          ORDER BY j.workspace_id, j.run_at LIMIT 1)
        UNION ALL
        SELECT n.workspace_id, n.run_at
          FROM line l
         CROSS JOIN LATERAL (
             SELECT j.workspace_id, j.run_at FROM jobs j
              WHERE j.state = 'queued' AND j.kind = ANY (kinds) AND j.workspace_id > l.workspace_id
              ORDER BY j.workspace_id, j.run_at LIMIT 1) n)
    SELECT l.workspace_id, l.run_at FROM line l
$$;

-- Leases the jobs of a workspace that are due longest behind a place in its line: the first, and as many more of its kind as `most`
-- says for that kind. The place keeps what was claimed before from being looked at again; who passes one that is too late misses
-- jobs and nothing worse, and finds them from the beginning of the line.
CREATE FUNCTION claim_jobs(
    workspace uuid, kinds text[], most int[], lease_seconds double precision, after_run_at timestamptz, after_id uuid)
RETURNS TABLE (workspace_id uuid, id uuid, kind text, payload jsonb, attempt int, max_attempts int, run_at timestamptz, lease_token uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    taken uuid[];
    kind_of_first text;
BEGIN
    SELECT ARRAY[j.id], j.kind INTO taken, kind_of_first FROM jobs j
     WHERE j.workspace_id = workspace AND j.state = 'queued' AND (j.run_at, j.id) > (after_run_at, after_id) AND j.run_at <= now()
       AND j.kind = ANY (kinds)
     ORDER BY j.run_at, j.id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF taken IS NULL THEN RETURN; END IF;
    IF most[array_position(kinds, kind_of_first)] > 1 THEN
        taken := ARRAY(
            SELECT j.id FROM jobs j
             WHERE j.workspace_id = workspace AND j.state = 'queued' AND (j.run_at, j.id) > (after_run_at, after_id) AND j.run_at <= now()
               AND j.kind = kind_of_first
             ORDER BY j.run_at, j.id LIMIT most[array_position(kinds, kind_of_first)] FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY
        UPDATE jobs j
           SET state = 'running', attempt = j.attempt + 1, lease_token = gen_random_uuid(),
               lease_until = clock_timestamp() + make_interval(secs => lease_seconds), started_at = coalesce(j.started_at, now())
         WHERE j.workspace_id = workspace AND j.id = ANY (taken)
        RETURNING j.workspace_id, j.id, j.kind, j.payload, j.attempt, j.max_attempts, j.run_at, j.lease_token;
END
$$;

-- When the first job of a workspace may run that is not due yet; NULL: there is none.
CREATE FUNCTION next_in_line(workspace uuid, kinds text[]) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_sort = off
AS $$
    SELECT j.run_at FROM jobs j
     WHERE j.workspace_id = workspace AND j.state = 'queued' AND j.kind = ANY (kinds) AND j.run_at > now()
     ORDER BY j.run_at LIMIT 1
$$;
GRANT EXECUTE ON FUNCTION next_in_line(uuid, text[]) TO muster_worker, muster_maintenance;
GRANT EXECUTE ON FUNCTION lines_of_jobs(text[]), claim_jobs(uuid, text[], int[], double precision, timestamptz, uuid)
    TO muster_worker, muster_maintenance;
