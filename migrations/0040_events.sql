-- Why: what contacts did, and what of it a campaign may claim.
-- Locks: nothing, everything is new.

CREATE TABLE events (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    contact_id uuid NOT NULL,
    name text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    properties jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, id, occurred_at),
    CONSTRAINT properties_are_an_object CHECK (jsonb_typeof(properties) = 'object')
) PARTITION BY RANGE (occurred_at);
CREATE INDEX events_of_contact ON events (workspace_id, contact_id, name, occurred_at);
CREATE INDEX events_by_name ON events (workspace_id, name, occurred_at);
SELECT protect('events', 'SELECT, INSERT');
SELECT create_partitions('events');

-- A partitioned table cannot hold a key without its time, and a repeated event may come without one, so the keys
-- that make events unique are on their own.
CREATE TABLE event_dedupe_keys (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    dedupe_key text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, dedupe_key)
);
CREATE INDEX event_dedupe_keys_by_age ON event_dedupe_keys (received_at);
SELECT protect('event_dedupe_keys', 'SELECT, INSERT, DELETE');
