-- Why: the ledger's transitions that more than one process makes: a callback's, a rescue's, and what is due where.
-- Locks: nothing, everything is new.

-- The rank of a provider's status: a message's never falls. NULL for a word that we do not know.
CREATE FUNCTION provider_rank(status text) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE status
        WHEN 'accepted' THEN 0 WHEN 'scheduled' THEN 0
        WHEN 'queued' THEN 1
        WHEN 'sending' THEN 2
        WHEN 'sent' THEN 3
        WHEN 'delivered' THEN 4 WHEN 'undelivered' THEN 4 WHEN 'failed' THEN 4 WHEN 'canceled' THEN 4
        WHEN 'read' THEN 5 END
$$;

-- Merges what a provider says of a message: upwards in rank or not at all, so order and repetition do not matter.
-- It may come before the answer to our own call, and settles a message whose answer was lost.
-- Returns: applied | stale (nothing new) | conflict (another final status came first, and stays) |
--          other_sid (not the message that we know) | not_started | no_message | unknown_status.
CREATE FUNCTION apply_status(message uuid, provider_sid text, status text, code int, at timestamptz) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    rank int := provider_rank(status);
    target text := CASE WHEN status IN ('delivered', 'read') THEN 'delivered'
                        WHEN status = 'undelivered' THEN 'undelivered'
                        WHEN status IN ('failed', 'canceled') THEN 'failed'
                        ELSE 'sent' END;
    m record;
BEGIN
    IF rank IS NULL THEN RETURN 'unknown_status'; END IF;
    SELECT e.state, e.sid, e.provider_rank, e.provider_status, e.created_at INTO m
      FROM messages e WHERE e.workspace_id = current_workspace() AND e.id = message FOR UPDATE;
    IF NOT FOUND THEN RETURN 'no_message'; END IF;
    IF m.state IN ('pending', 'claimed', 'skipped') THEN RETURN 'not_started'; END IF;
    IF m.sid <> provider_sid THEN RETURN 'other_sid'; END IF;
    IF m.state IN ('delivered', 'undelivered', 'failed') AND NOT (m.state = 'delivered' AND status = 'read') THEN
        RETURN CASE WHEN rank < 4 OR target = m.state THEN 'stale' ELSE 'conflict' END;
    END IF;
    IF rank <= m.provider_rank THEN RETURN 'stale'; END IF;
    UPDATE messages e
       SET state = target, sid = coalesce(e.sid, provider_sid), provider_status = status, provider_rank = rank,
           error_code = CASE WHEN target IN ('undelivered', 'failed') THEN code ELSE e.error_code END,
           sent_at = coalesce(e.sent_at, at), lease_token = NULL, lease_until = NULL, unknown_reason = NULL,
           settled_at = CASE WHEN target = 'sent' THEN NULL ELSE coalesce(e.settled_at, at) END
     WHERE e.workspace_id = current_workspace() AND e.id = message AND e.created_at = m.created_at;
    RETURN 'applied';
END
$$;
GRANT EXECUTE ON FUNCTION provider_rank(text), apply_status(uuid, text, text, int, timestamptz)
    TO muster_responder, muster_worker;

-- Takes back what a dead worker held, in every workspace. Claimed: nothing was sent, pending again. Started: nobody
-- can know, so unknown, and never sent again by guessing; a callback or a look-up settles it.
CREATE FUNCTION rescue_messages(most int, at timestamptz DEFAULT NULL) RETURNS TABLE (released int, lost int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    WITH expired AS (
        SELECT m.workspace_id, m.id, m.created_at FROM messages m
         WHERE m.state IN ('claimed', 'started') AND m.lease_until < coalesce(at, clock_timestamp())
         LIMIT most FOR UPDATE SKIP LOCKED),
    rescued AS (
        UPDATE messages m
           SET state = CASE m.state WHEN 'claimed' THEN 'pending' ELSE 'unknown' END,
               unknown_reason = CASE m.state WHEN 'started' THEN 'worker_lost' END,
               lease_token = NULL, lease_until = NULL
          FROM expired e
         WHERE m.workspace_id = e.workspace_id AND m.id = e.id AND m.created_at = e.created_at
        RETURNING m.state)
    SELECT count(*) FILTER (WHERE r.state = 'pending'), count(*) FILTER (WHERE r.state = 'unknown')
      INTO released, lost FROM rescued r;
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION rescue_messages(int, timestamptz) TO muster_worker, muster_maintenance;

-- What a sending worker has to look at, in every workspace: campaigns that send, and those with a test to send.
CREATE FUNCTION campaigns_to_send() RETURNS TABLE (workspace_id uuid, campaign_id uuid, sender_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT c.workspace_id, c.id, c.sender_id
      FROM campaigns c
      JOIN senders s ON s.workspace_id = c.workspace_id AND s.id = c.sender_id AND s.status = 'active'
      JOIN workspaces w ON w.id = c.workspace_id AND w.suspended_at IS NULL
     WHERE c.status = 'sending'
        OR EXISTS (SELECT FROM messages m
                    WHERE m.workspace_id = c.workspace_id AND m.campaign_id = c.id
                      AND m.state = 'pending' AND m.kind = 'test')
     ORDER BY c.workspace_id, c.id
$$;
GRANT EXECUTE ON FUNCTION campaigns_to_send() TO muster_worker;
