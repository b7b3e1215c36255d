-- Why: contacts belong to somebody of the team, and what is done to a whole segment is done once to each of its
-- contacts, whoever dies meanwhile, and can be taken back.
-- Locks: contacts and members for a moment, and while the (all missing) owners are checked: one scan of contacts.

ALTER TABLE contacts
    ADD COLUMN assigned_to uuid,
    -- Who leaves the workspace leaves no contacts behind that belong to nobody there.
    ADD CONSTRAINT assignee_is_a_member FOREIGN KEY (workspace_id, assigned_to)
        REFERENCES members (workspace_id, user_id) ON DELETE SET NULL (assigned_to);
CREATE INDEX contacts_by_assignee ON contacts (workspace_id, assigned_to) WHERE assigned_to IS NOT NULL;

CREATE OR REPLACE FUNCTION contact_json(c contacts) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object(
        'id', c.id, 'external_id', c.external_id, 'email', c.email, 'phone', c.phone, 'name', c.name,
        'first_name', c.first_name, 'last_name', c.last_name, 'status', c.status, 'timezone', c.timezone,
        'country', c.country, 'assigned_to', c.assigned_to, 'tags', c.tags, 'attributes', c.attributes,
        'last_contacted_at', rfc3339(c.last_contacted_at), 'created_at', rfc3339(c.created_at),
        'updated_at', rfc3339(c.updated_at), 'version', c.version)
$$;

-- As in migration 0060, with the owner.
CREATE OR REPLACE FUNCTION contact_differences(o contacts, n contacts)
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
        ('assigned_to', to_jsonb(o.assigned_to), to_jsonb(n.assigned_to)),
        ('tags', to_jsonb(o.tags), to_jsonb(n.tags)), ('updated_at', to_jsonb(o.updated_at), to_jsonb(n.updated_at)),
        ('last_contacted_at', to_jsonb(o.last_contacted_at), to_jsonb(n.last_contacted_at))) AS v (key, before, after)
     WHERE v.before IS DISTINCT FROM v.after
    UNION ALL
    SELECT 'attributes.' || coalesce(b.key, a.key), b.value, a.value, true
      FROM jsonb_each(CASE WHEN o.attributes <> n.attributes THEN o.attributes END) b
      FULL JOIN jsonb_each(CASE WHEN o.attributes <> n.attributes THEN n.attributes END) a ON a.key = b.key
     WHERE b.value IS DISTINCT FROM a.value
$$;

-- Something that is done to all who are in a segment at one instant.
CREATE TABLE segment_actions (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    -- Without a foreign key: what was done stays known when the segment is gone.
    segment_id uuid NOT NULL,
    kind text NOT NULL,
    parameters jsonb NOT NULL,
    job_id uuid,
    -- When the audience was fixed, and what came of it: moved in the transaction that acts, batch by batch.
    fixed_at timestamptz,
    total_count bigint NOT NULL DEFAULT 0,
    done_count bigint NOT NULL DEFAULT 0,
    changed_count bigint NOT NULL DEFAULT 0,
    -- Those that were that way already.
    unchanged_count bigint NOT NULL DEFAULT 0,
    -- Those whom a limit keeps from it: too many tags, too large attributes.
    refused_count bigint NOT NULL DEFAULT 0,
    -- Deleted since the audience was fixed.
    gone_count bigint NOT NULL DEFAULT 0,
    -- Of an export: how much of its file is known to be right.
    bytes bigint NOT NULL DEFAULT 0,
    result jsonb,
    undo_job_id uuid,
    restored_count bigint NOT NULL DEFAULT 0,
    -- What was not restored, because it was changed again or is gone.
    kept_count bigint NOT NULL DEFAULT 0,
    undone_at timestamptz,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT kind_is_known CHECK (kind IN ('assign', 'tag', 'field', 'list', 'message', 'export')),
    CONSTRAINT every_contact_has_one_outcome
        CHECK (done_count = changed_count + unchanged_count + refused_count + gone_count AND done_count <= total_count),
    CONSTRAINT undone_action_was_asked_for CHECK (undone_at IS NULL OR undo_job_id IS NOT NULL)
);
CREATE INDEX segment_actions_of_segment ON segment_actions (workspace_id, segment_id, created_at DESC, id DESC);
CREATE INDEX segment_actions_by_age ON segment_actions (created_at);
SELECT protect('segment_actions');

-- The audience, some thousand contacts in a row: one row per contact would cost as much as the action itself.
CREATE TABLE segment_action_batches (
    workspace_id uuid NOT NULL,
    action_id uuid NOT NULL,
    seq int NOT NULL,
    contact_ids uuid[] NOT NULL,
    acted_at timestamptz,
    -- What the action changed: [{"id", …what was there and what is there now}].
    changes jsonb NOT NULL DEFAULT '[]',
    undone_at timestamptz,
    PRIMARY KEY (workspace_id, action_id, seq),
    FOREIGN KEY (workspace_id, action_id) REFERENCES segment_actions ON DELETE CASCADE,
    CONSTRAINT undone_batch_was_acted_on CHECK (undone_at IS NULL OR acted_at IS NOT NULL)
);
SELECT protect('segment_action_batches');

-- An action as the API shows it. Its state is that of its job, which is kept as long as the action.
CREATE FUNCTION segment_action_json(a segment_actions) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', a.id, 'segment_id', a.segment_id, 'kind', a.kind, 'parameters', a.parameters,
        'state', coalesce(j.state, 'queued'), 'progress', coalesce(j.progress, 0), 'problem', j.problem, 'job_id', a.job_id,
        'as_of', rfc3339(a.fixed_at),
        'counts', json_build_object('total', a.total_count, 'done', a.done_count, 'changed', a.changed_count,
                                    'unchanged', a.unchanged_count, 'refused', a.refused_count, 'gone', a.gone_count),
        'result', a.result,
        'undo', CASE WHEN a.undo_job_id IS NOT NULL THEN json_build_object(
            'job_id', a.undo_job_id, 'state', u.state, 'progress', u.progress, 'problem', u.problem,
            'restored', a.restored_count, 'kept', a.kept_count, 'undone_at', rfc3339(a.undone_at)) END,
        'undo_until', rfc3339(a.created_at + interval '7 days'),
        'created_by', a.created_by, 'created_at', rfc3339(a.created_at))
      FROM (SELECT) one
      LEFT JOIN jobs j ON j.workspace_id = a.workspace_id AND j.id = a.job_id
      LEFT JOIN jobs u ON u.workspace_id = a.workspace_id AND u.id = a.undo_job_id
$$;
GRANT EXECUTE ON FUNCTION segment_action_json(segment_actions) TO muster_responder, muster_worker;

-- Attributes with a value at a path, objects on the way made; NULL as the value removes it, and objects that are empty
-- then. NULL when something on the way is no object and would have to go for it.
CREATE FUNCTION put_attribute(attributes jsonb, path text[], value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    part jsonb := coalesce(attributes -> path[1], '{}');
BEGIN
    IF cardinality(path) = 1 THEN
        RETURN CASE WHEN value IS NULL THEN attributes - path[1] ELSE attributes || jsonb_build_object(path[1], value) END;
    END IF;
    IF jsonb_typeof(part) <> 'object' THEN
        RETURN CASE WHEN value IS NULL THEN attributes END;
    END IF;
    part := put_attribute(part, path[2:], value);
    RETURN CASE WHEN value IS NULL AND part = '{}' THEN attributes - path[1]
                WHEN part IS NOT NULL THEN attributes || jsonb_build_object(path[1], part) END;
END
$$;
GRANT EXECUTE ON FUNCTION put_attribute(jsonb, text[], jsonb) TO muster_responder, muster_worker;

-- Campaigns belong to messaging: these two are how the audience makes a draft, and takes back one that nobody touched.
CREATE FUNCTION draft_campaign(name text, segment uuid, sender uuid, by_user uuid) RETURNS uuid
LANGUAGE sql VOLATILE
AS $$
    INSERT INTO campaigns (workspace_id, name, channel, segment_id, sender_id, created_by)
    VALUES (current_workspace(), $1, 'sms', $2, $3, $4) RETURNING id
$$;
CREATE FUNCTION discard_draft(campaign uuid) RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    WITH gone AS (
        DELETE FROM campaigns c
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft' AND c.version = 1 RETURNING 1)
    SELECT EXISTS (SELECT FROM gone)
$$;
GRANT EXECUTE ON FUNCTION draft_campaign(text, uuid, uuid, uuid), discard_draft(uuid) TO muster_worker;
