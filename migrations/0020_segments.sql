-- Why: saved rules and who is in them.
-- Locks: nothing, everything is new.

CREATE TABLE segments (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    description text,
    rule jsonb NOT NULL,
    member_count bigint NOT NULL DEFAULT 0,
    -- The instant of the evaluation that the membership shows; NULL before the first.
    calculated_at timestamptz,
    -- 'stale': saved since the last calculation, or never calculated.
    state text NOT NULL DEFAULT 'stale',
    problem text,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT segment_name_is_unique UNIQUE (workspace_id, name),
    CONSTRAINT state_is_known CHECK (state IN ('stale', 'ready', 'failed')),
    CONSTRAINT ready_segment_was_calculated CHECK (state <> 'ready' OR calculated_at IS NOT NULL),
    CONSTRAINT failed_segment_has_problem CHECK ((state = 'failed') = (problem IS NOT NULL))
);
CREATE INDEX segments_by_creation ON segments (workspace_id, created_at DESC, id DESC);
SELECT protect('segments');

-- Which segments and lists a rule reads. The foreign keys are what refuses to delete one that is in use.
CREATE TABLE segment_references (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    referenced_segment_id uuid NOT NULL,
    PRIMARY KEY (workspace_id, segment_id, referenced_segment_id),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, referenced_segment_id) REFERENCES segments (workspace_id, id),
    CONSTRAINT segment_does_not_read_itself CHECK (segment_id <> referenced_segment_id)
);
CREATE INDEX segment_references_back ON segment_references (workspace_id, referenced_segment_id);
SELECT protect('segment_references');

CREATE TABLE segment_members (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    entered_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, segment_id, contact_id),
    FOREIGN KEY (workspace_id, segment_id) REFERENCES segments ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts ON DELETE CASCADE
);
CREATE INDEX segment_members_by_contact ON segment_members (workspace_id, contact_id);
SELECT protect('segment_members');

-- Entries and exits, one row per difference that a calculation wrote.
CREATE TABLE segment_changes (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    change text NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, segment_id, occurred_at, contact_id, change),
    CONSTRAINT change_is_known CHECK (change IN ('entered', 'exited'))
) PARTITION BY RANGE (occurred_at);
SELECT protect('segment_changes', 'SELECT, INSERT');
SELECT create_partitions('segment_changes');
