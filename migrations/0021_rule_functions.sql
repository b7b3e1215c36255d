-- Why: what compiled rules call. Each gives NULL for what does not convert, which is a missing value, and never fails
-- on dirty data. The planner puts their bodies in place, so a rule costs what the same SQL by hand would.
-- Locks: nothing, everything is new.

-- A JSON value as text: numbers in their shortest form; arrays, objects and empty text are no text.
CREATE FUNCTION text_of(v jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE jsonb_typeof(v)
        WHEN 'string' THEN nullif(v #>> '{}', '')
        WHEN 'number' THEN trim_scale(v::numeric)::text
        WHEN 'boolean' THEN v::text
        END
$$;

-- A JSON number, or text in decimal notation. The limits keep whatever passes inside what numeric can hold.
CREATE FUNCTION number_of(v jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE jsonb_typeof(v)
        WHEN 'number' THEN v::numeric
        WHEN 'string' THEN
            CASE WHEN octet_length(v #>> '{}') < 400
                  AND (v #>> '{}') ~ '^[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]{1,3})?$'
                 THEN (v #>> '{}')::numeric END
        END
$$;

-- The numbers 1 and 0 count like the texts, because that is how an import stores a CSV's 1 and 0.
CREATE FUNCTION boolean_of(v jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE jsonb_typeof(v)
        WHEN 'boolean' THEN v::boolean
        WHEN 'number' THEN CASE v::numeric WHEN 1 THEN true WHEN 0 THEN false END
        WHEN 'string' THEN
            CASE lower(v #>> '{}')
                WHEN 'true' THEN true WHEN 'yes' THEN true WHEN '1' THEN true
                WHEN 'false' THEN false WHEN 'no' THEN false WHEN '0' THEN false END
        END
$$;

-- ISO 8601 to an instant: a day is its midnight, a time without a zone is read in `zone`. The patterns let only days
-- through that exist, 29 February in leap years, and offsets that PostgreSQL takes.
CREATE FUNCTION time_of(t text, zone text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))(?:[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9]|60)(?:[.][0-9]{1,30})?)?)?$'
        THEN t::timestamp AT TIME ZONE zone
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9]|60)(?:[.][0-9]{1,30})?)?(?:[Zz]|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])$'
        THEN t::timestamptz
        END
$$;

-- The same to a day of the calendar: that of the text, or the one in `zone` on which a time with an offset falls.
CREATE FUNCTION date_of(t text, zone text) RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))(?:[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9]|60)(?:[.][0-9]{1,30})?)?)?$'
        THEN left(t, 10)::date
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9]|60)(?:[.][0-9]{1,30})?)?(?:[Zz]|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])$'
        THEN (t::timestamptz AT TIME ZONE zone)::date
        END
$$;

-- A JSON array of nothing but texts.
CREATE FUNCTION tags_of(v jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN jsonb_typeof(v) = 'array' THEN
        CASE WHEN NOT jsonb_path_exists(v, 'strict $[*] ? (@.type() != "string")') THEN v END
        END
$$;

-- Applied to a parameter it is computed once, while the statement is planned.
CREATE FUNCTION lower_all(t text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT ARRAY(SELECT lower(e) FROM unnest(t) e) $$;

-- The first anniversary of a day that is not before another. 29 February falls on 1 March in other years, which
-- counting days from the month's first gives by itself.
CREATE FUNCTION next_anniversary(day date, after date) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN this_year >= after THEN this_year
                ELSE make_date(extract(year FROM after)::int + 1, extract(month FROM day)::int, 1)
                     + (extract(day FROM day)::int - 1) END
      FROM (SELECT make_date(extract(year FROM after)::int, extract(month FROM day)::int, 1)
                   + (extract(day FROM day)::int - 1)) AS t (this_year)
$$;

-- A stable slice: 0 to 9999 by salt and contact, the same on every server.
CREATE FUNCTION bucket_of(salt text, contact uuid) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (('x' || left(md5(salt || ':' || contact::text), 8))::bit(32)::bigint % 10000)::int $$;

GRANT EXECUTE ON FUNCTION text_of(jsonb), number_of(jsonb), boolean_of(jsonb), time_of(text, text), date_of(text, text),
    tags_of(jsonb), lower_all(text[]), next_anniversary(date, date), bucket_of(text, uuid)
    TO muster_responder, muster_worker, muster_maintenance;

-- Ignoring case means Unicode's simple lower-casing, which is what C.UTF-8 gives. Another locale answers differently
-- (Turkish) or not at all (C): better refused now than wrong later.
DO $$
BEGIN
    IF lower('ÀÇΣЖİI') <> 'àçσжii' THEN
        RAISE EXCEPTION 'this database does not lower-case as Unicode does'
            USING HINT = 'Create it from template0 with ENCODING ''UTF8'' LC_COLLATE ''C.UTF-8'' LC_CTYPE ''C.UTF-8''.';
    END IF;
END
$$;
