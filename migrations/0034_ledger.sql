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

-- What a provider's status makes of a message.
CREATE FUNCTION state_of_status(status text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN status IS NULL THEN NULL WHEN status IN ('delivered', 'read') THEN 'delivered' WHEN status = 'undelivered' THEN 'undelivered'
                WHEN status IN ('failed', 'canceled') THEN 'failed' ELSE 'sent' END
$$;

-- Merges what providers say of messages: upwards in rank or not at all, so order and repetition do not matter. It may
-- come before the answer to our own call, and settles a message whose answer was lost. The arrays are parallel, in the
-- order in which things were heard; of one message the first final status stays, but for delivered → read. A message
-- that somebody else holds this moment is left alone: asking again is cheap, waiting for each other in a circle is not.
-- Verdicts: applied (it decided) | stale (nothing new) | conflict (another final status came first, and stays) |
--           other_sid (not the message that we know) | other_sender | not_started | no_message | unknown_status | busy.
CREATE FUNCTION apply_statuses(message_ids uuid[], sender_ids uuid[], sids text[], statuses text[], codes int[], ats timestamptz[])
RETURNS TABLE (place bigint, verdict text)
LANGUAGE sql VOLATILE
AS $$
    WITH heard AS MATERIALIZED (
        SELECT h.*, provider_rank(h.status) AS rank
          FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY AS h (message, sender, sid, status, code, at, place)),
    known AS MATERIALIZED (
        SELECT m.id, m.created_at
          FROM (SELECT DISTINCT h.message FROM heard h) h
         CROSS JOIN LATERAL (SELECT e.id, e.created_at FROM messages e
                              WHERE e.workspace_id = current_workspace() AND e.id = h.message LIMIT 1) m),
    held AS MATERIALIZED (
        SELECT m.*
          FROM known k
         CROSS JOIN LATERAL (SELECT e.id, e.created_at, e.sender_id, e.state, e.sid, e.provider_rank
                               FROM messages e
                              WHERE e.workspace_id = current_workspace() AND e.id = k.id AND e.created_at = k.created_at
                                FOR UPDATE SKIP LOCKED) m),
    named AS MATERIALIZED (
        SELECT h.*, k.id AS known, m.id AS held, m.created_at, m.sender_id, m.state, m.provider_rank AS known_rank,
               -- Until we know its sid, the first that its own sender tells of.
               coalesce(m.sid, first_value(h.sid) OVER (PARTITION BY h.message
                    ORDER BY coalesce(m.sender_id <> h.sender, false), h.rank IS NULL, h.place)) AS known_sid
          FROM heard h
          LEFT JOIN known k ON k.id = h.message
          LEFT JOIN held m ON m.id = h.message),
    judged AS MATERIALIZED (
        SELECT n.*, CASE WHEN n.known IS NULL THEN 'no_message'
                         WHEN n.held IS NULL THEN 'busy'
                         WHEN n.sender_id <> n.sender THEN 'other_sender'
                         WHEN n.rank IS NULL THEN 'unknown_status'
                         WHEN n.state IN ('pending', 'claimed', 'skipped') THEN 'not_started'
                         WHEN n.known_sid <> n.sid THEN 'other_sid' END AS refusal
          FROM named n),
    merged AS MATERIALIZED (
        SELECT j.message, j.created_at, j.state, j.known_rank, j.known_sid, min(j.at) AS first_at,
               bool_or(j.status = 'read') AS is_read, max(j.rank) FILTER (WHERE j.rank < 4) AS open_rank,
               (array_agg(j.status ORDER BY j.rank DESC, j.place) FILTER (WHERE j.rank < 4))[1] AS open_status,
               (array_agg(j.status ORDER BY j.place) FILTER (WHERE j.rank >= 4))[1] AS final_status,
               (array_agg(j.code ORDER BY j.place) FILTER (WHERE j.rank >= 4))[1] AS final_code,
               (array_agg(j.at ORDER BY j.place) FILTER (WHERE j.rank >= 4))[1] AS final_at
          FROM judged j WHERE j.refusal IS NULL
         GROUP BY 1, 2, 3, 4, 5),
    decided AS MATERIALIZED (
        SELECT g.*, CASE WHEN g.state = 'delivered' THEN CASE WHEN g.is_read AND g.known_rank < 5 THEN 'read' END
                         WHEN g.state IN ('undelivered', 'failed') THEN NULL
                         WHEN g.final_status = 'delivered' AND g.is_read THEN 'read'
                         WHEN g.final_status IS NOT NULL THEN g.final_status
                         WHEN g.open_rank > coalesce(g.known_rank, -1) THEN g.open_status END AS next
          FROM merged g),
    moved AS (
        UPDATE messages e
           SET state = state_of_status(d.next), sid = coalesce(e.sid, d.known_sid), provider_status = d.next,
               provider_rank = provider_rank(d.next), sent_at = coalesce(e.sent_at, d.first_at),
               error_code = CASE WHEN state_of_status(d.next) IN ('undelivered', 'failed') THEN d.final_code ELSE e.error_code END,
               settled_at = CASE WHEN state_of_status(d.next) <> 'sent' THEN coalesce(e.settled_at, d.final_at) END,
               lease_token = NULL, lease_until = NULL, unknown_reason = NULL
          FROM decided d
         WHERE e.workspace_id = current_workspace() AND e.id = d.message AND e.created_at = d.created_at
           AND d.next IS NOT NULL)
    SELECT j.place, CASE WHEN j.refusal IS NOT NULL THEN j.refusal
                         WHEN j.rank >= 4 AND state_of_status(j.status) <> coalesce(state_of_status(d.next), d.state) THEN 'conflict'
                         WHEN j.status = d.next
                          AND row_number() OVER (PARTITION BY j.message, j.status, j.refusal ORDER BY j.place) = 1 THEN 'applied'
                         ELSE 'stale' END
      FROM judged j
      LEFT JOIN decided d ON d.message = j.message
     ORDER BY j.place
$$;

-- The same for one message, whoever its sender is.
CREATE FUNCTION apply_status(message uuid, provider_sid text, status text, code int, at timestamptz) RETURNS text
LANGUAGE sql VOLATILE
AS $$
    SELECT s.verdict
      FROM apply_statuses(ARRAY[message], ARRAY[NULL::uuid], ARRAY[provider_sid], ARRAY[status], ARRAY[code], ARRAY[at]) s
$$;
GRANT EXECUTE ON FUNCTION provider_rank(text), state_of_status(text), apply_status(uuid, text, text, int, timestamptz),
    apply_statuses(uuid[], uuid[], text[], text[], int[], timestamptz[]) TO muster_responder, muster_worker;

-- Takes back what a dead worker held, in every workspace. Claimed: nothing was sent, pending again. Started: nobody
-- can know, so unknown, and never sent again by guessing; a callback or a look-up settles it. By the index of what is in
-- somebody's hands: of a table that was just filled the planner knows too little to see how small that is.
CREATE FUNCTION rescue_messages(most int, at timestamptz DEFAULT NULL) RETURNS TABLE (released int, lost int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
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

-- What a sending worker has to look at, in every workspace: campaigns that send, and those with a test to send. Asked
-- several times a second, so both come from indexes that hold nothing else.
CREATE FUNCTION campaigns_to_send() RETURNS TABLE (workspace_id uuid, campaign_id uuid, sender_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
    WITH due AS (
        SELECT c.workspace_id, c.id FROM campaigns c WHERE c.status = 'sending'
        UNION
        SELECT m.workspace_id, m.campaign_id FROM messages m WHERE m.state = 'pending' AND m.kind = 'test')
    SELECT c.workspace_id, c.id, c.sender_id
      FROM due d
      JOIN campaigns c ON c.workspace_id = d.workspace_id AND c.id = d.id
      JOIN senders s ON s.workspace_id = c.workspace_id AND s.id = c.sender_id AND s.status = 'active'
      JOIN workspaces w ON w.id = c.workspace_id AND w.suspended_at IS NULL
     ORDER BY c.workspace_id, c.id
$$;
GRANT EXECUTE ON FUNCTION campaigns_to_send() TO muster_worker;
