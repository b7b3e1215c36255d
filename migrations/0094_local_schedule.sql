-- Why: a campaign reaches each contact at the same time of their own clock.
-- Locks: campaigns, for a moment; its new columns are empty.

ALTER TABLE campaigns
    -- What clocks show where each contact is; `scheduled_at` is then when the audience is frozen.
    ADD COLUMN scheduled_local timestamp,
    -- What becomes of those for whom it has passed when the audience is frozen.
    ADD COLUMN late text,
    ADD CONSTRAINT late_is_known CHECK (late IN ('send', 'skip')),
    ADD CONSTRAINT local_schedule_says_what_is_late CHECK ((scheduled_local IS NULL) = (late IS NULL));

-- The first instant at which the clock of every zone shows `local` or later: a time that is skipped becomes the first that
-- there is, one that comes twice is meant when it comes first.
CREATE FUNCTION local_instant(zones text[], local timestamp) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    zone text;
    moment timestamptz;
    earlier timestamptz;
    latest timestamptz := '-infinity';
BEGIN
    FOREACH zone IN ARRAY zones LOOP
        -- AT TIME ZONE takes the later of two, and goes on by the old clock where the new one skips it.
        moment := local AT TIME ZONE zone;
        IF moment AT TIME ZONE zone > local THEN
            moment := date_bin('15 minutes', moment, '2000-01-01 00:00:00+00');
            WHILE (moment - interval '15 minutes') AT TIME ZONE zone >= local LOOP
                moment := moment - interval '15 minutes';
            END LOOP;
        ELSE
            -- By the clock of the day before.
            earlier := moment - interval '1 day' + (local - ((moment - interval '1 day') AT TIME ZONE zone));
            IF earlier < moment AND earlier AT TIME ZONE zone = local THEN moment := earlier; END IF;
        END IF;
        latest := greatest(latest, moment);
    END LOOP;
    RETURN latest;
END
$$;

-- When that is: by name of a zone, by beginning of a number (its latest zone, so that it has come wherever they may be), and
-- under '' in the workspace's zone.
CREATE FUNCTION local_instants(local timestamp) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH zones AS MATERIALIZED (SELECT z.name, local_instant(ARRAY[z.name], $1) AS moment FROM time_zones z)
    SELECT jsonb_object_agg(k.key, k.moment)
      FROM (SELECT z.name AS key, z.moment FROM zones z
            UNION ALL
            SELECT n.prefix, max(z.moment) FROM number_places n CROSS JOIN unnest(n.zones) zone JOIN zones z ON z.name = zone GROUP BY n.prefix
            UNION ALL
            SELECT '', z.moment FROM workspaces w JOIN zones z ON z.name = w.timezone WHERE w.id = current_workspace()) k
$$;
GRANT EXECUTE ON FUNCTION local_instants(timestamp) TO muster_responder, muster_worker;
