-- Why: short links in messages and pixels in e-mails, and what came in over them.
-- Locks: campaigns for a moment, for the new column; the rest is new.

ALTER TABLE campaigns ADD track_links boolean NOT NULL DEFAULT false;

-- One row per recipient and address, or per recipient and pixel. The key is in the message, and nobody guesses it: a
-- character for the month and eleven at random of 62, 65 bits. `created_at` is the worker's, as the month in the key is,
-- so that a look-up finds the partition. No foreign keys, as in messages.
CREATE TABLE links (
    workspace_id uuid NOT NULL,
    key text NOT NULL,
    created_at timestamptz NOT NULL,
    kind text NOT NULL,
    campaign_id uuid NOT NULL,
    message_id uuid NOT NULL,
    message_created_at timestamptz NOT NULL,
    contact_id uuid,
    url text,
    PRIMARY KEY (workspace_id, key, created_at),
    CONSTRAINT kind_is_known CHECK (kind IN ('click', 'open')),
    CONSTRAINT click_has_url CHECK ((kind = 'click') = (url IS NOT NULL)),
    CONSTRAINT url_is_of_the_web CHECK (url ~ '^https?://[!-~]+$')
) PARTITION BY RANGE (created_at);
CREATE INDEX links_by_key ON links (key);
CREATE INDEX links_of_message ON links (workspace_id, message_id);
SELECT protect('links', 'SELECT, INSERT');
SELECT create_partitions('links');

-- One row per request for a link or a pixel, whoever made it. Neither the address nor what the program calls itself is
-- kept: only the class of the program, and why it counts as a machine. `judged_at`: somebody decided whether it counts.
CREATE TABLE link_hits (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuid_v7(),
    at timestamptz NOT NULL DEFAULT now(),
    key text NOT NULL,
    kind text NOT NULL,
    campaign_id uuid NOT NULL,
    message_id uuid NOT NULL,
    contact_id uuid,
    agent text NOT NULL,
    reason text,
    is_counted boolean NOT NULL,
    judged_by uuid,
    judged_at timestamptz,
    PRIMARY KEY (workspace_id, id, at),
    CONSTRAINT kind_is_known CHECK (kind IN ('click', 'open')),
    CONSTRAINT reason_is_known
        CHECK (reason IN ('head_request', 'prefetch', 'known_agent', 'image_proxy', 'too_fast', 'burst', 'provider_says_machine')),
    CONSTRAINT machine_is_not_counted_unless_judged CHECK (is_counted = (reason IS NULL) OR judged_at IS NOT NULL)
) PARTITION BY RANGE (at);
CREATE INDEX link_hits_newest ON link_hits (workspace_id, id DESC);
CREATE INDEX link_hits_of_campaign ON link_hits (workspace_id, campaign_id, id DESC);
CREATE INDEX link_hits_of_message ON link_hits (workspace_id, message_id, at);
SELECT protect('link_hits', 'SELECT, INSERT, UPDATE');
SELECT create_partitions('link_hits');

-- The link with this key, whoever's it is: before there is a workspace. One month of 62 is looked at, the last one whose
-- place in the alphabet the first character is; a key that nobody has costs the same.
CREATE FUNCTION link_for_key(wanted text)
RETURNS TABLE (workspace_id uuid, kind text, url text, message_id uuid, is_expired boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    -- A worker's clock may be ahead by a moment.
    soon timestamp := (now() + interval '1 hour') AT TIME ZONE 'UTC';
    month int := extract(year FROM soon)::int * 12 + extract(month FROM soon)::int - 1;
    starts timestamptz;
BEGIN
    month := month - (month - strpos('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', left(wanted, 1)) + 1 + 62) % 62;
    starts := make_timestamptz(month / 12, month % 12 + 1, 1, 0, 0, 0, 'UTC');
    RETURN QUERY
        SELECT l.workspace_id, l.kind, l.url, l.message_id, l.created_at < now() - interval '1 year'
          FROM links l
         WHERE l.key = wanted AND l.created_at >= starts AND l.created_at < starts + interval '1 month'
         LIMIT 1;
END
$$;
GRANT EXECUTE ON FUNCTION link_for_key(text) TO muster_responder;

-- Takes back the event of a hit that does not count any more: events are append-only to everybody else. Who reads the
-- event in rules learns of it.
CREATE FUNCTION forget_hit_event(hit uuid, at timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM events e
         WHERE e.workspace_id = current_workspace() AND e.id = $1 AND e.occurred_at = $2
           AND e.name IN ('message.clicked', 'message.opened')
        RETURNING e.contact_id, e.name)
    INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
    SELECT current_workspace(), g.contact_id, ARRAY['event:' || g.name] FROM gone g
$$;
GRANT EXECUTE ON FUNCTION forget_hit_event(uuid, timestamptz) TO muster_responder, muster_worker;

-- What a counted hit is to everybody else: an event of the contact, and of a click the first response to the campaign.
-- Nothing of a test, whose contact only lends data, and nothing of a contact who is gone.
CREATE FUNCTION publish_hit(hit uuid, hit_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    h record;
BEGIN
    SELECT l.* INTO h FROM link_hits l WHERE l.workspace_id = current_workspace() AND l.id = hit AND l.at = hit_at;
    PERFORM FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = h.contact_id FOR KEY SHARE;
    IF NOT FOUND THEN RETURN; END IF;
    INSERT INTO events (workspace_id, id, contact_id, name, occurred_at, properties)
        VALUES (current_workspace(), h.id, h.contact_id, CASE h.kind WHEN 'click' THEN 'message.clicked' ELSE 'message.opened' END,
                h.at, jsonb_strip_nulls(jsonb_build_object('campaign_id', h.campaign_id, 'message_id', h.message_id,
                    'url', (SELECT k.url FROM links k WHERE k.workspace_id = current_workspace() AND k.key = h.key LIMIT 1))))
        ON CONFLICT DO NOTHING;
    PERFORM attribute_conversions(ARRAY[h.contact_id], ARRAY[CASE h.kind WHEN 'click' THEN 'message.clicked' ELSE 'message.opened' END],
                                  ARRAY[h.at]);
    IF h.kind = 'click' THEN
        INSERT INTO campaign_responses AS r (workspace_id, campaign_id, kind, contact_id, occurred_at)
            VALUES (current_workspace(), h.campaign_id, 'clicked', h.contact_id, h.at)
            ON CONFLICT (workspace_id, campaign_id, kind, contact_id)
            DO UPDATE SET occurred_at = excluded.occurred_at WHERE excluded.occurred_at < r.occurred_at;
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION publish_hit(uuid, timestamptz) TO muster_responder, muster_worker;

-- The reverse. The response stays when another hit of the contact counts, at that one's time.
CREATE FUNCTION withdraw_hit(hit uuid, hit_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    h record;
    other timestamptz;
BEGIN
    SELECT l.* INTO h FROM link_hits l WHERE l.workspace_id = current_workspace() AND l.id = hit AND l.at = hit_at;
    PERFORM forget_hit_event(hit, hit_at);
    IF h.kind <> 'click' THEN RETURN; END IF;
    SELECT min(l.at) INTO other FROM link_hits l
     WHERE l.workspace_id = current_workspace() AND l.campaign_id = h.campaign_id AND l.contact_id = h.contact_id
       AND l.kind = 'click' AND l.is_counted;
    IF other IS NULL THEN
        DELETE FROM campaign_responses r
         WHERE r.workspace_id = current_workspace() AND r.campaign_id = h.campaign_id AND r.contact_id = h.contact_id
           AND r.kind = 'clicked' AND r.occurred_at = h.at;
    ELSE
        UPDATE campaign_responses r SET occurred_at = other
         WHERE r.workspace_id = current_workspace() AND r.campaign_id = h.campaign_id AND r.contact_id = h.contact_id
           AND r.kind = 'clicked' AND r.occurred_at = h.at;
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION withdraw_hit(uuid, timestamptz) TO muster_responder, muster_worker;

-- Takes down a request for a link, with the reason that its header gave or what the ledger knows: nobody reads a text and
-- taps within two seconds of its leaving, and nobody taps all of several links within one second. That is seen at the
-- last of them, and takes back those before. Clicks of one message are taken one after the other.
-- Returns the reason; NULL: it counts.
CREATE FUNCTION record_hit(wanted text, agent text, told text) RETURNS text
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
               AND k.created_at = l.created_at) THEN
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
GRANT EXECUTE ON FUNCTION record_hit(text, text, text) TO muster_responder, muster_worker;

-- Lets a hit count, or not, whatever was thought of it. Returns whether there is one.
CREATE FUNCTION judge_hit(hit uuid, counts boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    h record;
BEGIN
    SELECT l.id, l.at, l.is_counted INTO h FROM link_hits l
     WHERE l.workspace_id = current_workspace() AND l.id = hit LIMIT 1 FOR UPDATE;
    IF h.id IS NULL THEN RETURN false; END IF;
    UPDATE link_hits l SET is_counted = counts, judged_by = current_actor(), judged_at = now()
     WHERE l.workspace_id = current_workspace() AND l.id = hit AND l.at = h.at;
    IF counts AND NOT h.is_counted THEN PERFORM publish_hit(hit, h.at); END IF;
    IF h.is_counted AND NOT counts THEN PERFORM withdraw_hit(hit, h.at); END IF;
    RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION judge_hit(uuid, boolean) TO muster_responder;

-- As in migration 0050, with links and their hits: kept for a month longer than links live.
CREATE OR REPLACE FUNCTION drop_partitions(parent text, before timestamptz) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    part record;
    dropped int := 0;
    needed boolean := false;
BEGIN
    IF parent NOT IN ('audit_log', 'receipts', 'links', 'link_hits') THEN
        RAISE EXCEPTION 'partitions of % are not dropped by age', parent;
    END IF;
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'retention of less than a day';
    END IF;
    FOR part IN
        SELECT c.relname::text AS name,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS ends
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = format('public.%I', parent)::regclass AND c.relname <> parent || '_default'
    LOOP
        CONTINUE WHEN part.ends IS NULL OR part.ends > before;
        IF parent = 'receipts' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE due_at IS NOT NULL)', part.name) INTO needed;
        END IF;
        CONTINUE WHEN needed;
        EXECUTE format('DROP TABLE public.%I', part.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
