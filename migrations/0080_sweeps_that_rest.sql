-- Why: a sweep that takes long rests for twenty times as long, whatever the looks at those it found say of the next flip;
-- looks and sweeps tell each other of it without a lock; and what time changes does not stand behind an import.
-- Locks: segments for a moment; dirty_contacts while the small index is built.

ALTER TABLE segments
    -- Until then no sweep.
    ADD COLUMN sweep_not_before timestamptz,
    -- The earliest flip that a look told of since the last sweep: one that a sweep under way cannot have seen.
    ADD COLUMN noted_flip_at timestamptz;

-- Marks for single segments: those of sweeps, and those that were put off. Their instants are not in the order of their ids.
CREATE INDEX dirty_contacts_of_segments ON dirty_contacts (workspace_id, marked_at) WHERE reads[1] LIKE 'segment:%';

-- As in 0063, and the instants of such marks.
CREATE OR REPLACE FUNCTION segment_as_of(s segments) RETURNS timestamptz LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN s.schedule = 'live' AND s.state = 'ready' AND s.archived_at IS NULL THEN
        greatest(s.calculated_at, least(now(), s.next_flip_at,
            (SELECT d.marked_at FROM dirty_contacts d WHERE d.workspace_id = s.workspace_id ORDER BY d.id LIMIT 1),
            (SELECT d.marked_at FROM dirty_contacts d WHERE d.workspace_id = s.workspace_id AND d.reads[1] LIKE 'segment:%'
              ORDER BY d.marked_at LIMIT 1)))
        ELSE s.calculated_at END
$$;
