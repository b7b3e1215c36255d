-- Why: consent that the person confirms from the address itself: by answering YES to a text, or by pressing a button on a page
-- whose link came by e-mail.
-- Locks: messages, while its rows are read once for the constraints; it blocks writers for that long. suppressions for a moment.

-- What asks for consent is a message of its own kind: to one contact, outside of any audience, and without the consent that it
-- asks for.
ALTER TABLE messages DROP CONSTRAINT kind_is_known;
ALTER TABLE messages ADD CONSTRAINT kind_is_known CHECK (kind IN ('campaign', 'test', 'request'));
ALTER TABLE messages DROP CONSTRAINT skip_reason_is_known;
ALTER TABLE messages ADD CONSTRAINT skip_reason_is_known CHECK (skip_reason IN ('no_address', 'invalid_address', 'no_consent',
    'opted_out', 'suppressed', 'duplicate_address', 'empty_text', 'text_too_long', 'contact_deleted', 'address_changed',
    'campaign_cancelled', 'holdout', 'over_cap', 'over_budget', 'over_monthly_limit', 'quiet_hours', 'too_late',
    'template_failed', 'request_ended'));
CREATE INDEX messages_pending_requests ON messages (workspace_id, campaign_id) WHERE state = 'pending' AND kind = 'request';

-- pending → confirmed | expired | cancelled | refused. An end is an end.
CREATE TABLE consent_requests (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    contact_id uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    -- Where it was asked, and nowhere else is it answered.
    address text NOT NULL,
    sender_id uuid NOT NULL,
    -- What the person agrees to, as it is shown to them, and how the team calls this version of it.
    wording text NOT NULL,
    wording_version text,
    -- Where they asked for it, and what is known of that.
    source text NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'pending',
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    reminded_at timestamptz,
    ended_at timestamptz,
    -- The entry of the ledger that the confirmation made.
    consent_event_id uuid,
    created_by uuid,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, sender_id) REFERENCES senders (workspace_id, id),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT purpose_is_known CHECK (purpose IN ('marketing', 'transactional')),
    CONSTRAINT state_is_known CHECK (state IN ('pending', 'confirmed', 'expired', 'cancelled', 'refused')),
    CONSTRAINT ended_request_has_ended_at CHECK ((state = 'pending') = (ended_at IS NULL)),
    CONSTRAINT confirmed_request_has_proof CHECK ((state = 'confirmed') = (consent_event_id IS NOT NULL))
);
CREATE UNIQUE INDEX one_open_request ON consent_requests (workspace_id, contact_id, channel, purpose) WHERE state = 'pending';
CREATE INDEX consent_requests_of_address ON consent_requests (workspace_id, channel, address) WHERE state = 'pending';
CREATE INDEX consent_requests_of_contact ON consent_requests (workspace_id, contact_id, requested_at);
CREATE INDEX consent_requests_by_creation ON consent_requests (workspace_id, requested_at DESC, id DESC);
CREATE INDEX consent_requests_expiring ON consent_requests (expires_at) WHERE state = 'pending';
SELECT protect('consent_requests', 'SELECT, INSERT, UPDATE');

CREATE FUNCTION consent_request_may_become() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'a consent request cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER consent_requests_follow_their_arrows BEFORE UPDATE ON consent_requests FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND OLD.state <> 'pending') EXECUTE FUNCTION consent_request_may_become();

-- The messages that asked: one, and one reminder at most.
CREATE TABLE consent_request_messages (
    workspace_id uuid NOT NULL,
    message_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    request_id uuid NOT NULL,
    is_reminder boolean NOT NULL,
    PRIMARY KEY (workspace_id, message_id),
    FOREIGN KEY (workspace_id, request_id) REFERENCES consent_requests ON DELETE CASCADE,
    CONSTRAINT one_message_and_one_reminder UNIQUE (workspace_id, request_id, is_reminder)
);
SELECT protect('consent_request_messages', 'SELECT, INSERT');

-- The ledger's rows belong to a campaign, through which the sending threads find their sender. A sender's requests have one that
-- was never anything but cancelled, so that nobody starts, changes or deletes it; lists of campaigns leave it out.
CREATE TABLE request_campaigns (
    workspace_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    PRIMARY KEY (workspace_id, sender_id),
    CONSTRAINT campaign_has_one_sender UNIQUE (workspace_id, campaign_id),
    FOREIGN KEY (workspace_id, sender_id) REFERENCES senders (workspace_id, id),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns
);
SELECT protect('request_campaigns', 'SELECT, INSERT');

-- The campaign of a sender's requests, made when it is first wanted.
CREATE FUNCTION request_campaign(sender uuid) RETURNS uuid LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found uuid;
BEGIN
    -- Held, so that of two one makes it.
    PERFORM 1 FROM senders s WHERE s.workspace_id = current_workspace() AND s.id = sender FOR NO KEY UPDATE;
    SELECT r.campaign_id INTO found FROM request_campaigns r WHERE r.workspace_id = current_workspace() AND r.sender_id = sender;
    IF found IS NOT NULL THEN RETURN found; END IF;
    INSERT INTO campaigns (workspace_id, name, channel, sender_id, status, cancelled_at)
        SELECT s.workspace_id, 'Consent requests', s.channel, s.id, 'cancelled', now() FROM senders s
         WHERE s.workspace_id = current_workspace() AND s.id = sender RETURNING id INTO found;
    INSERT INTO request_campaigns (workspace_id, sender_id, campaign_id) VALUES (current_workspace(), sender, found);
    RETURN found;
END
$$;

-- As in 0034, and the campaigns with a request to send.
CREATE OR REPLACE FUNCTION campaigns_to_send() RETURNS TABLE (workspace_id uuid, campaign_id uuid, sender_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
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
     ORDER BY c.workspace_id, c.id
$$;

-- Why a contact is not asked on a channel; NULL: they may be. Whoever calls holds the contact's row, so of two who ask at once the
-- second sees the first. Requests of theirs that ran out end here. Nobody who has said no is asked to think again: they come
-- back by their own START, or on their own page.
CREATE FUNCTION consent_request_fault(contact uuid, wanted_channel text, wanted_purpose text, target text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    UPDATE consent_requests r SET state = 'expired', ended_at = now()
     WHERE r.workspace_id = current_workspace() AND r.contact_id = $1 AND r.state = 'pending' AND r.expires_at <= now();
    RETURN CASE
        WHEN EXISTS (SELECT FROM suppressions s
                      WHERE s.workspace_id = current_workspace() AND s.channel = $2 AND s.address = target) THEN 'address_suppressed'
        WHEN EXISTS (SELECT FROM consents k
                      WHERE k.workspace_id = current_workspace() AND k.contact_id = $1 AND k.channel = $2 AND k.state = 'opted_out')
            THEN 'has_opted_out'
        WHEN EXISTS (SELECT FROM consent_requests r
                      WHERE r.workspace_id = current_workspace() AND r.contact_id = $1 AND r.channel = $2 AND r.purpose = $3
                        AND r.state = 'pending') THEN 'request_open'
        WHEN (SELECT count(*) FROM consent_requests r
               WHERE r.workspace_id = current_workspace() AND r.contact_id = $1 AND r.requested_at > now() - interval '30 days') >= 3
            THEN 'too_many_requests' END;
END
$$;

-- pending → confirmed, with an entry in the ledger, once. Only where it was asked: the address must still be the contact's, and
-- nobody may have suppressed it. `told` is what is known of the confirmation.
-- Returns: confirmed | repeated | ended; NULL where there is no such request.
CREATE FUNCTION confirm_consent_request(request uuid, told jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    asked consent_requests;
    event uuid;
BEGIN
    -- Contact before request, as whoever asks or leaves takes them.
    PERFORM 1 FROM contacts c JOIN consent_requests r ON r.workspace_id = c.workspace_id AND r.contact_id = c.id
      WHERE r.workspace_id = current_workspace() AND r.id = $1 FOR KEY SHARE OF c;
    SELECT r.* INTO asked FROM consent_requests r WHERE r.workspace_id = current_workspace() AND r.id = $1 FOR NO KEY UPDATE;
    IF asked.id IS NULL THEN RETURN NULL; END IF;
    IF asked.state = 'confirmed' THEN RETURN 'repeated'; END IF;
    IF asked.state <> 'pending' OR asked.expires_at <= now() THEN RETURN 'ended'; END IF;
    IF NOT EXISTS (SELECT FROM contacts c
                    WHERE c.workspace_id = current_workspace() AND c.id = asked.contact_id
                      AND asked.address = CASE asked.channel WHEN 'sms' THEN c.phone ELSE c.email END)
       OR EXISTS (SELECT FROM suppressions s
                   WHERE s.workspace_id = current_workspace() AND s.channel = asked.channel AND s.address = asked.address) THEN
        RETURN 'ended';
    END IF;
    event := record_consent(
        asked.contact_id, asked.channel, 'opted_in', asked.source, asked.wording,
        asked.evidence || $2 || jsonb_build_object(
            'request_id', asked.id, 'address', asked.address, 'wording_version', asked.wording_version,
            'requested_at', rfc3339(asked.requested_at), 'confirmed_at', rfc3339(now())),
        now(), asked.purpose, NULL, NULL, 'person');
    UPDATE consent_requests r SET state = 'confirmed', ended_at = now(), consent_event_id = event
     WHERE r.workspace_id = current_workspace() AND r.id = $1;
    RETURN 'confirmed';
END
$$;

-- What somebody texted. A YES confirms the last request that this sender has sent to the number and that still waits; what else
-- a text means is `receive_inbound`'s, as it was.
-- Returns: confirmed | what `receive_inbound` does.
CREATE FUNCTION receive_reply(
    sender uuid, provider_sid text, from_address text, to_address text, body text, intent text, is_yes boolean) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    outcome text := receive_inbound($1, $2, $3, $4, $5, $6);
    asked uuid;
BEGIN
    IF NOT is_yes OR outcome = 'repeated' THEN RETURN outcome; END IF;
    SELECT r.id INTO asked
      FROM consent_requests r
      JOIN consent_request_messages q ON q.workspace_id = r.workspace_id AND q.request_id = r.id
      JOIN messages m ON m.workspace_id = q.workspace_id AND m.id = q.message_id AND m.created_at = q.created_at
     WHERE r.workspace_id = current_workspace() AND r.channel = 'sms' AND r.address = $3 AND r.state = 'pending'
       AND r.expires_at > now() AND r.sender_id = $1 AND m.state IN ('started', 'unknown', 'sent', 'delivered', 'undelivered')
     ORDER BY m.started_at DESC, r.id DESC LIMIT 1;
    IF asked IS NULL THEN RETURN outcome; END IF;
    RETURN CASE confirm_consent_request(asked, jsonb_build_object('sid', $2, 'text', $5)) WHEN 'confirmed' THEN 'confirmed' ELSE outcome END;
END
$$;

-- Whoever leaves, or cannot be reached, is not asked any more: a STOP, the page, a complaint, a bounce, the team.
CREATE FUNCTION end_consent_requests() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE consent_requests r SET state = 'refused', ended_at = now()
      FROM suppressed s
     WHERE r.workspace_id = s.workspace_id AND r.channel = s.channel AND r.address = s.address AND r.state = 'pending';
    RETURN NULL;
END
$$;
CREATE TRIGGER suppressions_end_requests AFTER INSERT ON suppressions REFERENCING NEW TABLE AS suppressed
    FOR EACH STATEMENT EXECUTE FUNCTION end_consent_requests();

CREATE FUNCTION consent_request_json(r consent_requests) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', r.id, 'contact_id', r.contact_id, 'channel', r.channel, 'purpose', r.purpose, 'sender_id', r.sender_id,
        'text', r.wording, 'text_version', r.wording_version, 'source', r.source, 'evidence', r.evidence, 'state', r.state,
        'requested_at', rfc3339(r.requested_at), 'expires_at', rfc3339(r.expires_at), 'reminded_at', rfc3339(r.reminded_at),
        'ended_at', rfc3339(r.ended_at), 'consent_id', r.consent_event_id,
        'messages', (SELECT coalesce(json_agg(json_build_object('id', m.id, 'state', m.state, 'skip_reason', m.skip_reason) ORDER BY q.is_reminder), '[]')
                       FROM consent_request_messages q
                       JOIN messages m ON m.workspace_id = q.workspace_id AND m.id = q.message_id AND m.created_at = q.created_at
                      WHERE q.workspace_id = current_workspace() AND q.request_id = r.id))
$$;
GRANT EXECUTE ON FUNCTION request_campaign(uuid), consent_request_fault(uuid, text, text, text), confirm_consent_request(uuid, jsonb),
    receive_reply(uuid, text, text, text, text, text, boolean), consent_request_json(consent_requests)
    TO muster_responder, muster_worker;
