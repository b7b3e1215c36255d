-- Why: what a field's type cannot read is missing to rules; figures of fields counted it as present.
-- Locks: nothing.

-- Whether rules read a JSON value of an attribute as this type. NULL, empty text and what does not convert are missing.
CREATE FUNCTION reads_as(v jsonb, type text, zone text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE type
        WHEN 'number' THEN number_of(v) IS NOT NULL
        WHEN 'money' THEN number_of(v) IS NOT NULL
        WHEN 'boolean' THEN boolean_of(v) IS NOT NULL
        WHEN 'date' THEN date_of(v #>> '{}', zone) IS NOT NULL
        WHEN 'time' THEN time_of(v #>> '{}', zone) IS NOT NULL
        WHEN 'tags' THEN coalesce(jsonb_array_length(tags_of(v)), 0) > 0
        ELSE text_of(v) IS NOT NULL END
$$;
GRANT EXECUTE ON FUNCTION reads_as(jsonb, text, text) TO muster_responder, muster_worker, muster_maintenance;

-- As in 0065, of values that the field's type reads.
CREATE OR REPLACE FUNCTION profile_fields(most bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    places bigint := coalesce((SELECT o.last_ordinal FROM contact_ordinals o WHERE o.workspace_id = current_workspace()), 0);
    zone text := (SELECT w.timezone FROM workspaces w WHERE w.id = current_workspace());
    profiled bigint;
BEGIN
    DELETE FROM field_values WHERE workspace_id = current_workspace();
    DELETE FROM field_statistics WHERE workspace_id = current_workspace();
    WITH drawn AS MATERIALIZED (SELECT * FROM drawn_contacts(most)),
         size AS (SELECT count(*) AS examined, greatest(count(*), CASE WHEN places > most THEN places END) AS total FROM drawn),
         known AS (
            SELECT f.key, string_to_array(substr(f.key, 12), '.') AS path, f.type FROM fields f WHERE f.workspace_id = current_workspace()),
         held AS MATERIALIZED (
            SELECT k.key, d.id, d.attributes #> k.path AS value FROM drawn d CROSS JOIN known k
             WHERE d.attributes #> k.path IS NOT NULL AND reads_as(d.attributes #> k.path, k.type, zone)
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

-- As in 0065, of values that the field's type reads.
CREATE OR REPLACE FUNCTION field_statistics_json(field text, recent jsonb[]) RETURNS json LANGUAGE sql STABLE
AS $$
    WITH kind AS (
        SELECT w.timezone AS zone, f.type
          FROM workspaces w LEFT JOIN fields f ON f.workspace_id = w.id AND f.key = field
         WHERE w.id = current_workspace()),
         readable AS (
        SELECT CASE WHEN k.type IS NULL OR reads_as(r #> string_to_array(field, '.'), k.type, k.zone)
                    THEN r #> string_to_array(field, '.') END AS value
          FROM unnest(recent) r CROSS JOIN kind k)
    SELECT coalesce(
        (SELECT json_build_object(
                'examined', s.examined_count, 'missing_rate', round(s.missing_count::numeric / greatest(s.examined_count, 1), 6)::float8,
                'distinct', s.distinct_count, 'exact', s.is_exact, 'as_of', rfc3339(s.profiled_at))
           FROM field_statistics s WHERE s.workspace_id = current_workspace() AND s.key = field),
        (SELECT json_build_object(
                'examined', count(*),
                'missing_rate', round(count(*) FILTER (WHERE NOT EXISTS (SELECT FROM field_texts(v.value)))::numeric / greatest(count(*), 1), 6)::float8,
                'distinct', (SELECT count(DISTINCT t) FROM readable d CROSS JOIN LATERAL field_texts(d.value) t),
                'exact', count(*) < 200, 'as_of', rfc3339(now()))
           FROM readable v))
$$;
