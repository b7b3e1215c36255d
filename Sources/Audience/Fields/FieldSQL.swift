internal import PostgreSQL
internal import Web

enum FieldSQL {
    /// Scores and RFM groups: fields of rules that no contact carries, as far as the workspace has them.
    private static let computed = """
        (SELECT 'scores.' || m.key AS key, 'number' AS type, m.name AS label FROM score_models m WHERE m.workspace_id = current_workspace()
          UNION ALL
         SELECT v.key, v.type, v.label FROM rfm_settings r CROSS JOIN (VALUES
             ('rfm.recency', 'number', 'Recency, 1 to 5'), ('rfm.frequency', 'number', 'Frequency, 1 to 5'),
             ('rfm.monetary', 'number', 'Monetary value, 1 to 5'), ('rfm.group', 'text', 'RFM group')) v (key, type, label)
          WHERE r.workspace_id = current_workspace())
        """
    private static func isComputed(_ key: String) -> String { "\(key) LIKE 'scores.%' OR \(key) LIKE 'rfm.%'" }

    /// Built-in fields come from us as `$1` and `$2`; then the workspace's own, then the computed ones. Examples are of the
    /// newest 200 contacts: enough to recognise a field by, and the same cost however many contacts there are.
    static let page = Statement<PageRow, [String], [String], Int, String, Int>(
        """
        WITH known AS (
                SELECT 1 AS rank, b.key, b.type, true AS is_built_in, false AS is_declared, NULL::text AS label, 0 AS version,
                       NULL::timestamptz AS first_seen_at
                  FROM unnest($1::text[], $2::text[]) AS b (key, type)
                UNION ALL
                SELECT 2, f.key, f.type, false, f.is_declared, f.label, f.version, f.first_seen_at
                  FROM fields f WHERE f.workspace_id = current_workspace()
                UNION ALL
                SELECT 3, m.key, m.type, true, false, m.label, 0, NULL FROM \(computed) m),
             listed AS (SELECT * FROM known k WHERE (k.rank, k.key) > ($3::int, $4) ORDER BY k.rank, k.key LIMIT $5),
             recent AS MATERIALIZED (
                SELECT to_jsonb(c) AS contact FROM contacts c WHERE c.workspace_id = current_workspace()
                 ORDER BY c.created_at DESC, c.id DESC LIMIT 200)
        SELECT json_build_object('key', l.key, 'type', l.type, 'built_in', l.is_built_in, 'declared', l.is_declared,
                                 'label', l.label, 'first_seen_at', rfc3339(l.first_seen_at), 'version', l.version,
                                 'examples', (SELECT coalesce(json_agg(e.value), '[]') FROM (
                                     SELECT DISTINCT r.contact #> string_to_array(l.key, '.') AS value FROM recent r
                                      WHERE r.contact #>> string_to_array(l.key, '.') <> '' ORDER BY 1 LIMIT 3) e),
                                 'statistics', CASE WHEN \(isComputed("l.key")) THEN NULL
                                     ELSE field_statistics_json(l.key, ARRAY(SELECT r.contact FROM recent r)) END),
               l.rank, l.key
          FROM listed l ORDER BY l.rank, l.key
        """)

    static let read = Statement<StoredField, [String], [String], String>(
        """
        WITH known AS (
            SELECT b.key, b.type, true AS is_built_in, false AS is_declared, NULL::text AS label, 0 AS version,
                   NULL::timestamptz AS first_seen_at
              FROM unnest($1::text[], $2::text[]) AS b (key, type) WHERE b.key = $3
            UNION ALL
            SELECT f.key, f.type, false, f.is_declared, f.label, f.version, f.first_seen_at
              FROM fields f WHERE f.workspace_id = current_workspace() AND f.key = $3
            UNION ALL
            SELECT m.key, m.type, true, false, m.label, 0, NULL FROM \(computed) m WHERE m.key = $3),
        recent AS MATERIALIZED (
            SELECT to_jsonb(c) AS contact FROM contacts c WHERE c.workspace_id = current_workspace()
             ORDER BY c.created_at DESC, c.id DESC LIMIT 200)
        SELECT json_build_object('key', k.key, 'type', k.type, 'built_in', k.is_built_in, 'declared', k.is_declared,
                                 'label', k.label, 'first_seen_at', rfc3339(k.first_seen_at), 'version', k.version,
                                 'examples', (SELECT coalesce(json_agg(e.value), '[]') FROM (
                                     SELECT DISTINCT r.contact #> string_to_array(k.key, '.') AS value FROM recent r
                                      WHERE r.contact #>> string_to_array(k.key, '.') <> '' ORDER BY 1 LIMIT 3) e),
                                 'statistics', CASE WHEN \(isComputed("k.key")) THEN NULL
                                     ELSE field_statistics_json(k.key, ARRAY(SELECT r.contact FROM recent r)) END) AS json,
               k.version
          FROM known k
        """)
    static let lock = Statement<Int, String>(
        """
        SELECT version FROM fields WHERE workspace_id = current_workspace() AND key = $1 FOR UPDATE
        """)
    static let declare = Statement<Int, String, String, String?>(
        """
        INSERT INTO fields AS f (workspace_id, key, type, is_declared, label) VALUES (current_workspace(), $1, $2, true, $3)
        ON CONFLICT (workspace_id, key) DO UPDATE
           SET type = excluded.type, is_declared = true, label = excluded.label, updated_at = now(), version = f.version + 1
        """)
    /// Every type at once is what no value can be: none was seen.
    static let forgetUnseen = Statement<Int, String>(
        """
        DELETE FROM fields WHERE workspace_id = current_workspace() AND key = $1 AND may_be = 31
        """)
    static let undeclare = Statement<Int, String>(
        """
        UPDATE fields SET type = discovered_type(may_be), is_declared = false, label = NULL, updated_at = now(),
                          version = version + 1
         WHERE workspace_id = current_workspace() AND key = $1 AND is_declared
        """)
}

struct StoredField: RowDecodable {
    let json: JSONText
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        json = try row["json"]
        version = try row["version"]
    }
}
