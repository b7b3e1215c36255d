-- Why: nobody gets more messages in a time than the workspace allows.
-- Locks: campaigns, for a moment; its new columns have constant defaults.

ALTER TABLE campaigns
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    -- For what somebody waits for, such as a receipt: it is neither capped nor counted.
    ADD COLUMN ignores_caps boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT tags_are_bounded CHECK (cardinality(tags) <= 20);

-- Why a contact is not to get one more message on a channel at `at`, of a campaign with these tags: `over_cap`, or NULL. Every cap
-- of the workspace counts what left for them in its rolling hours; one with a tag counts, and holds up, campaigns with that tag only.
-- What the provider refused or gave up was no message. To hold against two workers at once it is asked under `lock_capped`.
CREATE FUNCTION cap_reason(contact uuid, channel text, tags text[], at timestamptz) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT 'over_cap' FROM workspaces w
     CROSS JOIN LATERAL jsonb_to_recordset(w.settings -> 'frequency_caps') AS k (channel text, at_most bigint, per_hours int, tag text)
     WHERE w.id = current_workspace() AND k.channel = $2 AND (k.tag IS NULL OR k.tag = ANY ($3))
       AND (SELECT count(*)
              FROM messages m JOIN campaigns p ON p.workspace_id = current_workspace() AND p.id = m.campaign_id
             WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.channel = $2 AND m.kind = 'campaign'
               AND m.started_at > $4 - make_interval(hours => k.per_hours)
               AND m.state IN ('started', 'unknown', 'sent', 'delivered', 'undelivered')
               AND NOT p.ignores_caps AND (k.tag IS NULL OR k.tag = ANY (p.tags))) >= k.at_most
     LIMIT 1
$$;

-- Keeps everybody else from starting messages of a campaign to the contacts of these until the transaction ends, where the
-- workspace has caps: in one order, so that nobody waits in a circle. What it waited for, the next statement sees.
CREATE FUNCTION lock_capped(campaign uuid, message_ids uuid[], created_ats timestamptz[]) RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    locked int := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM workspaces w JOIN campaigns p ON p.workspace_id = w.id
                    WHERE w.id = current_workspace() AND p.workspace_id = current_workspace() AND p.id = campaign
                      AND NOT p.ignores_caps AND jsonb_array_length(w.settings -> 'frequency_caps') > 0) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(k.key)
       FROM (SELECT DISTINCT hashtextextended('sends to ' || m.contact_id, 0) AS key
               FROM unnest(message_ids, created_ats) w (id, created_at)
               JOIN messages m ON m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at
              WHERE m.contact_id IS NOT NULL
              ORDER BY 1) k;
    GET DIAGNOSTICS locked = ROW_COUNT;
    RETURN locked;
END
$$;
GRANT EXECUTE ON FUNCTION cap_reason(uuid, text, text[], timestamptz) TO muster_responder, muster_worker;
GRANT EXECUTE ON FUNCTION lock_capped(uuid, uuid[], timestamptz[]) TO muster_worker;

-- As in migration 0093, with the caps.
CREATE OR REPLACE FUNCTION timing_settings(w workspaces) RETURNS jsonb LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object('quiet_hours_sms', coalesce(w.settings -> 'quiet_hours_sms', '"on"'),
                              'quiet_hours_email', coalesce(w.settings -> 'quiet_hours_email', '"off"'),
                              'frequency_caps', coalesce(w.settings -> 'frequency_caps', '[]'))
$$;
