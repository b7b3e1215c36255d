-- Why: people, workspaces, membership, sessions and API keys, and the one function that answers
-- "who is this, in which workspace, and may they?" in the same round trip as the request's own statement.
-- Locks: nothing, everything is new.

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT uuid_v7(),
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT email_is_normalised CHECK (email = lower(email) AND email <> '')
);

CREATE TABLE workspaces (
    id uuid PRIMARY KEY DEFAULT uuid_v7(),
    name text NOT NULL,
    timezone text NOT NULL DEFAULT 'UTC',
    default_country text,
    plan text NOT NULL DEFAULT 'standard',
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    suspended_at timestamptz,
    CONSTRAINT country_is_iso_3166 CHECK (default_country ~ '^[A-Z]{2}$'),
    CONSTRAINT plan_is_known CHECK (plan IN ('standard', 'unlimited')),
    CONSTRAINT consent_mode_is_known CHECK (coalesce(settings ->> 'consent_mode', 'opt_in') IN ('opt_in', 'opt_out'))
);
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE workspaces FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON workspaces TO muster_responder, muster_worker USING (id = current_workspace());
CREATE POLICY every_workspace ON workspaces TO muster_owner, muster_maintenance USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON workspaces TO muster_responder;
GRANT SELECT ON workspaces TO muster_worker;
GRANT SELECT, UPDATE ON workspaces TO muster_maintenance;

CREATE TABLE members (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, user_id),
    CONSTRAINT role_is_known CHECK (role IN ('owner', 'admin', 'manager', 'member', 'viewer', 'client'))
);
CREATE INDEX members_by_user ON members (user_id);
SELECT protect('members');

-- What members of a workspace may know of each other. Runs with the owner's rights, so it names the workspace.
CREATE VIEW member_users WITH (security_barrier) AS
    SELECT m.workspace_id, m.user_id, m.role, m.created_at, m.version, u.name, u.email
      FROM members m JOIN users u ON u.id = m.user_id
     WHERE m.workspace_id = current_workspace();
GRANT SELECT ON member_users TO muster_responder, muster_worker;

CREATE TABLE invitations (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    email text NOT NULL,
    role text NOT NULL,
    token_hash bytea NOT NULL,
    invited_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '7 days',
    accepted_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT role_is_known CHECK (role IN ('owner', 'admin', 'manager', 'member', 'viewer', 'client'))
);
-- Looked up before a workspace is known, so not a unique key: those begin with the workspace. 178 random bits are
-- unique by themselves.
CREATE INDEX invitations_by_token ON invitations (token_hash);
SELECT protect('invitations');

CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY,
    id uuid NOT NULL UNIQUE DEFAULT uuid_v7(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    user_agent text,
    address inet,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '14 days',
    absolute_expires_at timestamptz NOT NULL DEFAULT now() + interval '90 days',
    CONSTRAINT token_hash_is_sha256 CHECK (length(token_hash) = 32)
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
GRANT SELECT, DELETE ON sessions TO muster_maintenance;

CREATE TABLE api_keys (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    prefix text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT secret_hash_is_sha256 CHECK (length(secret_hash) = 32)
);
CREATE INDEX api_keys_by_secret ON api_keys (secret_hash);
SELECT protect('api_keys');

CREATE TABLE audit_log (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    occurred_at timestamptz NOT NULL DEFAULT now(),
    actor_user_id uuid,
    actor_api_key_id uuid,
    action text NOT NULL,
    subject_type text NOT NULL,
    subject_id uuid,
    details jsonb NOT NULL DEFAULT '{}',
    request_id text,
    PRIMARY KEY (workspace_id, occurred_at, id)
) PARTITION BY RANGE (occurred_at);
SELECT protect('audit_log', 'SELECT, INSERT');
SELECT create_partitions('audit_log');

-- Who sends this request, in which workspace, and may they do what the route needs? Sets the workspace of the
-- transaction only when the outcome is 'ok', so that a statement behind it in the same pipeline sees nothing otherwise.
--   token      SHA-256 of the bearer token
--   is_key     API key or session
--   wanted     the workspace asked for, or NULL: a key has one, a person with one workspace needs not say it
--   roles      roles that may; scope: the scope that an API key needs ('*' holds all)
-- Outcome: ok | unauthenticated | workspace_required | not_found | forbidden. `stale`: touch_token is due.
CREATE FUNCTION authorize(token bytea, is_key boolean, wanted uuid, roles text[], scope text)
RETURNS TABLE (outcome text, workspace uuid, user_id uuid, api_key_id uuid, role text, plan text, stale boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    granted text[];
    seen timestamptz;
    memberships int;
BEGIN
    IF is_key THEN
        SELECT k.workspace_id, k.created_by, k.id, k.scopes, coalesce(k.last_used_at, '-infinity'), w.plan
          INTO workspace, user_id, api_key_id, granted, seen, plan
          FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
         WHERE k.secret_hash = token AND k.revoked_at IS NULL AND w.suspended_at IS NULL
           AND (k.expires_at IS NULL OR k.expires_at > now());
        IF NOT FOUND THEN outcome := 'unauthenticated'; RETURN NEXT; RETURN; END IF;
        stale := seen < now() - interval '5 minutes';
        IF wanted IS NOT NULL AND wanted <> workspace THEN
            outcome := 'not_found'; workspace := NULL; RETURN NEXT; RETURN;
        END IF;
        IF NOT (scope = ANY (granted) OR '*' = ANY (granted)) THEN
            outcome := 'forbidden'; RETURN NEXT; RETURN;
        END IF;
    ELSE
        SELECT s.user_id, s.last_seen_at, m.workspace_id, m.role, w.plan, count(*) OVER ()
          INTO user_id, seen, workspace, role, plan, memberships
          FROM sessions s
          LEFT JOIN (members m JOIN workspaces w ON w.id = m.workspace_id AND w.suspended_at IS NULL)
                 ON m.user_id = s.user_id AND (wanted IS NULL OR m.workspace_id = wanted)
         WHERE s.token_hash = token AND s.expires_at > now() AND s.absolute_expires_at > now()
         LIMIT 1;
        IF NOT FOUND THEN outcome := 'unauthenticated'; RETURN NEXT; RETURN; END IF;
        stale := seen < now() - interval '5 minutes';
        IF workspace IS NULL THEN
            outcome := CASE WHEN wanted IS NULL THEN 'workspace_required' ELSE 'not_found' END;
            RETURN NEXT; RETURN;
        END IF;
        IF memberships > 1 THEN
            outcome := 'workspace_required'; workspace := NULL; RETURN NEXT; RETURN;
        END IF;
        IF NOT role = ANY (roles) THEN
            outcome := 'forbidden'; RETURN NEXT; RETURN;
        END IF;
    END IF;
    PERFORM set_config('muster.workspace_id', workspace::text, true);
    outcome := 'ok';
    RETURN NEXT;
END
$$;

-- Like authorize for routes that need a person but no workspace.
CREATE FUNCTION session_user_of(token bytea) RETURNS TABLE (user_id uuid, session_id uuid, stale boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT s.user_id, s.id, s.last_seen_at < now() - interval '5 minutes' FROM sessions s
     WHERE s.token_hash = token AND s.expires_at > now() AND s.absolute_expires_at > now()
$$;

-- Slides a session's idle expiry and notes a key's last use; called at most every five minutes for a token.
CREATE FUNCTION touch_token(token bytea, is_key boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF is_key THEN
        UPDATE api_keys SET last_used_at = now() WHERE secret_hash = token;
    ELSE
        UPDATE sessions SET last_seen_at = now(), expires_at = least(now() + interval '14 days', absolute_expires_at)
         WHERE token_hash = token;
    END IF;
END
$$;

-- Sign-up: a user with a first workspace that they own. NULL when the address is taken.
CREATE FUNCTION sign_up(email text, name text, password_hash text, workspace_name text, timezone text, country text)
RETURNS TABLE (user_id uuid, workspace_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO users (email, name, password_hash) VALUES (sign_up.email, sign_up.name, sign_up.password_hash)
        ON CONFLICT DO NOTHING RETURNING id INTO user_id;
    IF user_id IS NULL THEN RETURN; END IF;
    workspace_id := create_workspace(user_id, workspace_name, timezone, country);
    RETURN NEXT;
END
$$;

-- A workspace with its owner.
CREATE FUNCTION create_workspace(owner uuid, name text, timezone text, country text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    workspace uuid;
BEGIN
    INSERT INTO workspaces (name, timezone, default_country)
        VALUES (create_workspace.name, create_workspace.timezone, country) RETURNING id INTO workspace;
    INSERT INTO members (workspace_id, user_id, role) VALUES (workspace, owner, 'owner');
    RETURN workspace;
END
$$;

-- Sign-in, first half: the hash to verify the password against.
CREATE FUNCTION password_of(address text) RETURNS TABLE (user_id uuid, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT u.id, u.password_hash FROM users u WHERE u.email = address $$;

CREATE FUNCTION set_password_hash(person uuid, hash text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ UPDATE users SET password_hash = hash, updated_at = now() WHERE id = person $$;

CREATE FUNCTION create_session(person uuid, token bytea, agent text, client inet) RETURNS uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO sessions (token_hash, user_id, user_agent, address) VALUES (token, person, left(agent, 300), client)
    RETURNING id
$$;

-- Ends the session of a token, or all sessions of its user. Returns how many ended.
CREATE FUNCTION end_sessions(token bytea, everywhere boolean) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH ended AS (
        DELETE FROM sessions s
         WHERE s.token_hash = token
            OR (everywhere AND s.user_id = (SELECT o.user_id FROM sessions o WHERE o.token_hash = token))
        RETURNING 1)
    SELECT count(*) FROM ended
$$;

-- The person behind a user id, and the workspaces that they belong to.
CREATE FUNCTION person(who uuid) RETURNS TABLE (id uuid, email text, name text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT u.id, u.email, u.name, u.created_at FROM users u WHERE u.id = who $$;

CREATE FUNCTION workspaces_of(who uuid)
RETURNS TABLE (id uuid, name text, role text, timezone text, default_country text, plan text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT w.id, w.name, m.role, w.timezone, w.default_country, w.plan, w.created_at
      FROM members m JOIN workspaces w ON w.id = m.workspace_id
     WHERE m.user_id = who ORDER BY w.created_at, w.id
$$;

GRANT EXECUTE ON FUNCTION
    authorize(bytea, boolean, uuid, text[], text), session_user_of(bytea), touch_token(bytea, boolean),
    sign_up(text, text, text, text, text, text), create_workspace(uuid, text, text, text), password_of(text),
    set_password_hash(uuid, text), create_session(uuid, bytea, text, inet), end_sessions(bytea, boolean),
    person(uuid), workspaces_of(uuid)
    TO muster_responder;
