-- Why: the people that a team reaches, what is known of them, and lists made by hand.
-- Locks: nothing, everything is new.

CREATE TABLE contacts (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    -- Dense per workspace, given at insert and never reused: what bitmaps over contacts will be made of.
    ordinal bigint NOT NULL,
    external_id text,
    email text,
    phone text,
    name text,
    first_name text,
    last_name text,
    status text,
    timezone text,
    country text,
    tags text[] NOT NULL DEFAULT '{}',
    attributes jsonb NOT NULL DEFAULT '{}',
    last_contacted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT ordinal_is_unique UNIQUE (workspace_id, ordinal),
    CONSTRAINT external_id_is_unique UNIQUE (workspace_id, external_id),
    CONSTRAINT email_is_unique UNIQUE (workspace_id, email),
    CONSTRAINT phone_is_unique UNIQUE (workspace_id, phone),
    CONSTRAINT phone_is_e164 CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    CONSTRAINT attributes_are_an_object CHECK (jsonb_typeof(attributes) = 'object'),
    CONSTRAINT attributes_are_bounded CHECK (pg_column_size(attributes) <= 262144),
    -- Empty text is missing, and missing is NULL: one way to say it.
    CONSTRAINT empty_text_is_null CHECK ('' <> ALL (ARRAY[external_id, email, phone, name, first_name, last_name,
                                                          status, timezone, country]))
);
CREATE INDEX contacts_by_creation ON contacts (workspace_id, created_at DESC, id DESC);
SELECT protect('contacts');

-- The last ordinal given out. Writers of one workspace wait for each other here until they commit; a batch takes
-- a range in one update.
CREATE TABLE contact_ordinals (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    last_ordinal bigint NOT NULL
);
SELECT protect('contact_ordinals');

-- Takes `wanted` ordinals and returns the one before the first of them.
CREATE FUNCTION take_ordinals(wanted bigint) RETURNS bigint LANGUAGE sql VOLATILE
AS $$
    INSERT INTO contact_ordinals AS o (workspace_id, last_ordinal) VALUES (current_workspace(), wanted)
    ON CONFLICT (workspace_id) DO UPDATE SET last_ordinal = o.last_ordinal + wanted
    RETURNING last_ordinal - wanted
$$;
GRANT EXECUTE ON FUNCTION take_ordinals(bigint) TO muster_responder, muster_worker;

-- What is known of a workspace's fields: those that were declared, and those that were seen.
CREATE TABLE fields (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    -- 'attributes.KEY', nested keys joined by dots.
    key text NOT NULL,
    type text NOT NULL,
    is_declared boolean NOT NULL DEFAULT false,
    label text,
    -- Types that every value seen so far converts to, as bits: 1 number, 2 boolean, 4 date, 8 time, 16 tags.
    may_be int NOT NULL DEFAULT 31,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, key),
    CONSTRAINT key_is_an_attribute CHECK (key LIKE 'attributes.%'),
    CONSTRAINT type_is_known
        CHECK (type IN ('text', 'email', 'phone', 'number', 'money', 'boolean', 'date', 'time', 'tags'))
);
SELECT protect('fields');

-- The first type that every value converts to, in the order of the rule language; text when none does.
CREATE FUNCTION discovered_type(may_be int) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN may_be & 1 > 0 THEN 'number' WHEN may_be & 2 > 0 THEN 'boolean' WHEN may_be & 4 > 0 THEN 'date'
                WHEN may_be & 8 > 0 THEN 'time' WHEN may_be & 16 > 0 THEN 'tags' ELSE 'text' END
$$;

-- Notes values that were seen. Writes only what changes; a declared type stays.
CREATE FUNCTION note_fields(keys text[], masks int[]) RETURNS void LANGUAGE sql VOLATILE
AS $$
    INSERT INTO fields AS f (workspace_id, key, type, may_be)
        SELECT current_workspace(), k, discovered_type(m), m FROM unnest(keys, masks) AS seen (k, m) ORDER BY k
    ON CONFLICT (workspace_id, key) DO UPDATE
       SET may_be = f.may_be & excluded.may_be, updated_at = now(),
           type = CASE WHEN f.is_declared THEN f.type ELSE discovered_type(f.may_be & excluded.may_be) END
     WHERE f.may_be & excluded.may_be <> f.may_be
$$;
GRANT EXECUTE ON FUNCTION discovered_type(int), note_fields(text[], int[]) TO muster_responder, muster_worker;

CREATE TABLE lists (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT list_name_is_unique UNIQUE (workspace_id, name)
);
CREATE INDEX lists_by_creation ON lists (workspace_id, created_at DESC, id DESC);
SELECT protect('lists');

CREATE TABLE list_members (
    workspace_id uuid NOT NULL,
    list_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, list_id, contact_id),
    FOREIGN KEY (workspace_id, list_id) REFERENCES lists ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, contact_id) REFERENCES contacts ON DELETE CASCADE
);
CREATE INDEX list_members_by_contact ON list_members (workspace_id, contact_id);
SELECT protect('list_members');

-- A contact as the API shows it.
CREATE FUNCTION contact_json(c contacts) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_object(
        'id', c.id, 'external_id', c.external_id, 'email', c.email, 'phone', c.phone, 'name', c.name,
        'first_name', c.first_name, 'last_name', c.last_name, 'status', c.status, 'timezone', c.timezone,
        'country', c.country, 'tags', c.tags, 'attributes', c.attributes,
        'last_contacted_at', rfc3339(c.last_contacted_at), 'created_at', rfc3339(c.created_at),
        'updated_at', rfc3339(c.updated_at), 'version', c.version)
$$;
GRANT EXECUTE ON FUNCTION contact_json(contacts) TO muster_responder, muster_worker;

-- Search by a part of a name, address or id. Under row-level security no index serves LIKE, whose function is not
-- leakproof; so this runs with the owner's rights and names the workspace itself. Trigrams serve parts of three
-- characters and more; shorter ones match so many that the newest are found at once.
CREATE SCHEMA extensions;
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA extensions;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA extensions;
CREATE INDEX contacts_by_text ON contacts USING gin (workspace_id extensions.uuid_ops, (
    coalesce(name, '') || E'\n' || coalesce(first_name, '') || ' ' || coalesce(last_name, '') || E'\n' ||
    coalesce(email, '') || E'\n' || coalesce(phone, '') || E'\n' || coalesce(external_id, '')) extensions.gin_trgm_ops);

CREATE FUNCTION search_contacts(pattern text, before timestamptz, before_id uuid, wanted_status text, wanted_tag text, most bigint)
RETURNS SETOF contacts
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    -- Planned for each pattern: whether the index or the order of creation serves it better depends on what it matches.
    RETURN QUERY EXECUTE $query$
        SELECT c.* FROM contacts c
         WHERE c.workspace_id = current_workspace() AND (c.created_at, c.id) < ($2, $3)
           AND coalesce(name, '') || E'\n' || coalesce(first_name, '') || ' ' || coalesce(last_name, '') || E'\n' ||
               coalesce(email, '') || E'\n' || coalesce(phone, '') || E'\n' || coalesce(external_id, '') ILIKE $1
           AND ($4 IS NULL OR c.status = $4) AND ($5 IS NULL OR $5 = ANY (c.tags))
         ORDER BY c.created_at DESC, c.id DESC LIMIT $6
        $query$ USING pattern, before, before_id, wanted_status, wanted_tag, most;
END
$$;
GRANT EXECUTE ON FUNCTION search_contacts(text, timestamptz, uuid, text, text, bigint) TO muster_responder;
