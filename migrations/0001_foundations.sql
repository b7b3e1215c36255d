-- Why: what every later table stands on: the workspace of a transaction, row-level security, ids, partitions.
-- Locks: nothing, everything is new.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO muster_responder, muster_worker, muster_maintenance;
-- Whoever makes a function decides who may call it.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- The workspace that this transaction works in; NULL when none is set, which matches no row. The only place
-- that knows how it is set. Inlined by the planner, so that indexes serve it.
CREATE FUNCTION current_workspace() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('muster.workspace_id', true), '')::uuid $$;

-- Sets the workspace until the transaction ends.
CREATE FUNCTION set_workspace(workspace uuid) RETURNS void LANGUAGE sql VOLATILE
AS $$ SELECT set_config('muster.workspace_id', workspace::text, true) $$;

-- A UUID version 7 (RFC 9562): 48 bits of milliseconds, then random bits.
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
            52, 1), 53, 1), 'hex')::uuid
$$;

-- RFC 3339 in UTC with microseconds, as every answer writes times.
CREATE FUNCTION rfc3339(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

GRANT EXECUTE ON FUNCTION current_workspace(), set_workspace(uuid), uuid_v7(), rfc3339(timestamptz)
    TO muster_responder, muster_worker, muster_maintenance;

-- Puts a workspace's table under row-level security and gives the rights that its processes need.
-- Responders and workers see the rows of their transaction's workspace; maintenance, and the owner while it
-- migrates, see all. Append-only tables pass 'SELECT, INSERT' as `rights`.
CREATE FUNCTION protect(name regclass, rights text DEFAULT 'SELECT, INSERT, UPDATE, DELETE') RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY workspace ON %s TO muster_responder, muster_worker '
                   'USING (workspace_id = current_workspace()) WITH CHECK (workspace_id = current_workspace())', name);
    EXECUTE format('CREATE POLICY every_workspace ON %s TO muster_owner, muster_maintenance '
                   'USING (true) WITH CHECK (true)', name);
    EXECUTE format('GRANT %s ON %s TO muster_responder, muster_worker', rights, name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO muster_maintenance', name);
END
$$;

-- Makes the monthly partitions of a table from last month to `ahead` months from now, and the default one.
-- Partitions carry no grants: they are reached through their parent, and so through its policies.
CREATE FUNCTION create_partitions(parent text, ahead int DEFAULT 3) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    month date := date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month';
    made int := 0;
    part text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_partitioned_table t WHERE t.partrelid = format('public.%I', parent)::regclass) THEN
        RAISE EXCEPTION '% is not partitioned', parent;
    END IF;
    WHILE month <= date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead) LOOP
        part := parent || to_char(month, '_YYYY_MM');
        IF to_regclass(format('public.%I', part)) IS NULL THEN
            EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)', part, parent,
                           to_char(month, 'YYYY-MM-DD 00:00:00+00'),
                           to_char(month + interval '1 month', 'YYYY-MM-DD 00:00:00+00'));
            made := made + 1;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    part := parent || '_default';
    IF to_regclass(format('public.%I', part)) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I DEFAULT', part, parent);
        made := made + 1;
    END IF;
    RETURN made;
END
$$;
GRANT EXECUTE ON FUNCTION create_partitions(text, int) TO muster_maintenance;
