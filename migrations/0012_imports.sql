-- Why: files of contacts on their way in. The file waits in the database, in pieces, because the process that takes
-- it and the one that works on it may be on different machines.
-- Locks: nothing, everything is new.

CREATE TABLE imports (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    job_id uuid,
    bytes bigint NOT NULL DEFAULT 0,
    mapping jsonb,
    default_country text,
    -- Channels that every contact of the file has opted in to, as whoever imports it declares.
    consent text[] NOT NULL DEFAULT '{}',
    list_id uuid,
    -- How far the file is in, and what came of it: moved in the transaction that writes the rows, so that a run that
    -- takes over from a dead worker goes on at the next row and counts none twice.
    next_byte bigint NOT NULL DEFAULT 0,
    next_line bigint NOT NULL DEFAULT 1,
    row_count bigint NOT NULL DEFAULT 0,
    created_count bigint NOT NULL DEFAULT 0,
    updated_count bigint NOT NULL DEFAULT 0,
    unchanged_count bigint NOT NULL DEFAULT 0,
    rejected_count bigint NOT NULL DEFAULT 0,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, list_id) REFERENCES lists ON DELETE SET NULL (list_id),
    CONSTRAINT every_row_has_an_outcome
        CHECK (row_count = created_count + updated_count + unchanged_count + rejected_count)
);
CREATE INDEX imports_by_creation ON imports (workspace_id, created_at DESC, id DESC);
SELECT protect('imports');

CREATE TABLE import_chunks (
    workspace_id uuid NOT NULL,
    import_id uuid NOT NULL,
    seq int NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (workspace_id, import_id, seq),
    FOREIGN KEY (workspace_id, import_id) REFERENCES imports ON DELETE CASCADE
);
-- CSV compresses well, but the time that it takes is worth more than the room for a day.
ALTER TABLE import_chunks ALTER COLUMN data SET STORAGE EXTERNAL;
SELECT protect('import_chunks');

-- What could not be taken: the place, never the value.
CREATE TABLE import_errors (
    workspace_id uuid NOT NULL,
    import_id uuid NOT NULL,
    line bigint NOT NULL,
    column_name text,
    code text NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (workspace_id, import_id, line),
    FOREIGN KEY (workspace_id, import_id) REFERENCES imports ON DELETE CASCADE
);
SELECT protect('import_errors');
