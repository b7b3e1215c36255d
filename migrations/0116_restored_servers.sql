-- Why: a database that was restored to an earlier instant takes messages for pending that were sent after it. It finds out by
--      itself that it stands on another server, or continues from a restore, and sends nothing until somebody has reconciled it.
-- Locks: messages, while its rows are read once for the constraint; it blocks writers for that long. The functions are replaced.

-- Where the database was when it last sent. A restore to a point in time has another timeline, a dump that is loaded elsewhere
-- another system identifier, and a copy on the same server another oid. A snapshot of the disk has all of them alike: of that
-- `held_at` tells, set by hand. `restored_from` is the newest instant at which it knew of something sent, once the reconciliation has
-- begun, until it ends: what it writes then is newer.
CREATE TABLE known_server (
    only_one boolean PRIMARY KEY DEFAULT true,
    system_identifier bigint NOT NULL,
    timeline text NOT NULL,
    database_oid oid NOT NULL,
    known_since timestamptz NOT NULL DEFAULT now(),
    held_at timestamptz,
    restored_from timestamptz,
    CONSTRAINT there_is_one CHECK (only_one)
);
GRANT SELECT ON known_server TO muster_maintenance;

-- Where it is now. No row while the server is in recovery.
CREATE FUNCTION this_server() RETURNS TABLE (system_identifier bigint, timeline text, database_oid oid)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF pg_is_in_recovery() THEN RETURN; END IF;
    RETURN QUERY
    SELECT s.system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8), d.oid
      FROM pg_control_system() s CROSS JOIN pg_database d WHERE d.datname = current_database();
END
$$;
INSERT INTO known_server (system_identifier, timeline, database_oid) SELECT * FROM this_server();

-- Whether nothing may be sent, nor start by itself. Asked several times a second: what can be compared without reading the
-- server's control file comes first.
CREATE FUNCTION sending_is_held() RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN RETURN true; END IF;
    RETURN NOT EXISTS (
        SELECT FROM known_server k
         WHERE k.held_at IS NULL AND k.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
           AND k.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
           AND k.system_identifier = (SELECT s.system_identifier FROM pg_control_system() s));
END
$$;

-- Says by hand that the data are of an earlier time.
CREATE FUNCTION hold_sending() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ UPDATE known_server SET held_at = coalesce(held_at, now()) $$;

-- The instant after which the providers are asked: the same until sending is released, however often the reconciliation is begun.
CREATE FUNCTION begin_reconciliation() RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO known_server AS k (system_identifier, timeline, database_oid, known_since, held_at, restored_from)
    SELECT 0, '', 0, 'epoch', now(), coalesce(s.at, 'epoch') FROM (SELECT max(m.started_at) AS at FROM messages m) s
        ON CONFLICT (only_one) DO UPDATE
       SET restored_from = coalesce(k.restored_from, (SELECT max(m.started_at) FROM messages m), k.known_since)
    RETURNING restored_from
$$;

-- From here on this server is the one that sends.
CREATE FUNCTION release_sending() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO known_server (system_identifier, timeline, database_oid)
    SELECT t.system_identifier, t.timeline, t.database_oid FROM this_server() t
        ON CONFLICT (only_one) DO UPDATE
       SET system_identifier = excluded.system_identifier, timeline = excluded.timeline, database_oid = excluded.database_oid,
           known_since = now(), held_at = NULL, restored_from = NULL
$$;

CREATE FUNCTION workspaces_to_reconcile() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT id FROM workspaces ORDER BY id $$;
GRANT EXECUTE ON FUNCTION sending_is_held(), hold_sending(), release_sending() TO muster_worker, muster_maintenance;
GRANT EXECUTE ON FUNCTION workspaces_to_reconcile(), begin_reconciliation() TO muster_worker;

ALTER TABLE messages DROP CONSTRAINT skip_reason_is_known;
ALTER TABLE messages ADD CONSTRAINT skip_reason_is_known CHECK (skip_reason IN ('no_address', 'invalid_address', 'no_consent',
    'opted_out', 'suppressed', 'duplicate_address', 'empty_text', 'text_too_long', 'contact_deleted', 'address_changed',
    'campaign_cancelled', 'holdout', 'over_cap', 'over_budget', 'over_monthly_limit', 'quiet_hours', 'too_late',
    'template_failed', 'request_ended', 'restored'));

-- What workers do by themselves, as in migrations 0111 and 0114, and nothing while sending is held.
CREATE OR REPLACE FUNCTION campaigns_to_send() RETURNS TABLE(workspace_id uuid, campaign_id uuid, sender_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    IF sending_is_held() THEN RETURN; END IF;
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

CREATE OR REPLACE FUNCTION campaigns_of_past_months() RETURNS TABLE(workspace_id uuid, campaign_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    IF sending_is_held() THEN RETURN; END IF;
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
    IF sending_is_held() THEN RETURN; END IF;
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
    IF sending_is_held() THEN RETURN; END IF;
    RETURN QUERY
    SELECT c.workspace_id, c.id FROM campaigns c
     WHERE c.status = 'scheduled' AND c.scheduled_at <= now()
     ORDER BY c.scheduled_at LIMIT 100;
END
$$;

CREATE OR REPLACE FUNCTION recurring_campaigns_due() RETURNS TABLE (workspace_id uuid, recurring_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    IF sending_is_held() THEN RETURN; END IF;
    RETURN QUERY
    SELECT r.workspace_id, r.id FROM recurring_campaigns r
      JOIN workspaces w ON w.id = r.workspace_id
     WHERE r.status = 'active' AND r.next_at <= now() AND w.suspended_at IS NULL
     ORDER BY r.next_at LIMIT 100;
END
$$;

-- A copy of the database tells nobody of its events.
CREATE OR REPLACE FUNCTION webhooks_with_due_deliveries() RETURNS TABLE(workspace_id uuid, endpoint_id uuid, is_failing boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    IF sending_is_held() THEN RETURN; END IF;
    RETURN QUERY
    SELECT e.workspace_id, e.id, e.failing_since IS NOT NULL
      FROM webhook_endpoints e JOIN workspaces w ON w.id = e.workspace_id
     WHERE e.status = 'active' AND w.suspended_at IS NULL AND (e.rests_until IS NULL OR e.rests_until <= now())
       AND EXISTS (SELECT FROM webhook_deliveries d
                    WHERE d.workspace_id = e.workspace_id AND d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= now());
END
$$;
