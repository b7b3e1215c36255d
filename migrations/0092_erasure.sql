-- Why: who asked to be erased must not come back by the next import; and what is kept for that must not name them.
-- Locks: contacts for a moment, for the triggers.

-- Half of HMAC (RFC 2104): the key, filled to a block of 64 bytes, with each byte changed by `pad`.
CREATE FUNCTION hmac_block(key bytea, pad int) RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    block bytea := decode(repeat('00', 64), 'hex');
BEGIN
    IF octet_length(key) > 64 THEN key := sha256(key); END IF;
    FOR i IN 0..63 LOOP
        block := set_byte(block, i, CASE WHEN i < octet_length(key) THEN get_byte(key, i) ELSE 0 END # pad);
    END LOOP;
    RETURN block;
END
$$;
CREATE FUNCTION hmac_sha256(key bytea, message bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT sha256(hmac_block(key, 92) || sha256(hmac_block(key, 54) || message)) $$;

-- A key per workspace, of 32 random bytes. Only functions of the owner read it.
CREATE TABLE erasure_keys (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT key_is_long_enough CHECK (octet_length(key) = 32)
);
SELECT protect('erasure_keys', 'SELECT');
REVOKE ALL ON erasure_keys FROM muster_responder, muster_worker, muster_maintenance;

-- Addresses of erased contacts: a keyed hash, and why nobody may write there. An address is here or in `suppressions`.
CREATE TABLE erased_suppressions (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    channel text NOT NULL,
    address_hash bytea NOT NULL,
    reason text NOT NULL,
    source text NOT NULL,
    created_at timestamptz NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, channel, address_hash),
    CONSTRAINT channel_is_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT reason_is_known CHECK (reason IN ('opt_out', 'bounce', 'complaint', 'invalid', 'manual')),
    CONSTRAINT hash_is_whole CHECK (octet_length(address_hash) = 32)
);
SELECT protect('erased_suppressions', 'SELECT');

-- Takes the plain form of these addresses' suppressions away and keeps the hash, with the reason that there was; of an address
-- without one, that its owner was erased. With the owner's rights because of the key; it answers nothing.
CREATE FUNCTION erase_addresses(phone text, email text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    secret bytea;
BEGIN
    -- What they wrote goes, too; a text that waits for its reader has found one.
    UPDATE inbound_messages i
       SET from_address = 'erased', body = '',
           review_state = CASE i.review_state WHEN 'open' THEN 'opt_out' ELSE i.review_state END,
           reviewed_at = CASE i.review_state WHEN 'open' THEN now() ELSE i.reviewed_at END
     WHERE i.workspace_id = current_workspace() AND i.from_address = $1;
    -- Two of version 4 have 244 random bits.
    INSERT INTO erasure_keys (workspace_id, key)
        VALUES (current_workspace(), sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))) ON CONFLICT DO NOTHING;
    SELECT k.key INTO secret FROM erasure_keys k WHERE k.workspace_id = current_workspace();
    WITH addresses AS (
        SELECT a.channel, a.address FROM (VALUES ('sms', $1), ('email', $2)) a (channel, address) WHERE a.address IS NOT NULL),
    gone AS (
        DELETE FROM suppressions s USING addresses a
         WHERE s.workspace_id = current_workspace() AND s.channel = a.channel AND s.address = a.address
        RETURNING s.channel, s.address, s.reason, s.source, s.created_at)
    INSERT INTO erased_suppressions (workspace_id, channel, address_hash, reason, source, created_at)
    SELECT current_workspace(), a.channel, hmac_sha256(secret, convert_to(a.address, 'UTF8')), coalesce(g.reason, 'manual'),
           coalesce(g.source, 'erasure'), coalesce(g.created_at, now())
      FROM addresses a LEFT JOIN gone g ON g.channel = a.channel AND g.address = a.address
    ON CONFLICT (workspace_id, channel, address_hash) DO UPDATE
       SET reason = excluded.reason, source = excluded.source, created_at = excluded.created_at, erased_at = excluded.erased_at;
END
$$;

-- Whoever comes back under an address that was erased is suppressed again, with the reason that there was, by the statement
-- that brings them. Looked for only where the workspace has erased anybody.
CREATE FUNCTION suppress_erased_addresses(workspaces uuid[], channels text[], addresses text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    workspace uuid;
    secret bytea;
    inner_block bytea;
    outer_block bytea;
BEGIN
    FOR workspace, secret IN
        SELECT k.workspace_id, k.key FROM erasure_keys k
         WHERE k.workspace_id = ANY ($1) AND EXISTS (SELECT FROM erased_suppressions e WHERE e.workspace_id = k.workspace_id)
    LOOP
        inner_block := hmac_block(secret, 54);
        outer_block := hmac_block(secret, 92);
        WITH known AS MATERIALIZED (
            SELECT n.channel, n.address, sha256(outer_block || sha256(inner_block || convert_to(n.address, 'UTF8'))) AS hash
              FROM unnest($1, $2, $3) n (workspace_id, channel, address) WHERE n.workspace_id = workspace),
        back AS (
            DELETE FROM erased_suppressions e USING known n
             WHERE e.workspace_id = workspace AND e.channel = n.channel AND e.address_hash = n.hash
            RETURNING e.channel, n.address, e.reason, e.source, e.created_at)
        INSERT INTO suppressions AS s (workspace_id, channel, address, reason, source, created_at)
        SELECT workspace, b.channel, b.address, b.reason, b.source, b.created_at FROM back b ORDER BY b.address
        ON CONFLICT (workspace_id, channel, address) DO UPDATE
           SET reason = 'opt_out', source = excluded.source WHERE s.reason <> 'opt_out' AND excluded.reason = 'opt_out';
    END LOOP;
END
$$;

-- With the owner's rights, because nobody else may read the key; they ask about no address but the contacts' own.
CREATE FUNCTION look_for_erased_among_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_suppressions) THEN
        PERFORM suppress_erased_addresses(array_agg(a.workspace_id), array_agg(a.channel), array_agg(a.address))
           FROM (SELECT n.workspace_id, v.channel, v.address FROM inserted n
                  CROSS JOIN LATERAL (VALUES ('sms', n.phone), ('email', n.email)) v (channel, address)
                  WHERE v.address IS NOT NULL) a;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER new_contacts_may_be_erased AFTER INSERT ON contacts
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION look_for_erased_among_new();

CREATE FUNCTION look_for_erased_among_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_suppressions) THEN
        PERFORM suppress_erased_addresses(array_agg(a.workspace_id), array_agg(a.channel), array_agg(a.address))
           FROM (SELECT n.workspace_id, v.channel, v.address
                   FROM after_update n
                   JOIN before_update o ON o.workspace_id = n.workspace_id AND o.id = n.id
                  CROSS JOIN LATERAL (VALUES ('sms', n.phone, o.phone), ('email', n.email, o.email)) v (channel, address, before)
                  WHERE v.address IS NOT NULL AND v.address IS DISTINCT FROM v.before) a;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER changed_contacts_may_be_erased AFTER UPDATE ON contacts
    REFERENCING OLD TABLE AS before_update NEW TABLE AS after_update
    FOR EACH STATEMENT EXECUTE FUNCTION look_for_erased_among_changed();

GRANT EXECUTE ON FUNCTION erase_addresses(text, text) TO muster_responder;
