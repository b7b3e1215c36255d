-- Why: campaigns by e-mail. A sender may be an address at SendGrid or behind an SMTP relay, a campaign has a subject and HTML
-- besides its text, and what SendGrid's event webhook tells is stored and acted upon.
-- Locks: senders and campaigns, while their few rows are read once; messages, against writing, while an index of failed
-- e-mails is built (there are none yet).

-- An address instead of a number. Whatever a provider has no use for stays empty.
ALTER TABLE senders
    ALTER account_sid DROP NOT NULL,
    ADD from_email text,
    ADD from_name text,
    ADD reply_to text,
    DROP CONSTRAINT provider_is_known,
    DROP CONSTRAINT sender_has_one_origin,
    ADD CONSTRAINT provider_is_known CHECK (provider IN ('twilio', 'sendgrid', 'smtp')),
    ADD CONSTRAINT provider_serves_channel CHECK (channel = CASE provider WHEN 'twilio' THEN 'sms' ELSE 'email' END),
    ADD CONSTRAINT sender_has_one_origin CHECK (CASE provider
        WHEN 'twilio' THEN (from_number IS NULL) <> (messaging_service_sid IS NULL)
        ELSE from_number IS NULL AND messaging_service_sid IS NULL END),
    ADD CONSTRAINT text_sender_has_account CHECK ((provider = 'twilio') = (account_sid IS NOT NULL)),
    ADD CONSTRAINT mail_sender_has_address CHECK ((channel = 'email') = (from_email IS NOT NULL)
        AND (channel = 'email' OR (from_name IS NULL AND reply_to IS NULL)));

ALTER TABLE campaigns
    ADD subject text,
    ADD preheader text,
    ADD html text,
    ADD CONSTRAINT mail_that_will_freeze_has_subject
        CHECK (status NOT IN ('scheduled', 'freezing') OR channel <> 'email' OR subject IS NOT NULL),
    ADD CONSTRAINT text_has_no_mail_parts CHECK (channel = 'email' OR (subject IS NULL AND preheader IS NULL AND html IS NULL));

-- What a mail said in its subject, beside the ledger, which keeps the text. Its HTML is not kept: it may be a hundred times
-- as large, and says the same.
CREATE TABLE email_contents (
    workspace_id uuid NOT NULL,
    message_id uuid NOT NULL,
    -- The message's, which its key has.
    created_at timestamptz NOT NULL,
    subject text NOT NULL,
    PRIMARY KEY (workspace_id, message_id, created_at)
) PARTITION BY RANGE (created_at);
SELECT protect('email_contents', 'SELECT, INSERT, UPDATE');
SELECT create_partitions('email_contents');

-- How often mail to an address has come back.
CREATE INDEX messages_failed_mail ON messages (workspace_id, to_address, settled_at)
    WHERE channel = 'email' AND state IN ('failed', 'undelivered');

-- Providers of mail cannot be asked what became of one.
CREATE OR REPLACE FUNCTION plan_look_up() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO look_ups (workspace_id, message_id, created_at, account_sid, due_at)
    SELECT NEW.workspace_id, NEW.id, NEW.created_at, s.account_sid, now() + interval '30 seconds'
      FROM senders s
     WHERE s.workspace_id = NEW.workspace_id AND s.id = NEW.sender_id AND s.provider = 'twilio'
    ON CONFLICT (workspace_id, message_id) DO UPDATE SET due_at = excluded.due_at, since = now(), misses = 0;
    RETURN NULL;
END
$$;

-- The settings with what this adds; what they were before keeps its definition.
ALTER FUNCTION settings_json(workspaces) RENAME TO settings_before_email;
CREATE FUNCTION settings_json(w workspaces) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT (settings_before_email(w)::jsonb || jsonb_build_object('postal_address', w.settings ->> 'postal_address'))::json
$$;
GRANT EXECUTE ON FUNCTION settings_json(workspaces) TO muster_responder, muster_worker, muster_maintenance;

-- Somebody has had enough, as their provider of mail tells: of us (opt_out), or as a complaint, which holds the same and
-- says so. `person` may be nobody. Who has come back since they left stays: what is told late undoes no newer word.
CREATE FUNCTION record_mail_refusal(person uuid, address text, reason text, evidence jsonb, at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF reason <> 'opt_out' OR NOT EXISTS (SELECT FROM consents k
            WHERE k.workspace_id = current_workspace() AND k.contact_id = person AND k.channel = 'email' AND k.state = 'opted_in'
              AND k.occurred_at > record_mail_refusal.at) THEN
        PERFORM suppress('email', address, reason, 'provider');
    END IF;
    IF person IS NOT NULL AND NOT EXISTS (SELECT FROM consents k
            WHERE k.workspace_id = current_workspace() AND k.contact_id = person AND k.channel = 'email' AND k.state = 'opted_out') THEN
        PERFORM record_consent(person, 'email', 'opted_out', 'provider', NULL, evidence, at);
    END IF;
END
$$;

-- Stores one event of a provider of mail, under an id made of the provider's own so that a repeated one is found, and does
-- what cannot wait, in the transaction that is committed before the provider gets its 2xx: who complained or left gets
-- nothing from then on, and an address that does not exist neither, also where the message counts as delivered already.
-- `status` is what the ledger merges later, NULL for what changes no message. Workspaces that share an account are told of
-- each other's messages, signed for each: what is about no message of this one leaves nothing and does nothing.
-- Whoever calls this holds a lock on the receipt's id: the same event told twice at once is one.
-- Effects: hard | complaint | opt_out | opened | clicked | none. Returns: stored | repeated | foreign.
CREATE FUNCTION receive_mail_event(receipt uuid, sender uuid, message uuid, provider_sid text, event text, status text, code int,
                                   effect text, url text, at timestamptz, body text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    known record;
    person uuid;
BEGIN
    IF EXISTS (SELECT FROM receipts r WHERE r.workspace_id = current_workspace() AND r.id = receipt) THEN RETURN 'repeated'; END IF;
    SELECT m.to_address, m.contact_id, m.campaign_id, m.kind, m.sid INTO known
      FROM messages m WHERE m.workspace_id = current_workspace() AND m.id = message LIMIT 1;
    IF NOT FOUND THEN RETURN 'foreign'; END IF;
    INSERT INTO receipts (workspace_id, id, sender_id, message_id, sid, status, error_code, body, state, outcome, due_at)
    VALUES (current_workspace(), receipt, sender, message, coalesce(provider_sid, known.sid, ''), coalesce($6, event), code, $11,
            CASE WHEN $6 IS NULL THEN 'applied' ELSE 'new' END, CASE WHEN $6 IS NULL THEN effect END,
            CASE WHEN $6 IS NOT NULL THEN now() END);
    -- Held, so that nobody deletes the contact under what is written of it. A test goes to an address that somebody typed in.
    IF known.kind = 'campaign' THEN
        SELECT c.id INTO person FROM contacts c
         WHERE c.workspace_id = current_workspace() AND c.id = known.contact_id FOR KEY SHARE;
    ELSIF effect IN ('complaint', 'opt_out') THEN
        SELECT c.id INTO person FROM contacts c
         WHERE c.workspace_id = current_workspace() AND c.email = known.to_address FOR KEY SHARE;
    END IF;
    CASE effect
    WHEN 'hard' THEN PERFORM suppress('email', known.to_address, 'bounce', 'provider');
    WHEN 'complaint', 'opt_out' THEN
        PERFORM record_mail_refusal(
            person, known.to_address, effect, jsonb_build_object('event', event, 'message_id', message), receive_mail_event.at);
    ELSE NULL;
    END CASE;
    IF known.kind = 'campaign' AND person IS NOT NULL THEN
        IF effect IN ('opened', 'clicked') THEN
            INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
            VALUES (current_workspace(), person, 'message.' || effect, receive_mail_event.at,
                    jsonb_strip_nulls(jsonb_build_object('campaign_id', known.campaign_id, 'message_id', message, 'url', url)));
        END IF;
        INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
        SELECT current_workspace(), known.campaign_id, k, person, receive_mail_event.at
          FROM unnest(CASE WHEN effect = 'clicked' THEN ARRAY['clicked']
                           WHEN effect IN ('complaint', 'opt_out') THEN ARRAY['opted_out'] END) k
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN 'stored';
END
$$;
GRANT EXECUTE ON FUNCTION record_mail_refusal(uuid, text, text, jsonb, timestamptz),
    receive_mail_event(uuid, uuid, uuid, text, text, text, int, text, text, timestamptz, text) TO muster_responder, muster_worker;
