-- Why: figures that a team records by itself, beside those that we count; and the goals of campaigns.
-- Locks: nothing, everything is new.

CREATE TABLE recorded_metrics (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    value double precision NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX recorded_metrics_by_time ON recorded_metrics (workspace_id, occurred_at DESC, id DESC);
CREATE INDEX recorded_metrics_by_name ON recorded_metrics (workspace_id, name, occurred_at DESC, id DESC);
SELECT protect('recorded_metrics', 'SELECT, INSERT');

-- Which campaigns an event may be the goal of.
CREATE INDEX campaigns_by_goal ON campaigns (workspace_id, goal_event) WHERE goal_event IS NOT NULL;

-- Credits campaigns whose goal these events are: the contact was sent to, and the event falls into the attribution
-- window that begins then. One conversion per contact and campaign, at the earliest such event,
-- whatever the order in which they are told. Repeating it changes nothing. Returns how many rows it wrote.
CREATE FUNCTION attribute_conversions(contacts uuid[], names text[], times timestamptz[]) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    WITH goals AS MATERIALIZED (
            SELECT c.id, c.goal_event, c.frozen_at, make_interval(secs => c.attribution_window_seconds) AS attribution_window
              FROM campaigns c
             WHERE c.workspace_id = current_workspace() AND c.goal_event = ANY (names) AND c.frozen_at IS NOT NULL),
         credited AS (
            INSERT INTO campaign_responses AS r (workspace_id, campaign_id, kind, contact_id, occurred_at)
            SELECT current_workspace(), g.id, 'converted', e.contact_id, min(e.occurred_at)
              FROM unnest(contacts, names, times) AS e (contact_id, name, occurred_at)
              JOIN goals g ON g.goal_event = e.name
              -- created_at is frozen_at of the campaign: one partition, one row of the unique key.
              JOIN messages m ON m.workspace_id = current_workspace() AND m.campaign_id = g.id
                             AND m.contact_id = e.contact_id AND m.created_at = g.frozen_at AND m.kind = 'campaign'
                             AND m.sent_at <= e.occurred_at AND e.occurred_at < m.sent_at + g.attribution_window
             GROUP BY g.id, e.contact_id
             ORDER BY g.id, e.contact_id
            ON CONFLICT (workspace_id, campaign_id, kind, contact_id)
            DO UPDATE SET occurred_at = excluded.occurred_at WHERE excluded.occurred_at < r.occurred_at
            RETURNING 1)
    SELECT count(*) FROM credited
$$;
GRANT EXECUTE ON FUNCTION attribute_conversions(uuid[], text[], timestamptz[])
    TO muster_responder, muster_worker, muster_maintenance;
