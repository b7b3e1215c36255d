-- Why: what people do before a workspace is chosen (list theirs, accept an invitation), and the JSON of what the
-- account endpoints show, written once for lists and single resources.
-- Locks: nothing, only functions are made.

-- The role of a person in a workspace; NULL when they are no member or it is suspended.
CREATE FUNCTION member_role(who uuid, which uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT m.role FROM members m JOIN workspaces w ON w.id = m.workspace_id
     WHERE m.workspace_id = which AND m.user_id = who AND w.suspended_at IS NULL
$$;

-- Makes a person a member, with an invitation that is open and names their address; its row lock lets it be used
-- once. Outcome: ok | not_found | another_address | already_member.
CREATE FUNCTION accept_invitation(token bytea, who uuid, request text)
RETURNS TABLE (outcome text, workspace_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    invited record;
BEGIN
    SELECT i.workspace_id, i.id, i.email, i.role INTO invited
      FROM invitations i JOIN workspaces w ON w.id = i.workspace_id
     WHERE i.token_hash = token AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > now()
       AND w.suspended_at IS NULL
       FOR UPDATE OF i;
    IF NOT FOUND THEN outcome := 'not_found'; RETURN NEXT; RETURN; END IF;
    IF NOT EXISTS (SELECT FROM users u WHERE u.id = who AND u.email = invited.email) THEN
        outcome := 'another_address'; RETURN NEXT; RETURN;
    END IF;
    INSERT INTO members (workspace_id, user_id, role) VALUES (invited.workspace_id, who, invited.role)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN outcome := 'already_member'; RETURN NEXT; RETURN; END IF;
    UPDATE invitations i SET accepted_at = now() WHERE i.workspace_id = invited.workspace_id AND i.id = invited.id;
    INSERT INTO audit_log (workspace_id, actor_user_id, action, subject_type, subject_id, details, request_id)
        VALUES (invited.workspace_id, who, 'invitation.accepted', 'invitation', invited.id,
                jsonb_build_object('role', invited.role), request);
    outcome := 'ok';
    workspace_id := invited.workspace_id;
    RETURN NEXT;
END
$$;

-- Whether tzdata knows the zone by this name.
CREATE FUNCTION is_timezone(zone text) RETURNS boolean LANGUAGE sql STABLE
AS $$ SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = zone) $$;

CREATE FUNCTION settings_json(w workspaces) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'name', w.name, 'timezone', w.timezone, 'default_country', w.default_country, 'plan', w.plan,
        'consent_mode', coalesce(w.settings ->> 'consent_mode', 'opt_in'),
        'retention_days_audit', coalesce((w.settings ->> 'retention_days_audit')::int, 30),
        'retention_days_receipts', coalesce((w.settings ->> 'retention_days_receipts')::int, 30),
        'updated_at', rfc3339(w.updated_at), 'version', w.version)
$$;

-- `state` is derived, so that it cannot disagree with the times.
CREATE FUNCTION invitation_json(i invitations) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', i.id, 'email', i.email, 'role', i.role, 'invited_by', i.invited_by,
        'state', CASE WHEN i.accepted_at IS NOT NULL THEN 'accepted' WHEN i.revoked_at IS NOT NULL THEN 'revoked'
                      WHEN i.expires_at <= now() THEN 'expired' ELSE 'open' END,
        'created_at', rfc3339(i.created_at), 'expires_at', rfc3339(i.expires_at), 'accepted_at', rfc3339(i.accepted_at))
$$;

CREATE FUNCTION api_key_json(k api_keys) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', k.id, 'name', k.name, 'prefix', k.prefix, 'scopes', k.scopes, 'created_by', k.created_by,
        'created_at', rfc3339(k.created_at), 'expires_at', rfc3339(k.expires_at),
        'last_used_at', rfc3339(k.last_used_at), 'revoked_at', rfc3339(k.revoked_at))
$$;

CREATE FUNCTION job_json(j jobs) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', j.id, 'kind', j.kind, 'state', j.state, 'progress', j.progress, 'result', j.result, 'problem', j.problem,
        'created_at', rfc3339(j.created_at), 'finished_at', rfc3339(j.finished_at))
$$;

GRANT EXECUTE ON FUNCTION
    member_role(uuid, uuid), accept_invitation(bytea, uuid, text), is_timezone(text), settings_json(workspaces),
    invitation_json(invitations), api_key_json(api_keys), job_json(jobs)
    TO muster_responder;
