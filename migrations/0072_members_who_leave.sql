-- Why: somebody who leaves may own a million contacts, and whoever removes them cannot wait for each to be changed. So a
-- job takes the contacts off them, and what the foreign key made sure of is checked where a contact is given to somebody.
-- Locks: contacts and members for a moment.

ALTER TABLE contacts DROP CONSTRAINT assignee_is_a_member;

-- Holds the member until the contact is committed: a removal waits for it, and the job that follows finds the contact.
CREATE FUNCTION check_assignee() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM FROM members m WHERE m.workspace_id = NEW.workspace_id AND m.user_id = NEW.assigned_to FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING CONSTRAINT = 'assignee_is_a_member', MESSAGE = 'nobody in this workspace has this id';
    END IF;
    RETURN NULL;
END
$$;
-- Afterwards: a trigger before an update locks its contact as if the update changed what identifies it.
CREATE TRIGGER new_assignees_are_checked AFTER INSERT ON contacts
    FOR EACH ROW WHEN (NEW.assigned_to IS NOT NULL) EXECUTE FUNCTION check_assignee();
CREATE TRIGGER assignees_are_checked AFTER UPDATE OF assigned_to ON contacts
    FOR EACH ROW WHEN (NEW.assigned_to IS NOT NULL AND NEW.assigned_to IS DISTINCT FROM OLD.assigned_to)
    EXECUTE FUNCTION check_assignee();
