-- Why: many are asked for consent at once through one sender.
-- Locks: nothing.

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
