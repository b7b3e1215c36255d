internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum ImportSQL {
    static let create = Statement<ImportID, JSONValue?, String?, [String], ListID?, UserID?>("""
        INSERT INTO imports (workspace_id, mapping, default_country, consent, list_id, created_by)
        VALUES (current_workspace(), $1, coalesce($2, (SELECT default_country FROM workspaces WHERE id = current_workspace())), $3, $4, $5)
        RETURNING id
        """)
    static let addChunk = Statement<Int, ImportID, Int, [UInt8]>("""
        INSERT INTO import_chunks (workspace_id, import_id, seq, data) VALUES (current_workspace(), $1, $2, $3)
        """)
    static let begin = Statement<Int, ImportID, JobID, Int>("""
        UPDATE imports SET job_id = $2, bytes = $3 WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let listExists = Statement<Bool, ListID>("""
        SELECT EXISTS (SELECT FROM lists WHERE workspace_id = current_workspace() AND id = $1)
        """)
    static let read = Statement<StoredImport, ImportID>("""
        SELECT mapping, default_country, consent, list_id, bytes FROM imports WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let chunk = Statement<[UInt8], ImportID, Int>("""
        SELECT data FROM import_chunks WHERE workspace_id = current_workspace() AND import_id = $1 AND seq = $2
        """)
    static let dropChunks = Statement<Int, ImportID>("""
        DELETE FROM import_chunks WHERE workspace_id = current_workspace() AND import_id = $1
        """)
    static let dropErrors = Statement<Int, ImportID>("""
        DELETE FROM import_errors WHERE workspace_id = current_workspace() AND import_id = $1
        """)
    static let addErrors = Statement<Int, ImportID, JSONText>("""
        INSERT INTO import_errors (workspace_id, import_id, line, seq, column_name, code, detail)
        SELECT current_workspace(), $1, e.line, e.seq, e.column_name, e.code, e.detail
          FROM json_to_recordset($2::json) AS e (line bigint, seq int, column_name text, code text, detail text)
        ON CONFLICT (workspace_id, import_id, line, seq) DO NOTHING
        """)
    static let page = Statement<PageRow, TimestampText, ImportID, Int>("""
        SELECT json_build_object('id', i.id, 'job_id', i.job_id, 'bytes', i.bytes, 'state', j.state, 'progress', j.progress,
                                 'result', j.result, 'problem', j.problem, 'created_at', rfc3339(i.created_at)),
               i.created_at, i.id
          FROM imports i LEFT JOIN jobs j ON j.workspace_id = i.workspace_id AND j.id = i.job_id
         WHERE i.workspace_id = current_workspace() AND (i.created_at, i.id) < ($1::timestamptz, $2)
         ORDER BY i.created_at DESC, i.id DESC LIMIT $3
        """)
    static let one = Statement<JSONText, ImportID>("""
        SELECT json_build_object('id', i.id, 'job_id', i.job_id, 'bytes', i.bytes, 'state', j.state, 'progress', j.progress,
                                 'result', j.result, 'problem', j.problem, 'created_at', rfc3339(i.created_at))
          FROM imports i LEFT JOIN jobs j ON j.workspace_id = i.workspace_id AND j.id = i.job_id
         WHERE i.workspace_id = current_workspace() AND i.id = $1
        """)
    static let errors = Statement<StoredImportError, ImportID, Int, Int, Int>("""
        SELECT line, seq, column_name, code, detail FROM import_errors
         WHERE workspace_id = current_workspace() AND import_id = $1 AND (line, seq) > ($2, $3)
         ORDER BY line, seq LIMIT $4
        """)

    // MARK: One batch. `import_rows` is a temporary table of the worker's session.

    static let stage = """
        CREATE TEMPORARY TABLE IF NOT EXISTS import_rows (
            line bigint NOT NULL, external_id text, email text, phone text, name text, first_name text, last_name text,
            status text, timezone text, country text, tags text[], attributes jsonb NOT NULL,
            contact_id uuid, is_new boolean, fault text) ON COMMIT DELETE ROWS
        """
    static let copy = """
        COPY import_rows (line, external_id, email, phone, name, first_name, last_name, status, timezone, country, tags, attributes) FROM STDIN
        """

    /// Finds each row's contact by external id, else by e-mail, else by phone; and rows that would take an address or
    /// an id from somebody else.
    static let match = """
        UPDATE import_rows r
           SET contact_id = coalesce(x.id, e.id, p.id),
               is_new = coalesce(x.id, e.id, p.id) IS NULL,
               fault = CASE
                   WHEN e.id <> coalesce(x.id, e.id, p.id) THEN 'email_taken'
                   WHEN p.id <> coalesce(x.id, e.id, p.id) THEN 'phone_taken'
                   WHEN x.id IS NULL AND r.external_id IS NOT NULL AND coalesce(e.external_id, p.external_id) <> r.external_id
                   THEN CASE WHEN e.id IS NOT NULL THEN 'email_taken' ELSE 'phone_taken' END END
          FROM import_rows s
          LEFT JOIN contacts x ON x.workspace_id = current_workspace() AND x.external_id = s.external_id
          LEFT JOIN contacts e ON e.workspace_id = current_workspace() AND e.email = s.email
          LEFT JOIN contacts p ON p.workspace_id = current_workspace() AND p.phone = s.phone
         WHERE r.line = s.line AND (x.id IS NOT NULL OR e.id IS NOT NULL OR p.id IS NOT NULL)
        """
    static let faults = Statement<BatchFault>("""
        SELECT line, fault FROM import_rows WHERE fault IS NOT NULL ORDER BY line
        """)

    /// Cells that are empty write nothing; a row that says nothing new writes nothing.
    static let update = Statement<Int>("""
        UPDATE contacts c
           SET external_id = coalesce(r.external_id, c.external_id), email = coalesce(r.email, c.email),
               phone = coalesce(r.phone, c.phone), name = coalesce(r.name, c.name),
               first_name = coalesce(r.first_name, c.first_name), last_name = coalesce(r.last_name, c.last_name),
               status = coalesce(r.status, c.status), timezone = coalesce(r.timezone, c.timezone),
               country = coalesce(r.country, c.country), tags = coalesce(r.tags, c.tags),
               attributes = c.attributes || r.attributes, updated_at = now(), version = c.version + 1
          FROM import_rows r
         WHERE r.fault IS NULL AND NOT r.is_new
           AND c.workspace_id = current_workspace() AND c.id = r.contact_id
           AND ((r.external_id, r.email, r.phone, r.name, r.first_name, r.last_name, r.status, r.timezone, r.country, r.tags)
                IS DISTINCT FROM
                (CASE WHEN r.external_id IS NOT NULL THEN c.external_id END, CASE WHEN r.email IS NOT NULL THEN c.email END,
                 CASE WHEN r.phone IS NOT NULL THEN c.phone END, CASE WHEN r.name IS NOT NULL THEN c.name END,
                 CASE WHEN r.first_name IS NOT NULL THEN c.first_name END,
                 CASE WHEN r.last_name IS NOT NULL THEN c.last_name END, CASE WHEN r.status IS NOT NULL THEN c.status END,
                 CASE WHEN r.timezone IS NOT NULL THEN c.timezone END, CASE WHEN r.country IS NOT NULL THEN c.country END,
                 CASE WHEN r.tags IS NOT NULL THEN c.tags END)
                OR NOT c.attributes @> r.attributes)
        """)

    static let insert = Statement<Int>("""
        WITH fresh AS (SELECT r.*, row_number() OVER (ORDER BY r.line) AS n FROM import_rows r WHERE r.contact_id IS NULL),
             taken AS MATERIALIZED (SELECT take_ordinals(count(*)) AS base FROM fresh HAVING count(*) > 0),
             made AS (
                INSERT INTO contacts (workspace_id, id, ordinal, external_id, email, phone, name, first_name, last_name,
                                      status, timezone, country, tags, attributes)
                SELECT current_workspace(), uuid_v7(), taken.base + f.n, f.external_id, f.email, f.phone, f.name,
                       f.first_name, f.last_name, f.status, f.timezone, f.country, coalesce(f.tags, '{}'), f.attributes
                  FROM fresh f CROSS JOIN taken
                RETURNING 1)
        SELECT count(*) FROM made
        """)

    /// Opts in whoever has said nothing yet: a file cannot undo an opt-out.
    static let consent = Statement<Int, String, ImportID>("""
        WITH people AS (
                SELECT DISTINCT c.id FROM import_rows r
                  JOIN contacts c ON c.workspace_id = current_workspace()
                   AND (c.id = r.contact_id OR (r.contact_id IS NULL AND (c.external_id = r.external_id OR c.email = r.email OR c.phone = r.phone)))
                 WHERE r.fault IS NULL
                   AND NOT EXISTS (SELECT FROM consents k
                                    WHERE k.workspace_id = current_workspace() AND k.contact_id = c.id AND k.channel = $1)),
             recorded AS (
                SELECT record_consent(p.id, $1, 'opted_in', 'import', NULL, jsonb_build_object('import_id', $2::uuid)) FROM people p)
        SELECT count(*) FROM recorded
        """)

    static let addToList = Statement<Int, ListID>("""
        INSERT INTO list_members (workspace_id, list_id, contact_id)
        SELECT DISTINCT current_workspace(), $1::uuid, c.id FROM import_rows r
          JOIN contacts c ON c.workspace_id = current_workspace()
           AND (c.id = r.contact_id OR (r.contact_id IS NULL AND (c.external_id = r.external_id OR c.email = r.email OR c.phone = r.phone)))
         WHERE r.fault IS NULL
        ON CONFLICT DO NOTHING
        """)
}

struct StoredImport: RowDecodable {
    let mapping: JSONValue?
    let country: String?
    let consent: [String]
    let list: ListID?
    let bytes: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        mapping = try row["mapping"]
        country = try row["default_country"]
        consent = try row["consent"]
        list = try row["list_id"]
        bytes = try row["bytes"]
    }
}

struct BatchFault: RowDecodable {
    let line: Int
    let code: String
    init(_ row: borrowing Row) throws(PostgresError) {
        line = try row["line"]
        code = try row["fault"]
    }
}

struct StoredImportError: RowDecodable {
    let line: Int
    let seq: Int
    let column: String?
    let code: String
    let detail: String
    init(_ row: borrowing Row) throws(PostgresError) {
        line = try row["line"]
        seq = try row["seq"]
        column = try row["column_name"]
        code = try row["code"]
        detail = try row["detail"]
    }
}
