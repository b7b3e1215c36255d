-- Why: a campaign may say the same in up to five ways, try them on a share of its audience, and send the rest the best one.
-- Locks: nothing that is in use, everything is new.

CREATE TABLE campaign_experiments (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    -- The share that is in the test; the rest of the audience, the remainder, waits for the winner.
    test_basis_points int NOT NULL,
    -- Who says which variant won.
    winner_by text NOT NULL,
    measure text,
    decide_after_seconds int,
    -- When the first message of the test was started: nothing can be told before, and the time until the decision begins here.
    begun_at timestamptz,
    -- The place of the variant that won, and what was counted then.
    winner int,
    decided_at timestamptz,
    decided_by text,
    decided_by_user uuid,
    reason text,
    figures jsonb,
    -- When nobody of the remainder waited for the winner any more.
    released_at timestamptz,
    PRIMARY KEY (workspace_id, campaign_id),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns ON DELETE CASCADE,
    CONSTRAINT test_is_a_share CHECK (test_basis_points BETWEEN 1 AND 10000),
    CONSTRAINT winner_by_is_known CHECK (winner_by IN ('automatic', 'by_hand', 'none')),
    CONSTRAINT without_a_winner_everybody_is_in_the_test CHECK (winner_by <> 'none' OR test_basis_points = 10000),
    CONSTRAINT measure_is_known CHECK (measure IN ('clicked', 'opened', 'replied', 'converted', 'delivered')),
    CONSTRAINT automatic_winner_has_measure_and_time
        CHECK ((winner_by = 'automatic') = (decide_after_seconds IS NOT NULL) AND (winner_by <> 'automatic' OR measure IS NOT NULL)),
    CONSTRAINT decision_is_between_minutes_and_a_month CHECK (decide_after_seconds BETWEEN 300 AND 2592000),
    CONSTRAINT decision_is_whole CHECK ((winner IS NULL) = (decided_at IS NULL) AND (winner IS NULL) = (decided_by IS NULL)
        AND (winner IS NULL) = (reason IS NULL) AND (winner IS NULL) = (figures IS NULL)),
    CONSTRAINT decider_is_known CHECK (decided_by IN ('automatic', 'user')),
    CONSTRAINT reason_is_known CHECK (reason IN ('best', 'tie', 'no_data', 'by_hand'))
);
SELECT protect('campaign_experiments');
-- What somebody has to look at again.
CREATE INDEX campaign_experiments_open ON campaign_experiments (workspace_id, campaign_id)
    WHERE released_at IS NULL AND winner_by <> 'none';

-- The variants of an experiment, in their order. A text that is NULL is the campaign's own.
CREATE TABLE campaign_variants (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    place int NOT NULL,
    name text NOT NULL,
    weight int NOT NULL,
    body text,
    subject text,
    preheader text,
    html text,
    PRIMARY KEY (workspace_id, campaign_id, place),
    UNIQUE (workspace_id, campaign_id, name),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaign_experiments ON DELETE CASCADE,
    CONSTRAINT variants_are_five_at_most CHECK (place BETWEEN 0 AND 4),
    CONSTRAINT weight_is_bounded CHECK (weight BETWEEN 1 AND 1000)
);
SELECT protect('campaign_variants');

-- Who gets which variant follows from shares and weights, so these stay as they were when the campaign was started.
CREATE FUNCTION require_draft() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    changed record;
BEGIN
    IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
    IF (SELECT c.status FROM campaigns c WHERE c.workspace_id = changed.workspace_id AND c.id = changed.campaign_id) <> 'draft' THEN
        RAISE check_violation USING CONSTRAINT = TG_NAME, MESSAGE = 'only the experiment of a draft can be changed';
    END IF;
    RETURN changed;
END
$$;
CREATE TRIGGER variants_of_drafts_change BEFORE INSERT OR UPDATE OR DELETE ON campaign_variants
    FOR EACH ROW EXECUTE FUNCTION require_draft();
CREATE TRIGGER experiments_of_drafts_change
    BEFORE INSERT OR DELETE OR UPDATE OF test_basis_points, winner_by, measure, decide_after_seconds ON campaign_experiments
    FOR EACH ROW EXECUTE FUNCTION require_draft();

-- A winner is chosen once, whoever chooses.
CREATE FUNCTION refuse_another_winner() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE check_violation USING CONSTRAINT = TG_NAME, MESSAGE = 'the winner of an experiment is chosen once'; END $$;
CREATE TRIGGER winner_stays BEFORE UPDATE ON campaign_experiments FOR EACH ROW
    WHEN (OLD.winner IS NOT NULL AND (NEW.winner IS DISTINCT FROM OLD.winner OR NEW.decided_at IS DISTINCT FROM OLD.decided_at))
    EXECUTE FUNCTION refuse_another_winner();

-- What a campaign's experiment says of everybody: the share in the test, at which slice each variant but the first begins,
-- and the winner's place. NULLs without an experiment.
CREATE FUNCTION experiment_plan(campaign uuid, OUT test int, OUT bounds int[], OUT winner int) LANGUAGE sql STABLE
AS $$
    SELECT e.test_basis_points,
           ARRAY(SELECT ceil(10000.0 * v.before / v.total)::int
                   FROM (SELECT w.place, sum(w.weight) OVER (ORDER BY w.place) - w.weight AS before, sum(w.weight) OVER () AS total
                           FROM campaign_variants w WHERE w.workspace_id = current_workspace() AND w.campaign_id = campaign) v
                  WHERE v.place > 0 ORDER BY v.place),
           e.winner
      FROM campaign_experiments e
     WHERE e.workspace_id = current_workspace() AND e.campaign_id = campaign
$$;

-- The place of the variant that a contact has in the test, by slices that no other drawing shares; NULL: not in the test.
-- With what `experiment_plan` says, for many rows at once.
CREATE FUNCTION variant_slice(campaign uuid, test int, bounds int[], contact uuid) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN bucket_of(campaign::text || ':test', contact) < test
                THEN width_bucket(bucket_of(campaign::text || ':variant', contact), bounds) END
$$;

-- The place of the variant that a contact gets: in the test always the same one, of the remainder the winner. NULL for who is
-- held out, for the remainder without a winner, and without an experiment.
CREATE FUNCTION variant_of(campaign uuid, contact uuid) RETURNS int LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN holdout_scope(campaign, contact) IS NULL
                THEN coalesce(variant_slice(campaign, p.test, p.bounds, contact), p.winner) END
      FROM experiment_plan(campaign) p
$$;
GRANT EXECUTE ON FUNCTION experiment_plan(uuid), variant_slice(uuid, int, int[], uuid), variant_of(uuid, uuid)
    TO muster_responder, muster_worker, muster_maintenance;
