-- Why: a person may have a failed message tried again, and may say of an unknown one what became of it. One row per
-- recipient stays one row: what the former attempt came to is kept beside the ledger.
-- Locks: messages and campaigns for a moment, for the triggers; messages against writing while the index of the failed ones is
-- built; receipts for a moment.

-- An attempt that was ended and followed by another that somebody asked for.
CREATE TABLE former_attempts (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    message_id uuid NOT NULL,
    attempt int NOT NULL,
    state text NOT NULL,
    sid text,
    provider_status text,
    error_code int,
    started_at timestamptz NOT NULL,
    sent_at timestamptz,
    settled_at timestamptz NOT NULL,
    retried_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, message_id, attempt),
    CONSTRAINT state_is_known CHECK (state IN ('undelivered', 'failed'))
);
-- A provider goes on telling of the former one.
CREATE INDEX former_attempts_by_sid ON former_attempts (workspace_id, sid) WHERE sid IS NOT NULL;
SELECT protect('former_attempts', 'SELECT, INSERT');

-- Where the answer was lost, its number is all that tells which attempt a callback is of.
ALTER TABLE receipts ADD COLUMN attempt int;

CREATE INDEX messages_ended_badly ON messages (workspace_id, campaign_id, settled_at, id) WHERE state IN ('failed', 'undelivered');

CREATE OR REPLACE FUNCTION message_may_become(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT before = after OR CASE before
        WHEN 'pending' THEN after IN ('claimed', 'skipped')
        WHEN 'claimed' THEN after IN ('started', 'pending', 'skipped')
        WHEN 'started' THEN after IN ('sent', 'delivered', 'undelivered', 'failed', 'unknown', 'pending')
        WHEN 'unknown' THEN after IN ('sent', 'delivered', 'undelivered', 'failed')
        WHEN 'sent' THEN after IN ('delivered', 'undelivered', 'failed')
        -- By hand only: see the trigger below.
        WHEN 'undelivered' THEN after = 'pending'
        WHEN 'failed' THEN after = 'pending'
        ELSE false END
$$;

-- Nothing that has ended begins again unless somebody asked for that and its end is on record.
CREATE FUNCTION require_former_attempt() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM former_attempts f
                    WHERE f.workspace_id = OLD.workspace_id AND f.message_id = OLD.id AND f.attempt = OLD.attempt) THEN
        RAISE check_violation USING CONSTRAINT = TG_NAME, MESSAGE = 'a message that has ended is only retried with its end on record';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER retried_message_follows_its_states BEFORE UPDATE ON messages FOR EACH ROW
    WHEN (OLD.state IN ('undelivered', 'failed') AND NEW.state = 'pending')
    EXECUTE FUNCTION require_former_attempt();

-- A campaign that had finished sends again.
CREATE OR REPLACE FUNCTION campaign_may_become(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT before = after OR CASE before
        WHEN 'draft' THEN after IN ('scheduled', 'freezing')
        WHEN 'scheduled' THEN after IN ('draft', 'freezing', 'cancelled')
        WHEN 'freezing' THEN after IN ('sending', 'cancelled')
        WHEN 'sending' THEN after IN ('paused', 'finished', 'cancelled')
        WHEN 'paused' THEN after IN ('sending', 'finished', 'cancelled')
        WHEN 'finished' THEN after = 'sending'
        ELSE false END
$$;

-- Failed and undelivered messages of a campaign become pending once more, the oldest first; one of them where `message`
-- names it, else those in one of the states and, where codes are given, with one of them. They are judged by consent,
-- suppression and the rest like any other when they are claimed. Whoever calls holds the campaign's row.
-- Returns: how many.
CREATE FUNCTION retry_messages(campaign uuid, message uuid, states text[], codes int[], most int) RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    ids uuid[];
    frozen timestamptz[];
    count int;
BEGIN
    SELECT array_agg(e.id), array_agg(e.created_at) INTO ids, frozen
      FROM (SELECT m.id, m.created_at FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.campaign_id = campaign AND m.kind = 'campaign'
               AND m.state IN ('failed', 'undelivered') AND m.state = ANY (states)
               AND (message IS NULL OR m.id = message) AND (codes IS NULL OR m.error_code = ANY (codes))
             ORDER BY m.settled_at, m.id LIMIT most FOR UPDATE SKIP LOCKED) e;
    IF ids IS NULL THEN RETURN 0; END IF;
    INSERT INTO former_attempts (workspace_id, message_id, attempt, state, sid, provider_status, error_code, started_at, sent_at, settled_at)
        SELECT m.workspace_id, m.id, m.attempt, m.state, m.sid, m.provider_status, m.error_code, m.started_at, m.sent_at, m.settled_at
          FROM unnest(ids, frozen) AS e (id, created_at)
          JOIN messages m ON m.workspace_id = current_workspace() AND m.id = e.id AND m.created_at = e.created_at;
    UPDATE messages m
       SET state = 'pending', due_at = now(), body = NULL, parts = NULL, sid = NULL, provider_status = NULL,
           provider_rank = NULL, error_code = NULL, unknown_reason = NULL, sent_at = NULL, settled_at = NULL
      FROM unnest(ids, frozen) AS e (id, created_at)
     WHERE m.workspace_id = current_workspace() AND m.id = e.id AND m.created_at = e.created_at;
    GET DIAGNOSTICS count = ROW_COUNT;
    -- Rules that ask whose message failed.
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
        SELECT m.workspace_id, m.contact_id, ARRAY['campaign:' || campaign]
          FROM unnest(ids, frozen) AS e (id, created_at)
          JOIN messages m ON m.workspace_id = current_workspace() AND m.id = e.id AND m.created_at = e.created_at;
    RETURN count;
END
$$;
GRANT EXECUTE ON FUNCTION retry_messages(uuid, uuid, text[], int[], int) TO muster_responder;
