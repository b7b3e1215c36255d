-- Why: a workspace may send so much in a calendar month and no more, whatever its campaigns and workers do at once.
-- Locks: workspaces for a moment, for the trigger; all else is new.

-- How many message parts (SMS) or messages (e-mail) a month may have; NULL: any number.
CREATE FUNCTION monthly_limit_of(settings jsonb, channel text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (settings #>> ARRAY['monthly_limits', CASE channel WHEN 'sms' THEN 'sms_parts' ELSE 'emails' END])::bigint
$$;
CREATE FUNCTION monthly_limit(channel text) RETURNS bigint LANGUAGE sql STABLE
AS $$
    SELECT monthly_limit_of(w.settings, channel) FROM workspaces w WHERE w.id = current_workspace()
$$;

-- The first day of the month that it is by the workspace's clock, and when that began.
CREATE FUNCTION month_by(timezone text) RETURNS date LANGUAGE sql STABLE
AS $$
    SELECT date_trunc('month', now() AT TIME ZONE timezone)::date
$$;
CREATE FUNCTION workspace_month(OUT month date, OUT began_at timestamptz) LANGUAGE sql STABLE
AS $$
    SELECT month_by(w.timezone), month_by(w.timezone)::timestamp AT TIME ZONE w.timezone FROM workspaces w WHERE w.id = current_workspace()
$$;

-- What of a month's limit is taken: by messages that were started in it, in the transaction that starts them. Only where there
-- is a limit is there a row.
CREATE TABLE month_usage (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    month date NOT NULL,
    channel text NOT NULL,
    -- Message parts as they were counted before the request, or e-mails.
    used bigint NOT NULL,
    PRIMARY KEY (workspace_id, month, channel),
    CONSTRAINT month_is_named_by_its_first_day CHECK (extract(day FROM month) = 1),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT usage_is_counted CHECK (used >= 0)
);
SELECT protect('month_usage');

-- Campaigns that the month did not suffice for: in which month, and for how many parts.
CREATE TABLE monthly_shortages (
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    month date NOT NULL,
    needed bigint NOT NULL,
    PRIMARY KEY (workspace_id, campaign_id),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns ON DELETE CASCADE
);
SELECT protect('monthly_shortages');

-- What campaigns of the transaction's workspace have started since an instant, from the ledger: each message once however often
-- it was tried, but again where somebody had it tried again. What was turned away has given up its parts, and is one.
CREATE FUNCTION count_started(channel text, since timestamptz) RETURNS bigint LANGUAGE sql STABLE
AS $$
    SELECT (SELECT coalesce(sum(coalesce(m.parts, 1)), 0)
              FROM campaigns c
              JOIN messages m ON m.workspace_id = c.workspace_id AND m.campaign_id = c.id AND m.created_at = c.frozen_at
             WHERE c.workspace_id = current_workspace() AND c.channel = count_started.channel
               AND coalesce(c.finished_at, c.cancelled_at, 'infinity') >= since
               AND m.kind = 'campaign' AND m.started_at >= since)
         + (SELECT coalesce(sum(coalesce(m.parts, 1)), 0)
              FROM former_attempts f
              JOIN messages m ON m.workspace_id = f.workspace_id AND m.id = f.message_id
             WHERE f.workspace_id = current_workspace() AND f.started_at >= since AND m.channel = count_started.channel
               -- Pending again, it stands in the ledger with the same start.
               AND (f.attempt < m.attempt OR m.started_at < since))
$$;

-- As it stands now, with or without a limit.
CREATE FUNCTION month_used(channel text) RETURNS bigint LANGUAGE sql STABLE
AS $$
    SELECT coalesce((SELECT u.used FROM month_usage u
                      WHERE u.workspace_id = current_workspace() AND u.month = w.month AND u.channel = month_used.channel),
                    count_started(channel, w.began_at))
      FROM workspace_month() w
$$;

-- Locks what of the month is taken until the transaction ends; the first time it is counted from the ledger. Whoever calls holds
-- the workspace's lock on limits, shared: what is counted then is all that there is. `rest` is NULL without a limit.
CREATE FUNCTION lock_month(channel text, OUT month date, OUT rest bigint) LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    most bigint := monthly_limit(channel);
    taken bigint;
BEGIN
    month := (SELECT w.month FROM workspace_month() w);
    IF most IS NULL THEN RETURN; END IF;
    LOOP
        SELECT u.used INTO taken FROM month_usage u
         WHERE u.workspace_id = current_workspace() AND u.month = lock_month.month AND u.channel = lock_month.channel
           FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO month_usage (workspace_id, month, channel, used)
            VALUES (current_workspace(), lock_month.month, lock_month.channel, month_used(lock_month.channel))
            ON CONFLICT DO NOTHING;
    END LOOP;
    rest := greatest(most - taken, 0);
END
$$;

-- Keeps every start of a message in the workspace waiting until the transaction ends: what starts afterwards sees the limits that
-- it sets, and what started before is in the ledger.
CREATE FUNCTION hold_starts(workspace uuid) RETURNS void LANGUAGE sql VOLATILE
AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('monthly limits ' || workspace::text, 0))
$$;

-- A limit that comes new begins with what the month has had without one.
CREATE FUNCTION forget_month_usage() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM hold_starts(NEW.id);
    DELETE FROM month_usage u
     WHERE u.workspace_id = NEW.id
       AND (monthly_limit_of(OLD.settings, u.channel) IS NULL OR monthly_limit_of(NEW.settings, u.channel) IS NULL);
    RETURN NULL;
END
$$;
CREATE TRIGGER monthly_limits_change AFTER UPDATE OF settings ON workspaces FOR EACH ROW
    WHEN (OLD.settings -> 'monthly_limits' IS DISTINCT FROM NEW.settings -> 'monthly_limits')
    EXECUTE FUNCTION forget_month_usage();

-- Campaigns that wait for a new month, where one has begun by their workspace's clock.
CREATE FUNCTION campaigns_of_past_months() RETURNS TABLE (workspace_id uuid, campaign_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT s.workspace_id, s.campaign_id
      FROM monthly_shortages s
      JOIN workspaces w ON w.id = s.workspace_id
      JOIN campaigns c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id
      JOIN senders o ON o.workspace_id = c.workspace_id AND o.id = c.sender_id
     WHERE s.month < month_by(w.timezone) AND w.suspended_at IS NULL AND o.status = 'active'
       AND c.status = 'paused' AND c.status_reason = 'monthly_limit_reached'
     ORDER BY c.paused_at LIMIT 100
$$;
GRANT EXECUTE ON FUNCTION campaigns_of_past_months() TO muster_worker;
GRANT EXECUTE ON FUNCTION monthly_limit_of(jsonb, text), monthly_limit(text), month_by(text), workspace_month(), month_used(text),
    count_started(text, timestamptz), lock_month(text), hold_starts(uuid) TO muster_responder, muster_worker, muster_maintenance;

ALTER FUNCTION settings_json(workspaces) RENAME TO settings_before_monthly_limits;
CREATE FUNCTION settings_json(w workspaces) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT (settings_before_monthly_limits(w)::jsonb || jsonb_build_object('monthly_limits', w.settings -> 'monthly_limits'))::json
$$;
GRANT EXECUTE ON FUNCTION settings_json(workspaces) TO muster_responder, muster_worker, muster_maintenance;
