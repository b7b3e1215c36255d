-- Why: what providers tell us, stored before it is understood, and what people write back.
-- Locks: nothing, everything is new.

-- One row per callback, raw, append-only but for its own progress. It is its own queue: `due_at` is set while
-- something is still to be done with it.
CREATE TABLE receipts (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    received_at timestamptz NOT NULL DEFAULT now(),
    sender_id uuid NOT NULL,
    -- Our id, from the callback's URL; it works even where the answer with the provider's id was lost.
    message_id uuid,
    sid text NOT NULL,
    status text NOT NULL,
    error_code int,
    body text NOT NULL,
    -- new → applied | ignored; new → parked → applied | ignored
    state text NOT NULL DEFAULT 'new',
    outcome text,
    due_at timestamptz DEFAULT now(),
    PRIMARY KEY (workspace_id, id, received_at),
    CONSTRAINT state_is_known CHECK (state IN ('new', 'parked', 'applied', 'ignored')),
    CONSTRAINT open_receipt_is_due CHECK ((state IN ('new', 'parked')) = (due_at IS NOT NULL))
) PARTITION BY RANGE (received_at);
CREATE INDEX receipts_due ON receipts (workspace_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX receipts_by_message ON receipts (workspace_id, message_id, received_at);
SELECT protect('receipts', 'SELECT, INSERT, UPDATE');
GRANT DELETE ON receipts TO muster_maintenance;
SELECT create_partitions('receipts');

-- Workspaces with receipts to settle: a skip from workspace to workspace along the index.
CREATE FUNCTION workspaces_with_due_receipts(most int) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT w.id FROM workspaces w
     WHERE EXISTS (SELECT FROM receipts r WHERE r.workspace_id = w.id AND r.due_at <= now())
     LIMIT most
$$;
GRANT EXECUTE ON FUNCTION workspaces_with_due_receipts(int) TO muster_worker;

-- Merges a batch of due receipts into the ledger. Returns how many were looked at.
-- A receipt of a message that we do not know waits and is tried again, later each time, for 72 hours.
CREATE FUNCTION settle_receipts(most int) RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    r record;
    found_message uuid;
    verdict text;
    looked_at int := 0;
    recipient record;
BEGIN
    FOR r IN SELECT q.id, q.received_at, q.message_id, q.sid, q.status, q.error_code, q.sender_id
               FROM receipts q
              WHERE q.workspace_id = current_workspace() AND q.due_at <= now()
              ORDER BY q.due_at LIMIT most FOR UPDATE SKIP LOCKED LOOP
        looked_at := looked_at + 1;
        found_message := r.message_id;
        IF found_message IS NULL OR NOT EXISTS (
            SELECT FROM messages m WHERE m.workspace_id = current_workspace() AND m.id = found_message) THEN
            SELECT m.id INTO found_message FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.sid = r.sid LIMIT 1;
        END IF;
        -- A callback for another sender's message would be one tenant's token deciding another sender's fate.
        SELECT m.to_address, m.contact_id, m.channel, m.sender_id INTO recipient FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.id = found_message;
        IF found_message IS NOT NULL AND recipient.sender_id <> r.sender_id THEN
            verdict := 'other_sender';
        ELSIF found_message IS NULL THEN
            verdict := 'no_message';
        ELSE
            verdict := apply_status(found_message, r.sid, r.status, r.error_code, r.received_at);
        END IF;
        IF verdict IN ('no_message', 'not_started') AND r.received_at > now() - interval '72 hours' THEN
            UPDATE receipts q
               SET state = 'parked', outcome = verdict,
                   due_at = now() + least(interval '1 hour', greatest(interval '1 second', (now() - r.received_at) / 2))
             WHERE q.workspace_id = current_workspace() AND q.id = r.id AND q.received_at = r.received_at;
        ELSE
            UPDATE receipts q
               SET state = CASE WHEN verdict IN ('applied', 'stale', 'conflict') THEN 'applied' ELSE 'ignored' END,
                   outcome = verdict, due_at = NULL
             WHERE q.workspace_id = current_workspace() AND q.id = r.id AND q.received_at = r.received_at;
        END IF;
        -- The provider knows of an opt-out that we have not seen: honour it.
        IF verdict = 'applied' AND r.error_code = 21610 AND recipient.to_address IS NOT NULL THEN
            PERFORM suppress(recipient.channel, recipient.to_address, 'opt_out', 'provider');
            IF EXISTS (SELECT FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = recipient.contact_id) THEN
                PERFORM record_consent(recipient.contact_id, recipient.channel, 'opted_out', 'provider',
                                       NULL, jsonb_build_object('error_code', 21610), r.received_at);
            END IF;
        END IF;
    END LOOP;
    RETURN looked_at;
END
$$;
GRANT EXECUTE ON FUNCTION settle_receipts(int) TO muster_worker;

-- What people did because of a campaign: one row per person and kind, so that counting is counting rows.
CREATE TABLE campaign_responses (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    kind text NOT NULL,
    contact_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, campaign_id, kind, contact_id),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns,
    CONSTRAINT kind_is_known CHECK (kind IN ('replied', 'clicked', 'opted_out', 'converted'))
);
CREATE INDEX campaign_responses_by_time ON campaign_responses (workspace_id, occurred_at);
SELECT protect('campaign_responses');

CREATE TABLE inbound_messages (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    sender_id uuid NOT NULL,
    sid text NOT NULL,
    from_address text NOT NULL,
    to_address text NOT NULL,
    body text NOT NULL,
    -- stop | start | help | review (looks like an opt-out, a person should read it) | none
    intent text NOT NULL,
    contact_id uuid,
    campaign_id uuid,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT inbound_sid_is_unique UNIQUE (workspace_id, sid),
    CONSTRAINT intent_is_known CHECK (intent IN ('stop', 'start', 'help', 'review', 'none'))
);
CREATE INDEX inbound_messages_by_time ON inbound_messages (workspace_id, received_at DESC, id DESC);
SELECT protect('inbound_messages');

-- Takes a person's message and does what it asks, in the transaction that is committed before the provider gets its
-- 2xx: a STOP holds from then on. A repeated sid changes nothing.
-- Returns: stored | repeated.
CREATE FUNCTION receive_inbound(sender uuid, provider_sid text, from_address text, to_address text, body text, intent text)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    person uuid;
    cause record;
    stored uuid;
BEGIN
    SELECT c.id INTO person FROM contacts c WHERE c.workspace_id = current_workspace() AND c.phone = $3;
    -- What they answer to: the last message of a campaign to this address in 30 days.
    SELECT m.campaign_id, m.contact_id INTO cause FROM messages m
     WHERE m.workspace_id = current_workspace() AND m.to_address = $3 AND m.sent_at > now() - interval '30 days'
       AND m.kind = 'campaign'
     ORDER BY m.sent_at DESC LIMIT 1;
    INSERT INTO inbound_messages AS i (workspace_id, sender_id, sid, from_address, to_address, body, intent, contact_id, campaign_id)
        VALUES (current_workspace(), sender, provider_sid, $3, $4, $5, $6, coalesce(person, cause.contact_id), cause.campaign_id)
        ON CONFLICT (workspace_id, sid) DO NOTHING RETURNING i.id INTO stored;
    IF stored IS NULL THEN RETURN 'repeated'; END IF;
    IF intent IN ('stop', 'review') THEN
        PERFORM suppress('sms', $3, CASE intent WHEN 'stop' THEN 'opt_out' ELSE 'manual' END, 'inbound');
        IF person IS NOT NULL AND intent = 'stop' THEN
            PERFORM record_consent(person, 'sms', 'opted_out', 'inbound', NULL, jsonb_build_object('sid', provider_sid));
        END IF;
    ELSIF intent = 'start' AND unsuppress('sms', $3, '{opt_out,manual}') AND person IS NOT NULL THEN
        -- START brings back who had left; it is no consent of somebody who never gave any.
        PERFORM record_consent(person, 'sms', 'opted_in', 'inbound', NULL, jsonb_build_object('sid', provider_sid));
    END IF;
    IF cause.campaign_id IS NOT NULL THEN
        INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
            SELECT current_workspace(), cause.campaign_id, k, cause.contact_id, now()
              FROM unnest(CASE WHEN intent = 'stop' THEN ARRAY['replied', 'opted_out'] ELSE ARRAY['replied'] END) k
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN 'stored';
END
$$;
GRANT EXECUTE ON FUNCTION receive_inbound(uuid, text, text, text, text, text) TO muster_responder, muster_worker;
