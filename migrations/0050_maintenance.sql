-- Why: what the maintenance chores may do beyond reading and writing rows: make and drop partitions.
-- Locks: nothing, everything is new.

-- Every partitioned table, for the chore that makes their partitions ahead of time.
CREATE FUNCTION partitioned_tables() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT c.relname::text FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' ORDER BY 1
$$;

-- Drops the monthly partitions of audit_log or receipts that ended before `before`. One that still holds receipts to
-- be settled stays: the ledger needs them. Returns how many were dropped. Dropping locks the parent, and whoever comes
-- later stands behind: so it waits shortly for those who use it, and the caller tries again.
CREATE FUNCTION drop_partitions(parent text, before timestamptz) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    part record;
    dropped int := 0;
    needed boolean := false;
BEGIN
    IF parent NOT IN ('audit_log', 'receipts') THEN
        RAISE EXCEPTION 'partitions of % are not dropped by age', parent;
    END IF;
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'retention of less than a day';
    END IF;
    FOR part IN
        SELECT c.relname::text AS name,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS ends
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = format('public.%I', parent)::regclass AND c.relname <> parent || '_default'
    LOOP
        CONTINUE WHEN part.ends IS NULL OR part.ends > before;
        IF parent = 'receipts' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE due_at IS NOT NULL)', part.name) INTO needed;
        END IF;
        CONTINUE WHEN needed;
        EXECUTE format('DROP TABLE public.%I', part.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
GRANT EXECUTE ON FUNCTION partitioned_tables(), drop_partitions(text, timestamptz) TO muster_maintenance;

GRANT DELETE ON audit_log, receipts, event_dedupe_keys, idempotency_keys, import_chunks, import_errors TO muster_maintenance;

-- Tells the planner at once what a job wrote in bulk. Of a workspace that the statistics have never seen it expects one
-- row, and then takes any index for as good as the right one; autovacuum comes a minute later, in a large table much
-- later. Of the ledger only the partition that is written now. Whoever is at it already does it for both.
CREATE FUNCTION refresh_statistics(tables text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '200ms'
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        IF name <> ALL ('{contacts,consents,list_members,segment_members,messages}') THEN
            RAISE EXCEPTION 'statistics of % are left to autovacuum', name;
        END IF;
        IF name = 'messages' THEN name := to_char(now() AT TIME ZONE 'UTC', '"messages_"YYYY_MM'); END IF;
        BEGIN
            EXECUTE format('ANALYZE public.%I', name);
        EXCEPTION WHEN lock_not_available OR undefined_table THEN NULL;
        END;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION refresh_statistics(text[]) TO muster_worker;
