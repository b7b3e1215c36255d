-- Why: a count that was made is shown again while nothing changed, and fields tell what their values look like, at the
-- same cost however many contacts there are.
-- Locks: contacts, events, consents, suppressions, list_members, segment_members, fields and workspaces for a moment each.

-- The last transaction of each database session that wrote into a workspace. This is the version of its data: what was
-- counted in a snapshot still holds as long as that snapshot sees every transaction that is named here. A counter would
-- make all writers of a workspace wait for each other, and the highest number of a sequence says nothing about numbers
-- that were taken before and commit later. Unlogged, like what it guards: after a crash both are empty.
CREATE UNLOGGED TABLE workspace_writes (
    workspace_id uuid NOT NULL,
    backend int NOT NULL,
    xid bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, backend)
) WITH (fillfactor = 50);
SELECT protect('workspace_writes');

CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    -- A session has one transaction at a time, so nobody waits for anybody here.
    IF current_workspace() IS NOT NULL THEN
        INSERT INTO workspace_writes AS w (workspace_id, backend, xid)
        VALUES (current_workspace(), pg_backend_pid(), pg_current_xact_id()::text::bigint)
        ON CONFLICT (workspace_id, backend) DO UPDATE SET xid = excluded.xid, written_at = now() WHERE w.xid <> excluded.xid;
    ELSE
        -- The owner or a chore, across workspaces: all of them have changed, for all that is known here.
        INSERT INTO workspace_writes AS w (workspace_id, backend, xid)
        SELECT s.id, pg_backend_pid(), pg_current_xact_id()::text::bigint FROM workspaces s
        ON CONFLICT (workspace_id, backend) DO UPDATE SET xid = excluded.xid, written_at = now() WHERE w.xid <> excluded.xid;
    END IF;
    RETURN NULL;
END
$$;
-- Whatever a rule, or whom a campaign could write to, is read from. What else rules read (scores, campaigns) makes
-- counts that are kept for seconds only.
CREATE TRIGGER writes_are_noted AFTER INSERT OR UPDATE OR DELETE ON contacts FOR EACH STATEMENT EXECUTE FUNCTION note_write();
CREATE TRIGGER writes_are_noted AFTER INSERT OR UPDATE OR DELETE ON events FOR EACH STATEMENT EXECUTE FUNCTION note_write();
CREATE TRIGGER writes_are_noted AFTER INSERT OR UPDATE OR DELETE ON consents FOR EACH STATEMENT EXECUTE FUNCTION note_write();
CREATE TRIGGER writes_are_noted AFTER INSERT OR UPDATE OR DELETE ON suppressions FOR EACH STATEMENT EXECUTE FUNCTION note_write();
CREATE TRIGGER writes_are_noted AFTER INSERT OR UPDATE OR DELETE ON list_members FOR EACH STATEMENT EXECUTE FUNCTION note_write();
CREATE TRIGGER writes_are_noted AFTER INSERT OR UPDATE OR DELETE ON fields FOR EACH STATEMENT EXECUTE FUNCTION note_write();
-- The workspace's zone and its mode of consent.
CREATE TRIGGER writes_are_noted AFTER UPDATE ON workspaces FOR EACH STATEMENT EXECUTE FUNCTION note_write();
-- A refresh that changes nothing writes nothing, here neither.
CREATE FUNCTION note_membership_write() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        INSERT INTO workspace_writes AS w (workspace_id, backend, xid)
        SELECT DISTINCT m.workspace_id, pg_backend_pid(), pg_current_xact_id()::text::bigint FROM changed m
        ON CONFLICT (workspace_id, backend) DO UPDATE SET xid = excluded.xid, written_at = now() WHERE w.xid <> excluded.xid;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER entry_writes_are_noted AFTER INSERT ON segment_members REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_membership_write();
CREATE TRIGGER exit_writes_are_noted AFTER DELETE ON segment_members REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_membership_write();

-- Counts of rules. `key` is the hash of the rule in its one form, and of how it was counted.
CREATE UNLOGGED TABLE rule_counts (
    workspace_id uuid NOT NULL,
    key bytea NOT NULL,
    -- Numbers, and ids of the sample: no data of contacts.
    answer jsonb NOT NULL,
    as_of timestamptz NOT NULL,
    -- Taken before anything was read for the count.
    snapshot pg_snapshot NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, key)
);
SELECT protect('rule_counts');

-- What the values of a field look like: of all contacts, or of as many as `examined_count` says, drawn at random.
CREATE TABLE field_statistics (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    key text NOT NULL,
    examined_count bigint NOT NULL,
    missing_count bigint NOT NULL,
    distinct_count bigint NOT NULL,
    -- Whether all contacts were examined.
    is_exact boolean NOT NULL,
    profiled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, key),
    CONSTRAINT missing_are_examined CHECK (missing_count BETWEEN 0 AND examined_count)
);
SELECT protect('field_statistics');

-- The most frequent values of a field, with how many contacts have them: scaled up when not all were examined.
CREATE TABLE field_values (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    key text NOT NULL,
    value text NOT NULL,
    contact_count bigint NOT NULL,
    PRIMARY KEY (workspace_id, key, value)
);
SELECT protect('field_values');

-- Contacts drawn at random: all of them when there are at most `most`. A place is an ordinal; whose contact is deleted is
-- drawn and gives none.
CREATE FUNCTION drawn_contacts(most bigint) RETURNS SETOF contacts LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    places bigint := coalesce((SELECT o.last_ordinal FROM contact_ordinals o WHERE o.workspace_id = current_workspace()), 0);
BEGIN
    IF places <= most THEN
        RETURN QUERY SELECT c.* FROM contacts c WHERE c.workspace_id = current_workspace();
    ELSE
        RETURN QUERY SELECT c.* FROM contacts c
          WHERE c.workspace_id = current_workspace()
            AND c.ordinal = ANY (ARRAY(SELECT DISTINCT 1 + floor(random() * places)::bigint FROM generate_series(1, most)));
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION drawn_contacts(bigint) TO muster_responder, muster_worker, muster_maintenance;

-- The values of a field in some contact, as text: each element of an array by itself. NULL and empty text are missing.
CREATE FUNCTION field_texts(v jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT t.value
      FROM jsonb_array_elements(CASE jsonb_typeof(v) WHEN 'array' THEN v ELSE jsonb_build_array(v) END) e
     CROSS JOIN LATERAL (SELECT text_of(e) AS value) t
     WHERE t.value IS NOT NULL
$$;
GRANT EXECUTE ON FUNCTION field_texts(jsonb) TO muster_responder, muster_worker, muster_maintenance;

-- Looks at the fields of the current workspace anew. The number of distinct values in all contacts is estimated from
-- those that were drawn as PostgreSQL's own ANALYZE does (Haas and Stokes 1998, estimator Duj1).
CREATE FUNCTION profile_fields(most bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    places bigint := coalesce((SELECT o.last_ordinal FROM contact_ordinals o WHERE o.workspace_id = current_workspace()), 0);
    profiled bigint;
BEGIN
    DELETE FROM field_values WHERE workspace_id = current_workspace();
    DELETE FROM field_statistics WHERE workspace_id = current_workspace();
    WITH drawn AS MATERIALIZED (SELECT * FROM drawn_contacts(most)),
         size AS (SELECT count(*) AS examined, greatest(count(*), CASE WHEN places > most THEN places END) AS total FROM drawn),
         known AS (
            SELECT f.key, string_to_array(substr(f.key, 12), '.') AS path FROM fields f WHERE f.workspace_id = current_workspace()),
         held AS MATERIALIZED (
            SELECT k.key, d.id, d.attributes #> k.path AS value FROM drawn d CROSS JOIN known k
             WHERE d.attributes #> k.path IS NOT NULL
            UNION ALL
            SELECT b.key, d.id, b.value FROM drawn d
             CROSS JOIN LATERAL (VALUES
                ('external_id', to_jsonb(d.external_id)), ('email', to_jsonb(d.email)), ('phone', to_jsonb(d.phone)),
                ('name', to_jsonb(d.name)), ('first_name', to_jsonb(d.first_name)), ('last_name', to_jsonb(d.last_name)),
                ('status', to_jsonb(d.status)), ('timezone', to_jsonb(d.timezone)), ('country', to_jsonb(d.country)),
                ('assigned_to', to_jsonb(d.assigned_to)), ('tags', to_jsonb(d.tags)), ('created_at', to_jsonb(d.created_at)),
                ('updated_at', to_jsonb(d.updated_at)), ('last_contacted_at', to_jsonb(d.last_contacted_at))) AS b (key, value)
             WHERE b.value IS NOT NULL),
         counted AS MATERIALIZED (
            SELECT h.key, t.value, count(*) AS contacts FROM held h CROSS JOIN LATERAL field_texts(h.value) AS t (value)
             GROUP BY h.key, t.value),
         filled AS (
            SELECT h.key, count(*) AS contacts FROM held h WHERE EXISTS (SELECT FROM field_texts(h.value)) GROUP BY h.key),
         kinds AS (
            SELECT c.key, count(*)::numeric AS d, count(*) FILTER (WHERE c.contacts = 1)::numeric AS f1, sum(c.contacts)::numeric AS n
              FROM counted c GROUP BY c.key),
         stored AS (
            INSERT INTO field_statistics (workspace_id, key, examined_count, missing_count, distinct_count, is_exact)
            SELECT current_workspace(), a.key, s.examined, s.examined - coalesce(f.contacts, 0),
                   CASE WHEN k.d IS NULL THEN 0 WHEN places <= most THEN k.d
                        ELSE least(k.n * s.total / greatest(s.examined, 1),
                                   round(k.n * k.d / greatest(1, k.n - k.f1 + k.f1 * s.examined / greatest(s.total, 1)))) END,
                   places <= most
              FROM (SELECT key FROM known UNION SELECT key FROM held) a
             CROSS JOIN size s
              LEFT JOIN filled f ON f.key = a.key
              LEFT JOIN kinds k ON k.key = a.key
            RETURNING 1),
         ranked AS (
            SELECT c.*, row_number() OVER (PARTITION BY c.key ORDER BY c.contacts DESC, c.value) AS rank
              FROM counted c
             WHERE length(c.value) <= 200 AND c.key NOT IN ('external_id', 'email', 'phone', 'created_at', 'updated_at', 'last_contacted_at')),
         told AS (
            INSERT INTO field_values (workspace_id, key, value, contact_count)
            SELECT current_workspace(), r.key, r.value,
                   CASE WHEN places <= most THEN r.contacts ELSE round(r.contacts::numeric * s.total / greatest(s.examined, 1)) END
              FROM ranked r CROSS JOIN size s WHERE r.rank <= 200)
    SELECT count(*) INTO profiled FROM stored;
    RETURN profiled;
END
$$;
GRANT EXECUTE ON FUNCTION profile_fields(bigint) TO muster_worker, muster_maintenance;

-- What is known of a field's values: as it was last profiled, or of the newest contacts, which the caller has at hand.
CREATE FUNCTION field_statistics_json(field text, recent jsonb[]) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT coalesce(
        (SELECT json_build_object(
                'examined', s.examined_count, 'missing_rate', round(s.missing_count::numeric / greatest(s.examined_count, 1), 6)::float8,
                'distinct', s.distinct_count, 'exact', s.is_exact, 'as_of', rfc3339(s.profiled_at))
           FROM field_statistics s WHERE s.workspace_id = current_workspace() AND s.key = field),
        (SELECT json_build_object(
                'examined', count(*),
                'missing_rate', round(count(*) FILTER (WHERE NOT EXISTS (SELECT FROM field_texts(v.value)))::numeric / greatest(count(*), 1), 6)::float8,
                'distinct', (SELECT count(DISTINCT t) FROM unnest(recent) c CROSS JOIN LATERAL field_texts(c #> string_to_array(field, '.')) t),
                'exact', count(*) < 200, 'as_of', rfc3339(now()))
           FROM unnest(recent) r CROSS JOIN LATERAL (SELECT r #> string_to_array(field, '.') AS value) v))
$$;
GRANT EXECUTE ON FUNCTION field_statistics_json(text, jsonb[]) TO muster_responder;
