-- Why: what happens by itself and somebody should know of: one list for all features, whoever writes to it.
-- Locks: nothing, everything is new.

-- `kind` says what happened, `subject` whom it is about by their ids, `detail` says it to a person. Neither takes
-- addresses or secrets.
CREATE TABLE notices (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    kind text NOT NULL,
    subject jsonb NOT NULL,
    detail text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz,
    -- Who read it first; NULL for an API key, and for somebody who is gone.
    read_by uuid REFERENCES users ON DELETE SET NULL,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT kind_names_what_happened CHECK (kind ~ '^[a-z_]+[.][a-z_]+$' AND length(kind) <= 100),
    CONSTRAINT subject_is_an_object CHECK (jsonb_typeof(subject) = 'object' AND pg_column_size(subject) <= 4096),
    CONSTRAINT detail_is_a_sentence CHECK (length(detail) BETWEEN 1 AND 1000),
    CONSTRAINT reader_has_read CHECK (read_by IS NULL OR read_at IS NOT NULL)
);
CREATE INDEX notices_by_creation ON notices (workspace_id, created_at DESC, id DESC);
CREATE INDEX notices_of_reader ON notices (read_by) WHERE read_by IS NOT NULL;
SELECT protect('notices');

-- Tells the workspace of the transaction. Returns the notice.
CREATE FUNCTION notify_workspace(kind text, subject jsonb, detail text) RETURNS uuid LANGUAGE sql VOLATILE
AS $$
    INSERT INTO notices (workspace_id, kind, subject, detail) VALUES (current_workspace(), $1, $2, $3) RETURNING id
$$;

-- A notice as the API shows it.
CREATE FUNCTION notice_json(n notices) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object('id', n.id, 'kind', n.kind, 'subject', n.subject, 'detail', n.detail,
                             'created_at', rfc3339(n.created_at), 'read_at', rfc3339(n.read_at), 'read_by', n.read_by)
$$;
GRANT EXECUTE ON FUNCTION notify_workspace(text, jsonb, text), notice_json(notices)
    TO muster_responder, muster_worker, muster_maintenance;
