-- Why: a campaign that goes wrong stops by itself: too many failures, filtered texts, opt-outs or complaints.
-- Locks: messages, while the small index is built.

-- A workspace's rules: rates beyond which a campaign pauses, as fractions of what was tried, once as many were tried; null: no
-- such rule. What the setting does not name has its default.
CREATE FUNCTION stop_rules_of(settings jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '{"failure_rate": 0.5, "filtered_rate": 0.2, "opt_out_rate": 0.1, "complaint_rate": 0.003, "minimum_messages": 50}'::jsonb
           || coalesce(nullif(settings -> 'stop_rules', 'null'), '{}')
$$;
GRANT EXECUTE ON FUNCTION stop_rules_of(jsonb) TO muster_responder, muster_worker, muster_maintenance;

-- What had been tried when somebody last let a campaign go on: they knew of that, and it does not stop the campaign again.
CREATE TABLE campaign_resumptions (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    resumed_at timestamptz NOT NULL,
    tried bigint NOT NULL,
    PRIMARY KEY (workspace_id, campaign_id),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns
);
SELECT protect('campaign_resumptions', 'SELECT, INSERT, UPDATE');

-- What went wrong since: looked at every few seconds while a campaign sends.
CREATE INDEX messages_gone_wrong ON messages (workspace_id, campaign_id, started_at) WHERE state IN ('undelivered', 'failed');

ALTER FUNCTION settings_json(workspaces) RENAME TO settings_before_stop_rules;
CREATE FUNCTION settings_json(w workspaces) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT (settings_before_stop_rules(w)::jsonb || jsonb_build_object('stop_rules', stop_rules_of(w.settings)))::json
$$;
GRANT EXECUTE ON FUNCTION settings_json(workspaces) TO muster_responder, muster_worker, muster_maintenance;
