-- Why: what time changes and what people change were looked at by one thread, one workspace after the other. Looking for
-- whom time has changed may take seconds in a large workspace; nobody's changes wait for that any more.
-- Locks: none that anybody notices.

-- Workspaces with changed contacts: a walk from workspace to workspace over the index, whatever the number of rows.
CREATE OR REPLACE FUNCTION workspaces_to_freshen() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH RECURSIVE dirty AS (
        SELECT (SELECT d.workspace_id FROM dirty_contacts d ORDER BY d.workspace_id LIMIT 1) AS id
        UNION ALL
        SELECT (SELECT d.workspace_id FROM dirty_contacts d WHERE d.workspace_id > dirty.id ORDER BY d.workspace_id LIMIT 1)
          FROM dirty WHERE dirty.id IS NOT NULL)
    SELECT id FROM dirty WHERE id IS NOT NULL
$$;

-- Workspaces in which a flip or a schedule is due, the most overdue first.
CREATE FUNCTION workspaces_due() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT d.workspace_id
      FROM (SELECT s.workspace_id, s.next_flip_at AS due_at FROM segments s
             WHERE s.schedule = 'live' AND s.state = 'ready' AND s.next_flip_at <= now() AND s.archived_at IS NULL
             UNION ALL
            SELECT s.workspace_id, s.next_refresh_at FROM segments s WHERE s.next_refresh_at <= now() AND s.archived_at IS NULL) d
     GROUP BY d.workspace_id
     ORDER BY min(d.due_at)
$$;
GRANT EXECUTE ON FUNCTION workspaces_due() TO muster_worker, muster_maintenance;
