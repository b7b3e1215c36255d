internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum ImportSQL {
    static let create = Statement<ImportID, String?, [String], ListID?, UserID?>(
        """
        INSERT INTO imports (workspace_id, default_country, consent, list_id, created_by)
        VALUES (current_workspace(), coalesce($1, (SELECT default_country FROM workspaces WHERE id = current_workspace())), $2, $3, $4)
        RETURNING id
        """)
    static let addChunk = Statement<Int, ImportID, Int, [UInt8]>(
        """
        INSERT INTO import_chunks (workspace_id, import_id, seq, data) VALUES (current_workspace(), $1, $2, $3)
        """)
    static let begin = Statement<Int, ImportID, JobID, Int, JSONValue?>(
        """
        UPDATE imports SET job_id = $2, bytes = $3, mapping = $4 WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let listExists = Statement<Bool, ListID>(
        """
        SELECT EXISTS (SELECT FROM lists WHERE workspace_id = current_workspace() AND id = $1)
        """)
    static let read = Statement<StoredImport, ImportID>(
        """
        SELECT mapping, default_country, consent, list_id, bytes, next_byte, next_line, row_count, created_count,
               updated_count, unchanged_count, rejected_count
          FROM imports WHERE workspace_id = current_workspace() AND id = $1
        """)
    /// Moves the import on, in the transaction that writes its rows.
    static let advance = Statement<Int, ImportID, Int, Int, Int, Int, Int, Int, Int>(
        """
        UPDATE imports SET next_byte = $2, next_line = $3, row_count = $4, created_count = $5, updated_count = $6,
                           unchanged_count = $7, rejected_count = $8
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let chunk = Statement<[UInt8], ImportID, Int>(
        """
        SELECT data FROM import_chunks WHERE workspace_id = current_workspace() AND import_id = $1 AND seq = $2
        """)
    static let dropChunks = Statement<Int, ImportID>(
        """
        DELETE FROM import_chunks WHERE workspace_id = current_workspace() AND import_id = $1
        """)
    static let addErrors = Statement<Int, ImportID, JSONText>(
        """
        INSERT INTO import_errors (workspace_id, import_id, line, column_name, code, detail)
        SELECT current_workspace(), $1, e.line, e."column", e.code, e.detail
          FROM json_to_recordset($2::json) AS e (line bigint, "column" text, code text, detail text)
        """)
    static let page = Statement<PageRow, TimestampText, ImportID, Int>(
        """
        SELECT json_build_object('id', i.id, 'job_id', i.job_id, 'bytes', i.bytes, 'mapping', i.mapping, 'default_country', i.default_country,
                                 'consent', i.consent, 'list_id', i.list_id, 'state', j.state, 'progress', j.progress,
                                 'result', j.result, 'problem', j.problem, 'created_at', rfc3339(i.created_at)),
               i.created_at, i.id
          FROM imports i LEFT JOIN jobs j ON j.workspace_id = i.workspace_id AND j.id = i.job_id
         WHERE i.workspace_id = current_workspace() AND (i.created_at, i.id) < ($1::timestamptz, $2)
         ORDER BY i.created_at DESC, i.id DESC LIMIT $3
        """)
    static let one = Statement<JSONText, ImportID>(
        """
        SELECT json_build_object('id', i.id, 'job_id', i.job_id, 'bytes', i.bytes, 'mapping', i.mapping, 'default_country', i.default_country,
                                 'consent', i.consent, 'list_id', i.list_id, 'state', j.state, 'progress', j.progress,
                                 'result', j.result, 'problem', j.problem, 'created_at', rfc3339(i.created_at))
          FROM imports i LEFT JOIN jobs j ON j.workspace_id = i.workspace_id AND j.id = i.job_id
         WHERE i.workspace_id = current_workspace() AND i.id = $1
        """)
    static let errors = Statement<RowError, ImportID, Int, Int>(
        """
        SELECT line, column_name, code, detail FROM import_errors
         WHERE workspace_id = current_workspace() AND import_id = $1 AND line > $2
         ORDER BY line LIMIT $3
        """)

    // MARK: One batch. `import_rows` is a temporary table of the worker's session.

    static let stage = """
        CREATE TEMPORARY TABLE IF NOT EXISTS import_rows (
            line bigint NOT NULL, new_id uuid NOT NULL, external_id text, email text, phone text, name text,
            first_name text, last_name text, status text, timezone text, country text, tags text[],
            attributes jsonb NOT NULL, contact_id uuid, fault text) ON COMMIT DELETE ROWS
        """
    static let copy = """
        COPY import_rows (line, new_id, external_id, email, phone, name, first_name, last_name, status, timezone, country,
                          tags, attributes) FROM STDIN
        """
    static let analyze = "ANALYZE import_rows"

    /// Whoever adds contacts takes ordinals, so from here on nobody else adds any to this workspace until we commit.
    static let lockOutOthers = Statement<Int>("SELECT take_ordinals(0)")

    /// Finds each row's contact by external id, else by e-mail, else by phone; and rows that would take an address or
    /// an id from somebody else, or make their contact's attributes too large.
    static let match = Statement<Int>(
        """
        UPDATE import_rows r
           SET contact_id = coalesce(x.id, e.id, p.id),
               fault = CASE
                   WHEN e.id <> coalesce(x.id, e.id) THEN 'email_taken'
                   WHEN p.id <> coalesce(x.id, e.id, p.id) THEN 'phone_taken'
                   WHEN x.id IS NULL AND coalesce(e.external_id, p.external_id) <> s.external_id
                   THEN CASE WHEN e.id IS NOT NULL THEN 'email_taken' ELSE 'phone_taken' END
                   WHEN pg_column_size(coalesce(x.attributes, e.attributes, p.attributes) || s.attributes) > 262144
                   THEN 'attributes_too_large' END
          FROM import_rows s
          LEFT JOIN contacts x ON x.workspace_id = current_workspace() AND x.external_id = s.external_id
          LEFT JOIN contacts e ON e.workspace_id = current_workspace() AND e.email = s.email
          LEFT JOIN contacts p ON p.workspace_id = current_workspace() AND p.phone = s.phone
         WHERE r.line = s.line AND (x.id IS NOT NULL OR e.id IS NOT NULL OR p.id IS NOT NULL)
        """)
    static let faults = Statement<BatchFault>(
        """
        SELECT line, fault FROM import_rows WHERE fault IS NOT NULL ORDER BY line
        """)

    /// Cells that are empty write nothing; a row that says nothing new writes nothing.
    /// - Returns: the lines of rows that changed their contact.
    static let update = Statement<Int>(
        """
        UPDATE contacts c
           SET external_id = coalesce(r.external_id, c.external_id), email = coalesce(r.email, c.email),
               phone = coalesce(r.phone, c.phone), name = coalesce(r.name, c.name),
               first_name = coalesce(r.first_name, c.first_name), last_name = coalesce(r.last_name, c.last_name),
               status = coalesce(r.status, c.status), timezone = coalesce(r.timezone, c.timezone),
               country = coalesce(r.country, c.country), tags = coalesce(r.tags, c.tags),
               attributes = c.attributes || r.attributes, updated_at = now(), version = c.version + 1
          FROM import_rows r
         WHERE r.fault IS NULL AND c.workspace_id = current_workspace() AND c.id = r.contact_id
           AND (r.external_id <> c.external_id OR (r.external_id IS NOT NULL AND c.external_id IS NULL)
                OR r.email <> c.email OR (r.email IS NOT NULL AND c.email IS NULL)
                OR r.phone <> c.phone OR (r.phone IS NOT NULL AND c.phone IS NULL)
                OR r.name <> c.name OR (r.name IS NOT NULL AND c.name IS NULL)
                OR r.first_name <> c.first_name OR (r.first_name IS NOT NULL AND c.first_name IS NULL)
                OR r.last_name <> c.last_name OR (r.last_name IS NOT NULL AND c.last_name IS NULL)
                OR r.status <> c.status OR (r.status IS NOT NULL AND c.status IS NULL)
                OR r.timezone <> c.timezone OR (r.timezone IS NOT NULL AND c.timezone IS NULL)
                OR r.country <> c.country OR (r.country IS NOT NULL AND c.country IS NULL)
                OR r.tags <> c.tags OR c.attributes || r.attributes <> c.attributes)
        RETURNING r.line
        """)

    /// - Returns: the lines of rows that made a contact.
    static let insert = Statement<Int>(
        """
        WITH fresh AS (SELECT r.*, row_number() OVER (ORDER BY r.line) AS n FROM import_rows r WHERE r.contact_id IS NULL),
             taken AS MATERIALIZED (SELECT take_ordinals(count(*)) AS base FROM fresh HAVING count(*) > 0),
             made AS (
                INSERT INTO contacts (workspace_id, id, ordinal, external_id, email, phone, name, first_name, last_name,
                                      status, timezone, country, tags, attributes)
                SELECT current_workspace(), f.new_id, taken.base + f.n, f.external_id, f.email, f.phone, f.name,
                       f.first_name, f.last_name, f.status, f.timezone, f.country, coalesce(f.tags, '{}'), f.attributes
                  FROM fresh f CROSS JOIN taken)
        SELECT line FROM fresh
        """)

    /// Opts in whoever can be reached there and has said nothing yet.
    static let consent = Statement<Int, String, ImportID>(
        """
        SELECT record_first_consents(
            ARRAY(SELECT c.id FROM import_rows r
                    JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = coalesce(r.contact_id, r.new_id)
                   WHERE r.fault IS NULL AND CASE $1 WHEN 'sms' THEN c.phone ELSE c.email END IS NOT NULL),
            $1, 'opted_in', 'import', jsonb_build_object('import_id', $2::uuid))
        """)

    static let addToList = Statement<Int, ListID>(
        """
        INSERT INTO list_members (workspace_id, list_id, contact_id)
        SELECT current_workspace(), $1::uuid, coalesce(r.contact_id, r.new_id) FROM import_rows r WHERE r.fault IS NULL
        ON CONFLICT DO NOTHING
        """)

    static let zones = Statement<String>("SELECT time_zone_names()")
}

struct StoredImport: RowDecodable {
    let mapping: JSONValue?
    let country: String?
    let consent: [String]
    let list: ListID?
    let bytes: Int
    /// Where to go on, and what came of the rows before.
    let place: CSVPlace
    let counts: ImportCounts
    /// Whether every row of the file has its outcome.
    var isRead: Bool { place.byte >= bytes }
    init(_ row: borrowing Row) throws(PostgresError) {
        mapping = try row["mapping"]
        country = try row["default_country"]
        consent = try row["consent"]
        list = try row["list_id"]
        bytes = try row["bytes"]
        place = CSVPlace(byte: try row["next_byte"], line: try row["next_line"])
        counts = ImportCounts(
            rows: try row["row_count"], created: try row["created_count"], updated: try row["updated_count"],
            unchanged: try row["unchanged_count"], rejected: try row["rejected_count"])
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
