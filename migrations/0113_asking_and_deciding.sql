-- Why: many are asked for consent at once through one sender; how often an address was asked is counted by the address; a YES
-- answers what its number got last; and experiments whose campaigns have ended are looked at no more.
-- Locks: messages, against writing, while its rows are read once for an index that few of them are in.

-- As in 0105, without the sender's row: whoever asks holds it shared, so of two who wanted it alone neither would get it.
CREATE OR REPLACE FUNCTION request_campaign(sender uuid) RETURNS uuid LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found uuid := (SELECT r.campaign_id FROM request_campaigns r WHERE r.workspace_id = current_workspace() AND r.sender_id = sender);
BEGIN
    IF found IS NOT NULL THEN RETURN found; END IF;
    -- Of several one makes it, and the others see it.
    PERFORM pg_advisory_xact_lock(hashtextextended('request campaign ' || sender::text, 0));
    SELECT r.campaign_id INTO found FROM request_campaigns r WHERE r.workspace_id = current_workspace() AND r.sender_id = sender;
    IF found IS NOT NULL THEN RETURN found; END IF;
    INSERT INTO campaigns (workspace_id, name, channel, sender_id, status, cancelled_at)
        SELECT s.workspace_id, 'Consent requests', s.channel, s.id, 'cancelled', now() FROM senders s
         WHERE s.workspace_id = current_workspace() AND s.id = sender RETURNING id INTO found;
    INSERT INTO request_campaigns (workspace_id, sender_id, campaign_id) VALUES (current_workspace(), sender, found);
    RETURN found;
END
$$;

-- The messages that asked at an address in the last 30 days, whatever has become of the contacts: they go, the ledger stays. What
-- never left asked nobody. A reminder is not another request, as long as its request is there to say so.
CREATE INDEX messages_that_ask ON messages (workspace_id, to_address, created_at) WHERE kind = 'request';
CREATE FUNCTION requests_sent_to(address text, wanted_channel text) RETURNS TABLE (message_id uuid) LANGUAGE sql STABLE
AS $$
    SELECT m.id
      FROM messages m
     WHERE m.workspace_id = current_workspace() AND m.to_address = address AND m.channel = wanted_channel AND m.kind = 'request'
       AND m.created_at > now() - interval '30 days' AND m.state <> 'skipped'
       AND (SELECT q.is_reminder FROM consent_request_messages q
             WHERE q.workspace_id = current_workspace() AND q.message_id = m.id) IS NOT TRUE
$$;
GRANT EXECUTE ON FUNCTION requests_sent_to(text, text) TO muster_responder, muster_worker;

-- Why nobody is to ask a contact at an address, whether for the first time or again; NULL: they may be asked.
CREATE FUNCTION consent_refusal(contact uuid, wanted_channel text, target text) RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM suppressions s
                      WHERE s.workspace_id = current_workspace() AND s.channel = $2 AND s.address = $3) THEN 'address_suppressed'
        WHEN EXISTS (SELECT FROM consents k
                      WHERE k.workspace_id = current_workspace() AND k.contact_id = $1 AND k.channel = $2 AND k.state = 'opted_out')
            THEN 'has_opted_out' END
$$;
GRANT EXECUTE ON FUNCTION consent_refusal(uuid, text, text) TO muster_responder, muster_worker;

-- As in 0105, and no address more often than a contact. An address is one contact's, so whoever holds that one counts alone.
CREATE OR REPLACE FUNCTION consent_request_fault(contact uuid, wanted_channel text, wanted_purpose text, target text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    UPDATE consent_requests r SET state = 'expired', ended_at = now()
     WHERE r.workspace_id = current_workspace() AND r.contact_id = $1 AND r.state = 'pending' AND r.expires_at <= now();
    RETURN coalesce(consent_refusal($1, $2, target), CASE
        WHEN EXISTS (SELECT FROM consent_requests r
                      WHERE r.workspace_id = current_workspace() AND r.contact_id = $1 AND r.channel = $2 AND r.purpose = $3
                        AND r.state = 'pending') THEN 'request_open'
        WHEN (SELECT count(*) FROM consent_requests r
               WHERE r.workspace_id = current_workspace() AND r.contact_id = $1 AND r.requested_at > now() - interval '30 days') >= 3
          OR (SELECT count(*) FROM requests_sent_to(target, $2)) >= 3
            THEN 'too_many_requests' END);
END
$$;

-- As in 0105, but a YES of somebody who got a campaign's message since they were last asked answers that one.
CREATE OR REPLACE FUNCTION receive_reply(
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
       AND NOT EXISTS (SELECT FROM messages l
                        WHERE l.workspace_id = current_workspace() AND l.contact_id = r.contact_id AND l.to_address = $3
                          AND l.sender_id = $1 AND l.kind = 'campaign' AND l.started_at > m.started_at
                          AND l.state IN ('started', 'unknown', 'sent', 'delivered', 'undelivered'))
     ORDER BY m.started_at DESC, r.id DESC LIMIT 1;
    IF asked IS NULL THEN RETURN outcome; END IF;
    RETURN CASE confirm_consent_request(asked, jsonb_build_object('sid', $2, 'text', $5)) WHEN 'confirmed' THEN 'confirmed' ELSE outcome END;
END
$$;

-- As in 0102, and those that nothing is to be done about any more, so that somebody writes it down: of a cancelled campaign; of
-- a finished one where the winner is known, is a person's to choose, or has nothing to be told by.
CREATE OR REPLACE FUNCTION experiments_due() RETURNS TABLE (workspace_id uuid, campaign_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
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
     ORDER BY e.workspace_id, e.campaign_id
$$;
