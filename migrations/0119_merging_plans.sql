-- Why: merging what providers say was parsed and planned at each call, which took longer than the merging of a batch; as PL/pgSQL
-- it is planned once in a session. The list of ids keeps a plan that was made when there were few messages from reading all of
-- them. What it does is what it did (0034).
-- Locks: nothing.

-- Merges what providers say of messages: upwards in rank or not at all, so order and repetition do not matter. It may
-- come before the answer to our own call, and settles a message whose answer was lost. The arrays are parallel, in the
-- order in which things were heard; of one message the first final status stays, but for delivered → read. A message
-- that somebody else holds this moment is left alone: asking again is cheap, waiting for each other in a circle is not.
-- Verdicts: applied (it decided) | stale (nothing new) | conflict (another final status came first, and stays) |
--           other_sid (not the message that we know) | other_sender | not_started | no_message | unknown_status | busy.
CREATE OR REPLACE FUNCTION apply_statuses(message_ids uuid[], sender_ids uuid[], sids text[], statuses text[], codes int[], ats timestamptz[])
RETURNS TABLE (place bigint, verdict text)
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
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
         WHERE e.workspace_id = current_workspace() AND e.id = ANY (ARRAY(SELECT k.id FROM known k))
           AND e.id = d.message AND e.created_at = d.created_at AND d.next IS NOT NULL)
    SELECT j.place, CASE WHEN j.refusal IS NOT NULL THEN j.refusal
                         WHEN j.rank >= 4 AND state_of_status(j.status) <> coalesce(state_of_status(d.next), d.state) THEN 'conflict'
                         WHEN j.status = d.next
                          AND row_number() OVER (PARTITION BY j.message, j.status, j.refusal ORDER BY j.place) = 1 THEN 'applied'
                         ELSE 'stale' END
      FROM judged j
      LEFT JOIN decided d ON d.message = j.message
     ORDER BY j.place;
END
$$;
