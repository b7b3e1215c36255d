-- Why: the stop rule complaint_rate counted nothing, because nobody wrote down who complained of which campaign.
-- Locks: campaign_responses while its rows are checked, less than a second for a million.

ALTER TABLE campaign_responses DROP CONSTRAINT kind_is_known,
    ADD CONSTRAINT kind_is_known CHECK (kind IN ('replied', 'clicked', 'opted_out', 'complained', 'converted'));

-- As in migration 0087, and who complains has complained of the campaign.
CREATE OR REPLACE FUNCTION receive_mail_event(receipt uuid, sender uuid, message uuid, provider_sid text, event text, status text, code int,
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
                           -- What is dropped because of an earlier complaint is none of this campaign.
                           WHEN effect = 'complaint' AND event = 'spamreport' THEN ARRAY['complained', 'opted_out']
                           WHEN effect IN ('complaint', 'opt_out') THEN ARRAY['opted_out'] END) k
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN 'stored';
END
$$;
