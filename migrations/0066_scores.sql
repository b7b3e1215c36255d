-- Why: how likely each contact is to do something, learned from what contacts did before; and groups by how recently, how
-- often and for how much they bought. Both are fields of rules.
-- Locks: nothing, everything is new.

CREATE TABLE score_models (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    -- Rules name it 'scores.KEY'; made of the first name and kept, because rules would lose it.
    key text NOT NULL,
    -- The goal: an event of this name, within so many days, that meets a rule over its properties.
    event text NOT NULL,
    condition jsonb,
    horizon_days int NOT NULL,
    -- 'untrained': never tried; 'ready': it scores; 'unfit': the last training gave nothing to publish, `problem` says why.
    state text NOT NULL DEFAULT 'untrained',
    problem text,
    -- Features and weights, as the program that trains writes and reads them; what a person is told stands in `report`.
    model jsonb,
    report jsonb,
    trained_at timestamptz,
    scored_at timestamptz,
    scored_count bigint NOT NULL DEFAULT 0,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT score_model_name_is_unique UNIQUE (workspace_id, name),
    CONSTRAINT score_model_key_is_unique UNIQUE (workspace_id, key),
    CONSTRAINT key_is_a_word CHECK (key ~ '^[a-z0-9_]{1,60}$'),
    CONSTRAINT horizon_is_bounded CHECK (horizon_days BETWEEN 1 AND 365),
    CONSTRAINT state_is_known CHECK (state IN ('untrained', 'ready', 'unfit')),
    CONSTRAINT trained_model_has_report CHECK (state = 'untrained' OR (trained_at IS NOT NULL AND report IS NOT NULL)),
    CONSTRAINT ready_model_has_weights CHECK ((state = 'ready') = (model IS NOT NULL)),
    CONSTRAINT unfit_model_has_problem CHECK ((state = 'unfit') = (problem IS NOT NULL))
);
CREATE INDEX score_models_by_creation ON score_models (workspace_id, created_at DESC, id DESC);
SELECT protect('score_models');

CREATE TABLE contact_scores (
    workspace_id uuid NOT NULL,
    model_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    -- A decimal, so that a rule's number means the same in every evaluator.
    score numeric(7, 6) NOT NULL,
    -- 10 is the tenth of the contacts that the model was measured on with the highest scores.
    decile smallint NOT NULL,
    scored_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, model_id, contact_id),
    FOREIGN KEY (workspace_id, model_id) REFERENCES score_models ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts ON DELETE CASCADE,
    CONSTRAINT score_is_a_probability CHECK (score BETWEEN 0 AND 1),
    CONSTRAINT decile_is_one_of_ten CHECK (decile BETWEEN 1 AND 10)
);
CREATE INDEX contact_scores_of_contact ON contact_scores (workspace_id, contact_id);
CREATE INDEX contact_scores_by_score ON contact_scores (workspace_id, model_id, score DESC, contact_id);
SELECT protect('contact_scores');

-- One row per workspace that wants groups.
CREATE TABLE rfm_settings (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    event text NOT NULL,
    -- The property that is summed; NULL: purchases have no value here.
    value_property text,
    window_days int NOT NULL,
    state text NOT NULL DEFAULT 'uncalculated',
    problem text,
    calculated_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    CONSTRAINT window_is_bounded CHECK (window_days BETWEEN 1 AND 3650),
    CONSTRAINT state_is_known CHECK (state IN ('uncalculated', 'ready', 'too_few')),
    CONSTRAINT ready_groups_were_calculated CHECK (state <> 'ready' OR calculated_at IS NOT NULL),
    CONSTRAINT too_few_has_problem CHECK ((state = 'too_few') = (problem IS NOT NULL))
);
SELECT protect('rfm_settings');

-- Contacts who bought in the window; all others have no row, and so no value in rules.
CREATE TABLE contact_rfm (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    recency smallint NOT NULL,
    frequency smallint NOT NULL,
    monetary smallint,
    rfm_group text NOT NULL,
    last_at timestamptz NOT NULL,
    event_count bigint NOT NULL,
    value_sum numeric,
    calculated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, contact_id),
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts ON DELETE CASCADE,
    CONSTRAINT scores_are_fifths CHECK (recency BETWEEN 1 AND 5 AND frequency BETWEEN 1 AND 5 AND monetary BETWEEN 1 AND 5),
    CONSTRAINT rfm_group_is_known CHECK (rfm_group IN ('champions', 'loyal', 'potential_loyal', 'promising', 'new',
        'needs_attention', 'about_to_sleep', 'at_risk', 'cannot_lose', 'hibernating', 'lost'))
);
SELECT protect('contact_rfm');

-- The name of a cell of the grid: docs/scores.md draws it. Without a monetary score frequency stands alone.
CREATE FUNCTION rfm_group(recency int, frequency int, monetary int) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN recency >= 4 THEN (ARRAY['new', 'promising', 'potential_loyal', 'champions', 'champions'])[weight]
        WHEN recency = 3 THEN (ARRAY['about_to_sleep', 'about_to_sleep', 'needs_attention', 'loyal', 'loyal'])[weight]
        WHEN weight >= 4 THEN 'cannot_lose'
        WHEN weight = 3 THEN 'at_risk'
        WHEN recency = 2 THEN 'hibernating'
        ELSE 'lost' END
      FROM (SELECT (frequency + coalesce(monetary, frequency) + 1) / 2) AS mean (weight)
$$;
GRANT EXECUTE ON FUNCTION rfm_group(int, int, int) TO muster_responder, muster_worker, muster_maintenance;

CREATE FUNCTION score_model_json(m score_models) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object('id', m.id, 'name', m.name, 'field', 'scores.' || m.key, 'event', m.event, 'where', m.condition,
                             'horizon_days', m.horizon_days, 'state', m.state, 'problem', m.problem, 'trained_at', rfc3339(m.trained_at),
                             'scored_at', rfc3339(m.scored_at), 'scored_count', m.scored_count, 'report', m.report,
                             'created_at', rfc3339(m.created_at), 'updated_at', rfc3339(m.updated_at), 'version', m.version)
$$;
GRANT EXECUTE ON FUNCTION score_model_json(score_models) TO muster_responder, muster_worker;

-- The nightly training reads rules, and so the zones that they name.
GRANT EXECUTE ON FUNCTION is_timezone(text) TO muster_maintenance;
