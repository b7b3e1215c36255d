-- Why: workers claim jobs of all workspaces, which row-level security keeps from them; these functions do that and
-- nothing else.
-- Locks: nothing, everything is new.

-- Leases the job that is due longest, of one of these kinds. Workspaces take turns: the one with the fewest running
-- jobs comes first, so that a flood of one does not starve the others. What runs is counted once, not per candidate.
CREATE FUNCTION claim_job(kinds text[], lease_seconds double precision)
RETURNS TABLE (workspace_id uuid, id uuid, kind text, payload jsonb, attempt int, max_attempts int, lease_token uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH busy AS MATERIALIZED (
        SELECT r.workspace_id, count(*) AS jobs FROM jobs r WHERE r.state = 'running' GROUP BY r.workspace_id),
    -- Evaluated once, whatever the plan: in a loop it would lock and take more than one.
    due AS MATERIALIZED (
        SELECT q.workspace_id, q.id FROM jobs q LEFT JOIN busy ON busy.workspace_id = q.workspace_id
         WHERE q.state = 'queued' AND q.run_at <= now() AND q.kind = ANY (kinds)
         ORDER BY coalesce(busy.jobs, 0), q.run_at, q.id
         LIMIT 1 FOR UPDATE OF q SKIP LOCKED)
    UPDATE jobs j
       SET state = 'running', attempt = j.attempt + 1, lease_token = gen_random_uuid(),
           lease_until = clock_timestamp() + make_interval(secs => lease_seconds),
           started_at = coalesce(j.started_at, now())
      FROM due
     WHERE j.workspace_id = due.workspace_id AND j.id = due.id
    RETURNING j.workspace_id, j.id, j.kind, j.payload, j.attempt, j.max_attempts, j.lease_token
$$;

-- How long a worker may sleep: 0 when a job is due, NULL when none waits.
CREATE FUNCTION seconds_until_job_due(kinds text[]) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    -- greatest() would take 0 for NULL.
    SELECT CASE WHEN min(run_at) IS NOT NULL THEN greatest(0, extract(epoch FROM min(run_at) - now()))::double precision END
      FROM jobs WHERE state = 'queued' AND kind = ANY (kinds)
$$;

-- Jobs whose worker died: back into the queue, or failed when they have been tried often enough.
CREATE FUNCTION rescue_jobs() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH dead AS (
        SELECT workspace_id, id FROM jobs WHERE state = 'running' AND lease_until < now() LIMIT 1000 FOR UPDATE SKIP LOCKED),
    saved AS (
        UPDATE jobs j
           SET state = CASE WHEN j.attempt >= j.max_attempts THEN 'failed' ELSE 'queued' END,
               finished_at = CASE WHEN j.attempt >= j.max_attempts THEN now() END,
               problem = jsonb_build_object('code', 'worker_lost', 'detail', 'The worker stopped in the middle.'),
               run_at = now(), lease_token = NULL, lease_until = NULL
          FROM dead WHERE j.workspace_id = dead.workspace_id AND j.id = dead.id
        RETURNING 1),
    told AS (SELECT pg_notify('muster_jobs', '') FROM (SELECT FROM saved LIMIT 1) one)
    SELECT (SELECT count(*) FROM saved) + 0 * (SELECT count(*) FROM told)
$$;

-- Workspaces that workers may look after one by one.
CREATE FUNCTION active_workspaces() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT id FROM workspaces WHERE suspended_at IS NULL ORDER BY id $$;

GRANT EXECUTE ON FUNCTION claim_job(text[], double precision), seconds_until_job_due(text[]), rescue_jobs()
    TO muster_worker, muster_maintenance;
GRANT EXECUTE ON FUNCTION active_workspaces() TO muster_worker, muster_maintenance;

-- For purging what has ended.
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
