-- Why: a campaign says which version of which template its text was taken from.
-- Locks: campaigns, for a moment; the new columns are empty.

ALTER TABLE campaigns
    -- By value: templates may go, and what was taken stays.
    ADD COLUMN template_id uuid,
    ADD COLUMN template_version int,
    ADD CONSTRAINT template_has_a_version CHECK ((template_id IS NULL) = (template_version IS NULL));
