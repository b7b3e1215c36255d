-- Why: campaigns and the order of their states (drawn in docs/states.md).
-- Locks: nothing, everything is new.

CREATE TABLE campaigns (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    channel text NOT NULL,
    -- Segments belong to the audience and may go while a draft still names them; starting finds out.
    segment_id uuid,
    sender_id uuid,
    body text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'draft',
    -- Why it stands where it stands, where nobody asked for it: 'sender_suspended', …
    status_reason text,
    goal_event text,
    attribution_window_seconds int NOT NULL DEFAULT 604800,
    scheduled_at timestamptz,
    start_requested_at timestamptz,
    -- When the audience was frozen; created_at of every one of its messages.
    frozen_at timestamptz,
    paused_at timestamptz,
    finished_at timestamptz,
    cancelled_at timestamptz,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, sender_id) REFERENCES senders (workspace_id, id),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT status_is_known
        CHECK (status IN ('draft', 'scheduled', 'freezing', 'sending', 'paused', 'finished', 'cancelled')),
    CONSTRAINT campaign_that_will_freeze_is_complete CHECK (status NOT IN ('scheduled', 'freezing')
        OR (segment_id IS NOT NULL AND sender_id IS NOT NULL AND body <> '')),
    CONSTRAINT scheduled_campaign_has_time CHECK (status <> 'scheduled' OR scheduled_at IS NOT NULL),
    CONSTRAINT freezing_campaign_was_started CHECK (status <> 'freezing' OR start_requested_at IS NOT NULL),
    CONSTRAINT sending_campaign_is_frozen CHECK (status NOT IN ('sending', 'paused', 'finished')
        OR (frozen_at IS NOT NULL AND sender_id IS NOT NULL)),
    CONSTRAINT draft_is_not_frozen CHECK (status NOT IN ('draft', 'scheduled', 'freezing') OR frozen_at IS NULL),
    CONSTRAINT paused_campaign_has_paused_at CHECK ((status = 'paused') = (paused_at IS NOT NULL)),
    CONSTRAINT finished_campaign_has_finished_at CHECK ((status = 'finished') = (finished_at IS NOT NULL)),
    CONSTRAINT cancelled_campaign_has_cancelled_at CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT attribution_window_is_bounded CHECK (attribution_window_seconds BETWEEN 1 AND 2592000)
);
CREATE INDEX campaigns_by_creation ON campaigns (workspace_id, created_at DESC, id DESC);
CREATE INDEX campaigns_of_segment ON campaigns (workspace_id, segment_id);
CREATE INDEX campaigns_of_sender ON campaigns (workspace_id, sender_id);
CREATE INDEX campaigns_sending ON campaigns (workspace_id, id) WHERE status = 'sending';
SELECT protect('campaigns');

-- The arrows of the drawing. The planner puts this expression in place, so a trigger's WHEN costs no call.
CREATE FUNCTION campaign_may_become(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT before = after OR CASE before
        WHEN 'draft' THEN after IN ('scheduled', 'freezing')
        WHEN 'scheduled' THEN after IN ('draft', 'freezing', 'cancelled')
        WHEN 'freezing' THEN after IN ('sending', 'cancelled')
        WHEN 'sending' THEN after IN ('paused', 'finished', 'cancelled')
        WHEN 'paused' THEN after IN ('sending', 'finished', 'cancelled')
        ELSE false END
$$;
GRANT EXECUTE ON FUNCTION campaign_may_become(text, text) TO muster_responder, muster_worker, muster_maintenance;

-- Says which arrow is missing. SQLSTATE 23514 (check_violation), as a CHECK would.
CREATE FUNCTION refuse_transition() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    changed text := TG_ARGV[0];
BEGIN
    RAISE check_violation USING
        CONSTRAINT = TG_NAME,
        MESSAGE = format('a %s cannot go from %s to %s', TG_ARGV[1], to_jsonb(OLD) ->> changed, to_jsonb(NEW) ->> changed);
END
$$;

CREATE TRIGGER campaign_follows_its_states BEFORE UPDATE ON campaigns FOR EACH ROW
    WHEN (NOT campaign_may_become(OLD.status, NEW.status))
    EXECUTE FUNCTION refuse_transition('status', 'campaign');
-- Messages refer to their campaign by value, so a campaign stays as soon as it may have any.
CREATE FUNCTION refuse_deletion() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE check_violation USING CONSTRAINT = TG_NAME, MESSAGE = 'only a draft can be deleted'; END $$;
CREATE TRIGGER only_drafts_are_deleted BEFORE DELETE ON campaigns FOR EACH ROW
    WHEN (OLD.status <> 'draft' AND current_workspace() = OLD.workspace_id)
    EXECUTE FUNCTION refuse_deletion();
