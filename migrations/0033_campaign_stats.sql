-- Why: counts per campaign and quarter of an hour that are right at every commit, kept by the ledger itself.
-- Locks: messages, briefly, for the triggers.

-- One row per measure: 'frozen' (all rows of the audience), 'skipped' (reason: why), 'sent' (handed over, with its
-- parts), 'delivered', 'undelivered', 'failed' (reason: the provider's code), and as of now 'waiting' (pending, claimed
-- or started) and 'unknown'. The slot is the quarter of an hour of the fact: freezing, sending, settling, freezing,
-- starting. Quarters, because every zone's days begin at one (Kolkata at 18:30 UTC, Kathmandu at 18:15), so that reports
-- in any zone add up exactly. Shards keep backends from waiting for each other: sum over them.
CREATE TABLE campaign_stats (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    slot timestamptz NOT NULL,
    measure text NOT NULL,
    reason text NOT NULL,
    shard int NOT NULL,
    messages bigint NOT NULL,
    parts bigint NOT NULL,
    PRIMARY KEY (workspace_id, campaign_id, slot, measure, reason, shard),
    CONSTRAINT measure_is_known
        CHECK (measure IN ('frozen', 'skipped', 'waiting', 'sent', 'delivered', 'undelivered', 'failed', 'unknown'))
) WITH (fillfactor = 70);
CREATE INDEX campaign_stats_by_slot ON campaign_stats (workspace_id, slot);
SELECT protect('campaign_stats', 'SELECT');

-- The one definition of what a message counts as; the triggers and the check of the rollup read it.
CREATE FUNCTION measures_of(state text, skip_reason text, error_code int, parts int,
                            created_at timestamptz, started_at timestamptz, sent_at timestamptz, settled_at timestamptz)
RETURNS TABLE (measure text, reason text, slot timestamptz, parts bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT v.measure, v.reason, date_bin('15 minutes', v.at, '2000-01-01 00:00:00+00'), v.parts
      FROM (VALUES
        ('frozen', '', $5, 0::bigint, true),
        ('waiting', '', $5, 0, $1 IN ('pending', 'claimed', 'started')),
        ('sent', '', $7, coalesce($4, 0)::bigint, $7 IS NOT NULL),
        ($1, coalesce($2, $3::text, ''), $8, 0, $1 IN ('skipped', 'delivered', 'undelivered', 'failed')),
        ('unknown', '', $6, 0, $1 = 'unknown')) AS v (measure, reason, at, parts, counts)
     WHERE v.counts
$$;
GRANT EXECUTE ON FUNCTION measures_of(text, text, int, int, timestamptz, timestamptz, timestamptz, timestamptz)
    TO muster_responder, muster_worker, muster_maintenance;

-- Rows are locked in the order of their key, so two statements never wait for each other in a circle.
CREATE FUNCTION count_new_messages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO campaign_stats AS s (workspace_id, campaign_id, slot, measure, reason, shard, messages, parts)
        SELECT m.workspace_id, m.campaign_id, c.slot, c.measure, c.reason, pg_backend_pid() % 64, count(*), sum(c.parts)
          FROM inserted m CROSS JOIN LATERAL measures_of(m.state, m.skip_reason, m.error_code, m.parts,
                                                         m.created_at, m.started_at, m.sent_at, m.settled_at) c
         WHERE m.kind = 'campaign'
         GROUP BY 1, 2, 3, 4, 5
         ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (workspace_id, campaign_id, slot, measure, reason, shard)
        DO UPDATE SET messages = s.messages + excluded.messages, parts = s.parts + excluded.parts;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_changed_messages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO campaign_stats AS s (workspace_id, campaign_id, slot, measure, reason, shard, messages, parts)
        SELECT m.workspace_id, m.campaign_id, c.slot, c.measure, c.reason, pg_backend_pid() % 64,
               sum(m.sign), sum(m.sign * c.parts)
          FROM (SELECT 1 AS sign, workspace_id, campaign_id, kind, state, skip_reason, error_code, parts,
                       created_at, started_at, sent_at, settled_at FROM after_update
                UNION ALL
                SELECT -1, workspace_id, campaign_id, kind, state, skip_reason, error_code, parts,
                       created_at, started_at, sent_at, settled_at FROM before_update) m
         CROSS JOIN LATERAL measures_of(m.state, m.skip_reason, m.error_code, m.parts,
                                        m.created_at, m.started_at, m.sent_at, m.settled_at) c
         WHERE m.kind = 'campaign'
         GROUP BY 1, 2, 3, 4, 5
        HAVING sum(m.sign) <> 0 OR sum(m.sign * c.parts) <> 0
         ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (workspace_id, campaign_id, slot, measure, reason, shard)
        DO UPDATE SET messages = s.messages + excluded.messages, parts = s.parts + excluded.parts;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_messages_are_counted AFTER INSERT ON messages
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION count_new_messages();
CREATE TRIGGER changed_messages_are_counted AFTER UPDATE ON messages
    REFERENCING OLD TABLE AS before_update NEW TABLE AS after_update
    FOR EACH STATEMENT EXECUTE FUNCTION count_changed_messages();

-- The same numbers side by side, per campaign and hour (of UTC).
CREATE VIEW campaign_hours WITH (security_invoker) AS
    SELECT workspace_id, campaign_id, date_trunc('hour', slot, 'UTC') AS hour,
           coalesce(sum(messages) FILTER (WHERE measure = 'frozen'), 0)::bigint AS frozen,
           coalesce(sum(messages) FILTER (WHERE measure = 'skipped'), 0)::bigint AS skipped,
           coalesce(sum(messages) FILTER (WHERE measure = 'waiting'), 0)::bigint AS waiting,
           coalesce(sum(messages) FILTER (WHERE measure = 'sent'), 0)::bigint AS sent,
           coalesce(sum(parts) FILTER (WHERE measure = 'sent'), 0)::bigint AS parts,
           coalesce(sum(messages) FILTER (WHERE measure = 'delivered'), 0)::bigint AS delivered,
           coalesce(sum(messages) FILTER (WHERE measure = 'undelivered'), 0)::bigint AS undelivered,
           coalesce(sum(messages) FILTER (WHERE measure = 'failed'), 0)::bigint AS failed,
           coalesce(sum(messages) FILTER (WHERE measure = 'unknown'), 0)::bigint AS unknown
      FROM campaign_stats
     GROUP BY workspace_id, campaign_id, date_trunc('hour', slot, 'UTC');
GRANT SELECT ON campaign_hours TO muster_responder, muster_worker, muster_maintenance;
