-- Why: the ledger, one row per recipient of a campaign, and the order of its states (drawn in docs/states.md).
-- Locks: nothing, everything is new.

-- No foreign keys: a million rows are written at once, campaigns that have messages are never deleted, and a
-- message must outlive its contact. Rows are never deleted; partitions are dropped.
CREATE TABLE messages (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    campaign_id uuid NOT NULL,
    kind text NOT NULL DEFAULT 'campaign',
    contact_id uuid,
    sender_id uuid NOT NULL,
    channel text NOT NULL,
    to_address text,
    -- Rendered when the message is about to be sent, from the contact as it then is.
    body text,
    parts int,
    state text NOT NULL DEFAULT 'pending',
    skip_reason text,
    attempt int NOT NULL DEFAULT 0,
    -- Not before this: a retry waits.
    due_at timestamptz NOT NULL,
    lease_token uuid,
    lease_until timestamptz,
    sid text,
    provider_status text,
    -- Rank of provider_status: a callback of a lower one came late and changes nothing.
    provider_rank int,
    error_code int,
    unknown_reason text,
    -- frozen_at of the campaign, in every row of it: that makes the key below unique over all partitions.
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    sent_at timestamptz,
    settled_at timestamptz,
    PRIMARY KEY (workspace_id, id, created_at),
    CONSTRAINT one_message_per_contact UNIQUE (workspace_id, campaign_id, contact_id, created_at),
    CONSTRAINT kind_is_known CHECK (kind IN ('campaign', 'test')),
    CONSTRAINT campaign_message_has_contact CHECK (kind <> 'campaign' OR contact_id IS NOT NULL),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT state_is_known CHECK (state IN ('pending', 'skipped', 'claimed', 'started', 'unknown', 'sent',
        'delivered', 'undelivered', 'failed')),
    CONSTRAINT skipped_message_has_reason CHECK ((state = 'skipped') = (skip_reason IS NOT NULL)),
    CONSTRAINT skip_reason_is_known CHECK (skip_reason IN ('no_address', 'invalid_address', 'no_consent', 'opted_out',
        'suppressed', 'duplicate_address', 'empty_text', 'text_too_long', 'contact_deleted', 'address_changed',
        'campaign_cancelled')),
    CONSTRAINT message_has_address CHECK (state = 'skipped' OR to_address IS NOT NULL),
    CONSTRAINT leased_message_has_lease CHECK ((state IN ('claimed', 'started')) = (lease_token IS NOT NULL)
        AND (lease_token IS NULL) = (lease_until IS NULL)),
    CONSTRAINT started_message_has_attempt CHECK (state IN ('pending', 'claimed', 'skipped')
        OR (attempt > 0 AND started_at IS NOT NULL AND body IS NOT NULL AND parts IS NOT NULL)),
    CONSTRAINT parts_are_counted CHECK (parts > 0),
    CONSTRAINT sent_message_has_sid CHECK (state NOT IN ('sent', 'delivered', 'undelivered')
        OR (sid IS NOT NULL AND sent_at IS NOT NULL)),
    CONSTRAINT unsent_message_has_no_sid CHECK (state NOT IN ('pending', 'claimed', 'started', 'skipped', 'unknown')
        OR (sid IS NULL AND sent_at IS NULL)),
    CONSTRAINT settled_message_has_settled_at
        CHECK ((state IN ('skipped', 'delivered', 'undelivered', 'failed')) = (settled_at IS NOT NULL)),
    CONSTRAINT unknown_message_has_reason CHECK (state <> 'unknown' OR unknown_reason IS NOT NULL)
) PARTITION BY RANGE (created_at);
-- What a claim reads, in the order in which it sends.
CREATE INDEX messages_pending ON messages (workspace_id, campaign_id, due_at, id) WHERE state = 'pending';
-- What is in somebody's hands: as many rows as are in flight.
CREATE INDEX messages_leased ON messages (workspace_id, campaign_id, lease_until) WHERE state IN ('claimed', 'started');
CREATE INDEX messages_pending_tests ON messages (workspace_id, campaign_id) WHERE state = 'pending' AND kind = 'test';
CREATE INDEX messages_by_sid ON messages (workspace_id, sid) WHERE sid IS NOT NULL;
CREATE INDEX messages_of_contact ON messages (workspace_id, contact_id, created_at);
-- Who wrote back to what.
CREATE INDEX messages_by_address ON messages (workspace_id, to_address, sent_at) WHERE sent_at IS NOT NULL;
SELECT protect('messages', 'SELECT, INSERT, UPDATE');
SELECT create_partitions('messages');

-- The arrows of the drawing. A callback may overtake the answer, hence started → delivered and the like.
CREATE FUNCTION message_may_become(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT before = after OR CASE before
        WHEN 'pending' THEN after IN ('claimed', 'skipped')
        WHEN 'claimed' THEN after IN ('started', 'pending', 'skipped')
        WHEN 'started' THEN after IN ('sent', 'delivered', 'undelivered', 'failed', 'unknown', 'pending')
        WHEN 'unknown' THEN after IN ('sent', 'delivered', 'undelivered', 'failed')
        WHEN 'sent' THEN after IN ('delivered', 'undelivered', 'failed')
        ELSE false END
$$;
GRANT EXECUTE ON FUNCTION message_may_become(text, text) TO muster_responder, muster_worker, muster_maintenance;

CREATE TRIGGER message_follows_its_states BEFORE UPDATE ON messages FOR EACH ROW
    WHEN (NOT message_may_become(OLD.state, NEW.state))
    EXECUTE FUNCTION refuse_transition('state', 'message');
