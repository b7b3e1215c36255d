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

-- Makes the monthly partitions of a table from last month to `ahead` months from now, and the default one. Rows that
-- came while their month had no partition are in the default one, and move. A partition is filled and then attached:
-- that way the parent is not locked against anybody, and the default partition only for a moment. Whoever holds that
-- one is waited for shortly; the caller tries again.
-- Partitions carry no grants: they are reached through their parent, and so through its policies.
CREATE FUNCTION create_partitions(parent text, ahead int DEFAULT 3) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    month date := date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month';
    made int := 0;
    part text;
    rest text := parent || '_default';
    key text;
    starts text;
    ends text;
BEGIN
    SELECT a.attname INTO key FROM pg_partitioned_table t
      JOIN pg_attribute a ON a.attrelid = t.partrelid AND a.attnum = t.partattrs[0]
     WHERE t.partrelid = format('public.%I', parent)::regclass;
    IF key IS NULL THEN
        RAISE EXCEPTION '% is not partitioned', parent;
    END IF;
    IF to_regclass(format('public.%I', rest)) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I DEFAULT', rest, parent);
        made := made + 1;
    END IF;
    WHILE month <= date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead) LOOP
        part := parent || to_char(month, '_YYYY_MM');
        IF to_regclass(format('public.%I', part)) IS NULL THEN
            starts := to_char(month, 'YYYY-MM-DD 00:00:00+00');
            ends := to_char(month + interval '1 month', 'YYYY-MM-DD 00:00:00+00');
            EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', rest);
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
            EXECUTE format('WITH moved AS (DELETE FROM public.%I WHERE %I >= %L AND %I < %L RETURNING *) '
                           'INSERT INTO public.%I SELECT * FROM moved', rest, key, starts, key, ends, part);
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', parent, part, starts, ends);
            made := made + 1;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    RETURN made;
END
$$;
GRANT EXECUTE ON FUNCTION create_partitions(text, int) TO muster_maintenance;
