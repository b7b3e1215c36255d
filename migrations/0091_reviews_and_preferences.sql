-- Why: what may be an opt-out is read by a person and decided, and people change themselves what they get.
-- Locks: inbound_messages against writers while the texts that wait are found, a second for a million.

-- open → opt_out | kept, decided by whoever read it, or by what the person wrote next.
ALTER TABLE inbound_messages
    ADD COLUMN review_state text,
    ADD COLUMN reviewed_at timestamptz,
    -- NULL where the person's next text decided.
    ADD COLUMN reviewed_by uuid;
UPDATE inbound_messages SET review_state = 'open' WHERE intent = 'review';
ALTER TABLE inbound_messages
    ADD CONSTRAINT review_state_is_known CHECK (review_state IN ('open', 'opt_out', 'kept')),
    ADD CONSTRAINT doubtful_text_is_reviewed CHECK ((intent = 'review') = (review_state IS NOT NULL)),
    ADD CONSTRAINT decision_has_its_time CHECK ((coalesce(review_state, 'open') <> 'open') = (reviewed_at IS NOT NULL)),
    ADD CONSTRAINT only_a_decision_has_a_reader CHECK (reviewed_by IS NULL OR reviewed_at IS NOT NULL);
CREATE INDEX inbound_messages_reviewed ON inbound_messages (workspace_id, review_state, received_at DESC, id DESC)
    WHERE review_state IS NOT NULL;
CREATE INDEX inbound_messages_open_of_address ON inbound_messages (workspace_id, from_address) WHERE review_state = 'open';

CREATE FUNCTION review_may_become() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.review_state IS DISTINCT FROM NEW.review_state AND OLD.review_state IS DISTINCT FROM 'open' THEN
        RAISE EXCEPTION 'a review cannot go from % to %', OLD.review_state, NEW.review_state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER reviews_follow_their_arrows AFTER UPDATE OF review_state ON inbound_messages
    FOR EACH ROW EXECUTE FUNCTION review_may_become();

-- As before (migration 0035), and: a doubtful text waits for its reader; a STOP or START decides those of its address that
-- still wait. START that brought somebody back is told, so that it can be confirmed.
-- Returns: stored | returned | repeated.
CREATE OR REPLACE FUNCTION receive_inbound(sender uuid, provider_sid text, from_address text, to_address text, body text, intent text)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    person uuid;
    cause record;
    stored uuid;
    returned boolean := false;
BEGIN
    -- Held, so that nobody deletes the contact under what is written of it.
    SELECT c.id INTO person FROM contacts c WHERE c.workspace_id = current_workspace() AND c.phone = $3 FOR KEY SHARE;
    -- What they answer to: the last message of a campaign to this address in 30 days, of this sender if it sent one.
    SELECT m.campaign_id, m.contact_id INTO cause FROM messages m
     WHERE m.workspace_id = current_workspace() AND m.to_address = $3 AND m.sent_at > now() - interval '30 days'
       AND m.kind = 'campaign'
     ORDER BY m.sender_id = sender DESC, m.sent_at DESC LIMIT 1;
    INSERT INTO inbound_messages AS i (workspace_id, sender_id, sid, from_address, to_address, body, intent, contact_id, campaign_id,
                                       review_state)
        VALUES (current_workspace(), sender, provider_sid, $3, $4, $5, $6, coalesce(person, cause.contact_id), cause.campaign_id,
                CASE WHEN $6 = 'review' THEN 'open' END)
        ON CONFLICT (workspace_id, sid) DO NOTHING RETURNING i.id INTO stored;
    IF stored IS NULL THEN RETURN 'repeated'; END IF;
    CASE intent
    WHEN 'stop' THEN
        PERFORM suppress('sms', $3, 'opt_out', 'inbound');
        IF person IS NOT NULL THEN
            PERFORM record_consent(person, 'sms', 'opted_out', 'inbound', NULL, jsonb_build_object('sid', provider_sid));
        END IF;
    WHEN 'review' THEN
        PERFORM suppress('sms', $3, 'opt_out', 'review');
    WHEN 'start' THEN
        IF EXISTS (SELECT FROM suppressions s
                    WHERE s.workspace_id = current_workspace() AND s.channel = 'sms' AND s.address = $3
                      AND s.reason = 'opt_out' AND s.source IN ('inbound', 'provider', 'review')) THEN
            returned := unsuppress('sms', $3, '{opt_out}');
            IF EXISTS (SELECT FROM consents k
                        WHERE k.workspace_id = current_workspace() AND k.contact_id = person AND k.channel = 'sms'
                          AND k.state = 'opted_out' AND k.source IN ('inbound', 'provider')) THEN
                PERFORM record_consent(person, 'sms', 'opted_in', 'inbound', NULL, jsonb_build_object('sid', provider_sid));
            END IF;
        END IF;
    ELSE NULL;
    END CASE;
    IF intent IN ('stop', 'start') THEN
        UPDATE inbound_messages i SET review_state = CASE $6 WHEN 'stop' THEN 'opt_out' ELSE 'kept' END, reviewed_at = now()
         WHERE i.workspace_id = current_workspace() AND i.from_address = $3 AND i.review_state = 'open';
    END IF;
    IF cause.campaign_id IS NOT NULL THEN
        INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
            SELECT current_workspace(), cause.campaign_id, k, cause.contact_id, now()
              FROM unnest(CASE WHEN intent = 'stop' THEN ARRAY['replied', 'opted_out'] ELSE ARRAY['replied'] END) k
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN CASE WHEN returned THEN 'returned' ELSE 'stored' END;
END
$$;

-- Decides a text that waits. An opt-out holds from when it was written, in the person's own words. Keeping somebody lifts the
-- suppression that doubtful texts made, once none of theirs waits, and no other.
-- Returns: resolved | resolved_already; NULL where there is no such text.
CREATE FUNCTION resolve_review(inbound uuid, decision text, reader uuid, actor_kind text, actor_id uuid) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    text_read inbound_messages;
    person uuid;
BEGIN
    SELECT i.* INTO text_read FROM inbound_messages i
     WHERE i.workspace_id = current_workspace() AND i.id = $1 AND i.review_state IS NOT NULL FOR UPDATE;
    IF text_read.id IS NULL THEN RETURN NULL; END IF;
    IF text_read.review_state <> 'open' THEN RETURN 'resolved_already'; END IF;
    SELECT c.id INTO person FROM contacts c
     WHERE c.workspace_id = current_workspace() AND c.phone = text_read.from_address FOR KEY SHARE;
    UPDATE inbound_messages i
       SET review_state = CASE decision WHEN 'opt_out' THEN 'opt_out' ELSE 'kept' END, reviewed_at = now(), reviewed_by = reader
     WHERE i.workspace_id = current_workspace() AND i.id = $1;
    IF decision = 'opt_out' THEN
        PERFORM suppress('sms', text_read.from_address, 'opt_out', 'inbound');
        IF person IS NOT NULL THEN
            PERFORM record_consent(
                person, 'sms', 'opted_out', 'inbound', NULL,
                jsonb_build_object('sid', text_read.sid, 'text', text_read.body, 'inbound_id', text_read.id),
                text_read.received_at, 'marketing', NULL, NULL, $4, $5);
        END IF;
        IF text_read.campaign_id IS NOT NULL AND text_read.contact_id IS NOT NULL THEN
            INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
                VALUES (current_workspace(), text_read.campaign_id, 'opted_out', text_read.contact_id, text_read.received_at)
                ON CONFLICT DO NOTHING;
        END IF;
    ELSE
        DELETE FROM suppressions s
         WHERE s.workspace_id = current_workspace() AND s.channel = 'sms' AND s.address = text_read.from_address
           AND s.reason = 'opt_out' AND s.source = 'review'
           AND NOT EXISTS (SELECT FROM inbound_messages o
                            WHERE o.workspace_id = current_workspace() AND o.from_address = text_read.from_address
                              AND o.review_state = 'open');
    END IF;
    RETURN 'resolved';
END
$$;

CREATE FUNCTION inbound_json(i inbound_messages) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT json_build_object(
        'id', i.id, 'received_at', rfc3339(i.received_at), 'sender_id', i.sender_id, 'from', i.from_address, 'to', i.to_address,
        'text', i.body, 'intent', i.intent,
        'contact', (SELECT json_build_object('id', c.id, 'name', c.name) FROM contacts c
                     WHERE c.workspace_id = current_workspace() AND c.id = i.contact_id),
        'campaign', (SELECT json_build_object('id', k.id, 'name', k.name) FROM campaigns k
                      WHERE k.workspace_id = current_workspace() AND k.id = i.campaign_id),
        'state', i.review_state, 'reviewed_at', rfc3339(i.reviewed_at), 'reviewed_by', i.reviewed_by)
$$;

-- What a person changed on their own page. An opt-out is recorded once, and again if a reason comes with it. An opt-in ends what
-- an opt-out made, but nothing that the team or a provider said besides; and not a STOP by text, which the provider keeps as
-- well: only a START to it ends that.
-- Returns: changed | unchanged | refused.
CREATE FUNCTION change_preference(
    contact uuid, wanted_channel text, wants boolean, reason text, reason_text text, wording text, evidence jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    target text;
    known text;
    holding suppressions;
BEGIN
    -- Held, so that two who press at once come one after the other, and the address stays what it is.
    SELECT CASE $2 WHEN 'sms' THEN c.phone ELSE c.email END INTO target FROM contacts c
     WHERE c.workspace_id = current_workspace() AND c.id = $1 FOR NO KEY UPDATE;
    IF target IS NULL THEN RETURN 'refused'; END IF;
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

-- The settings with what this adds; what they were before keeps its definition.
ALTER FUNCTION settings_json(workspaces) RENAME TO settings_before_replies;
CREATE FUNCTION settings_json(w workspaces) RETURNS json LANGUAGE sql STABLE
AS $$
    SELECT (settings_before_replies(w)::jsonb || jsonb_build_object('brand', w.settings ->> 'brand', 'help_text', w.settings ->> 'help_text'))::json
$$;

GRANT EXECUTE ON FUNCTION resolve_review(uuid, text, uuid, text, uuid), inbound_json(inbound_messages),
    change_preference(uuid, text, boolean, text, text, text, jsonb), settings_json(workspaces) TO muster_responder, muster_worker;
