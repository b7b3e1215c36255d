-- Why: what makes requests safe to repeat and fair to others, and the queue.
-- Locks: nothing, everything is new.

-- The first answer to a POST with an Idempotency-Key, kept for 24 hours. The row is written in the transaction of
-- the request's own effect: both happen or neither does. A request that still runs holds an advisory lock instead.
CREATE TABLE idempotency_keys (
    workspace_id uuid NOT NULL,
    actor_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    status int NOT NULL,
    headers jsonb NOT NULL,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, actor_id, route, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
SELECT protect('idempotency_keys', 'SELECT, INSERT, DELETE');

-- Fixed windows per subject (a key, a session, an address) and class of endpoint. Unlogged: after a crash of the
-- server the counts start anew, which harms nobody.
CREATE UNLOGGED TABLE rate_limits (
    subject bytea NOT NULL,
    class text NOT NULL,
    window_started_at timestamptz NOT NULL,
    used int NOT NULL,
    PRIMARY KEY (subject, class)
);
GRANT SELECT, DELETE ON rate_limits TO muster_maintenance;

-- Leases up to `wanted` requests out of the `capacity` of the current window, to be spent by one process without
-- asking again. Never more than the capacity in total. Its row lock is held for this statement's transaction only.
CREATE FUNCTION lease_requests(who bytea, kind text, capacity int, window_seconds int, wanted int)
RETURNS TABLE (granted int, remaining int, resets_in_seconds int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    started timestamptz := to_timestamp(floor(extract(epoch FROM now()) / window_seconds) * window_seconds);
    before int;
BEGIN
    INSERT INTO rate_limits AS r (subject, class, window_started_at, used) VALUES (who, kind, started, 0)
        ON CONFLICT (subject, class) DO UPDATE
           SET used = CASE WHEN r.window_started_at = started THEN r.used ELSE 0 END, window_started_at = started
        RETURNING r.used INTO before;
    granted := least(wanted, greatest(capacity - before, 0));
    IF granted > 0 THEN
        UPDATE rate_limits SET used = used + granted WHERE subject = who AND class = kind;
    END IF;
    remaining := capacity - before - granted;
    resets_in_seconds := ceil(extract(epoch FROM started + make_interval(secs => window_seconds) - now()));
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION lease_requests(bytea, text, int, int, int) TO muster_responder;

-- The queue. A job belongs to one workspace; a lease makes it one worker's, and fences whoever lost it.
CREATE TABLE jobs (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    key text,
    payload jsonb NOT NULL DEFAULT '{}',
    progress double precision NOT NULL DEFAULT 0,
    result jsonb,
    problem jsonb,
    attempt int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL DEFAULT 5,
    run_at timestamptz NOT NULL DEFAULT now(),
    lease_token uuid,
    lease_until timestamptz,
    cancel_requested_at timestamptz,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT state_is_known CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT running_job_has_lease CHECK ((state = 'running') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)),
    CONSTRAINT ended_job_has_finished_at CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT progress_is_fraction CHECK (progress BETWEEN 0 AND 1)
);
CREATE UNIQUE INDEX job_key_is_unique_while_open ON jobs (workspace_id, kind, key) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'queued';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_creation ON jobs (workspace_id, created_at DESC, id DESC);
SELECT protect('jobs');

-- The plan behind a token, for its rate limits: of a key's workspace, or the best of a person's workspaces.
-- NULL for a token that nobody knows or that has ended.
CREATE FUNCTION token_plan(token bytea, is_key boolean) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT CASE WHEN is_key THEN
        (SELECT w.plan FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
          WHERE k.secret_hash = token AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()))
    ELSE
        (SELECT coalesce(max(w.plan), 'standard')
           FROM sessions s LEFT JOIN (members m JOIN workspaces w ON w.id = m.workspace_id) ON m.user_id = s.user_id
          WHERE s.token_hash = token AND s.expires_at > now() AND s.absolute_expires_at > now()
          GROUP BY s.token_hash)
    END
$$;
GRANT EXECUTE ON FUNCTION token_plan(bytea, boolean) TO muster_responder;

-- The number of the last migration applied, for readiness. The table belongs to the migration runner.
CREATE FUNCTION migration_level(applied boolean) RETURNS int
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ BEGIN RETURN (SELECT coalesce(max(number), 0) FROM schema_migrations); END $$;
GRANT EXECUTE ON FUNCTION migration_level(boolean) TO muster_responder, muster_worker, muster_maintenance;
