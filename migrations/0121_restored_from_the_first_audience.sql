-- Why: where nothing was ever started, a restored database asked the provider only from when it last knew its server. What waits
-- was sent after it was frozen at the earliest.
-- Locks: nothing.

-- The instant after which the providers are asked: the same until sending is released, however often the reconciliation is begun.
CREATE OR REPLACE FUNCTION begin_reconciliation() RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO known_server AS k (system_identifier, timeline, database_oid, known_since, held_at, restored_from)
    SELECT 0, '', 0, 'epoch', now(), coalesce(s.at, 'epoch') FROM (SELECT max(m.started_at) AS at FROM messages m) s
        ON CONFLICT (only_one) DO UPDATE
       SET restored_from = coalesce(k.restored_from, (SELECT coalesce(max(m.started_at), min(m.created_at)) FROM messages m), k.known_since)
    RETURNING restored_from
$$;
