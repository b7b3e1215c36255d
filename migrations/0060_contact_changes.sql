-- Why: what changes about contacts is noted by the transaction that changes it: for segments to follow, and as history.
-- Locks: contacts, events, consents, list_members, messages, campaign_responses and inbound_messages for a moment each,
-- for the triggers.

-- The history of fields: one row per field that an update of a contact changed. An insert leaves none: the first value
-- holds since created_at. Attributes by their key on the top level. NULL is a missing value.
CREATE TABLE contact_changes (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    key text NOT NULL,
    changed_at timestamptz NOT NULL,
    before jsonb,
    after jsonb,
    PRIMARY KEY (workspace_id, contact_id, key, changed_at)
) PARTITION BY RANGE (changed_at);
CREATE INDEX contact_changes_by_key ON contact_changes (workspace_id, key, changed_at);
SELECT protect('contact_changes', 'SELECT, INSERT');
SELECT create_partitions('contact_changes');

-- Contacts that segments must look at again, and why. A row is written by whatever changes the contact, and deleted by
-- the transaction that has brought the segments up to date: so none is lost, whoever dies. `reads` are the inputs
-- that changed: a field ('status', 'attributes.city'), 'event:NAME', 'list:ID', 'consent:CHANNEL', 'campaign:ID',
-- 'segment:ID' (that segment alone), 'contacted', or '*' for a contact that is new.
CREATE TABLE dirty_contacts (
    workspace_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    contact_id uuid NOT NULL,
    reads text[] NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (workspace_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
SELECT protect('dirty_contacts');

-- What the rule of a segment reads, in the words of `reads` above. Segments that it reads are in segment_references.
CREATE TABLE segment_inputs (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    input text NOT NULL,
    PRIMARY KEY (workspace_id, segment_id, input),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE
);
CREATE INDEX segment_inputs_by_input ON segment_inputs (workspace_id, input);
SELECT protect('segment_inputs');

-- Which fields two states of a contact differ in. Of those that change with everything, or with every message, there
-- is no history: `in_history` tells.
CREATE FUNCTION contact_differences(o contacts, n contacts)
RETURNS TABLE (key text, before jsonb, after jsonb, in_history boolean)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT v.key, v.before, v.after, v.key NOT IN ('updated_at', 'last_contacted_at')
      FROM (VALUES
        ('external_id', to_jsonb(o.external_id), to_jsonb(n.external_id)), ('email', to_jsonb(o.email), to_jsonb(n.email)),
        ('phone', to_jsonb(o.phone), to_jsonb(n.phone)), ('name', to_jsonb(o.name), to_jsonb(n.name)),
        ('first_name', to_jsonb(o.first_name), to_jsonb(n.first_name)),
        ('last_name', to_jsonb(o.last_name), to_jsonb(n.last_name)), ('status', to_jsonb(o.status), to_jsonb(n.status)),
        ('timezone', to_jsonb(o.timezone), to_jsonb(n.timezone)), ('country', to_jsonb(o.country), to_jsonb(n.country)),
        ('tags', to_jsonb(o.tags), to_jsonb(n.tags)), ('updated_at', to_jsonb(o.updated_at), to_jsonb(n.updated_at)),
        ('last_contacted_at', to_jsonb(o.last_contacted_at), to_jsonb(n.last_contacted_at))) AS v (key, before, after)
     WHERE v.before IS DISTINCT FROM v.after
    UNION ALL
    SELECT 'attributes.' || coalesce(b.key, a.key), b.value, a.value, true
      FROM jsonb_each(CASE WHEN o.attributes <> n.attributes THEN o.attributes END) b
      FULL JOIN jsonb_each(CASE WHEN o.attributes <> n.attributes THEN n.attributes END) a ON a.key = b.key
     WHERE b.value IS DISTINCT FROM a.value
$$;
GRANT EXECUTE ON FUNCTION contact_differences(contacts, contacts) TO muster_responder, muster_worker, muster_maintenance;

CREATE FUNCTION note_new_contacts() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads) SELECT n.workspace_id, n.id, '{*}' FROM inserted n;
    RETURN NULL;
END
$$;
CREATE TRIGGER new_contacts_are_noted AFTER INSERT ON contacts
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_new_contacts();

CREATE FUNCTION note_changed_contacts() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz := clock_timestamp();
BEGIN
    WITH differences AS MATERIALIZED (
        SELECT n.workspace_id, n.id, d.key, d.before, d.after, d.in_history
          FROM after_update n
          JOIN before_update o ON o.workspace_id = n.workspace_id AND o.id = n.id
         CROSS JOIN LATERAL contact_differences(o, n) d),
    noted AS (
        INSERT INTO contact_changes (workspace_id, contact_id, key, changed_at, before, after)
        SELECT d.workspace_id, d.id, d.key, at, d.before, d.after FROM differences d WHERE d.in_history)
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT d.workspace_id, d.id, array_agg(d.key) FROM differences d GROUP BY d.workspace_id, d.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER changed_contacts_are_noted AFTER UPDATE ON contacts
    REFERENCING OLD TABLE AS before_update NEW TABLE AS after_update
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_contacts();

-- The history of a contact goes with it: it holds names and addresses. With the owner's rights, because nobody else may
-- take a line of the history away. No foreign key: that would ask for the contact at every line that is written.
CREATE FUNCTION forget_deleted_contacts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    DELETE FROM contact_changes h USING gone g WHERE h.workspace_id = g.workspace_id AND h.contact_id = g.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER deleted_contacts_are_forgotten AFTER DELETE ON contacts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_contacts();

-- Entries and exits are events too, and no rule reads those.
CREATE FUNCTION note_new_events() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT e.workspace_id, e.contact_id, array_agg(DISTINCT 'event:' || e.name)
      FROM inserted e WHERE e.name NOT LIKE 'segment.%' GROUP BY e.workspace_id, e.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER new_events_are_noted AFTER INSERT ON events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_new_events();

CREATE FUNCTION note_consents() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT n.workspace_id, n.contact_id, array_agg('consent:' || n.channel)
      FROM changed n GROUP BY n.workspace_id, n.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER new_consents_are_noted AFTER INSERT ON consents
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_consents();
CREATE TRIGGER changed_consents_are_noted AFTER UPDATE ON consents
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_consents();

CREATE FUNCTION note_list_members() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT m.workspace_id, m.contact_id, array_agg('list:' || m.list_id)
      FROM changed m GROUP BY m.workspace_id, m.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER new_list_members_are_noted AFTER INSERT ON list_members
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_list_members();
CREATE TRIGGER gone_list_members_are_noted AFTER DELETE ON list_members
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_list_members();

CREATE FUNCTION note_campaign_responses() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT r.workspace_id, r.contact_id, array_agg('campaign:' || r.campaign_id)
      FROM changed r GROUP BY r.workspace_id, r.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER new_campaign_responses_are_noted AFTER INSERT ON campaign_responses
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_campaign_responses();
CREATE TRIGGER changed_campaign_responses_are_noted AFTER UPDATE ON campaign_responses
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_campaign_responses();

-- Every answer to a campaign, of which responses above know the first.
CREATE FUNCTION note_inbound_messages() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT i.workspace_id, i.contact_id, array_agg('campaign:' || i.campaign_id)
      FROM changed i WHERE i.contact_id IS NOT NULL AND i.campaign_id IS NOT NULL GROUP BY i.workspace_id, i.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER new_inbound_messages_are_noted AFTER INSERT ON inbound_messages
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_inbound_messages();
CREATE TRIGGER changed_inbound_messages_are_noted AFTER UPDATE ON inbound_messages
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_inbound_messages();

-- A message that was handed over makes 'contacted': whoever brings the segments up to date then sets last_contacted_at.
-- Not here: a send must never wait for somebody who edits the contact, or stand in a circle with an import.
-- What else became of messages is asked by few rules and changes by the million: noted only where a rule reads it.
CREATE FUNCTION note_messages() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT m.workspace_id, m.contact_id, array_agg(DISTINCT m.input)
      FROM (SELECT n.workspace_id, n.contact_id, v.input
              FROM after_update n
              JOIN before_update o ON o.workspace_id = n.workspace_id AND o.id = n.id AND o.created_at = n.created_at
             CROSS JOIN LATERAL (VALUES
                ('contacted', o.sent_at IS NULL AND n.sent_at IS NOT NULL),
                ('campaign:' || n.campaign_id, o.state <> n.state AND n.state IN ('sent', 'delivered', 'undelivered', 'failed')
                    AND EXISTS (SELECT FROM segment_inputs i
                                 WHERE i.workspace_id = n.workspace_id AND i.input IN ('campaign:*', 'campaign:' || n.campaign_id))))
                AS v (input, holds)
             WHERE n.kind = 'campaign' AND v.holds) m
     GROUP BY m.workspace_id, m.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER changed_messages_are_noted AFTER UPDATE ON messages
    REFERENCING OLD TABLE AS before_update NEW TABLE AS after_update
    FOR EACH STATEMENT EXECUTE FUNCTION note_messages();
