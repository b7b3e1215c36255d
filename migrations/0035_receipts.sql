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

-- Workspaces with receipts to settle: from workspace to workspace along the index, whatever waits in each.
CREATE FUNCTION workspaces_with_due_receipts() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH RECURSIVE open AS (
        (SELECT r.workspace_id FROM receipts r WHERE r.due_at IS NOT NULL ORDER BY r.workspace_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.workspace_id FROM receipts r
                 WHERE r.due_at IS NOT NULL AND r.workspace_id > o.workspace_id ORDER BY r.workspace_id LIMIT 1)
          FROM open o WHERE o.workspace_id IS NOT NULL)
    SELECT o.workspace_id FROM open o
     WHERE EXISTS (SELECT FROM receipts r WHERE r.workspace_id = o.workspace_id AND r.due_at <= now())
$$;
GRANT EXECUTE ON FUNCTION workspaces_with_due_receipts() TO muster_worker;

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
-- 2xx: a STOP holds from then on. What only may be an opt-out holds as one until somebody has read it. START undoes what
-- a text of theirs had done, and nothing else: it is no consent of somebody who never left that way. A repeated sid
-- changes nothing.
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
    -- Held, so that nobody deletes the contact under what is written of it.
    SELECT c.id INTO person FROM contacts c WHERE c.workspace_id = current_workspace() AND c.phone = $3 FOR KEY SHARE;
    -- What they answer to: the last message of a campaign to this address in 30 days, of this sender if it sent one.
    SELECT m.campaign_id, m.contact_id INTO cause FROM messages m
     WHERE m.workspace_id = current_workspace() AND m.to_address = $3 AND m.sent_at > now() - interval '30 days'
       AND m.kind = 'campaign'
     ORDER BY m.sender_id = sender DESC, m.sent_at DESC LIMIT 1;
    INSERT INTO inbound_messages AS i (workspace_id, sender_id, sid, from_address, to_address, body, intent, contact_id, campaign_id)
        VALUES (current_workspace(), sender, provider_sid, $3, $4, $5, $6, coalesce(person, cause.contact_id), cause.campaign_id)
        ON CONFLICT (workspace_id, sid) DO NOTHING RETURNING i.id INTO stored;
    IF stored IS NULL THEN RETURN 'repeated'; END IF;
    CASE intent
    WHEN 'stop' THEN
        PERFORM suppress('sms', $3, 'opt_out', 'inbound');
        IF person IS NOT NULL THEN
            PERFORM record_consent(person, 'sms', 'opted_out', 'inbound', NULL, jsonb_build_object('sid', provider_sid));
        END IF;
    WHEN 'review' THEN
        PERFORM suppress('sms', $3, 'opt_out', 'review');
    WHEN 'start' THEN
        IF EXISTS (SELECT FROM suppressions s
                    WHERE s.workspace_id = current_workspace() AND s.channel = 'sms' AND s.address = $3
                      AND s.reason = 'opt_out' AND s.source IN ('inbound', 'provider', 'review')) THEN
            PERFORM unsuppress('sms', $3, '{opt_out}');
            IF EXISTS (SELECT FROM consents k
                        WHERE k.workspace_id = current_workspace() AND k.contact_id = person AND k.channel = 'sms'
                          AND k.state = 'opted_out' AND k.source IN ('inbound', 'provider')) THEN
                PERFORM record_consent(person, 'sms', 'opted_in', 'inbound', NULL, jsonb_build_object('sid', provider_sid));
            END IF;
        END IF;
    ELSE NULL;
    END CASE;
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

-- A provider says that a person opted out with it: our own consent and suppression follow.
CREATE FUNCTION record_provider_opt_out(channel text, address text, code int) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    person uuid;
BEGIN
    PERFORM suppress($1, $2, 'opt_out', 'provider');
    IF $1 = 'sms' THEN
        SELECT c.id INTO person FROM contacts c WHERE c.workspace_id = current_workspace() AND c.phone = $2;
    ELSE
        SELECT c.id INTO person FROM contacts c WHERE c.workspace_id = current_workspace() AND c.email = $2;
    END IF;
    IF person IS NOT NULL AND NOT EXISTS (SELECT FROM consents k
            WHERE k.workspace_id = current_workspace() AND k.contact_id = person AND k.channel = $1 AND k.state = 'opted_out') THEN
        PERFORM record_consent(person, $1, 'opted_out', 'provider', NULL, jsonb_build_object('error_code', $3));
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION record_provider_opt_out(text, text, int) TO muster_responder, muster_worker;
