-- Why: a window that begins at a field without a value held the anniversary of every day: the year after none was taken
-- for the year 1. It holds none.
-- Locks: nothing.

CREATE OR REPLACE FUNCTION next_anniversary(day date, after date) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN this_year >= after THEN this_year
                WHEN after IS NOT NULL
                THEN make_date(coalesce(nullif(extract(year FROM after)::int + 1, 0), 1), extract(month FROM day)::int, 1)
                     + (extract(day FROM day)::int - 1) END
      FROM (SELECT make_date(extract(year FROM after)::int, extract(month FROM day)::int, 1)
                   + (extract(day FROM day)::int - 1)) AS t (this_year)
$$;
