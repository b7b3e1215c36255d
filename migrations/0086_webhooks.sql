-- Why: what happens here is told to other systems: webhooks that a workspace chooses, an outbox that the change itself
-- writes to, and one row for each event and webhook that a worker delivers.
-- Locks: messages, campaigns, contacts, consents, inbound_messages and segment_members for a moment each, for the triggers.

CREATE TABLE webhook_endpoints (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    event_types text[] NOT NULL,
    status text NOT NULL DEFAULT 'active',
    -- asked (by a person), gone (it answered 410), failing (nothing arrived for days)
    status_reason text,
    disabled_at timestamptz,
    -- Keys that sign, sealed for this row. The one before signs as well until the receiver has had time to change.
    sealed_secret bytea NOT NULL,
    previous_sealed_secret bytea,
    previous_secret_until timestamptz,
    -- Since the last attempt that arrived: when the first failed, and how many have.
    failing_since timestamptz,
    failures int NOT NULL DEFAULT 0,
    -- It asked for a pause.
    rests_until timestamptz,
    created_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT url_is_bounded CHECK (length(url) BETWEEN 1 AND 2000),
    CONSTRAINT event_types_are_bounded CHECK (cardinality(event_types) BETWEEN 1 AND 100),
    CONSTRAINT status_is_known CHECK (status IN ('active', 'disabled')),
    CONSTRAINT status_reason_is_known CHECK (status_reason IN ('asked', 'gone', 'failing')),
    CONSTRAINT disabled_webhook_has_reason
        CHECK ((status = 'disabled') = (status_reason IS NOT NULL) AND (status = 'disabled') = (disabled_at IS NOT NULL)),
    CONSTRAINT previous_secret_has_its_end CHECK ((previous_sealed_secret IS NULL) = (previous_secret_until IS NULL)),
    CONSTRAINT failures_have_a_beginning CHECK ((failures > 0) = (failing_since IS NOT NULL))
);
CREATE INDEX webhook_endpoints_by_creation ON webhook_endpoints (workspace_id, created_at DESC, id DESC);
CREATE INDEX webhook_endpoints_of_user ON webhook_endpoints (created_by) WHERE created_by IS NOT NULL;
SELECT protect('webhook_endpoints');

-- What happened, for those who want to hear of it: ids, states, codes and times, no addresses and no texts. One event
-- tells of what one statement did to many: so a change of 100,000 contacts is 400 rows here.
CREATE TABLE webhook_events (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    type text NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id, occurred_at),
    CONSTRAINT type_is_a_name CHECK (type ~ '^[a-z_]+[.][a-z_]+$'),
    CONSTRAINT data_is_an_object CHECK (jsonb_typeof(data) = 'object')
) PARTITION BY RANGE (occurred_at);
SELECT protect('webhook_events', 'SELECT, INSERT');
SELECT create_partitions('webhook_events');

-- One row for each event and webhook, its own queue and its own log. No foreign key to the webhook: every change that is
-- told of would lock its row. `created_at` is the event's.
CREATE TABLE webhook_deliveries (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    created_at timestamptz NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    -- Attempts that were begun, in all; and how many of the schedule, which a replay begins anew.
    attempt int NOT NULL DEFAULT 0,
    step int NOT NULL DEFAULT 0,
    due_at timestamptz,
    lease_token uuid,
    lease_until timestamptz,
    settled_at timestamptz,
    -- The last 20: at, status, milliseconds, error, and the first KiB of the answer.
    attempts jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (workspace_id, id, created_at),
    CONSTRAINT state_is_known CHECK (state IN ('pending', 'delivering', 'delivered', 'failed')),
    CONSTRAINT pending_delivery_is_due CHECK ((state = 'pending') = (due_at IS NOT NULL)),
    CONSTRAINT leased_delivery_has_lease
        CHECK ((state = 'delivering') = (lease_token IS NOT NULL) AND (lease_token IS NULL) = (lease_until IS NULL)),
    CONSTRAINT settled_delivery_has_settled_at CHECK ((state IN ('delivered', 'failed')) = (settled_at IS NOT NULL)),
    CONSTRAINT attempts_are_bounded CHECK (jsonb_typeof(attempts) = 'array' AND jsonb_array_length(attempts) <= 20)
) PARTITION BY RANGE (created_at);
-- What waits, and what is in somebody's hands.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (workspace_id, endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (lease_until) WHERE state = 'delivering';
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (workspace_id, endpoint_id, created_at DESC, id DESC);
SELECT protect('webhook_deliveries', 'SELECT, INSERT, UPDATE');
SELECT create_partitions('webhook_deliveries');

-- The arrows of docs/states.md.
CREATE FUNCTION webhook_delivery_may_become(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT before = after OR CASE before
        WHEN 'pending' THEN after IN ('delivering', 'failed')
        WHEN 'delivering' THEN after IN ('delivered', 'failed', 'pending')
        ELSE after = 'pending' END
$$;
GRANT EXECUTE ON FUNCTION webhook_delivery_may_become(text, text) TO muster_responder, muster_worker, muster_maintenance;
CREATE TRIGGER webhook_delivery_follows_its_states BEFORE UPDATE ON webhook_deliveries FOR EACH ROW
    WHEN (NOT webhook_delivery_may_become(OLD.state, NEW.state))
    EXECUTE FUNCTION refuse_transition('state', 'webhook delivery');

-- MARK: As the API shows them

CREATE FUNCTION webhook_json(e webhook_endpoints) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object(
        'id', e.id, 'url', e.url, 'description', e.description, 'event_types', e.event_types, 'status', e.status,
        'status_reason', e.status_reason, 'disabled_at', rfc3339(e.disabled_at), 'failing_since', rfc3339(e.failing_since),
        'previous_secret_until', rfc3339(CASE WHEN e.previous_secret_until > now() THEN e.previous_secret_until END),
        'created_by', e.created_by, 'created_at', rfc3339(e.created_at), 'updated_at', rfc3339(e.updated_at), 'version', e.version)
$$;

-- The bytes that are signed and sent: the same for every attempt.
CREATE FUNCTION webhook_body(e webhook_events) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT json_build_object('type', e.type, 'timestamp', rfc3339(e.occurred_at), 'data', e.data)::text $$;

CREATE FUNCTION webhook_delivery_json(d webhook_deliveries) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object(
        'id', d.id, 'webhook_id', d.endpoint_id, 'event_id', d.event_id, 'type', d.type, 'state', d.state,
        'attempt_count', d.attempt, 'next_attempt_at', rfc3339(d.due_at), 'last_status', d.attempts -> -1 -> 'status',
        'last_error', d.attempts -> -1 -> 'error', 'last_milliseconds', d.attempts -> -1 -> 'milliseconds',
        'created_at', rfc3339(d.created_at), 'settled_at', rfc3339(d.settled_at))
$$;

-- The log with one more attempt, of the last 20.
CREATE FUNCTION with_webhook_attempt(attempts jsonb, attempt jsonb) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN jsonb_array_length(attempts) >= 20 THEN attempts - 0 ELSE attempts END
           || jsonb_build_array(jsonb_build_object('at', rfc3339(now())) || attempt)
$$;
GRANT EXECUTE ON FUNCTION webhook_json(webhook_endpoints), webhook_body(webhook_events),
    webhook_delivery_json(webhook_deliveries), with_webhook_attempt(jsonb, jsonb)
    TO muster_responder, muster_worker, muster_maintenance;

-- MARK: From a change to its deliveries

-- Those of the types that an active webhook wants, NULL when none does: what a change asks before it makes an event. Of
-- the workspace that the transaction works in; across all of them where a chore works in none.
CREATE FUNCTION wanted_webhooks(types text[]) RETURNS text[] LANGUAGE sql STABLE
AS $$
    SELECT array_agg(DISTINCT t) FROM webhook_endpoints e CROSS JOIN unnest(e.event_types) t
     WHERE (e.workspace_id = current_workspace() OR current_workspace() IS NULL) AND e.status = 'active' AND t = ANY (types)
$$;
GRANT EXECUTE ON FUNCTION wanted_webhooks(text[]) TO muster_responder, muster_worker, muster_maintenance;

CREATE FUNCTION deliver_webhook_events() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO webhook_deliveries (workspace_id, created_at, endpoint_id, event_id, type, due_at)
    SELECT n.workspace_id, n.occurred_at, e.id, n.id, n.type, now()
      FROM inserted n
      JOIN webhook_endpoints e ON e.workspace_id = n.workspace_id AND e.status = 'active' AND n.type = ANY (e.event_types);
    RETURN NULL;
END
$$;
CREATE TRIGGER new_webhook_events_are_delivered AFTER INSERT ON webhook_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION deliver_webhook_events();

CREATE FUNCTION tell_of_campaign() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    happened text := 'campaign.' || CASE WHEN NEW.status <> 'sending' THEN NEW.status WHEN OLD.status = 'paused' THEN 'resumed' ELSE 'started' END;
BEGIN
    IF wanted_webhooks(ARRAY[happened]) IS NOT NULL THEN
        INSERT INTO webhook_events (workspace_id, type, data) VALUES (NEW.workspace_id, happened,
            jsonb_build_object('campaign_id', NEW.id, 'channel', NEW.channel, 'status', NEW.status, 'status_reason', NEW.status_reason));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_campaigns AFTER UPDATE OF status ON campaigns FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NEW.status IN ('sending', 'paused', 'finished', 'cancelled'))
    EXECUTE FUNCTION tell_of_campaign();

-- A callback that overtakes the answer makes two events of one statement: it was sent, and it arrived.
CREATE FUNCTION tell_of_messages() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    wanted text[] := wanted_webhooks('{message.sent,message.delivered,message.undelivered,message.failed}');
BEGIN
    IF wanted IS NULL THEN RETURN NULL; END IF;
    INSERT INTO webhook_events (workspace_id, type, data)
    SELECT p.workspace_id, p.type, jsonb_build_object('messages', jsonb_agg(p.message))
      FROM (SELECT n.workspace_id, h.type,
                   (row_number() OVER (PARTITION BY n.workspace_id, h.type) - 1) / 50 AS part,
                   jsonb_build_object('id', n.id, 'campaign_id', n.campaign_id, 'contact_id', n.contact_id, 'channel', n.channel,
                                      'at', rfc3339(h.at), 'error_code', h.code) AS message
              FROM after_update n
              JOIN before_update o ON o.workspace_id = n.workspace_id AND o.id = n.id AND o.created_at = n.created_at
             CROSS JOIN LATERAL (VALUES
                ('message.sent', n.sent_at, NULL, o.sent_at IS NULL AND n.sent_at IS NOT NULL),
                ('message.' || n.state, n.settled_at, n.error_code,
                 o.state <> n.state AND n.state IN ('delivered', 'undelivered', 'failed'))) AS h (type, at, code, holds)
             WHERE h.holds AND h.type = ANY (wanted) AND n.kind <> 'test') p
     GROUP BY p.workspace_id, p.type, p.part;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_messages AFTER UPDATE ON messages
    REFERENCING OLD TABLE AS before_update NEW TABLE AS after_update
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_messages();

-- `happened` of these contacts, 250 to an event.
CREATE FUNCTION tell_of_contacts(happened text, workspaces uuid[], contacts uuid[]) RETURNS void LANGUAGE sql VOLATILE
AS $$
    INSERT INTO webhook_events (workspace_id, type, data)
    SELECT p.workspace_id, $1, jsonb_build_object('contact_ids', jsonb_agg(p.id))
      FROM (SELECT c.workspace_id, c.id, (row_number() OVER (PARTITION BY c.workspace_id) - 1) / 250 AS part
              FROM unnest($2, $3) AS c (workspace_id, id)) p
     GROUP BY p.workspace_id, p.part
$$;
GRANT EXECUTE ON FUNCTION tell_of_contacts(text, uuid[], uuid[]) TO muster_responder, muster_worker, muster_maintenance;

CREATE FUNCTION tell_of_new_contacts() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF wanted_webhooks('{contact.created}') IS NOT NULL THEN
        PERFORM tell_of_contacts('contact.created', array_agg(n.workspace_id), array_agg(n.id)) FROM inserted n;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_new_contacts AFTER INSERT ON contacts
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION tell_of_new_contacts();

-- A change is what has a version: a message that was sent moves last_contacted_at alone.
CREATE FUNCTION tell_of_changed_contacts() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF wanted_webhooks('{contact.updated}') IS NOT NULL THEN
        PERFORM tell_of_contacts('contact.updated', array_agg(n.workspace_id), array_agg(n.id))
           FROM after_update n
           JOIN before_update o ON o.workspace_id = n.workspace_id AND o.id = n.id
          WHERE o.version <> n.version;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_changed_contacts AFTER UPDATE ON contacts
    REFERENCING OLD TABLE AS before_update NEW TABLE AS after_update
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_changed_contacts();

CREATE FUNCTION tell_of_deleted_contacts() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF wanted_webhooks('{contact.deleted}') IS NOT NULL THEN
        PERFORM tell_of_contacts('contact.deleted', array_agg(g.workspace_id), array_agg(g.id)) FROM gone g;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_deleted_contacts AFTER DELETE ON contacts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION tell_of_deleted_contacts();

CREATE FUNCTION tell_of_new_consents() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    wanted text[] := wanted_webhooks('{consent.opted_in,consent.opted_out}');
BEGIN
    IF wanted IS NULL THEN RETURN NULL; END IF;
    INSERT INTO webhook_events (workspace_id, type, data)
    SELECT p.workspace_id, p.type,
           jsonb_build_object('channel', p.channel, 'source', left(p.source, 200), 'contact_ids', jsonb_agg(p.contact_id))
      FROM (SELECT n.workspace_id, 'consent.' || n.state AS type, n.channel, n.source, n.contact_id,
                   (row_number() OVER (PARTITION BY n.workspace_id, n.state, n.channel, n.source) - 1) / 250 AS part
              FROM inserted n) p
     WHERE p.type = ANY (wanted)
     GROUP BY p.workspace_id, p.type, p.channel, p.source, p.part;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_new_consents AFTER INSERT ON consents
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION tell_of_new_consents();

CREATE FUNCTION tell_of_changed_consents() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    wanted text[] := wanted_webhooks('{consent.opted_in,consent.opted_out}');
BEGIN
    IF wanted IS NULL THEN RETURN NULL; END IF;
    INSERT INTO webhook_events (workspace_id, type, data)
    SELECT p.workspace_id, p.type,
           jsonb_build_object('channel', p.channel, 'source', left(p.source, 200), 'contact_ids', jsonb_agg(p.contact_id))
      FROM (SELECT n.workspace_id, 'consent.' || n.state AS type, n.channel, n.source, n.contact_id,
                   (row_number() OVER (PARTITION BY n.workspace_id, n.state, n.channel, n.source) - 1) / 250 AS part
              FROM after_update n
              JOIN before_update o
                ON o.workspace_id = n.workspace_id AND o.contact_id = n.contact_id AND o.channel = n.channel
             WHERE o.state <> n.state) p
     WHERE p.type = ANY (wanted)
     GROUP BY p.workspace_id, p.type, p.channel, p.source, p.part;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_changed_consents AFTER UPDATE ON consents
    REFERENCING OLD TABLE AS before_update NEW TABLE AS after_update
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_changed_consents();

CREATE FUNCTION tell_of_reply() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF wanted_webhooks('{contact.replied}') IS NOT NULL THEN
        INSERT INTO webhook_events (workspace_id, type, data) VALUES (NEW.workspace_id, 'contact.replied',
            jsonb_build_object('contact_id', NEW.contact_id, 'inbound_message_id', NEW.id, 'campaign_id', NEW.campaign_id,
                               'intent', NEW.intent));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_replies AFTER INSERT ON inbound_messages FOR EACH ROW
    WHEN (NEW.contact_id IS NOT NULL) EXECUTE FUNCTION tell_of_reply();

-- As in segment_changes, and of the same rows. A segment that goes takes its members with it; nobody left it then.
CREATE FUNCTION tell_of_segment_changes() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    happened text := CASE TG_OP WHEN 'INSERT' THEN 'segment.entered' ELSE 'segment.exited' END;
BEGIN
    IF wanted_webhooks(ARRAY[happened]) IS NULL THEN RETURN NULL; END IF;
    INSERT INTO webhook_events (workspace_id, type, data)
    SELECT p.workspace_id, happened, jsonb_build_object('segment_id', p.segment_id, 'contact_ids', jsonb_agg(p.contact_id))
      FROM (SELECT r.workspace_id, r.segment_id, r.contact_id,
                   (row_number() OVER (PARTITION BY r.workspace_id, r.segment_id) - 1) / 250 AS part
              FROM changed r
              JOIN segments s ON s.workspace_id = r.workspace_id AND s.id = r.segment_id) p
     GROUP BY p.workspace_id, p.segment_id, p.part;
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_hear_of_entries AFTER INSERT ON segment_members
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_of_segment_changes();
CREATE TRIGGER webhooks_hear_of_exits AFTER DELETE ON segment_members
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_of_segment_changes();

-- MARK: What workers do across workspaces

-- Active webhooks with something due, of which it is known whether they have failed lately.
CREATE FUNCTION webhooks_with_due_deliveries() RETURNS TABLE (workspace_id uuid, endpoint_id uuid, is_failing boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT e.workspace_id, e.id, e.failing_since IS NOT NULL
      FROM webhook_endpoints e JOIN workspaces w ON w.id = e.workspace_id
     WHERE e.status = 'active' AND w.suspended_at IS NULL AND (e.rests_until IS NULL OR e.rests_until <= now())
       AND EXISTS (SELECT FROM webhook_deliveries d
                    WHERE d.workspace_id = e.workspace_id AND d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= now())
$$;

-- What dead workers held is due again, or has failed where that was the last attempt of the schedule. Returns how many.
CREATE FUNCTION rescue_webhook_deliveries(last_step int) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH dead AS MATERIALIZED (
        SELECT d.workspace_id, d.id, d.created_at FROM webhook_deliveries d
         WHERE d.state = 'delivering' AND d.lease_until < now() LIMIT 1000 FOR UPDATE SKIP LOCKED),
    saved AS (
        UPDATE webhook_deliveries d
           SET state = CASE WHEN d.step >= last_step THEN 'failed' ELSE 'pending' END,
               due_at = CASE WHEN d.step < last_step THEN now() END,
               settled_at = CASE WHEN d.step >= last_step THEN now() END,
               lease_token = NULL, lease_until = NULL,
               attempts = with_webhook_attempt(d.attempts, '{"error": "The worker stopped in the middle; it may have arrived."}')
          FROM dead WHERE d.workspace_id = dead.workspace_id AND d.id = dead.id AND d.created_at = dead.created_at
        RETURNING 1)
    SELECT count(*) FROM saved
$$;

-- Nothing waits for a webhook that is disabled or gone: what was pending has failed, and can be replayed. Returns how many.
CREATE FUNCTION give_up_webhook_deliveries() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH vain AS MATERIALIZED (
        SELECT d.workspace_id, d.id, d.created_at FROM webhook_deliveries d
         WHERE d.state = 'pending'
           AND NOT EXISTS (SELECT FROM webhook_endpoints e
                            WHERE e.workspace_id = d.workspace_id AND e.id = d.endpoint_id AND e.status = 'active')
         LIMIT 1000 FOR UPDATE SKIP LOCKED),
    ended AS (
        UPDATE webhook_deliveries d
           SET state = 'failed', due_at = NULL, settled_at = now(),
               attempts = with_webhook_attempt(d.attempts, '{"error": "The webhook was disabled before this was delivered."}')
          FROM vain WHERE d.workspace_id = vain.workspace_id AND d.id = vain.id AND d.created_at = vain.created_at
        RETURNING 1)
    SELECT count(*) FROM ended
$$;
GRANT EXECUTE ON FUNCTION webhooks_with_due_deliveries(), rescue_webhook_deliveries(int), give_up_webhook_deliveries() TO muster_worker;

-- Disables a webhook of itself, once, and says so: in a notice, and to the workspace's other webhooks.
CREATE FUNCTION disable_webhook(endpoint uuid, reason text) RETURNS boolean LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    UPDATE webhook_endpoints e
       SET status = 'disabled', status_reason = reason, disabled_at = now(), updated_at = now(), version = e.version + 1
     WHERE e.workspace_id = current_workspace() AND e.id = endpoint AND e.status = 'active';
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM notify_workspace('webhook.disabled', jsonb_build_object('webhook_id', endpoint, 'reason', reason),
        CASE reason WHEN 'gone' THEN 'A webhook answered that it is gone (410) and was disabled.'
                    ELSE 'Nothing could be delivered to a webhook for five days; it was disabled.' END);
    IF wanted_webhooks('{webhook.disabled}') IS NOT NULL THEN
        INSERT INTO webhook_events (workspace_id, type, data) VALUES
            (current_workspace(), 'webhook.disabled', jsonb_build_object('webhook_id', endpoint, 'reason', reason));
    END IF;
    RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION disable_webhook(uuid, text) TO muster_responder, muster_worker;

-- Drops the monthly partitions of events and their deliveries that ended before `before`; see drop_partitions (0050).
CREATE FUNCTION drop_webhook_partitions(before timestamptz) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    part record;
    dropped int := 0;
BEGIN
    IF before > now() - interval '7 days' THEN
        RAISE EXCEPTION 'deliveries are tried for days';
    END IF;
    FOR part IN
        SELECT c.relname::text AS name,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS ends
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent IN ('public.webhook_events'::regclass, 'public.webhook_deliveries'::regclass)
    LOOP
        CONTINUE WHEN part.ends IS NULL OR part.ends > before;
        EXECUTE format('DROP TABLE public.%I', part.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
GRANT EXECUTE ON FUNCTION drop_webhook_partitions(timestamptz) TO muster_maintenance;
