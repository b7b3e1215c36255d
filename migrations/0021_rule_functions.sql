-- Why: what compiled rules call. Each is one expression that the planner puts in place, never fails on dirty data,
-- and gives NULL for what does not convert: missing.
-- Locks: nothing, everything is new.

-- A JSON value as text; arrays and objects are no text. Missing: absent, null, empty.
CREATE FUNCTION text_of(v jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN jsonb_typeof(v) IN ('string', 'number', 'boolean') THEN nullif(v #>> '{}', '') END $$;

-- A JSON number, or text in decimal notation. Exponents are bounded, so that no cast fails and none is huge.
CREATE FUNCTION number_of(v jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE jsonb_typeof(v)
        WHEN 'number' THEN v::numeric
        WHEN 'string' THEN CASE WHEN v #>> '{}' ~ '^[+-]?([0-9]{1,200}([.][0-9]{0,200})?|[.][0-9]{1,200})([eE][+-]?[0-9]{1,3})?$'
                                THEN (v #>> '{}')::numeric END END
$$;

CREATE FUNCTION boolean_of(v jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN jsonb_typeof(v) IN ('boolean', 'string', 'number')
                THEN CASE lower(v #>> '{}') WHEN 'true' THEN true WHEN 'yes' THEN true WHEN '1' THEN true
                                            WHEN 'false' THEN false WHEN 'no' THEN false WHEN '0' THEN false END END
$$;

-- Whether a text begins with a day that the calendar has.
CREATE FUNCTION begins_with_day(t text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN t ~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]|$)' AND left(t, 4) <> '0000'
                THEN substr(t, 9, 2)::int <= extract(day FROM make_date(left(t, 4)::int, substr(t, 6, 2)::int, 1)
                                                             + interval '1 month' - interval '1 day')
                ELSE false END
$$;

-- ISO 8601 to an instant: a day is its midnight, a time without a zone is read in `zone`.
CREATE FUNCTION time_of(t text, zone text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN NOT begins_with_day(t) THEN NULL
                WHEN length(t) = 10 THEN t::date::timestamp AT TIME ZONE zone
                WHEN t ~ '^.{10}[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?$'
                THEN t::timestamp AT TIME ZONE zone
                WHEN t ~ '^.{10}[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?(Z|z|[+-](0[0-9]|1[0-4]):?[0-5][0-9])$'
                THEN t::timestamptz END
$$;

-- Elements of a JSON array in lower case; NULL for what is no array.
CREATE FUNCTION tags_of(v jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN jsonb_typeof(v) = 'array'
                THEN ARRAY(SELECT lower(e) FROM jsonb_array_elements_text(v) e WHERE e IS NOT NULL) END
$$;

-- Applied to a parameter it is computed once, while the statement is planned.
CREATE FUNCTION lower_all(t text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT ARRAY(SELECT lower(e) FROM unnest(t) e) $$;

-- The day in `year` on which an anniversary falls; 29 February falls on 1 March in other years.
CREATE FUNCTION anniversary(day date, year int) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN extract(month FROM day) = 2 AND extract(day FROM day) = 29
                     AND NOT (year % 4 = 0 AND (year % 100 <> 0 OR year % 400 = 0))
                THEN make_date(year, 3, 1)
                ELSE make_date(year, extract(month FROM day)::int, extract(day FROM day)::int) END
$$;

-- A stable slice: 0 to 9999 by salt and contact, the same on every server.
CREATE FUNCTION bucket_of(salt text, contact uuid) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (('x' || left(md5(salt || ':' || contact::text), 8))::bit(32)::bigint % 10000)::int $$;

GRANT EXECUTE ON FUNCTION text_of(jsonb), number_of(jsonb), boolean_of(jsonb), begins_with_day(text),
    time_of(text, text), tags_of(jsonb), lower_all(text[]), anniversary(date, int), bucket_of(text, uuid)
    TO muster_responder, muster_worker, muster_maintenance;
