-- Why: a campaign goes out again and again by a rule of the calendar: each time as a campaign of its own, copied from a draft.
-- Locks: campaigns for a moment, for the trigger; all else is new.

CREATE TABLE recurring_campaigns (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    -- The pattern: a draft, copied at each occurrence. It may go when nothing recurs from it any more.
    campaign_id uuid,
    -- The rule: every so many days, weeks or months, counted from `starts_on`; weeks begin on Monday.
    every text NOT NULL,
    interval_count int NOT NULL,
    weekdays text[],
    -- In a shorter month it means the last day.
    day_of_month int,
    wall_time time NOT NULL,
    time_zone text NOT NULL,
    starts_on date NOT NULL,
    ends_on date,
    -- So many occurrences, whether they went out or were skipped.
    ends_after int,
    -- What of an occurrence has not left so long after it is left out; NULL: the pattern's `send_until` holds.
    send_for_seconds int,
    status text NOT NULL,
    next_at timestamptz,
    paused_at timestamptz,
    ended_at timestamptz,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns (workspace_id, id) ON DELETE SET NULL (campaign_id),
    CONSTRAINT every_is_known CHECK (every IN ('day', 'week', 'month')),
    CONSTRAINT interval_is_bounded CHECK (interval_count BETWEEN 1 AND 100),
    CONSTRAINT weeks_have_weekdays CHECK ((every = 'week') = (weekdays IS NOT NULL)),
    CONSTRAINT weekdays_are_known CHECK (weekdays <@ '{monday,tuesday,wednesday,thursday,friday,saturday,sunday}'
        AND cardinality(weekdays) BETWEEN 1 AND 7),
    CONSTRAINT months_have_a_day CHECK ((every = 'month') = (day_of_month IS NOT NULL)),
    CONSTRAINT day_of_month_is_bounded CHECK (day_of_month BETWEEN 1 AND 31),
    CONSTRAINT start_is_of_our_time CHECK (starts_on BETWEEN '2000-01-01' AND '2200-01-01'),
    CONSTRAINT ends_after_some CHECK (ends_after > 0),
    CONSTRAINT sending_lasts_a_while CHECK (send_for_seconds BETWEEN 1 AND 2592000),
    CONSTRAINT status_is_known CHECK (status IN ('active', 'paused', 'ended')),
    CONSTRAINT what_is_active_has_a_next_time CHECK ((status = 'active') = (next_at IS NOT NULL)),
    CONSTRAINT what_is_paused_has_paused_at CHECK ((status = 'paused') = (paused_at IS NOT NULL)),
    CONSTRAINT what_has_ended_has_ended_at CHECK ((status = 'ended') = (ended_at IS NOT NULL)),
    CONSTRAINT what_recurs_has_a_pattern CHECK (status = 'ended' OR campaign_id IS NOT NULL)
);
CREATE INDEX recurring_campaigns_by_creation ON recurring_campaigns (workspace_id, created_at DESC, id DESC);
CREATE INDEX recurring_campaigns_of_pattern ON recurring_campaigns (workspace_id, campaign_id);
CREATE INDEX recurring_campaigns_active ON recurring_campaigns (next_at) WHERE status = 'active';
SELECT protect('recurring_campaigns');

CREATE FUNCTION recurring_campaign_may_become(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT before = after OR CASE before
        WHEN 'active' THEN after IN ('paused', 'ended')
        WHEN 'paused' THEN after IN ('active', 'ended')
        ELSE false END
$$;
GRANT EXECUTE ON FUNCTION recurring_campaign_may_become(text, text) TO muster_responder, muster_worker, muster_maintenance;
CREATE TRIGGER recurring_campaign_follows_its_states BEFORE UPDATE ON recurring_campaigns FOR EACH ROW
    WHEN (NOT recurring_campaign_may_become(OLD.status, NEW.status))
    EXECUTE FUNCTION refuse_transition('status', 'recurring campaign');

-- What became of each occurrence: a campaign, or the reason why there is none. The key is what makes it one campaign, whoever
-- dies and whoever comes twice.
CREATE TABLE recurring_occurrences (
    workspace_id uuid NOT NULL,
    recurring_id uuid NOT NULL,
    occurs_at timestamptz NOT NULL,
    campaign_id uuid,
    skip_reason text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, recurring_id, occurs_at),
    CONSTRAINT campaign_is_of_one_occurrence UNIQUE (workspace_id, campaign_id),
    FOREIGN KEY (workspace_id, recurring_id) REFERENCES recurring_campaigns ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, campaign_id) REFERENCES campaigns,
    CONSTRAINT occurrence_was_started_or_skipped CHECK ((campaign_id IS NULL) <> (skip_reason IS NULL))
);
SELECT protect('recurring_occurrences', 'SELECT, INSERT');

-- When the clock of a zone shows `local`: the first time where it does so twice; a time that it skips is taken by the clock from
-- before, so it is as much later (RFC 5545, 3.3.5).
CREATE FUNCTION wall_clock_instant(local timestamp, zone text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- AT TIME ZONE takes the later of two: look whether by the clock of the day before there is another.
    SELECT CASE WHEN e.earlier < m.moment AND e.earlier AT TIME ZONE zone = local THEN e.earlier ELSE m.moment END
      FROM (SELECT local AT TIME ZONE zone AS moment) m
     CROSS JOIN LATERAL (SELECT m.moment - interval '24 hours' AS day_before) d
     CROSS JOIN LATERAL (SELECT d.day_before + (local - (d.day_before AT TIME ZONE zone)) AS earlier) e
$$;

-- The occurrences after an instant, in their order, at most so many: the only place that knows what a rule means.
CREATE FUNCTION occurrences_after(r recurring_campaigns, after timestamptz, most int) RETURNS SETOF timestamptz
LANGUAGE sql STABLE
AS $$
    WITH bounds AS MATERIALIZED (
        SELECT b.first, r.starts_on - extract(isodow FROM r.starts_on)::int + 1 AS monday, date_trunc('month', r.starts_on::timestamp) AS month
          -- A day more than needed: where the clock skips a time it may come on the next.
          FROM (SELECT greatest(r.starts_on, (after AT TIME ZONE r.time_zone)::date - 1) AS first) b),
    days AS (
        SELECT r.starts_on + r.interval_count * ((b.first - r.starts_on) / r.interval_count + i) AS day
          FROM bounds b CROSS JOIN generate_series(0, most + 3) i WHERE r.every = 'day'
        UNION ALL
        SELECT b.monday + 7 * r.interval_count * ((b.first - b.monday) / 7 / r.interval_count + i)
               + array_position('{monday,tuesday,wednesday,thursday,friday,saturday,sunday}', w.name) - 1
          FROM bounds b CROSS JOIN generate_series(0, most + 3) i CROSS JOIN unnest(r.weekdays) AS w (name) WHERE r.every = 'week'
        UNION ALL
        SELECT m.start::date + least(r.day_of_month, extract(day FROM m.start + interval '1 month' - interval '1 day')::int) - 1
          FROM bounds b CROSS JOIN generate_series(0, most + 3) i
         CROSS JOIN LATERAL (
            SELECT b.month + make_interval(months => r.interval_count * (
                       (12 * (extract(year FROM b.first) - extract(year FROM b.month)) + extract(month FROM b.first)
                           - extract(month FROM b.month))::int / r.interval_count + i)) AS start) m
         WHERE r.every = 'month')
    SELECT DISTINCT o.moment
      FROM days d CROSS JOIN LATERAL (SELECT wall_clock_instant(d.day + r.wall_time, r.time_zone) AS moment) o
     WHERE d.day >= r.starts_on AND d.day <= coalesce(r.ends_on, 'infinity') AND o.moment > after
     ORDER BY o.moment
     LIMIT greatest(0, least(most, r.ends_after - (
               SELECT count(*) FROM recurring_occurrences p
                WHERE p.workspace_id = r.workspace_id AND p.recurring_id = r.id)))
$$;

-- The first occurrence from now on, as after a change or a pause: what has passed is not made up for, and a day on which a
-- campaign has gone out has no other.
CREATE FUNCTION next_occurrence(r recurring_campaigns) RETURNS timestamptz LANGUAGE sql STABLE
AS $$
    SELECT o FROM occurrences_after(r, greatest(now(), (
        SELECT ((max(p.occurs_at) AT TIME ZONE r.time_zone)::date + 1)::timestamp AT TIME ZONE r.time_zone - interval '1 microsecond'
          FROM recurring_occurrences p
         WHERE p.workspace_id = r.workspace_id AND p.recurring_id = r.id AND p.campaign_id IS NOT NULL)), 1) o
$$;
GRANT EXECUTE ON FUNCTION wall_clock_instant(timestamp, text), occurrences_after(recurring_campaigns, timestamptz, int),
    next_occurrence(recurring_campaigns) TO muster_responder, muster_worker, muster_maintenance;

-- Those whose time has come, the one that has waited longest first.
CREATE FUNCTION recurring_campaigns_due() RETURNS TABLE (workspace_id uuid, recurring_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
    SELECT r.workspace_id, r.id FROM recurring_campaigns r
      JOIN workspaces w ON w.id = r.workspace_id
     WHERE r.status = 'active' AND r.next_at <= now() AND w.suspended_at IS NULL
     ORDER BY r.next_at LIMIT 100
$$;
GRANT EXECUTE ON FUNCTION recurring_campaigns_due() TO muster_worker;

-- A pattern stays a draft for as long as something recurs from it. That it stays at all holds by its foreign key and
-- `what_recurs_has_a_pattern`.
CREATE FUNCTION refuse_start_of_pattern() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM recurring_campaigns r
                WHERE r.workspace_id = NEW.workspace_id AND r.campaign_id = NEW.id AND r.status <> 'ended') THEN
        RAISE check_violation USING CONSTRAINT = TG_NAME, MESSAGE = 'a campaign that others recur from stays a draft';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER patterns_stay_drafts BEFORE UPDATE OF status ON campaigns FOR EACH ROW
    WHEN (OLD.status = 'draft' AND NEW.status <> 'draft')
    EXECUTE FUNCTION refuse_start_of_pattern();

-- As in 0064, but what something recurs from was touched.
CREATE OR REPLACE FUNCTION discard_draft(campaign uuid) RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    WITH gone AS (
        DELETE FROM campaigns c
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft' AND c.version = 1
           AND NOT EXISTS (SELECT FROM recurring_campaigns r
                            WHERE r.workspace_id = current_workspace() AND r.campaign_id = c.id AND r.status <> 'ended')
        RETURNING 1)
    SELECT EXISTS (SELECT FROM gone)
$$;
