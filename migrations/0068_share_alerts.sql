-- Why: what a segment was a day ago takes counting a day's history, which is too much to do whenever somebody comes or
-- goes; and time alone ends such a change. Alerts on numbers go on hearing of every change, those on shares are looked at
-- by the worker every minute.
-- Locks: segment_alerts, for a moment.

-- The alerts of a segment, of these, and whether their conditions hold now, with the figures. What a segment was a day ago
-- is what it is, less those who came since, and with those who left. Of one that was empty then no share is known.
CREATE FUNCTION judged_segment_alerts(segment uuid, alerts uuid[]) RETURNS TABLE (id uuid, holds boolean, figures jsonb)
LANGUAGE sql STABLE
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
     WHERE a.workspace_id = current_workspace() AND a.segment_id = segment AND a.id = ANY (alerts)
$$;

-- Fires those of these alerts whose condition has begun to hold, once, and arms those again whose condition has ended.
-- Returns how many fired.
CREATE FUNCTION check_segment_alerts(segment uuid, alerts uuid[]) RETURNS bigint LANGUAGE sql VOLATILE
AS $$
    -- Of two who check at once the second finds the alert as the first left it.
    WITH turned AS (
        UPDATE segment_alerts a
           SET is_armed = NOT j.holds,
               last_fired_at = CASE WHEN j.holds THEN now() ELSE a.last_fired_at END,
               last_figures = CASE WHEN j.holds THEN j.figures ELSE a.last_figures END
          FROM judged_segment_alerts(segment, alerts) j
         WHERE a.workspace_id = current_workspace() AND a.id = j.id AND a.is_armed = j.holds
        RETURNING a.segment_id, a.id, a.kind, a.threshold, a.is_armed, a.last_figures),
    fired AS (
        INSERT INTO segment_notifications (workspace_id, segment_id, alert_id, kind, threshold, figures)
        SELECT current_workspace(), t.segment_id, t.id, t.kind, t.threshold, t.last_figures FROM turned t WHERE NOT t.is_armed
        RETURNING 1)
    SELECT count(*) FROM fired
$$;

-- All of a segment's.
CREATE OR REPLACE FUNCTION check_segment_alerts(segment uuid) RETURNS bigint LANGUAGE sql VOLATILE
AS $$
    SELECT check_segment_alerts(segment, ARRAY(
        SELECT a.id FROM segment_alerts a WHERE a.workspace_id = current_workspace() AND a.segment_id = segment))
$$;
DROP FUNCTION judged_segment_alerts(uuid);

-- As in 0063, without those on shares.
CREATE OR REPLACE FUNCTION check_alerts_of_changed() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM check_segment_alerts(a.segment_id, a.ids)
      FROM (SELECT o.segment_id, array_agg(o.id) AS ids FROM segment_alerts o
             WHERE o.workspace_id = current_workspace() AND o.kind <> 'changes_by'
               AND EXISTS (SELECT FROM changed r WHERE r.segment_id = o.segment_id)
             GROUP BY o.segment_id ORDER BY o.segment_id) a;
    RETURN NULL;
END
$$;

-- Segments with alerts on shares, for the worker that looks at them.
CREATE FUNCTION segments_with_share_alerts() RETURNS TABLE (workspace_id uuid, segment_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT DISTINCT a.workspace_id, a.segment_id FROM segment_alerts a WHERE a.kind = 'changes_by' ORDER BY 1, 2
$$;
CREATE INDEX segment_alerts_on_shares ON segment_alerts (workspace_id, segment_id) WHERE kind = 'changes_by';

GRANT EXECUTE ON FUNCTION judged_segment_alerts(uuid, uuid[]), check_segment_alerts(uuid, uuid[])
    TO muster_responder, muster_worker, muster_maintenance;
GRANT EXECUTE ON FUNCTION segments_with_share_alerts() TO muster_worker;
