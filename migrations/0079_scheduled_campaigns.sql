-- Why: a campaign starts by itself at its instant.
-- Locks: campaigns, while the small index is built.

CREATE INDEX campaigns_scheduled ON campaigns (scheduled_at) WHERE status = 'scheduled';

-- Campaigns whose instant has come, the one that has waited longest first.
CREATE FUNCTION campaigns_due() RETURNS TABLE (workspace_id uuid, campaign_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
    SELECT c.workspace_id, c.id FROM campaigns c
     WHERE c.status = 'scheduled' AND c.scheduled_at <= now()
     ORDER BY c.scheduled_at LIMIT 100
$$;
GRANT EXECUTE ON FUNCTION campaigns_due() TO muster_worker;
