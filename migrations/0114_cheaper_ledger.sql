-- Why: what messages and contacts cost beside their own rows. Triggers compared what cannot have changed; lists of VALUES in a
--      lateral join are compiled anew for every row, 22 µs for a contact's thirteen, and a UNION ALL once (2 µs); functions of SQL
--      that workers call several times a second were planned at each call.
-- Locks: none; the functions are replaced.

-- The quarter of an hour that a fact is counted in.
CREATE FUNCTION slot_of(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT date_bin('15 minutes', at, '2000-01-01 00:00:00+00') $$;
GRANT EXECUTE ON FUNCTION slot_of(timestamptz) TO muster_responder, muster_worker, muster_maintenance;

-- As in migration 0033.
CREATE OR REPLACE FUNCTION measures_of(state text, skip_reason text, error_code int, parts int,
                                       created_at timestamptz, started_at timestamptz, sent_at timestamptz, settled_at timestamptz)
RETURNS TABLE (measure text, reason text, slot timestamptz, parts bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT v.measure, v.reason, slot_of(v.at), v.parts
      FROM (SELECT 'frozen' AS measure, '' AS reason, $5 AS at, 0::bigint AS parts
            UNION ALL SELECT 'waiting', '', $5, 0 WHERE $1 IN ('pending', 'claimed', 'started')
            UNION ALL SELECT 'sent', '', $7, coalesce($4, 0)::bigint WHERE $7 IS NOT NULL
            UNION ALL SELECT $1, coalesce($2, $3::text, ''), $8, 0 WHERE $1 IN ('skipped', 'delivered', 'undelivered', 'failed')
            UNION ALL SELECT 'unknown', '', $6, 0 WHERE $1 = 'unknown') v
$$;

-- Most messages of a statement are alike: they are counted together, with the sum of their parts, before their measures are told.
CREATE OR REPLACE FUNCTION count_new_messages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO campaign_stats AS s (workspace_id, campaign_id, slot, measure, reason, shard, messages, parts)
        SELECT a.workspace_id, a.campaign_id, c.slot, c.measure, c.reason, pg_backend_pid() % 64, sum(a.messages), sum(c.parts)
          FROM (SELECT m.workspace_id, m.campaign_id, m.state, m.skip_reason, m.error_code,
                       slot_of(m.created_at) AS created_at, slot_of(m.started_at) AS started_at, slot_of(m.sent_at) AS sent_at,
                       slot_of(m.settled_at) AS settled_at, count(*) AS messages, sum(m.parts)::int AS parts
                  FROM inserted m
                 WHERE m.kind = 'campaign'
                 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9) a
         CROSS JOIN LATERAL measures_of(a.state, a.skip_reason, a.error_code, a.parts,
                                        a.created_at, a.started_at, a.sent_at, a.settled_at) c
         GROUP BY 1, 2, 3, 4, 5
         ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (workspace_id, campaign_id, slot, measure, reason, shard)
        DO UPDATE SET messages = s.messages + excluded.messages, parts = s.parts + excluded.parts;
    RETURN NULL;
END
$$;

-- A message waits from when it is frozen until it is settled, whoever has it in hand: while it goes from hand to hand, no measure
-- changes.
CREATE OR REPLACE FUNCTION count_changed_messages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM after_update WHERE state NOT IN ('pending', 'claimed', 'started') OR sent_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM before_update WHERE state NOT IN ('pending', 'claimed', 'started') OR sent_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO campaign_stats AS s (workspace_id, campaign_id, slot, measure, reason, shard, messages, parts)
        SELECT a.workspace_id, a.campaign_id, c.slot, c.measure, c.reason, pg_backend_pid() % 64, sum(a.messages), sum(c.parts)
          FROM (SELECT m.workspace_id, m.campaign_id, m.state, m.skip_reason, m.error_code,
                       slot_of(m.created_at) AS created_at, slot_of(m.started_at) AS started_at, slot_of(m.sent_at) AS sent_at,
                       slot_of(m.settled_at) AS settled_at, sum(m.sign) AS messages, sum(m.sign * m.parts)::int AS parts
                  FROM (SELECT 1 AS sign, workspace_id, campaign_id, kind, state, skip_reason, error_code, parts,
                               created_at, started_at, sent_at, settled_at FROM after_update
                        UNION ALL
                        SELECT -1, workspace_id, campaign_id, kind, state, skip_reason, error_code, parts,
                               created_at, started_at, sent_at, settled_at FROM before_update) m
                 WHERE m.kind = 'campaign'
                 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9) a
         CROSS JOIN LATERAL measures_of(a.state, a.skip_reason, a.error_code, a.parts,
                                        a.created_at, a.started_at, a.sent_at, a.settled_at) c
         GROUP BY 1, 2, 3, 4, 5
        HAVING sum(a.messages) <> 0 OR sum(c.parts) <> 0
         ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (workspace_id, campaign_id, slot, measure, reason, shard)
        DO UPDATE SET messages = s.messages + excluded.messages, parts = s.parts + excluded.parts;
    RETURN NULL;
END
$$;

-- Only a message that was handed over makes a mark; which marks, is as it was. Whether a rule reads the campaign is asked once for
-- each of the campaigns, not for each message.
CREATE OR REPLACE FUNCTION note_messages() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    read_campaigns uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM after_update
                    WHERE sent_at IS NOT NULL OR state IN ('sent', 'delivered', 'undelivered', 'failed')) THEN
        RETURN NULL;
    END IF;
    read_campaigns := ARRAY(
        SELECT c.campaign_id
          FROM (SELECT DISTINCT workspace_id, campaign_id FROM after_update WHERE kind = 'campaign') c
         WHERE EXISTS (SELECT FROM segment_inputs i
                        WHERE i.workspace_id = c.workspace_id AND i.input IN ('campaign:*', 'campaign:' || c.campaign_id)));
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT m.workspace_id, m.contact_id, array_remove(ARRAY[m.contacted, m.campaign], NULL)
      FROM (SELECT n.workspace_id, n.contact_id,
                   CASE WHEN o.sent_at IS NULL AND n.sent_at IS NOT NULL THEN 'contacted' END AS contacted,
                   CASE WHEN o.state <> n.state AND n.state IN ('sent', 'delivered', 'undelivered', 'failed')
                         AND n.campaign_id = ANY (read_campaigns) THEN 'campaign:' || n.campaign_id END AS campaign
              FROM after_update n
              JOIN before_update o ON o.workspace_id = n.workspace_id AND o.id = n.id AND o.created_at = n.created_at
             WHERE n.kind = 'campaign') m
     WHERE m.contacted IS NOT NULL OR m.campaign IS NOT NULL;
    RETURN NULL;
END
$$;

-- As in migration 0064.
CREATE OR REPLACE FUNCTION contact_differences(o contacts, n contacts)
RETURNS TABLE (key text, before jsonb, after jsonb, in_history boolean)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT 'external_id', to_jsonb(o.external_id), to_jsonb(n.external_id), true WHERE o.external_id IS DISTINCT FROM n.external_id
    UNION ALL SELECT 'email', to_jsonb(o.email), to_jsonb(n.email), true WHERE o.email IS DISTINCT FROM n.email
    UNION ALL SELECT 'phone', to_jsonb(o.phone), to_jsonb(n.phone), true WHERE o.phone IS DISTINCT FROM n.phone
    UNION ALL SELECT 'name', to_jsonb(o.name), to_jsonb(n.name), true WHERE o.name IS DISTINCT FROM n.name
    UNION ALL SELECT 'first_name', to_jsonb(o.first_name), to_jsonb(n.first_name), true WHERE o.first_name IS DISTINCT FROM n.first_name
    UNION ALL SELECT 'last_name', to_jsonb(o.last_name), to_jsonb(n.last_name), true WHERE o.last_name IS DISTINCT FROM n.last_name
    UNION ALL SELECT 'status', to_jsonb(o.status), to_jsonb(n.status), true WHERE o.status IS DISTINCT FROM n.status
    UNION ALL SELECT 'timezone', to_jsonb(o.timezone), to_jsonb(n.timezone), true WHERE o.timezone IS DISTINCT FROM n.timezone
    UNION ALL SELECT 'country', to_jsonb(o.country), to_jsonb(n.country), true WHERE o.country IS DISTINCT FROM n.country
    UNION ALL SELECT 'assigned_to', to_jsonb(o.assigned_to), to_jsonb(n.assigned_to), true WHERE o.assigned_to IS DISTINCT FROM n.assigned_to
    UNION ALL SELECT 'tags', to_jsonb(o.tags), to_jsonb(n.tags), true WHERE o.tags IS DISTINCT FROM n.tags
    UNION ALL SELECT 'updated_at', to_jsonb(o.updated_at), to_jsonb(n.updated_at), false WHERE o.updated_at IS DISTINCT FROM n.updated_at
    UNION ALL SELECT 'last_contacted_at', to_jsonb(o.last_contacted_at), to_jsonb(n.last_contacted_at), false WHERE o.last_contacted_at IS DISTINCT FROM n.last_contacted_at
    UNION ALL
    SELECT 'attributes.' || coalesce(b.key, a.key), b.value, a.value, true
      FROM jsonb_each(o.attributes) b FULL JOIN jsonb_each(n.attributes) a ON a.key = b.key
     WHERE o.attributes <> n.attributes AND b.value IS DISTINCT FROM a.value
$$;

-- What workers ask for several times a second. A function of SQL is planned at each call, which took twenty times as long as
-- what it then did; one of PL/pgSQL keeps its plan. That plan may be made while a table is still empty, hence without sequential
-- scans: each of these has its index.
CREATE OR REPLACE FUNCTION campaigns_to_send() RETURNS TABLE(workspace_id uuid, campaign_id uuid, sender_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH due AS (
        SELECT c.workspace_id, c.id FROM campaigns c WHERE c.status = 'sending'
        UNION
        SELECT m.workspace_id, m.campaign_id FROM messages m WHERE m.state = 'pending' AND m.kind = 'test'
        UNION
        SELECT m.workspace_id, m.campaign_id FROM messages m WHERE m.state = 'pending' AND m.kind = 'request')
    SELECT c.workspace_id, c.id, c.sender_id
      FROM due d
      JOIN campaigns c ON c.workspace_id = d.workspace_id AND c.id = d.id
      JOIN senders s ON s.workspace_id = c.workspace_id AND s.id = c.sender_id AND s.status = 'active'
      JOIN workspaces w ON w.id = c.workspace_id AND w.suspended_at IS NULL
     ORDER BY c.workspace_id, c.id;
END
$$;

CREATE OR REPLACE FUNCTION workspaces_with_due_receipts() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE open AS (
        (SELECT r.workspace_id FROM receipts r WHERE r.due_at IS NOT NULL ORDER BY r.workspace_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.workspace_id FROM receipts r
                 WHERE r.due_at IS NOT NULL AND r.workspace_id > o.workspace_id ORDER BY r.workspace_id LIMIT 1)
          FROM open o WHERE o.workspace_id IS NOT NULL)
    SELECT o.workspace_id FROM open o
     WHERE EXISTS (SELECT FROM receipts r WHERE r.workspace_id = o.workspace_id AND r.due_at <= now());
END
$$;

CREATE OR REPLACE FUNCTION webhooks_with_due_deliveries() RETURNS TABLE(workspace_id uuid, endpoint_id uuid, is_failing boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.workspace_id, e.id, e.failing_since IS NOT NULL
      FROM webhook_endpoints e JOIN workspaces w ON w.id = e.workspace_id
     WHERE e.status = 'active' AND w.suspended_at IS NULL AND (e.rests_until IS NULL OR e.rests_until <= now())
       AND EXISTS (SELECT FROM webhook_deliveries d
                    WHERE d.workspace_id = e.workspace_id AND d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= now());
END
$$;

CREATE OR REPLACE FUNCTION workspaces_due() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.workspace_id
      FROM (SELECT s.workspace_id, s.next_flip_at AS due_at FROM segments s
             WHERE s.schedule = 'live' AND s.state = 'ready' AND s.next_flip_at <= now() AND s.archived_at IS NULL
             UNION ALL
            SELECT s.workspace_id, s.next_refresh_at FROM segments s WHERE s.next_refresh_at <= now() AND s.archived_at IS NULL) d
     GROUP BY d.workspace_id
     ORDER BY min(d.due_at);
END
$$;

CREATE OR REPLACE FUNCTION workspaces_to_freshen() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE dirty AS (
        SELECT (SELECT d.workspace_id FROM dirty_contacts d ORDER BY d.workspace_id LIMIT 1) AS id
        UNION ALL
        SELECT (SELECT d.workspace_id FROM dirty_contacts d WHERE d.workspace_id > dirty.id ORDER BY d.workspace_id LIMIT 1)
          FROM dirty WHERE dirty.id IS NOT NULL)
    SELECT id FROM dirty WHERE id IS NOT NULL;
END
$$;

CREATE OR REPLACE FUNCTION campaigns_of_past_months() RETURNS TABLE(workspace_id uuid, campaign_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.workspace_id, s.campaign_id
      FROM monthly_shortages s
      JOIN workspaces w ON w.id = s.workspace_id
      JOIN campaigns c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id
      JOIN senders o ON o.workspace_id = c.workspace_id AND o.id = c.sender_id
     WHERE s.month < month_by(w.timezone) AND w.suspended_at IS NULL AND o.status = 'active'
       AND c.status = 'paused' AND c.status_reason = 'monthly_limit_reached'
     ORDER BY c.paused_at LIMIT 100;
END
$$;

CREATE OR REPLACE FUNCTION experiments_due() RETURNS TABLE(workspace_id uuid, campaign_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.workspace_id, e.campaign_id
      FROM campaign_experiments e
      JOIN campaigns c ON c.workspace_id = e.workspace_id AND c.id = e.campaign_id
     WHERE e.released_at IS NULL AND e.winner_by <> 'none'
       AND (c.status = 'sending' AND (e.winner IS NOT NULL OR c.send_until <= now()
                                      OR e.winner_by = 'automatic' AND e.begun_at IS NULL)
            OR c.status IN ('sending', 'finished') AND e.winner IS NULL
               AND e.begun_at + make_interval(secs => e.decide_after_seconds) <= now()
            OR c.status = 'finished' AND (e.winner IS NOT NULL OR e.winner_by = 'by_hand' OR e.begun_at IS NULL)
            OR c.status = 'cancelled')
     ORDER BY e.workspace_id, e.campaign_id;
END
$$;

CREATE OR REPLACE FUNCTION campaigns_due() RETURNS TABLE(workspace_id uuid, campaign_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.workspace_id, c.id FROM campaigns c
     WHERE c.status = 'scheduled' AND c.scheduled_at <= now()
     ORDER BY c.scheduled_at LIMIT 100;
END
$$;

CREATE OR REPLACE FUNCTION workspaces_with_due_look_ups() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE planned AS (
        (SELECT l.workspace_id FROM look_ups l ORDER BY l.workspace_id LIMIT 1)
        UNION ALL
        SELECT (SELECT l.workspace_id FROM look_ups l WHERE l.workspace_id > p.workspace_id ORDER BY l.workspace_id LIMIT 1)
          FROM planned p WHERE p.workspace_id IS NOT NULL)
    SELECT p.workspace_id FROM planned p
     WHERE EXISTS (SELECT FROM look_ups l WHERE l.workspace_id = p.workspace_id AND l.due_at <= now());
END
$$;

-- As in migration 0086.
CREATE OR REPLACE FUNCTION wanted_webhooks(types text[]) RETURNS text[] LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (SELECT array_agg(DISTINCT t) FROM webhook_endpoints e CROSS JOIN unnest(e.event_types) t
             WHERE (e.workspace_id = current_workspace() OR current_workspace() IS NULL) AND e.status = 'active' AND t = ANY (types));
END
$$;
