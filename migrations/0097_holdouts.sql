-- Why: a random share of those who would get a campaign gets nothing, so that what it added can be told. One share for each
-- campaign, and one of the whole workspace that no campaign reaches.
-- Locks: campaigns for a moment; messages, while the small index is built.

ALTER TABLE campaigns
    -- Of its own, in hundredths of a percent.
    ADD COLUMN holdout_basis_points int NOT NULL DEFAULT 0
        CONSTRAINT holdout_is_at_most_half CHECK (holdout_basis_points BETWEEN 0 AND 5000),
    -- What the workspace's was when the campaign was started; its audience was drawn with it.
    ADD COLUMN workspace_holdout_basis_points int,
    ADD COLUMN workspace_holdout_salt text,
    ADD CONSTRAINT workspace_holdout_has_salt
        CHECK ((workspace_holdout_basis_points IS NULL) = (workspace_holdout_salt IS NULL));

-- What the setting says, whether or not there is any.
CREATE FUNCTION workspace_holdout(OUT basis_points int, OUT salt text) LANGUAGE sql STABLE
AS $$
    SELECT coalesce(round((w.settings #>> '{holdout,percent}')::numeric * 100)::int, 0), coalesce(w.settings #>> '{holdout,salt}', 'holdout')
      FROM workspaces w WHERE w.id = current_workspace()
$$;

-- Who a campaign holds out: of a draft as the setting stands, later as it stood when the campaign was started.
CREATE FUNCTION holdout_of(campaign uuid, OUT own int, OUT shared int, OUT salt text) LANGUAGE sql STABLE
AS $$
    SELECT c.holdout_basis_points,
           CASE WHEN c.status IN ('draft', 'scheduled') THEN w.basis_points ELSE coalesce(c.workspace_holdout_basis_points, 0) END,
           CASE WHEN c.status IN ('draft', 'scheduled') THEN w.salt ELSE coalesce(c.workspace_holdout_salt, '') END
      FROM campaigns c CROSS JOIN workspace_holdout() w
     WHERE c.workspace_id = current_workspace() AND c.id = campaign
$$;

-- Whose holdout a contact is in, by the same slices that rules name: the workspace's, else the campaign's, else NULL.
CREATE FUNCTION holdout_scope(campaign uuid, contact uuid) RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN bucket_of(h.salt, contact) < h.shared THEN 'workspace'
                WHEN bucket_of(campaign::text, contact) < h.own THEN 'campaign' END
      FROM holdout_of(campaign) h
$$;
GRANT EXECUTE ON FUNCTION workspace_holdout(), holdout_of(uuid), holdout_scope(uuid, uuid)
    TO muster_responder, muster_worker, muster_maintenance;

-- How many were drawn into each arm when the audience was frozen. What became of them later changes nothing: whoever
-- compares arms compares what was drawn. Campaigns without a holdout have no rows.
CREATE TABLE campaign_arms (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    arm text NOT NULL,
    contacts bigint NOT NULL,
    PRIMARY KEY (workspace_id, campaign_id, arm),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns,
    CONSTRAINT arm_is_known CHECK (arm IN ('treated', 'campaign', 'workspace'))
);
SELECT protect('campaign_arms', 'SELECT, INSERT');

-- Who reached the goal, of both arms alike: within the window that begins with the freezing, whether or not something was
-- sent to them. The conversions that a campaign is credited with (campaign_responses) begin with the sending and know
-- nobody who was held out.
CREATE TABLE arm_conversions (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    arm text NOT NULL,
    PRIMARY KEY (workspace_id, campaign_id, contact_id),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns,
    CONSTRAINT arm_is_known CHECK (arm IN ('treated', 'campaign', 'workspace'))
);
SELECT protect('arm_conversions', 'SELECT, INSERT');

-- Counting the arms of an audience that was just frozen reads those who were held out, and nobody else.
CREATE INDEX messages_held_out ON messages (workspace_id, campaign_id, contact_id) WHERE skip_reason = 'holdout';

-- As in 0041, and beside it the arms of campaigns that hold somebody out.
CREATE OR REPLACE FUNCTION attribute_conversions(contacts uuid[], names text[], times timestamptz[]) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    WITH goals AS MATERIALIZED (
            SELECT c.id, c.goal_event, c.frozen_at, make_interval(secs => c.attribution_window_seconds) AS attribution_window,
                   EXISTS (SELECT FROM campaign_arms a
                            WHERE a.workspace_id = current_workspace() AND a.campaign_id = c.id) AS has_arms
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
            RETURNING 1),
         compared AS (
            INSERT INTO arm_conversions (workspace_id, campaign_id, contact_id, arm)
            SELECT DISTINCT current_workspace(), g.id, e.contact_id,
                   CASE WHEN m.skip_reason = 'holdout' THEN coalesce(holdout_scope(g.id, e.contact_id), 'campaign')
                        ELSE 'treated' END
              FROM unnest(contacts, names, times) AS e (contact_id, name, occurred_at)
              JOIN goals g ON g.goal_event = e.name AND g.has_arms
                          AND g.frozen_at <= e.occurred_at AND e.occurred_at < g.frozen_at + g.attribution_window
              JOIN messages m ON m.workspace_id = current_workspace() AND m.campaign_id = g.id
                             AND m.contact_id = e.contact_id AND m.created_at = g.frozen_at AND m.kind = 'campaign'
                             -- Whoever was left out by the freezing itself was in no arm.
                             AND (m.state <> 'skipped' OR m.skip_reason = 'holdout' OR m.settled_at > m.created_at)
             ORDER BY g.id, e.contact_id
            ON CONFLICT DO NOTHING)
    SELECT count(*) FROM credited
$$;

-- The settings with what this adds; what they were before keeps its definition.
ALTER FUNCTION settings_json(workspaces) RENAME TO settings_before_holdouts;
CREATE FUNCTION settings_json(w workspaces) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT (settings_before_holdouts(w)::jsonb || jsonb_build_object('holdout', w.settings -> 'holdout'))::json
$$;
GRANT EXECUTE ON FUNCTION settings_json(workspaces) TO muster_responder, muster_worker, muster_maintenance;
