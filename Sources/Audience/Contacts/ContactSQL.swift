internal import PostgreSQL
internal import Vocabulary
internal import Web

enum ContactSQL {
    static let page = Statement<PageRow, TimestampText, ContactID, Int>(
        """
        SELECT contact_json(c), c.created_at, c.id
          FROM contacts c
         WHERE c.workspace_id = current_workspace() AND (c.created_at, c.id) < ($1::timestamptz, $2)
         ORDER BY c.created_at DESC, c.id DESC
         LIMIT $3
        """)

    static let filtered = Statement<PageRow, TimestampText, ContactID, Int, String?, String?>(
        """
        SELECT contact_json(c), c.created_at, c.id
          FROM contacts c
         WHERE c.workspace_id = current_workspace() AND (c.created_at, c.id) < ($1::timestamptz, $2)
           AND ($4::text IS NULL OR c.status = $4) AND ($5::text IS NULL OR $5 = ANY (c.tags))
         ORDER BY c.created_at DESC, c.id DESC
         LIMIT $3
        """)

    /// `$4` is a LIKE pattern whose own wildcards are escaped.
    static let search = Statement<PageRow, TimestampText, ContactID, Int, String, String?, String?>(
        """
        SELECT contact_json(c), c.created_at, c.id
          FROM search_contacts($4, $1::timestamptz, $2, $5, $6, $3) c
         WHERE c.workspace_id = current_workspace()
         ORDER BY c.created_at DESC, c.id DESC
        """)

    /// By what identifies a contact, so at most one row: all that are given must hold.
    static let find = Statement<PageRow, String?, String?, String?, String?, String?, Int>(
        """
        SELECT contact_json(c), c.created_at, c.id
          FROM contacts c
         WHERE c.workspace_id = current_workspace() AND (c.external_id = $1 OR c.email = $2 OR c.phone = $3)
           AND ($1::text IS NULL OR c.external_id = $1) AND ($2::text IS NULL OR c.email = $2)
           AND ($3::text IS NULL OR c.phone = $3)
           AND ($4::text IS NULL OR c.status = $4) AND ($5::text IS NULL OR $5 = ANY (c.tags))
         LIMIT $6
        """)

    static let read = Statement<StoredContact, ContactID>(
        """
        SELECT contact_json(c), c.version FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = $1
        """)

    /// Not FOR UPDATE: that would wait for every calculation that the contact just entered a segment by.
    static let lock = Statement<Int, ContactID>(
        """
        SELECT c.version FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = $1 FOR NO KEY UPDATE
        """)

    static let country = Statement<String?>(
        """
        SELECT default_country FROM workspaces WHERE id = current_workspace()
        """)

    static let insert = Statement<StoredContact, JSONText, [String], JSONText>(
        """
        INSERT INTO contacts AS c (workspace_id, ordinal, external_id, email, phone, name, first_name, last_name, status,
                                   timezone, country, assigned_to, tags, attributes)
        SELECT current_workspace(), take_ordinals(1) + 1, n.external_id, n.email, n.phone, n.name, n.first_name,
               n.last_name, n.status, n.timezone, n.country, n.assigned_to, $2, jsonb_strip_nulls($3::jsonb)
          FROM json_to_record($1::json) AS n (external_id text, email text, phone text, name text, first_name text,
                                              last_name text, status text, timezone text, country text, assigned_to uuid)
        RETURNING contact_json(c), c.version
        """)

    /// Members that `$2` lacks stay as they are: it has only those that are written.
    static let update = Statement<StoredContact, ContactID, JSONText, [String]?, JSONText>(
        """
        UPDATE contacts AS c
           SET external_id = CASE WHEN $2::jsonb ? 'external_id' THEN $2::jsonb ->> 'external_id' ELSE c.external_id END,
               email = CASE WHEN $2::jsonb ? 'email' THEN $2::jsonb ->> 'email' ELSE c.email END,
               phone = CASE WHEN $2::jsonb ? 'phone' THEN $2::jsonb ->> 'phone' ELSE c.phone END,
               name = CASE WHEN $2::jsonb ? 'name' THEN $2::jsonb ->> 'name' ELSE c.name END,
               first_name = CASE WHEN $2::jsonb ? 'first_name' THEN $2::jsonb ->> 'first_name' ELSE c.first_name END,
               last_name = CASE WHEN $2::jsonb ? 'last_name' THEN $2::jsonb ->> 'last_name' ELSE c.last_name END,
               status = CASE WHEN $2::jsonb ? 'status' THEN $2::jsonb ->> 'status' ELSE c.status END,
               timezone = CASE WHEN $2::jsonb ? 'timezone' THEN $2::jsonb ->> 'timezone' ELSE c.timezone END,
               country = CASE WHEN $2::jsonb ? 'country' THEN $2::jsonb ->> 'country' ELSE c.country END,
               assigned_to = CASE WHEN $2::jsonb ? 'assigned_to' THEN ($2::jsonb ->> 'assigned_to')::uuid ELSE c.assigned_to END,
               tags = coalesce($3, c.tags),
               attributes = jsonb_strip_nulls(c.attributes || $4::jsonb),
               updated_at = now(), version = c.version + 1
         WHERE c.workspace_id = current_workspace() AND c.id = $1
        RETURNING contact_json(c), c.version
        """)

    static let delete = Statement<Int, ContactID>(
        """
        DELETE FROM contacts WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let eraseAddresses = Statement<Int, ContactID>(
        """
        SELECT count(erase_addresses(a.phone, a.email))
          FROM (SELECT c.phone, c.email FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = $1
                UNION
                SELECT CASE m.channel WHEN 'sms' THEN m.to_address END, CASE m.channel WHEN 'email' THEN m.to_address END
                  FROM messages m
                 WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.kind <> 'test'
                   AND NOT EXISTS (SELECT FROM contacts o
                                    WHERE o.workspace_id = current_workspace() AND o.id <> $1
                                      AND (m.channel = 'sms' AND o.phone = m.to_address
                                           OR m.channel = 'email' AND o.email = m.to_address))) a
        """)

    static let noteFields = Statement<Bool, [String], [Int]>(
        """
        SELECT note_fields($1, $2) IS NULL
        """)

    static let zoneExists = Statement<Bool, String>(
        """
        SELECT is_timezone($1)
        """)
}

/// A contact as JSON, with the version that its ETag is made of.
struct StoredContact: RowDecodable {
    let json: JSONText
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        json = try row[index: 0]
        version = try row[index: 1]
    }
}
