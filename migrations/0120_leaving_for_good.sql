-- Why: machines that follow all links of a mail were never seen, because a mail's links are made microseconds apart and were looked
-- for at one instant; and who left on their page after they had been deleted, or given another address, was written to again.
-- Locks: nothing.

-- Takes down a request for a link, with the reason that its header gave or what the ledger knows: nobody reads a text and
-- taps within two seconds of its leaving, and nobody taps all of several links within one second. That is seen at the
-- last of them, and takes back those before. Clicks of one message are taken one after the other.
-- Returns the reason; NULL: it counts.
CREATE OR REPLACE FUNCTION record_hit(wanted text, agent text, told text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    l record;
    verdict text := told;
    hit uuid := uuid_v7();
    earlier record;
BEGIN
    SELECT k.* INTO l FROM links k WHERE k.workspace_id = current_workspace() AND k.key = wanted LIMIT 1;
    IF l.key IS NULL THEN RETURN 'none'; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(l.message_id::text, 0));
    IF verdict IS NULL AND EXISTS (
            SELECT FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.id = l.message_id AND m.created_at = l.message_created_at
               AND clock_timestamp() < coalesce(m.sent_at, m.started_at) + interval '2 seconds') THEN
        verdict := 'too_fast';
    END IF;
    IF verdict IS NULL AND l.kind = 'click' AND (
            SELECT count(*) > 1 AND bool_and(k.key = wanted OR EXISTS (
                       SELECT FROM link_hits h
                        WHERE h.workspace_id = current_workspace() AND h.message_id = l.message_id AND h.key = k.key
                          AND h.at > now() - interval '1 second'))
              FROM links k
             WHERE k.workspace_id = current_workspace() AND k.message_id = l.message_id AND k.kind = 'click'
               AND k.created_at BETWEEN l.created_at - interval '1 second' AND l.created_at + interval '1 second') THEN
        verdict := 'burst';
        FOR earlier IN
            UPDATE link_hits h SET reason = 'burst', is_counted = false
             WHERE h.workspace_id = current_workspace() AND h.message_id = l.message_id AND h.kind = 'click'
               AND h.at > now() - interval '1 second' AND h.is_counted AND h.judged_at IS NULL
            RETURNING h.id, h.at
        LOOP
            PERFORM withdraw_hit(earlier.id, earlier.at);
        END LOOP;
    END IF;
    INSERT INTO link_hits (workspace_id, id, at, key, kind, campaign_id, message_id, contact_id, agent, reason, is_counted)
        VALUES (current_workspace(), hit, now(), wanted, l.kind, l.campaign_id, l.message_id, l.contact_id, $2, verdict, verdict IS NULL);
    IF verdict IS NULL THEN PERFORM publish_hit(hit, now()); END IF;
    RETURN verdict;
END
$$;

-- Whether this address was of somebody who asked to be erased. With the owner's rights, because nobody else may read the key.
CREATE FUNCTION is_erased(channel text, address text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM erased_suppressions e JOIN erasure_keys k ON k.workspace_id = e.workspace_id
         WHERE e.workspace_id = current_workspace() AND e.channel = $1 AND e.address_hash = hmac_sha256(k.key, convert_to($2, 'UTF8')))
$$;
GRANT EXECUTE ON FUNCTION is_erased(text, text) TO muster_responder;

-- What a person changed on their own page. An opt-out is recorded once, and again if a reason comes with it. An opt-in ends what
-- an opt-out made, but nothing that the team or a provider said besides; and not a STOP by text, which the provider keeps as
-- well: only a START to it ends that.
-- Returns: changed | unchanged | refused.
CREATE OR REPLACE FUNCTION change_preference(
    contact uuid, wanted_channel text, wants boolean, reason text, reason_text text, wording text, evidence jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    target text;
    known text;
    holding suppressions;
    formers text[];
    former text;
    owner uuid;
    has_left boolean := false;
BEGIN
    formers := ARRAY(
        SELECT DISTINCT m.to_address FROM messages m
         WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.channel = $2 AND m.kind <> 'test'
           AND m.started_at IS NOT NULL AND NOT wants);
    -- All that is written of is held first, in one order, so that nobody waits in a circle; and before suppressions, as elsewhere.
    PERFORM FROM contacts c
     WHERE c.workspace_id = current_workspace()
       AND (c.id = $1 OR $2 = 'sms' AND c.phone = ANY (formers) OR $2 = 'email' AND c.email = ANY (formers))
     ORDER BY c.id FOR NO KEY UPDATE;
    -- Held, so that two who press at once come one after the other, and the address stays what it is.
    SELECT CASE $2 WHEN 'sms' THEN c.phone ELSE c.email END INTO target FROM contacts c
     WHERE c.workspace_id = current_workspace() AND c.id = $1 FOR NO KEY UPDATE;
    IF NOT wants THEN
        FOREACH former IN ARRAY formers LOOP
            CONTINUE WHEN former = target OR is_erased($2, former);
            SELECT c.id INTO owner FROM contacts c
             WHERE c.workspace_id = current_workspace() AND ($2 = 'sms' AND c.phone = former OR $2 = 'email' AND c.email = former);
            -- Of somebody who is still here, under another address: whoever has it now, and has said themselves since that they
            -- want this, is somebody else.
            CONTINUE WHEN EXISTS (SELECT FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = $1) AND EXISTS (
                SELECT FROM consent_events e
                 WHERE e.workspace_id = current_workspace() AND e.contact_id = owner AND e.channel = $2 AND e.purpose = 'marketing'
                   AND e.state = 'opted_in' AND e.actor_kind = 'person'
                   AND e.occurred_at > (SELECT max(m.started_at) FROM messages m
                                         WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.to_address = former));
            has_left := true;
            PERFORM suppress($2, former, 'opt_out', 'preferences');
            IF owner IS NOT NULL AND NOT EXISTS (
                    SELECT FROM consents k
                     WHERE k.workspace_id = current_workspace() AND k.contact_id = owner AND k.channel = $2 AND k.state = 'opted_out') THEN
                PERFORM record_consent(owner, $2, 'opted_out', 'preferences', NULL, $7 || jsonb_build_object('link_of_contact', $1),
                                       now(), 'marketing', $4, $5, 'person');
            END IF;
            INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
                SELECT current_workspace(), m.campaign_id, 'opted_out', m.contact_id, now() FROM messages m
                 WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.to_address = former AND m.channel = $2
                   AND m.sent_at > now() - interval '30 days' AND m.kind = 'campaign'
                 ORDER BY m.sent_at DESC LIMIT 1
                ON CONFLICT DO NOTHING;
        END LOOP;
    END IF;
    IF target IS NULL THEN RETURN CASE WHEN has_left THEN 'changed' ELSE 'refused' END; END IF;
    SELECT k.state INTO known FROM consents k
     WHERE k.workspace_id = current_workspace() AND k.contact_id = $1 AND k.channel = $2;
    SELECT s.* INTO holding FROM suppressions s
     WHERE s.workspace_id = current_workspace() AND s.channel = $2 AND s.address = target FOR UPDATE;
    IF NOT wants THEN
        IF known = 'opted_out' AND holding.reason = 'opt_out' AND $4 IS NULL THEN RETURN 'unchanged'; END IF;
        PERFORM suppress($2, target, 'opt_out', 'preferences');
        PERFORM record_consent($1, $2, 'opted_out', 'preferences', NULL, $7, now(), 'marketing', $4, $5, 'person');
        -- Because of the last campaign that they got there, in 30 days.
        INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
            SELECT current_workspace(), m.campaign_id, 'opted_out', m.contact_id, now() FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.to_address = target AND m.channel = $2
               AND m.sent_at > now() - interval '30 days' AND m.kind = 'campaign'
             ORDER BY m.sent_at DESC LIMIT 1
            ON CONFLICT DO NOTHING;
        RETURN 'changed';
    END IF;
    IF holding.id IS NOT NULL THEN
        IF holding.reason <> 'opt_out' OR holding.source NOT IN ('preferences', 'consent', 'review', 'inbound', 'provider')
           OR $2 = 'sms' AND holding.source IN ('inbound', 'provider') THEN
            RETURN 'refused';
        END IF;
        PERFORM unsuppress($2, target, '{opt_out}');
    ELSIF known = 'opted_in' THEN
        RETURN 'unchanged';
    END IF;
    PERFORM record_consent($1, $2, 'opted_in', 'preferences', $6, $7, now(), 'marketing', NULL, NULL, 'person');
    RETURN 'changed';
END
$$;
