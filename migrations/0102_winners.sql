-- Why: the winner of an experiment is chosen when its time has come, and the rest of the audience gets it.
-- Locks: nothing, everything is new.

-- What became of each variant's messages: of those in the test, by place; of the remainder, with place NULL. People are counted,
-- without tests and without those who were skipped. Clicks, opens, replies and opt-outs of machines do not count; conversions
-- do from the sending on, as everywhere.
-- Costs a look at each message of the campaign and two md5 of its contact, some 3 s for a million: asked for when somebody
-- looks and once when the winner is chosen, never by the second. Set-wise: a loop of look-ups is what the planner takes for
-- a ledger that was just written.
CREATE FUNCTION experiment_figures(campaign uuid)
RETURNS TABLE (place int, recipients bigint, sent bigint, delivered bigint, opened bigint, clicked bigint, replied bigint,
               converted bigint, opted_out bigint)
LANGUAGE sql STABLE SET enable_nestloop = off
AS $$
    WITH plan AS MATERIALIZED (SELECT p.test, p.bounds FROM experiment_plan(campaign) p),
         drawn AS MATERIALIZED (
            SELECT variant_slice(campaign, (SELECT p.test FROM plan p), (SELECT p.bounds FROM plan p), m.contact_id) AS place,
                   m.contact_id, m.id, m.sent_at, m.state
              FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.campaign_id = campaign AND m.kind = 'campaign' AND m.state <> 'skipped'
               AND m.created_at = (SELECT c.frozen_at FROM campaigns c WHERE c.workspace_id = current_workspace() AND c.id = campaign)),
         told AS (
            SELECT r.contact_id, bool_or(r.kind = 'clicked') AS clicked, bool_or(r.kind = 'replied') AS replied,
                   bool_or(r.kind = 'converted') AS converted, bool_or(r.kind = 'opted_out') AS opted_out
              FROM campaign_responses r
             WHERE r.workspace_id = current_workspace() AND r.campaign_id = campaign
             GROUP BY r.contact_id),
         opens AS (
            SELECT DISTINCT h.message_id FROM link_hits h
             WHERE h.workspace_id = current_workspace() AND h.campaign_id = campaign AND h.kind = 'open' AND h.is_counted)
    SELECT d.place, count(*), count(d.sent_at), count(*) FILTER (WHERE d.state = 'delivered'),
           count(o.message_id) FILTER (WHERE d.sent_at IS NOT NULL), count(*) FILTER (WHERE t.clicked AND d.sent_at IS NOT NULL),
           count(*) FILTER (WHERE t.replied AND d.sent_at IS NOT NULL), count(*) FILTER (WHERE t.converted AND d.sent_at IS NOT NULL),
           count(*) FILTER (WHERE t.opted_out AND d.sent_at IS NOT NULL)
      FROM drawn d LEFT JOIN told t ON t.contact_id = d.contact_id LEFT JOIN opens o ON o.message_id = d.id
     GROUP BY d.place
$$;
GRANT EXECUTE ON FUNCTION experiment_figures(uuid) TO muster_responder, muster_worker, muster_maintenance;

-- Experiments that something is to be done about: the winner is to be chosen, or there is one and the remainder still waits,
-- or the campaign's time is over before there was one. Of campaigns that send; what is paused waits until it is resumed. One
-- that has finished, because everybody was in the test, gets its winner all the same. Whether a test that began nothing is
-- over, or only has not begun, the ledger tells whoever looks.
CREATE FUNCTION experiments_due() RETURNS TABLE (workspace_id uuid, campaign_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
    SELECT e.workspace_id, e.campaign_id
      FROM campaign_experiments e
      JOIN campaigns c ON c.workspace_id = e.workspace_id AND c.id = e.campaign_id
     WHERE e.released_at IS NULL AND e.winner_by <> 'none'
       AND (c.status = 'sending' AND (e.winner IS NOT NULL OR c.send_until <= now()
                                      OR e.winner_by = 'automatic' AND e.begun_at IS NULL)
            OR c.status IN ('sending', 'finished') AND e.winner IS NULL
               AND e.begun_at + make_interval(secs => e.decide_after_seconds) <= now())
     ORDER BY e.workspace_id, e.campaign_id
$$;
GRANT EXECUTE ON FUNCTION experiments_due() TO muster_worker;
