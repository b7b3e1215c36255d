-- Why: two kinds of dirty values made statements fail that should have found them missing or early: a fraction of a leap
-- second (23:59:60.5), and a window that begins in 1 BC, where a time with an offset in AD 1 may lie.
-- Locks: nothing; who calls the functions goes on with the old ones until this commits.

-- ISO 8601 to an instant: a day is its midnight, a time without a zone is read in `zone`. The patterns let only days
-- through that exist, 29 February in leap years, and offsets that PostgreSQL takes. A leap second is the first second of the next
-- minute, and nothing of it may be left over.
CREATE OR REPLACE FUNCTION time_of(t text, zone text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))(?:[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9](?:[.][0-9]{1,30})?|60(?:[.]0{1,30})?))?)?$'
        THEN t::timestamp AT TIME ZONE zone
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9](?:[.][0-9]{1,30})?|60(?:[.]0{1,30})?))?(?:[Zz]|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])$'
        THEN t::timestamptz
        END
$$;

-- The same to a day of the calendar: that of the text, or the one in `zone` on which a time with an offset falls.
CREATE OR REPLACE FUNCTION date_of(t text, zone text) RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))(?:[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9](?:[.][0-9]{1,30})?|60(?:[.]0{1,30})?))?)?$'
        THEN left(t, 10)::date
        WHEN t ~ '^(?!0000)(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9](?:[.][0-9]{1,30})?|60(?:[.]0{1,30})?))?(?:[Zz]|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])$'
        THEN (t::timestamptz AT TIME ZONE zone)::date
        END
$$;

-- The first anniversary of a day that is not before another. 29 February falls on 1 March in other years, which
-- counting days from the month's first gives by itself. The year after 1 BC is AD 1.
CREATE OR REPLACE FUNCTION next_anniversary(day date, after date) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN this_year >= after THEN this_year
                ELSE make_date(coalesce(nullif(extract(year FROM after)::int + 1, 0), 1), extract(month FROM day)::int, 1)
                     + (extract(day FROM day)::int - 1) END
      FROM (SELECT make_date(extract(year FROM after)::int, extract(month FROM day)::int, 1)
                   + (extract(day FROM day)::int - 1)) AS t (this_year)
$$;
