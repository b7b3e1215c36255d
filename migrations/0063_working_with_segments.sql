-- Why: what a team does with its segments: versions to go back to, archiving, sharing with some members only, and alerts
-- when a size moves.
-- Locks: segments and segment_members, for a moment: two columns with a constant default, and triggers.

ALTER TABLE segments
    -- Since when it is put away: hidden, not calculated, and nothing new may use it.
    ADD COLUMN archived_at timestamptz,
    -- Open to the workspace, or only to its maker, to owners and admins, and to those with whom it is shared.
    ADD COLUMN is_restricted boolean NOT NULL DEFAULT false;

-- MARK: Who asks

-- As in 0002, and besides the workspace it leaves who asks, for what depends on the person: role and user id.
CREATE OR REPLACE FUNCTION authorize(token bytea, is_key boolean, wanted uuid, roles text[], scope text)
RETURNS TABLE (outcome text, workspace uuid, user_id uuid, api_key_id uuid, role text, plan text, stale boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    granted text[];
    seen timestamptz;
    memberships int;
BEGIN
    IF is_key THEN
        SELECT k.workspace_id, k.created_by, k.id, k.scopes, coalesce(k.last_used_at, '-infinity'), w.plan
          INTO workspace, user_id, api_key_id, granted, seen, plan
          FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
         WHERE k.secret_hash = token AND k.revoked_at IS NULL AND w.suspended_at IS NULL
           AND (k.expires_at IS NULL OR k.expires_at > now());
        IF NOT FOUND THEN outcome := 'unauthenticated'; RETURN NEXT; RETURN; END IF;
        stale := seen < now() - interval '5 minutes';
        IF wanted IS NOT NULL AND wanted <> workspace THEN
            outcome := 'not_found'; workspace := NULL; RETURN NEXT; RETURN;
        END IF;
        IF NOT (scope = ANY (granted) OR '*' = ANY (granted)) THEN
            outcome := 'forbidden'; RETURN NEXT; RETURN;
        END IF;
    ELSE
        SELECT s.user_id, s.last_seen_at, m.workspace_id, m.role, w.plan, count(*) OVER ()
          INTO user_id, seen, workspace, role, plan, memberships
          FROM sessions s
          LEFT JOIN (members m JOIN workspaces w ON w.id = m.workspace_id AND w.suspended_at IS NULL)
                 ON m.user_id = s.user_id AND (wanted IS NULL OR m.workspace_id = wanted)
         WHERE s.token_hash = token AND s.expires_at > now() AND s.absolute_expires_at > now()
         LIMIT 1;
        IF NOT FOUND THEN outcome := 'unauthenticated'; RETURN NEXT; RETURN; END IF;
        stale := seen < now() - interval '5 minutes';
        IF workspace IS NULL THEN
            outcome := CASE WHEN wanted IS NULL THEN 'workspace_required' ELSE 'not_found' END;
            RETURN NEXT; RETURN;
        END IF;
        IF memberships > 1 THEN
            outcome := 'workspace_required'; workspace := NULL; RETURN NEXT; RETURN;
        END IF;
        IF NOT role = ANY (roles) THEN
            outcome := 'forbidden'; RETURN NEXT; RETURN;
        END IF;
    END IF;
    PERFORM set_config('muster.workspace_id', workspace::text, true),
            set_config('muster.actor', coalesce(role, 'api_key') || ' ' || coalesce(user_id::text, ''), true);
    outcome := 'ok';
    RETURN NEXT;
END
$$;

-- Who asks, until the transaction ends. 'api_key' for a key; NULL where nobody asks: in jobs and chores.
CREATE FUNCTION current_actor_role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(split_part(current_setting('muster.actor', true), ' ', 1), '') $$;

-- The person; of a key, whoever made it.
CREATE FUNCTION current_actor() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(split_part(current_setting('muster.actor', true), ' ', 2), '')::uuid $$;

-- The role that counts for what is not open to all. A key whose maker is known gets no further than its maker does today;
-- one without is the workspace's own.
CREATE FUNCTION current_authority() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN current_actor_role() <> 'api_key' OR current_actor() IS NULL THEN current_actor_role()
                ELSE coalesce((SELECT m.role FROM members m
                                WHERE m.workspace_id = current_workspace() AND m.user_id = current_actor()), 'none') END
$$;

-- MARK: Sharing

CREATE TABLE segment_shares (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    user_id uuid NOT NULL,
    permission text NOT NULL,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, segment_id, user_id),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE,
    -- Who leaves the workspace leaves its segments.
    FOREIGN KEY (workspace_id, user_id) REFERENCES members ON DELETE CASCADE,
    CONSTRAINT permission_is_known CHECK (permission IN ('view', 'use', 'edit'))
);
CREATE INDEX segment_shares_of_member ON segment_shares (workspace_id, user_id);
SELECT protect('segment_shares');

-- The part of segment_access that looks things up. A responder that has not asked who somebody is shows them nothing.
CREATE FUNCTION restricted_segment_access(segment uuid, maker uuid) RETURNS int LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN current_actor_role() IS NULL THEN CASE WHEN current_user = 'muster_responder' THEN 0 ELSE 3 END
        WHEN current_authority() IN ('owner', 'admin', 'api_key') OR coalesce(maker = current_actor(), false) THEN 3
        ELSE coalesce((SELECT CASE h.permission WHEN 'view' THEN 1 WHEN 'use' THEN 2 ELSE 3 END FROM segment_shares h
                        WHERE h.workspace_id = current_workspace() AND h.segment_id = segment AND h.user_id = current_actor()), 0)
        END
$$;

-- What whoever asks may do with a segment: 0 nothing, 1 view, 2 use in rules, campaigns and actions, 3 edit. The one place
-- that knows; every statement that shows or takes a segment asks it. It only narrows what the role allows.
CREATE FUNCTION segment_access(s segments) RETURNS int LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN s.is_restricted THEN restricted_segment_access(s.id, s.created_by) ELSE 3 END $$;

-- Whether whoever asks decides to whom a segment is open: its maker, owners and admins.
CREATE FUNCTION manages_segment(s segments) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN current_actor_role() IS NULL THEN current_user <> 'muster_responder'
                ELSE current_authority() IN ('owner', 'admin', 'api_key') OR coalesce(s.created_by = current_actor(), false) END
$$;

-- A segment's name for whoever asks.
CREATE FUNCTION segment_label(s segments) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN segment_access(s) > 0 THEN s.name ELSE '(not shared with you)' END $$;

-- Why a segment cannot be chosen by whoever asks: not_found, segment_not_usable, segment_archived; empty when it can.
CREATE FUNCTION segment_fault(segment uuid) RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT coalesce((SELECT CASE WHEN segment_access(s) = 0 THEN 'not_found' WHEN segment_access(s) < 2 THEN 'segment_not_usable'
                                 WHEN s.archived_at IS NOT NULL THEN 'segment_archived' ELSE '' END
                       FROM segments s WHERE s.workspace_id = current_workspace() AND s.id = segment), 'not_found')
$$;

-- MARK: Versions

-- What a segment was after each save; `version` is the segment's own, so numbers may be missing between two.
CREATE TABLE segment_versions (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    version int NOT NULL,
    name text NOT NULL,
    description text,
    rule jsonb NOT NULL,
    note text,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, segment_id, version),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE
);
SELECT protect('segment_versions', 'SELECT, INSERT');
INSERT INTO segment_versions (workspace_id, segment_id, version, name, description, rule, created_by, created_at)
    SELECT workspace_id, id, version, name, description, rule, created_by, updated_at FROM segments;

-- Keeps what a segment is now, unless its last version says the same already and there is nothing to note.
CREATE FUNCTION keep_segment_version(segment uuid, note text) RETURNS void LANGUAGE sql VOLATILE
AS $$
    INSERT INTO segment_versions AS v (workspace_id, segment_id, version, name, description, rule, note, created_by)
    SELECT s.workspace_id, s.id, s.version, s.name, s.description, s.rule, $2, current_actor()
      FROM segments s
      LEFT JOIN LATERAL (SELECT o.name, o.description, o.rule FROM segment_versions o
                          WHERE o.workspace_id = s.workspace_id AND o.segment_id = s.id
                          ORDER BY o.version DESC LIMIT 1) l ON true
     WHERE s.workspace_id = current_workspace() AND s.id = $1
       AND ($2 IS NOT NULL OR (s.name, s.description, s.rule) IS DISTINCT FROM (l.name, l.description, l.rule))
    ON CONFLICT DO NOTHING
$$;

-- MARK: Alerts

-- above, below: of `threshold` members. changes_by: by this share of its size of a day ago, up or down.
CREATE TABLE segment_alerts (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    segment_id uuid NOT NULL,
    kind text NOT NULL,
    threshold double precision NOT NULL,
    -- It fires when its condition begins to hold, and not again before that has ended.
    is_armed boolean NOT NULL DEFAULT true,
    last_fired_at timestamptz,
    last_figures jsonb,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE,
    CONSTRAINT kind_is_known CHECK (kind IN ('above', 'below', 'changes_by')),
    CONSTRAINT size_is_whole CHECK (kind = 'changes_by' OR (threshold >= 0 AND threshold = floor(threshold))),
    CONSTRAINT share_is_a_share CHECK (kind <> 'changes_by' OR (threshold > 0 AND threshold <= 100)),
    CONSTRAINT fired_alert_has_figures CHECK ((last_fired_at IS NULL) = (last_figures IS NULL))
);
CREATE INDEX segment_alerts_of_segment ON segment_alerts (workspace_id, segment_id);
SELECT protect('segment_alerts');

-- Each firing, once.
CREATE TABLE segment_notifications (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    segment_id uuid NOT NULL,
    alert_id uuid NOT NULL,
    kind text NOT NULL,
    threshold double precision NOT NULL,
    figures jsonb NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE
);
CREATE INDEX segment_notifications_by_time ON segment_notifications (workspace_id, fired_at DESC, id DESC);
SELECT protect('segment_notifications', 'SELECT, INSERT');

-- The alerts of a segment and whether their conditions hold now, with the figures. What a segment was a day ago is what it
-- is, less those who came since, and with those who left. Of one that was empty then no share is known.
CREATE FUNCTION judged_segment_alerts(segment uuid) RETURNS TABLE (id uuid, holds boolean, figures jsonb) LANGUAGE sql STABLE
AS $$
    SELECT a.id,
           CASE a.kind WHEN 'above' THEN s.member_count > a.threshold WHEN 'below' THEN s.member_count < a.threshold
                       ELSE coalesce(d.before > 0 AND abs(s.member_count - d.before) >= a.threshold * d.before, false) END,
           jsonb_strip_nulls(jsonb_build_object(
               'member_count', s.member_count, 'day_before', d.before,
               'share', CASE WHEN d.before > 0 THEN round((s.member_count - d.before)::numeric / d.before, 4) END))
      FROM segment_alerts a
      JOIN segments s ON s.workspace_id = a.workspace_id AND s.id = a.segment_id
      LEFT JOIN LATERAL (
          SELECT s.member_count - coalesce(sum(CASE h.change WHEN 'entered' THEN 1 ELSE -1 END), 0)::bigint AS before
            FROM segment_changes h
           WHERE h.workspace_id = s.workspace_id AND h.segment_id = s.id AND h.occurred_at > now() - interval '24 hours')
           d ON a.kind = 'changes_by'
     WHERE a.workspace_id = current_workspace() AND a.segment_id = segment
$$;

-- Fires the alerts whose condition has begun to hold, once, and arms those again whose condition has ended. Returns how
-- many fired.
CREATE FUNCTION check_segment_alerts(segment uuid) RETURNS bigint LANGUAGE sql VOLATILE
AS $$
    -- Of two who check at once the second finds the alert as the first left it.
    WITH turned AS (
        UPDATE segment_alerts a
           SET is_armed = NOT j.holds,
               last_fired_at = CASE WHEN j.holds THEN now() ELSE a.last_fired_at END,
               last_figures = CASE WHEN j.holds THEN j.figures ELSE a.last_figures END
          FROM judged_segment_alerts(segment) j
         WHERE a.workspace_id = current_workspace() AND a.id = j.id AND a.is_armed = j.holds
        RETURNING a.segment_id, a.id, a.kind, a.threshold, a.is_armed, a.last_figures),
    fired AS (
        INSERT INTO segment_notifications (workspace_id, segment_id, alert_id, kind, threshold, figures)
        SELECT current_workspace(), t.segment_id, t.id, t.kind, t.threshold, t.last_figures FROM turned t WHERE NOT t.is_armed
        RETURNING 1)
    SELECT count(*) FROM fired
$$;

GRANT EXECUTE ON FUNCTION current_actor_role(), current_actor(), current_authority(), restricted_segment_access(uuid, uuid), segment_access(segments),
    manages_segment(segments), segment_label(segments), segment_fault(uuid), keep_segment_version(uuid, text), judged_segment_alerts(uuid),
    check_segment_alerts(uuid) TO muster_responder, muster_worker, muster_maintenance;

-- Whatever changes a size, a calculation, a look at one contact or its deletion, tells the alerts. Fires after the triggers
-- that count and note the change, whose names come before.
CREATE FUNCTION check_alerts_of_changed() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM check_segment_alerts(a.segment_id)
      FROM (SELECT DISTINCT o.segment_id FROM segment_alerts o
             WHERE o.workspace_id = current_workspace() AND EXISTS (SELECT FROM changed r WHERE r.segment_id = o.segment_id)
             ORDER BY o.segment_id) a;
    RETURN NULL;
END
$$;
CREATE TRIGGER size_alerts_hear_of_entries AFTER INSERT ON segment_members REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION check_alerts_of_changed();
CREATE TRIGGER size_alerts_hear_of_exits AFTER DELETE ON segment_members REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION check_alerts_of_changed();

-- MARK: What an archived segment is to the rest

-- As in 0061; an archived segment shows what it was.
CREATE OR REPLACE FUNCTION segment_as_of(s segments) RETURNS timestamptz LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN s.schedule = 'live' AND s.state = 'ready' AND s.archived_at IS NULL THEN
        greatest(s.calculated_at, least(now(), s.next_flip_at,
            (SELECT d.marked_at FROM dirty_contacts d WHERE d.workspace_id = s.workspace_id ORDER BY d.id LIMIT 1)))
        ELSE s.calculated_at END
$$;

-- As in 0061, and whether it is archived, to whom it is open, and what whoever asks may do with it.
CREATE OR REPLACE FUNCTION segment_json(s segments) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', s.id, 'name', s.name, 'description', s.description, 'rule', s.rule, 'member_count', s.member_count,
        'state', s.state, 'problem', s.problem, 'as_of', rfc3339(segment_as_of(s)), 'calculated_at', rfc3339(s.calculated_at),
        'schedule', json_strip_nulls(json_build_object(
            'kind', s.schedule, 'minutes', s.schedule_minutes, 'at', to_char(s.schedule_at, 'HH24:MI'))),
        'lag_seconds', segment_lag_seconds(s), 'next_refresh_at', rfc3339(s.next_refresh_at),
        'next_flip_at', rfc3339(s.next_flip_at),
        'archived_at', rfc3339(s.archived_at), 'sharing', CASE WHEN s.is_restricted THEN 'restricted' ELSE 'workspace' END,
        'access', (ARRAY['view', 'use', 'edit'])[segment_access(s)],
        'created_at', rfc3339(s.created_at), 'updated_at', rfc3339(s.updated_at), 'version', s.version)
$$;

-- As in 0061, without those that are archived.
CREATE OR REPLACE FUNCTION workspaces_to_freshen() RETURNS SETOF uuid
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
     WHERE s.schedule = 'live' AND s.state = 'ready' AND s.next_flip_at <= now() AND s.archived_at IS NULL
    UNION
    SELECT s.workspace_id FROM segments s WHERE s.next_refresh_at <= now() AND s.archived_at IS NULL
$$;
