-- Why: what the rest of the rule language reads: replies and responses by contact, and the names of time zones.
-- Locks: campaign_responses and inbound_messages while their indexes are made, a moment for each 100,000 rows.

-- Rules ask for one contact what became of any campaign.
CREATE INDEX campaign_responses_of_contact ON campaign_responses (workspace_id, contact_id);
CREATE INDEX inbound_messages_of_contact ON inbound_messages (workspace_id, contact_id, received_at);

-- The zones that this server knows. pg_timezone_names reads some 600 files each time it is asked, 40 ms; this is a
-- page of memory. Filled again by every `muster migrate`, for an upgrade of tzdata may add names and take some away.
CREATE TABLE time_zones (
    name text PRIMARY KEY
);

CREATE FUNCTION refresh_time_zones() RETURNS void LANGUAGE sql VOLATILE
AS $$
    WITH known AS MATERIALIZED (SELECT name FROM pg_timezone_names),
         gone AS (DELETE FROM time_zones t WHERE t.name NOT IN (SELECT name FROM known))
    INSERT INTO time_zones (name) SELECT name FROM known ON CONFLICT DO NOTHING
$$;
SELECT refresh_time_zones();

-- All of them, for whoever looks at many at once.
CREATE FUNCTION time_zone_names() RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp ROWS 600
AS $$ SELECT name FROM time_zones $$;
GRANT EXECUTE ON FUNCTION time_zone_names() TO muster_responder, muster_worker, muster_maintenance;

-- As in migration 0005, from the table.
CREATE OR REPLACE FUNCTION is_timezone(zone text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT EXISTS (SELECT FROM time_zones WHERE name = zone) $$;
GRANT EXECUTE ON FUNCTION is_timezone(text) TO muster_responder, muster_worker;
