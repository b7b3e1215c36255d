-- Why: proof of consent that shows when somebody has changed it: entries of a contact and channel are linked by hashes,
-- who recorded them is part of them, and so is why somebody left.
-- Locks: consent_events against everybody while its entries are linked, about a minute for three million. Whoever
-- records consent meanwhile waits; nobody is refused.

ALTER TABLE consent_events
    ADD COLUMN reason text,
    ADD COLUMN reason_text text,
    ADD COLUMN actor_kind text,
    ADD COLUMN actor_id uuid,
    ADD COLUMN sequence bigint,
    ADD COLUMN previous_hash bytea,
    ADD COLUMN hash bytea,
    ADD CONSTRAINT purpose_is_known CHECK (purpose IN ('marketing', 'transactional')),
    ADD CONSTRAINT reason_is_of_an_opt_out CHECK (
        reason IS NULL OR state = 'opted_out' AND reason IN ('too_many', 'not_relevant', 'never_signed_up', 'other')),
    ADD CONSTRAINT reason_text_explains_a_reason CHECK (reason_text IS NULL OR reason IS NOT NULL AND length(reason_text) <= 500),
    ADD CONSTRAINT actor_kind_is_known
        CHECK (actor_kind IN ('user', 'api_key', 'person', 'provider', 'import', 'system', 'unknown'));

-- A field of a hash: four bytes of length, most significant first, then the bytes. NULL is the length -1 and nothing
-- else, so that no two lists of fields have the same encoding.
CREATE FUNCTION hash_field(value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN value IS NULL THEN '\xffffffff'::bytea ELSE int4send(octet_length(value)) || value END $$;

-- Microseconds since 1970-01-01T00:00:00Z, as eight bytes.
CREATE FUNCTION hash_time(value timestamptz) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT int8send((extract(epoch FROM value) * 1000000)::bigint) $$;

-- What an entry's hash is taken over, field by field; docs/consent.md says it for whoever checks without us.
CREATE FUNCTION consent_hash(
    previous_hash bytea, sequence bigint, workspace_id uuid, id uuid, contact_id uuid, channel text, purpose text, state text,
    source text, wording text, reason text, reason_text text, actor_kind text, actor_id uuid, evidence jsonb,
    occurred_at timestamptz, recorded_at timestamptz) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT sha256(
        hash_field($1) || hash_field(int8send($2)) || hash_field(uuid_send($3)) || hash_field(uuid_send($4)) ||
        hash_field(uuid_send($5)) || hash_field(convert_to($6, 'UTF8')) || hash_field(convert_to($7, 'UTF8')) ||
        hash_field(convert_to($8, 'UTF8')) || hash_field(convert_to($9, 'UTF8')) || hash_field(convert_to($10, 'UTF8')) ||
        hash_field(convert_to($11, 'UTF8')) || hash_field(convert_to($12, 'UTF8')) || hash_field(convert_to($13, 'UTF8')) ||
        hash_field(uuid_send($14)) || hash_field(convert_to($15::text, 'UTF8')) || hash_field(hash_time($16)) ||
        hash_field(hash_time($17)))
$$;

-- The end of each chain: how many entries it has and the hash of the last. Whoever appends holds the row, so that each
-- entry has one before it, and nobody waits who writes about another contact. It outlives the contact, as its entries do.
CREATE TABLE consent_chains (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    channel text NOT NULL,
    length bigint NOT NULL,
    event_id uuid NOT NULL,
    previous_hash bytea,
    hash bytea NOT NULL,
    PRIMARY KEY (workspace_id, contact_id, channel),
    CONSTRAINT first_entry_has_none_before_it CHECK ((length = 1) = (previous_hash IS NULL))
);
SELECT protect('consent_chains', 'SELECT, INSERT, UPDATE');

-- Entries from before: in the order in which they were recorded, all first ones, all second ones, and so on.
CREATE UNIQUE INDEX consent_events_linked ON consent_events (workspace_id, contact_id, channel, sequence);
DO $$
DECLARE
    n bigint := 0;
BEGIN
    CREATE TEMPORARY TABLE consent_order ON COMMIT DROP AS
        SELECT workspace_id, id, row_number() OVER (PARTITION BY workspace_id, contact_id, channel ORDER BY recorded_at, id) AS sequence
          FROM consent_events;
    CREATE INDEX ON consent_order (sequence);
    ANALYZE consent_order;
    UPDATE consent_events SET actor_kind = CASE source WHEN 'inbound' THEN 'person' WHEN 'provider' THEN 'provider'
                                                       WHEN 'import' THEN 'import' ELSE 'unknown' END;
    LOOP
        n := n + 1;
        UPDATE consent_events e
           SET sequence = n,
               (previous_hash, hash) = (
                   SELECT p.hash, consent_hash(
                              p.hash, n, e.workspace_id, e.id, e.contact_id, e.channel, e.purpose, e.state, e.source, e.wording,
                              e.reason, e.reason_text, e.actor_kind, e.actor_id, e.evidence, e.occurred_at, e.recorded_at)
                     FROM (VALUES (n - 1)) v (before)
                     LEFT JOIN consent_events p
                       ON p.workspace_id = e.workspace_id AND p.contact_id = e.contact_id AND p.channel = e.channel
                      AND p.sequence = v.before)
          FROM consent_order o
         WHERE o.sequence = n AND e.workspace_id = o.workspace_id AND e.id = o.id;
        EXIT WHEN NOT FOUND;
    END LOOP;
    INSERT INTO consent_chains (workspace_id, contact_id, channel, length, event_id, previous_hash, hash)
        SELECT DISTINCT ON (workspace_id, contact_id, channel) workspace_id, contact_id, channel, sequence, id, previous_hash, hash
          FROM consent_events ORDER BY workspace_id, contact_id, channel, sequence DESC;
END
$$;
ALTER TABLE consent_events
    ALTER COLUMN actor_kind SET NOT NULL, ALTER COLUMN sequence SET NOT NULL, ALTER COLUMN hash SET NOT NULL,
    ADD CONSTRAINT first_entry_has_none_before_it CHECK ((sequence = 1) = (previous_hash IS NULL));
-- Reasons are counted over a time.
CREATE INDEX consent_events_opted_out ON consent_events (workspace_id, occurred_at) WHERE state = 'opted_out';

-- Appends one entry to the chain of each contact: what both ways to record consent come down to.
CREATE FUNCTION append_consent(
    contacts uuid[], channel text, purpose text, state text, source text, wording text, reason text, reason_text text,
    actor_kind text, actor_id uuid, evidence jsonb, at timestamptz) RETURNS SETOF uuid
LANGUAGE sql VOLATILE
AS $$
    WITH entries AS MATERIALIZED (SELECT c AS contact_id, uuid_v7() AS id FROM unnest($1) c),
    linked AS (
        INSERT INTO consent_chains AS k (workspace_id, contact_id, channel, length, event_id, hash)
        SELECT current_workspace(), e.contact_id, $2, 1, e.id,
               consent_hash(NULL, 1, current_workspace(), e.id, e.contact_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now())
          FROM entries e ORDER BY e.contact_id
        ON CONFLICT (workspace_id, contact_id, channel) DO UPDATE
           SET length = k.length + 1, event_id = excluded.event_id, previous_hash = k.hash,
               hash = consent_hash(k.hash, k.length + 1, k.workspace_id, excluded.event_id, k.contact_id, $2, $3, $4, $5, $6, $7, $8,
                                   $9, $10, $11, $12, now())
        RETURNING k.contact_id, k.length, k.event_id, k.previous_hash, k.hash)
    INSERT INTO consent_events (
        workspace_id, id, contact_id, channel, purpose, state, source, wording, reason, reason_text, actor_kind, actor_id, evidence,
        occurred_at, recorded_at, sequence, previous_hash, hash)
    SELECT current_workspace(), l.event_id, l.contact_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now(),
           l.length, l.previous_hash, l.hash
      FROM linked l
    RETURNING id
$$;

-- The one way to change consent: a line in the ledger, and the state unless a later event is known already. At the same
-- instant an opt-out wins. Only marketing has a state; what somebody agreed to besides is in the ledger alone. Who
-- recorded it is told, or follows from the source. The state comes first: whoever records many at once takes it first.
DROP FUNCTION record_consent(uuid, text, text, text, text, jsonb, timestamptz);
CREATE FUNCTION record_consent(
    contact uuid, channel text, state text, source text, wording text DEFAULT NULL, evidence jsonb DEFAULT '{}',
    at timestamptz DEFAULT now(), purpose text DEFAULT 'marketing', reason text DEFAULT NULL, reason_text text DEFAULT NULL,
    actor_kind text DEFAULT NULL, actor_id uuid DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    event uuid;
BEGIN
    IF $8 = 'marketing' THEN
        INSERT INTO consents AS c (workspace_id, contact_id, channel, state, source, occurred_at)
            VALUES (current_workspace(), $1, $2, $3, $4, $7)
            ON CONFLICT (workspace_id, contact_id, channel) DO UPDATE
               SET state = excluded.state, source = excluded.source, occurred_at = excluded.occurred_at, updated_at = now()
             WHERE c.occurred_at < excluded.occurred_at
                OR (c.occurred_at = excluded.occurred_at AND excluded.state = 'opted_out');
    END IF;
    SELECT append_consent(
        ARRAY[$1], $2, $8, $3, $4, $5, $9, $10,
        coalesce($11, CASE $4 WHEN 'inbound' THEN 'person' WHEN 'preferences' THEN 'person' WHEN 'provider' THEN 'provider'
                              WHEN 'import' THEN 'import' ELSE 'system' END), $12, $6, $7) INTO event;
    RETURN event;
END
$$;

CREATE OR REPLACE FUNCTION record_first_consents(contacts uuid[], channel text, state text, source text, evidence jsonb) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    WITH recorded AS (
        INSERT INTO consents (workspace_id, contact_id, channel, state, source, occurred_at)
        SELECT current_workspace(), c, $2, $3, $4, now() FROM unnest($1) c
        ON CONFLICT (workspace_id, contact_id, channel) DO NOTHING
        RETURNING contact_id)
    SELECT count(*) FROM append_consent(
        ARRAY(SELECT r.contact_id FROM recorded r), $2, 'marketing', $3, $4, NULL, NULL, NULL,
        CASE $4 WHEN 'import' THEN 'import' ELSE 'system' END, NULL, $5, now())
$$;

CREATE OR REPLACE FUNCTION consent_json(e consent_events) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object(
        'id', e.id, 'contact_id', e.contact_id, 'channel', e.channel, 'purpose', e.purpose, 'state', e.state,
        'source', e.source, 'wording', e.wording, 'reason', e.reason, 'reason_text', e.reason_text,
        'actor', json_build_object('kind', e.actor_kind, 'id', e.actor_id), 'evidence', e.evidence, 'at', rfc3339(e.occurred_at),
        'recorded_at', rfc3339(e.recorded_at), 'sequence', e.sequence, 'previous_hash', encode(e.previous_hash, 'hex'),
        'hash', encode(e.hash, 'hex'))
$$;

-- Only marketing decides who is written to, then as now.
CREATE OR REPLACE FUNCTION consents_as_of(at timestamptz) RETURNS SETOF consents LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT ON (e.contact_id, e.channel) e.workspace_id, e.contact_id, e.channel, e.state, e.source, e.occurred_at, e.recorded_at
      FROM consent_events e
     WHERE e.workspace_id = current_workspace() AND e.occurred_at <= at AND e.purpose = 'marketing'
     ORDER BY e.contact_id, e.channel, e.occurred_at DESC, e.state DESC
$$;

-- Faults of the chains of contacts from `first` to `last` (NULL: of all from there), in their order. None: every entry
-- is as it was recorded, none is missing and none was put in.
CREATE FUNCTION consent_faults(first uuid, last uuid)
RETURNS TABLE (fault text, contact_id uuid, channel text, sequence bigint, event_id uuid)
LANGUAGE sql STABLE
AS $$
    WITH entries AS (
        SELECT e.contact_id, e.channel, e.sequence, e.id, e.hash, e.previous_hash,
               consent_hash(e.previous_hash, e.sequence, e.workspace_id, e.id, e.contact_id, e.channel, e.purpose, e.state, e.source,
                            e.wording, e.reason, e.reason_text, e.actor_kind, e.actor_id, e.evidence, e.occurred_at,
                            e.recorded_at) AS true_hash,
               lag(e.hash) OVER chain AS hash_before, row_number() OVER chain AS place, lead(e.id) OVER chain IS NULL AS is_last
          FROM consent_events e
         WHERE e.workspace_id = current_workspace() AND e.contact_id >= $1 AND ($2 IS NULL OR e.contact_id <= $2)
        WINDOW chain AS (PARTITION BY e.contact_id, e.channel ORDER BY e.sequence)),
    judged AS (
        SELECT CASE WHEN e.hash <> e.true_hash THEN 'entry_changed'
                    WHEN k.contact_id IS NULL OR e.sequence > k.length THEN 'entry_added'
                    WHEN e.sequence <> e.place THEN 'entry_missing'
                    WHEN e.previous_hash IS DISTINCT FROM e.hash_before THEN 'link_broken'
                    WHEN e.is_last AND e.sequence < k.length THEN 'end_missing'
                    WHEN e.is_last AND e.hash <> k.hash THEN 'end_changed' END AS fault,
               e.contact_id, e.channel, e.sequence, e.id
          FROM entries e
          LEFT JOIN consent_chains k
            ON k.workspace_id = current_workspace() AND k.contact_id = e.contact_id AND k.channel = e.channel
        UNION ALL
        SELECT 'end_missing', k.contact_id, k.channel, k.length, k.event_id
          FROM consent_chains k
         WHERE k.workspace_id = current_workspace() AND k.contact_id >= $1 AND ($2 IS NULL OR k.contact_id <= $2)
           AND NOT EXISTS (SELECT FROM consent_events e
                            WHERE e.workspace_id = current_workspace() AND e.contact_id = k.contact_id AND e.channel = k.channel))
    SELECT j.fault, j.contact_id, j.channel, j.sequence, j.id FROM judged j
     WHERE j.fault IS NOT NULL ORDER BY j.contact_id, j.channel, j.sequence
$$;

-- What all chains of a workspace came to at an instant, one after the other and linked as well: a chain that is taken
-- away whole, or written anew with fitting hashes, no longer gives the root that was noted of it. Whoever keeps the roots
-- elsewhere (the journal has them) can show it even of somebody who may write to every table.
CREATE TABLE consent_anchors (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    sequence bigint NOT NULL,
    -- Entries recorded before this.
    covers_until timestamptz NOT NULL,
    chain_count bigint NOT NULL,
    root bytea NOT NULL,
    previous_hash bytea,
    hash bytea NOT NULL,
    PRIMARY KEY (workspace_id, sequence),
    CONSTRAINT first_anchor_has_none_before_it CHECK ((sequence = 1) = (previous_hash IS NULL))
);
SELECT protect('consent_anchors', 'SELECT');

-- The last hashes of all chains before an instant, in the order of contact and channel: first together by the last byte of
-- the contact's id, then these digests, each behind its number.
CREATE FUNCTION consent_root(before timestamptz) RETURNS TABLE (chain_count bigint, root bytea)
LANGUAGE sql STABLE
AS $$
    WITH ends AS (
        SELECT DISTINCT ON (e.contact_id, e.channel) e.contact_id, e.channel, e.hash FROM consent_events e
         WHERE e.workspace_id = current_workspace() AND e.recorded_at < $1
         ORDER BY e.contact_id, e.channel, e.sequence DESC),
    leaves AS (
        SELECT get_byte(uuid_send(e.contact_id), 15) AS leaf, count(*) AS chains,
               sha256(string_agg(e.hash, ''::bytea ORDER BY e.contact_id, e.channel COLLATE "C")) AS digest
          FROM ends e GROUP BY 1)
    SELECT coalesce(sum(l.chains), 0)::bigint, sha256(coalesce(string_agg(int4send(l.leaf) || l.digest, ''::bytea ORDER BY l.leaf), ''))
      FROM leaves l
$$;

CREATE FUNCTION anchor_hash(previous_hash bytea, sequence bigint, workspace_id uuid, covers_until timestamptz, chain_count bigint, root bytea)
RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT sha256(hash_field($1) || hash_field(int8send($2)) || hash_field(uuid_send($3)) || hash_field(hash_time($4)) ||
                  hash_field(int8send($5)) || hash_field($6))
$$;

-- Faults of the anchors, and of the history that the last of them covers.
CREATE FUNCTION anchor_faults() RETURNS TABLE (fault text, sequence bigint)
LANGUAGE sql STABLE
AS $$
    WITH anchors AS (
        SELECT a.*, lag(a.hash) OVER chain AS hash_before, row_number() OVER chain AS place, lead(a.sequence) OVER chain IS NULL AS is_last
          FROM consent_anchors a WHERE a.workspace_id = current_workspace() WINDOW chain AS (ORDER BY a.sequence)),
    judged AS (
        SELECT CASE WHEN a.sequence <> a.place OR a.previous_hash IS DISTINCT FROM a.hash_before
                      OR a.hash <> anchor_hash(a.previous_hash, a.sequence, a.workspace_id, a.covers_until, a.chain_count, a.root)
                    THEN 'anchor_changed'
                    WHEN a.is_last AND (a.chain_count, a.root) <> (SELECT r.chain_count, r.root FROM consent_root(a.covers_until) r)
                    THEN 'history_changed' END AS fault, a.sequence
          FROM anchors a)
    SELECT j.fault, j.sequence FROM judged j WHERE j.fault IS NOT NULL ORDER BY j.sequence
$$;

-- Notes the root of everything recorded before `before`, unless the last anchor says the same. That is an hour ago or
-- longer: no transaction that records consent takes that long, so nothing older is still to come. Returns the root if it did.
CREATE FUNCTION anchor_consent(before timestamptz) RETURNS SETOF bytea
LANGUAGE sql VOLATILE
AS $$
    WITH last AS (
        SELECT a.sequence, a.hash, a.root FROM consent_anchors a WHERE a.workspace_id = current_workspace() ORDER BY a.sequence DESC LIMIT 1)
    INSERT INTO consent_anchors (workspace_id, sequence, covers_until, chain_count, root, previous_hash, hash)
    SELECT current_workspace(), coalesce(l.sequence, 0) + 1, $1, r.chain_count, r.root, l.hash,
           anchor_hash(l.hash, coalesce(l.sequence, 0) + 1, current_workspace(), $1, r.chain_count, r.root)
      FROM consent_root($1) r LEFT JOIN last l ON true
     WHERE r.chain_count > 0 AND r.root IS DISTINCT FROM l.root
    RETURNING root
$$;

GRANT EXECUTE ON FUNCTION hash_field(bytea), hash_time(timestamptz),
    consent_hash(bytea, bigint, uuid, uuid, uuid, text, text, text, text, text, text, text, text, uuid, jsonb, timestamptz, timestamptz),
    consent_faults(uuid, uuid), consent_root(timestamptz), anchor_hash(bytea, bigint, uuid, timestamptz, bigint, bytea), anchor_faults()
    TO muster_responder, muster_worker, muster_maintenance;
GRANT EXECUTE ON FUNCTION append_consent(uuid[], text, text, text, text, text, text, text, text, uuid, jsonb, timestamptz),
    record_consent(uuid, text, text, text, text, jsonb, timestamptz, text, text, text, text, uuid) TO muster_responder, muster_worker;
GRANT EXECUTE ON FUNCTION anchor_consent(timestamptz) TO muster_maintenance;
