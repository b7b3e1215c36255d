-- Why: the texts that a team keeps, the numbers and services that it sends from, and their rate.
-- Locks: nothing, everything is new.

CREATE TABLE templates (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    channel text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT template_name_is_unique UNIQUE (workspace_id, name),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT body_is_not_empty CHECK (body <> '')
);
CREATE INDEX templates_by_creation ON templates (workspace_id, created_at DESC, id DESC);
SELECT protect('templates');

-- Where messages leave from. `credentials` is sealed (AES-256-GCM) for this workspace and this sender; what is
-- in it never comes back through the API.
CREATE TABLE senders (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    channel text NOT NULL,
    provider text NOT NULL,
    from_number text,
    messaging_service_sid text,
    rate_parts_per_second double precision NOT NULL,
    account_sid text NOT NULL,
    credentials bytea NOT NULL,
    status text NOT NULL DEFAULT 'active',
    status_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT sender_name_is_unique UNIQUE (workspace_id, name),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT provider_is_known CHECK (provider IN ('twilio')),
    CONSTRAINT sender_has_one_origin CHECK ((from_number IS NULL) <> (messaging_service_sid IS NULL)),
    CONSTRAINT rate_is_positive CHECK (rate_parts_per_second > 0 AND rate_parts_per_second <= 10000),
    CONSTRAINT status_is_known CHECK (status IN ('active', 'suspended')),
    CONSTRAINT suspended_sender_has_reason CHECK ((status = 'suspended') = (status_reason IS NOT NULL))
);
CREATE INDEX senders_by_creation ON senders (workspace_id, created_at DESC, id DESC);
-- A provider's callback names the sender before any workspace is known.
CREATE INDEX senders_by_id ON senders (id);
SELECT protect('senders');

-- What a callback needs to be verified: whose sender it is and the sealed credentials.
CREATE FUNCTION sender_for_webhook(sender uuid)
RETURNS TABLE (workspace_id uuid, provider text, account_sid text, credentials bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT s.workspace_id, s.provider, s.account_sid, s.credentials FROM senders s WHERE s.id = sender
$$;
GRANT EXECUTE ON FUNCTION sender_for_webhook(uuid) TO muster_responder, muster_worker;

-- A bucket of message parts per sender. One second of the rate fits in it, and at least one part with room for the
-- quarter of a second by which a worker may come late: what overflows is lost, and a slow sender would fall behind.
CREATE TABLE sender_buckets (
    workspace_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    tokens double precision NOT NULL,
    refilled_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, sender_id),
    FOREIGN KEY (workspace_id, sender_id) REFERENCES senders ON DELETE CASCADE
) WITH (fillfactor = 50);
SELECT protect('sender_buckets');

-- Leases tokens for messages of `parts` parts, in their order, and says how many messages may go now and how long
-- until the next one may. The time is the database's, read after the bucket's lock is held; tests pass their own.
-- A message larger than the bucket goes when the bucket is full and leaves a debt behind, so the rate holds.
CREATE FUNCTION lease_parts(sender uuid, parts int[], at timestamptz DEFAULT NULL)
RETURNS TABLE (granted int, wait_seconds double precision)
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    rate double precision;
    burst double precision;
    available double precision;
    filled timestamptz;
    moment timestamptz;
    size int;
BEGIN
    granted := 0;
    wait_seconds := 0;
    SELECT s.rate_parts_per_second INTO STRICT rate
      FROM senders s WHERE s.workspace_id = current_workspace() AND s.id = sender;
    burst := greatest(rate, 1 + rate / 4);
    INSERT INTO sender_buckets AS b (workspace_id, sender_id, tokens, refilled_at)
        VALUES (current_workspace(), sender, burst, coalesce(at, clock_timestamp()))
        ON CONFLICT (workspace_id, sender_id) DO NOTHING;
    SELECT b.tokens, b.refilled_at INTO STRICT available, filled
      FROM sender_buckets b WHERE b.workspace_id = current_workspace() AND b.sender_id = sender FOR UPDATE;
    -- A clock that steps back adds nothing and takes nothing.
    moment := greatest(coalesce(at, clock_timestamp()), filled);
    available := least(burst, available + rate * extract(epoch FROM moment - filled));
    FOREACH size IN ARRAY parts LOOP
        -- Refilling adds fractions; a part missing by rounding alone is not missing.
        IF available < least(size, burst) - 1e-6 THEN
            wait_seconds := (least(size, burst) - available) / rate;
            EXIT;
        END IF;
        available := available - size;
        granted := granted + 1;
    END LOOP;
    UPDATE sender_buckets SET tokens = available, refilled_at = moment
     WHERE workspace_id = current_workspace() AND sender_id = sender;
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION lease_parts(uuid, int[], timestamptz) TO muster_worker;
