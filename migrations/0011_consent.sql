-- Why: who may be written to. Consent is dated proof per contact and channel; suppression is a reason not to send to
-- an address whatever consent says.
-- Locks: nothing, everything is new.

-- Append-only. The wording and the evidence are what a regulator asks for (47 CFR 64.1200(f)(9), GDPR article 7(1)).
CREATE TABLE consent_events (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    contact_id uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL DEFAULT 'marketing',
    state text NOT NULL,
    source text NOT NULL,
    wording text,
    evidence jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT state_is_known CHECK (state IN ('opted_in', 'opted_out'))
);
CREATE INDEX consent_events_of_contact ON consent_events (workspace_id, contact_id, channel, occurred_at DESC);
SELECT protect('consent_events', 'SELECT, INSERT');

-- The latest state per contact and channel; no row means unknown.
CREATE TABLE consents (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    channel text NOT NULL,
    state text NOT NULL,
    source text NOT NULL,
    occurred_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, contact_id, channel),
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts ON DELETE CASCADE,
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT state_is_known CHECK (state IN ('opted_in', 'opted_out'))
);
SELECT protect('consents');

-- The one way to change consent: a line in the ledger, and the state unless a later event is known already.
-- At the same instant an opt-out wins.
CREATE FUNCTION record_consent(contact uuid, channel text, state text, source text, wording text DEFAULT NULL,
                               evidence jsonb DEFAULT '{}', at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    event uuid;
BEGIN
    INSERT INTO consent_events (workspace_id, contact_id, channel, state, source, wording, evidence, occurred_at)
        VALUES (current_workspace(), contact, $2, $3, $4, $5, $6, at) RETURNING id INTO event;
    INSERT INTO consents AS c (workspace_id, contact_id, channel, state, source, occurred_at)
        VALUES (current_workspace(), contact, $2, $3, $4, at)
        ON CONFLICT (workspace_id, contact_id, channel) DO UPDATE
           SET state = excluded.state, source = excluded.source, occurred_at = excluded.occurred_at, updated_at = now()
         WHERE c.occurred_at < excluded.occurred_at
            OR (c.occurred_at = excluded.occurred_at AND excluded.state = 'opted_out');
    RETURN event;
END
$$;

-- The same for many contacts at once, at the same instant. Those who said something already are left alone: what a
-- file declares undoes nobody's own word. Returns how many were recorded.
CREATE FUNCTION record_first_consents(contacts uuid[], channel text, state text, source text, evidence jsonb) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    WITH recorded AS (
        INSERT INTO consents (workspace_id, contact_id, channel, state, source, occurred_at)
        SELECT current_workspace(), c, $2, $3, $4, now() FROM unnest($1) c
        ON CONFLICT (workspace_id, contact_id, channel) DO NOTHING
        RETURNING contact_id),
    noted AS (
        INSERT INTO consent_events (workspace_id, contact_id, channel, state, source, evidence, occurred_at)
        SELECT current_workspace(), r.contact_id, $2, $3, $4, $5, now() FROM recorded r)
    SELECT count(*) FROM recorded
$$;

CREATE TABLE suppressions (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    channel text NOT NULL,
    address text NOT NULL,
    reason text NOT NULL,
    source text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, channel, address),
    CONSTRAINT suppression_id_is_unique UNIQUE (workspace_id, id),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT reason_is_known CHECK (reason IN ('opt_out', 'bounce', 'complaint', 'invalid', 'manual'))
);
CREATE INDEX suppressions_by_creation ON suppressions (workspace_id, created_at DESC, id DESC);
SELECT protect('suppressions');

-- An opt-out is never weakened to a lesser reason; one that was entered for somebody ('consent') or only guessed from a
-- text ('review') gives way to one in the person's own words. What the team says besides ('api') stays when the person
-- comes back: then only the team can lift it.
CREATE FUNCTION suppress(channel text, address text, reason text, source text) RETURNS void
LANGUAGE sql VOLATILE
AS $$
    INSERT INTO suppressions AS s (workspace_id, channel, address, reason, source)
    VALUES (current_workspace(), $1, $2, $3, $4)
    ON CONFLICT (workspace_id, channel, address) DO UPDATE
       SET reason = CASE WHEN s.reason = 'opt_out' THEN 'opt_out' ELSE excluded.reason END, source = excluded.source
     WHERE s.reason <> 'opt_out' OR excluded.source = 'api' OR (s.source IN ('consent', 'review') AND excluded.reason = 'opt_out')
$$;

-- Ends a suppression of one of these reasons. Returns whether there was one.
CREATE FUNCTION unsuppress(channel text, address text, reasons text[]) RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    WITH gone AS (
        DELETE FROM suppressions s
         WHERE s.workspace_id = current_workspace() AND s.channel = $1 AND s.address = $2 AND s.reason = ANY ($3)
        RETURNING 1)
    SELECT EXISTS (SELECT FROM gone)
$$;
-- An entry of the ledger and a suppressed address, as the API shows them.
CREATE FUNCTION consent_json(e consent_events) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object(
        'id', e.id, 'contact_id', e.contact_id, 'channel', e.channel, 'purpose', e.purpose, 'state', e.state,
        'source', e.source, 'wording', e.wording, 'evidence', e.evidence, 'at', rfc3339(e.occurred_at),
        'recorded_at', rfc3339(e.recorded_at))
$$;
CREATE FUNCTION suppression_json(s suppressions) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object('id', s.id, 'channel', s.channel, 'address', s.address, 'reason', s.reason,
                             'source', s.source, 'created_at', rfc3339(s.created_at))
$$;
GRANT EXECUTE ON FUNCTION record_consent(uuid, text, text, text, text, jsonb, timestamptz),
    record_first_consents(uuid[], text, text, text, jsonb), consent_json(consent_events), suppression_json(suppressions),
    suppress(text, text, text, text), unsuppress(text, text, text[]) TO muster_responder, muster_worker;
