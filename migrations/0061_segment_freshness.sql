-- Why: segments that follow their contacts: when each is brought up to date, what time alone will change, and events
-- for whoever waits for an entry or an exit.
-- Locks: segments and segment_members for a moment.

ALTER TABLE segments
    -- 'live': with every change of a contact, and when time alone changes it. 'every': each schedule_minutes.
    -- 'daily': at schedule_at of the workspace's clock. 'manual': when somebody asks, and every night.
    ADD COLUMN schedule text NOT NULL DEFAULT 'live',
    ADD COLUMN schedule_minutes int,
    ADD COLUMN schedule_at time,
    -- When the schedule wants the next calculation; NULL for live and manual ones.
    ADD COLUMN next_refresh_at timestamptz,
    -- Whether time alone can change who is in; then up to which instant that has been looked at, and when to look next.
    ADD COLUMN reads_time boolean NOT NULL DEFAULT false,
    ADD COLUMN swept_at timestamptz,
    ADD COLUMN next_flip_at timestamptz,
    ADD CONSTRAINT schedule_is_known CHECK (schedule IN ('live', 'every', 'daily', 'manual')),
    ADD CONSTRAINT schedule_has_its_time CHECK (
        (schedule = 'every') = (schedule_minutes IS NOT NULL) AND (schedule = 'daily') = (schedule_at IS NOT NULL)
        AND (schedule IN ('every', 'daily')) = (next_refresh_at IS NOT NULL)),
    ADD CONSTRAINT schedule_minutes_are_bounded CHECK (schedule_minutes BETWEEN 1 AND 1440);
CREATE INDEX segments_by_flip ON segments (next_flip_at) WHERE schedule = 'live' AND state = 'ready' AND next_flip_at IS NOT NULL;
CREATE INDEX segments_by_refresh ON segments (next_refresh_at) WHERE next_refresh_at IS NOT NULL;

-- When a schedule wants its next calculation after an instant. Times that a change of clocks skips fall after it.
CREATE FUNCTION next_refresh(schedule text, minutes int, at_time time, after timestamptz, zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE schedule
        WHEN 'every' THEN after + make_interval(mins => minutes)
        WHEN 'daily' THEN (
            SELECT min(t.at) FROM (
                SELECT ((after AT TIME ZONE zone)::date + d + at_time) AT TIME ZONE zone AS at FROM generate_series(0, 2) d) t
             WHERE t.at > after) END
$$;

-- The instant that a membership shows. A live segment shows now, but for what still waits to be looked at.
CREATE FUNCTION segment_as_of(s segments) RETURNS timestamptz LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN s.schedule = 'live' AND s.state = 'ready' THEN
        greatest(s.calculated_at, least(now(), s.next_flip_at,
            (SELECT d.marked_at FROM dirty_contacts d WHERE d.workspace_id = s.workspace_id ORDER BY d.id LIMIT 1)))
        ELSE s.calculated_at END
$$;

-- The longest that a membership lags behind its contacts, in seconds; NULL when only somebody's request ends the lag.
CREATE FUNCTION segment_lag_seconds(s segments) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE s.schedule WHEN 'live' THEN CASE WHEN s.reads_time THEN 60 ELSE 5 END
                           WHEN 'every' THEN s.schedule_minutes * 60 WHEN 'daily' THEN 86400 END
$$;

-- A segment as the API shows it.
CREATE FUNCTION segment_json(s segments) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', s.id, 'name', s.name, 'description', s.description, 'rule', s.rule, 'member_count', s.member_count,
        'state', s.state, 'problem', s.problem, 'as_of', rfc3339(segment_as_of(s)), 'calculated_at', rfc3339(s.calculated_at),
        'schedule', json_strip_nulls(json_build_object(
            'kind', s.schedule, 'minutes', s.schedule_minutes, 'at', to_char(s.schedule_at, 'HH24:MI'))),
        'lag_seconds', segment_lag_seconds(s), 'next_refresh_at', rfc3339(s.next_refresh_at),
        'next_flip_at', rfc3339(s.next_flip_at),
        'created_at', rfc3339(s.created_at), 'updated_at', rfc3339(s.updated_at), 'version', s.version)
$$;
GRANT EXECUTE ON FUNCTION next_refresh(text, int, time, timestamptz, text), segment_as_of(segments),
    segment_lag_seconds(segments), segment_json(segments) TO muster_responder, muster_worker, muster_maintenance;

-- As in migration 0022, and each entry and exit is an event of the contact. A contact that is deleted has none.
CREATE OR REPLACE FUNCTION note_segment_changes() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz := clock_timestamp();
BEGIN
    -- In one order: two contacts that go at once, each from the same two segments, must not wait for each other.
    PERFORM FROM segments s
      WHERE (s.workspace_id, s.id) IN (SELECT r.workspace_id, r.segment_id FROM changed r)
      ORDER BY s.workspace_id, s.id FOR NO KEY UPDATE;
    -- A segment that goes, alone or with its workspace, takes its members with it; nobody left it then.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
            SELECT r.workspace_id, r.segment_id, r.contact_id, 'entered', r.entered_at FROM changed r;
        INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
            SELECT r.workspace_id, r.contact_id, 'segment.entered', r.entered_at, jsonb_build_object('segment_id', r.segment_id)
              FROM changed r;
        UPDATE segments s SET member_count = s.member_count + n.count
          FROM (SELECT workspace_id, segment_id, count(*) FROM changed GROUP BY workspace_id, segment_id) n
         WHERE s.workspace_id = n.workspace_id AND s.id = n.segment_id;
    ELSE
        INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
            SELECT r.workspace_id, r.segment_id, r.contact_id, 'exited', greatest(at, r.entered_at) FROM changed r
             WHERE EXISTS (SELECT FROM workspaces w WHERE w.id = r.workspace_id)
               AND EXISTS (SELECT FROM segments s WHERE s.workspace_id = r.workspace_id AND s.id = r.segment_id);
        INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
            SELECT r.workspace_id, r.contact_id, 'segment.exited', greatest(at, r.entered_at),
                   jsonb_build_object('segment_id', r.segment_id)
              FROM changed r
              JOIN segments s ON s.workspace_id = r.workspace_id AND s.id = r.segment_id
              JOIN contacts c ON c.workspace_id = r.workspace_id AND c.id = r.contact_id;
        UPDATE segments s SET member_count = s.member_count - n.count
          FROM (SELECT workspace_id, segment_id, count(*) FROM changed GROUP BY workspace_id, segment_id) n
         WHERE s.workspace_id = n.workspace_id AND s.id = n.segment_id;
    END IF;
    RETURN NULL;
END
$$;

-- Workspaces with something to bring up to date: changed contacts, flips that are due, schedules that are due.
-- The first is a walk from workspace to workspace over the index, whatever the number of rows.
CREATE FUNCTION workspaces_to_freshen() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH RECURSIVE dirty AS (
        SELECT (SELECT d.workspace_id FROM dirty_contacts d ORDER BY d.workspace_id LIMIT 1) AS id
        UNION ALL
        SELECT (SELECT d.workspace_id FROM dirty_contacts d WHERE d.workspace_id > dirty.id ORDER BY d.workspace_id LIMIT 1)
          FROM dirty WHERE dirty.id IS NOT NULL)
    SELECT id FROM dirty WHERE id IS NOT NULL
    UNION
    SELECT s.workspace_id FROM segments s
     WHERE s.schedule = 'live' AND s.state = 'ready' AND s.next_flip_at <= now()
    UNION
    SELECT s.workspace_id FROM segments s WHERE s.next_refresh_at <= now()
$$;
GRANT EXECUTE ON FUNCTION workspaces_to_freshen() TO muster_worker, muster_maintenance;
