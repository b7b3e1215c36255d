-- Why: a message whose sender's rate holds nothing back was written twice before its request left, once to claim it and once to start
--      it: now it may start where it waits, in the transaction that looked at it. And a sender's bucket held a whole second of its
--      rate: with what bunches on the way to the provider, more than rate and burst arrived there in a second.
-- Locks: none; the functions are replaced.

-- As in migration 0100, and pending → started.
CREATE OR REPLACE FUNCTION message_may_become(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT before = after OR CASE before
        WHEN 'pending' THEN after IN ('claimed', 'started', 'skipped')
        WHEN 'claimed' THEN after IN ('started', 'pending', 'skipped')
        WHEN 'started' THEN after IN ('sent', 'delivered', 'undelivered', 'failed', 'unknown', 'pending')
        WHEN 'unknown' THEN after IN ('sent', 'delivered', 'undelivered', 'failed')
        WHEN 'sent' THEN after IN ('delivered', 'undelivered', 'failed')
        -- By hand only: see migration 0100.
        WHEN 'undelivered' THEN after = 'pending'
        WHEN 'failed' THEN after = 'pending'
        ELSE false END
$$;

-- Takes the parts of messages, in their order, from a sender's token bucket, as many as it has; NULL for `at`: now. It fills with
-- the sender's rate. Its burst is a second of the rate, of which a fast sender's bucket keeps a quarter back; a slow one's holds a
-- message of three parts, or of one if it is slower than that, and a quarter of a second of the rate beside it: who claims may come
-- late by so much.
CREATE OR REPLACE FUNCTION lease_parts(sender uuid, parts int[], at timestamptz DEFAULT NULL)
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
    burst := greatest(0.75 * rate, least(rate, 3 + rate / 4), 1 + rate / 4);
    SELECT b.tokens, b.refilled_at INTO available, filled
      FROM sender_buckets b WHERE b.workspace_id = current_workspace() AND b.sender_id = sender FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO sender_buckets (workspace_id, sender_id, tokens, refilled_at)
            VALUES (current_workspace(), sender, burst, coalesce(at, clock_timestamp()))
            ON CONFLICT (workspace_id, sender_id) DO NOTHING;
        SELECT b.tokens, b.refilled_at INTO STRICT available, filled
          FROM sender_buckets b WHERE b.workspace_id = current_workspace() AND b.sender_id = sender FOR UPDATE;
    END IF;
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
