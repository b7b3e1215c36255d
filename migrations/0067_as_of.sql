-- Why: rules about a past instant. Each function gives a table as it was then, as far as its history reaches.
-- Locks: nothing, everything is new.

-- Contacts that exist now and existed then, with the values that they had: each field that changed since is what its
-- first change after the instant replaced.
CREATE FUNCTION contacts_as_of(at timestamptz) RETURNS SETOF contacts LANGUAGE sql STABLE
AS $$
    WITH replaced AS MATERIALIZED (
        SELECT DISTINCT ON (h.contact_id, h.key) h.contact_id, h.key, h.before
          FROM contact_changes h
         WHERE h.workspace_id = current_workspace() AND h.changed_at > at
         ORDER BY h.contact_id, h.key, h.changed_at),
    then_were AS MATERIALIZED (
        SELECT r.contact_id,
               coalesce(jsonb_object_agg(r.key, coalesce(r.before, 'null')) FILTER (WHERE r.key NOT LIKE 'attributes.%'), '{}') AS columns,
               coalesce(jsonb_object_agg(substr(r.key, 12), r.before)
                            FILTER (WHERE r.key LIKE 'attributes.%' AND r.before IS NOT NULL), '{}') AS attributes,
               coalesce(array_agg(substr(r.key, 12)) FILTER (WHERE r.key LIKE 'attributes.%' AND r.before IS NULL), '{}') AS absent
          FROM replaced r GROUP BY r.contact_id),
    others AS MATERIALIZED (
        SELECT t.contact_id FROM then_were t
        UNION
        SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.last_contacted_at > at)
    SELECT c.* FROM contacts c
     WHERE c.workspace_id = current_workspace() AND c.created_at <= at
       AND NOT EXISTS (SELECT FROM others o WHERE o.contact_id = c.id)
    UNION ALL
    SELECT p.* FROM others o
      JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = o.contact_id AND c.created_at <= at
      LEFT JOIN then_were t ON t.contact_id = o.contact_id
     CROSS JOIN LATERAL (
        SELECT max(m.sent_at) AS last_contacted_at FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.contact_id = c.id AND m.kind = 'campaign' AND m.sent_at <= at) s
     CROSS JOIN LATERAL (
        SELECT max(h.changed_at) AS changed_at FROM contact_changes h
         WHERE h.workspace_id = current_workspace() AND h.contact_id = c.id AND h.changed_at <= at) u
     CROSS JOIN LATERAL jsonb_populate_record(
        c, coalesce(t.columns, '{}') || jsonb_build_object(
            'attributes', (c.attributes || coalesce(t.attributes, '{}')) - coalesce(t.absent, '{}'),
            'last_contacted_at', s.last_contacted_at, 'updated_at', coalesce(u.changed_at, c.created_at))) p
$$;

CREATE FUNCTION events_as_of(at timestamptz) RETURNS SETOF events LANGUAGE sql STABLE
AS $$ SELECT e.* FROM events e WHERE e.workspace_id = current_workspace() AND e.occurred_at <= at $$;

-- Consent as the ledger's entries up to then leave it: the latest counts, and of two at one instant the opt-out.
CREATE FUNCTION consents_as_of(at timestamptz) RETURNS SETOF consents LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT ON (e.contact_id, e.channel) e.workspace_id, e.contact_id, e.channel, e.state, e.source, e.occurred_at, e.recorded_at
      FROM consent_events e
     WHERE e.workspace_id = current_workspace() AND e.occurred_at <= at
     ORDER BY e.contact_id, e.channel, e.occurred_at DESC, e.state DESC
$$;

CREATE FUNCTION segment_members_as_of(at timestamptz) RETURNS SETOF segment_members LANGUAGE sql STABLE
AS $$
    SELECT l.workspace_id, l.segment_id, l.contact_id, l.occurred_at
      FROM (SELECT DISTINCT ON (h.segment_id, h.contact_id) h.workspace_id, h.segment_id, h.contact_id, h.occurred_at, h.change
              FROM segment_changes h
             WHERE h.workspace_id = current_workspace() AND h.occurred_at <= at
             ORDER BY h.segment_id, h.contact_id, h.occurred_at DESC, h.change) l
     WHERE l.change = 'entered'
$$;
CREATE FUNCTION segment_changes_as_of(at timestamptz) RETURNS SETOF segment_changes LANGUAGE sql STABLE
AS $$ SELECT h.* FROM segment_changes h WHERE h.workspace_id = current_workspace() AND h.occurred_at <= at $$;

CREATE FUNCTION contact_changes_as_of(at timestamptz) RETURNS SETOF contact_changes LANGUAGE sql STABLE
AS $$ SELECT h.* FROM contact_changes h WHERE h.workspace_id = current_workspace() AND h.changed_at <= at $$;

-- Lists have no history of who was taken off.
CREATE FUNCTION list_members_as_of(at timestamptz) RETURNS SETOF list_members LANGUAGE sql STABLE
AS $$ SELECT m.* FROM list_members m WHERE m.workspace_id = current_workspace() AND m.added_at <= at $$;

-- A message was then what its instants say: settled, sent, or on its way.
CREATE FUNCTION messages_as_of(at timestamptz) RETURNS SETOF messages LANGUAGE sql STABLE
AS $$
    SELECT m.workspace_id, m.id, m.campaign_id, m.kind, m.contact_id, m.sender_id, m.channel, m.to_address, m.body, m.parts,
           CASE WHEN m.settled_at <= at THEN m.state WHEN m.sent_at <= at THEN 'sent' ELSE 'pending' END,
           m.skip_reason, m.attempt, m.due_at, m.lease_token, m.lease_until, m.sid, m.provider_status, m.provider_rank,
           m.error_code, m.unknown_reason, m.created_at, m.started_at, CASE WHEN m.sent_at <= at THEN m.sent_at END,
           CASE WHEN m.settled_at <= at THEN m.settled_at END
      FROM messages m WHERE m.workspace_id = current_workspace() AND m.created_at <= at
$$;
CREATE FUNCTION campaign_responses_as_of(at timestamptz) RETURNS SETOF campaign_responses LANGUAGE sql STABLE
AS $$ SELECT r.* FROM campaign_responses r WHERE r.workspace_id = current_workspace() AND r.occurred_at <= at $$;

CREATE FUNCTION inbound_messages_as_of(at timestamptz) RETURNS SETOF inbound_messages LANGUAGE sql STABLE
AS $$ SELECT i.* FROM inbound_messages i WHERE i.workspace_id = current_workspace() AND i.received_at <= at $$;

GRANT EXECUTE ON FUNCTION contacts_as_of(timestamptz), events_as_of(timestamptz), consents_as_of(timestamptz),
    segment_members_as_of(timestamptz), segment_changes_as_of(timestamptz), contact_changes_as_of(timestamptz),
    list_members_as_of(timestamptz), messages_as_of(timestamptz), campaign_responses_as_of(timestamptz),
    inbound_messages_as_of(timestamptz) TO muster_responder, muster_worker;
