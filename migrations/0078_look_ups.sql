-- Why: a message whose answer was lost, or of which no callback tells any more, is asked for at its provider. What comes
-- back is a receipt like a callback's, and settles the message in the same way.
-- Locks: messages for a moment, for the trigger. What is unknown already is found by a plain scan.

-- One row per message that is asked for; it goes when the message is settled. Beside the ledger, so that the many messages
-- that are never asked for cost nothing.
CREATE TABLE look_ups (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    message_id uuid NOT NULL,
    -- The message's, which its key has.
    created_at timestamptz NOT NULL,
    -- Where it was sent from: another account knows nothing of it.
    account_sid text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL,
    looks int NOT NULL DEFAULT 0,
    -- How often in a row the provider showed no trace of it.
    misses int NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, message_id)
);
CREATE INDEX look_ups_due ON look_ups (workspace_id, due_at);
SELECT protect('look_ups');

-- Most unknown messages are settled by their callback within seconds.
CREATE FUNCTION plan_look_up() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO look_ups (workspace_id, message_id, created_at, account_sid, due_at)
    SELECT NEW.workspace_id, NEW.id, NEW.created_at, s.account_sid, now() + interval '30 seconds'
      FROM senders s WHERE s.workspace_id = NEW.workspace_id AND s.id = NEW.sender_id
    ON CONFLICT (workspace_id, message_id) DO UPDATE SET due_at = excluded.due_at, since = now(), misses = 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER unknown_message_is_looked_up AFTER UPDATE ON messages FOR EACH ROW
    WHEN (NEW.state = 'unknown' AND OLD.state <> 'unknown') EXECUTE FUNCTION plan_look_up();
INSERT INTO look_ups (workspace_id, message_id, created_at, account_sid, since, due_at)
SELECT m.workspace_id, m.id, m.created_at, s.account_sid, m.started_at, now()
  FROM messages m JOIN senders s ON s.workspace_id = m.workspace_id AND s.id = m.sender_id
 WHERE m.state = 'unknown' AND m.started_at > now() - interval '30 days';

-- From workspace to workspace along the index, whatever waits in each.
CREATE FUNCTION workspaces_with_due_look_ups() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH RECURSIVE planned AS (
        (SELECT l.workspace_id FROM look_ups l ORDER BY l.workspace_id LIMIT 1)
        UNION ALL
        SELECT (SELECT l.workspace_id FROM look_ups l WHERE l.workspace_id > p.workspace_id ORDER BY l.workspace_id LIMIT 1)
          FROM planned p WHERE p.workspace_id IS NOT NULL)
    SELECT p.workspace_id FROM planned p
     WHERE EXISTS (SELECT FROM look_ups l WHERE l.workspace_id = p.workspace_id AND l.due_at <= now())
$$;
GRANT EXECUTE ON FUNCTION workspaces_with_due_look_ups() TO muster_worker;
