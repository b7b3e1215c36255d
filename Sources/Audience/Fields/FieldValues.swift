// Suggestions while typing: at the same cost however many contacts there are.
internal import JSON
internal import PostgreSQL
internal import Web

private enum ValueSQL {
    static let exists = Statement<Bool, String>(
        """
        SELECT EXISTS (SELECT FROM fields WHERE workspace_id = current_workspace() AND key = $1)
        """)
    /// The most frequent values as they were last profiled, and those of the newest contacts that are not among them.
    static let frequent = Statement<JSONText, String, String, Int>(
        """
        WITH known AS (
                SELECT v.value, v.contact_count FROM field_values v
                 WHERE v.workspace_id = current_workspace() AND v.key = $1 AND starts_with(lower(v.value), lower($2))),
             recent AS MATERIALIZED (
                SELECT to_jsonb(c) AS contact FROM contacts c WHERE c.workspace_id = current_workspace()
                 ORDER BY c.created_at DESC, c.id DESC LIMIT 200),
             fresh AS (
                SELECT t.value FROM recent r CROSS JOIN LATERAL field_texts(r.contact #> string_to_array($1, '.')) AS t (value)
                 WHERE length(t.value) <= 200 AND starts_with(lower(t.value), lower($2)) AND t.value NOT IN (SELECT value FROM known)
                 GROUP BY t.value),
             listed AS (
                SELECT value, contact_count FROM known UNION ALL SELECT value, NULL FROM fresh
                 ORDER BY contact_count DESC NULLS LAST, value LIMIT $3)
        SELECT json_build_object(
            'items', (SELECT coalesce(json_agg(json_build_object('value', l.value, 'contacts', l.contact_count)
                                               ORDER BY l.contact_count DESC NULLS LAST, l.value), '[]') FROM listed l),
            'exact', s.is_exact, 'as_of', rfc3339(s.profiled_at))
          FROM (SELECT) one
          LEFT JOIN field_statistics s ON s.workspace_id = current_workspace() AND s.key = $1
        """)

    // What identifies a contact is found by its index: a range of texts, because LIKE would not get there.
    static let emails = Statement<JSONText, String, Int>(
        """
        SELECT json_build_object('items', coalesce(json_agg(json_build_object('value', v.email, 'contacts', 1) ORDER BY v.email), '[]'),
                                 'exact', true, 'as_of', rfc3339(now()))
          FROM (SELECT c.email FROM contacts c
                 WHERE c.workspace_id = current_workspace() AND c.email >= lower($1) AND c.email < lower($1) || chr(1114111)
                 ORDER BY c.email LIMIT $2) v
        """)
    static let phones = Statement<JSONText, String, Int>(
        """
        SELECT json_build_object('items', coalesce(json_agg(json_build_object('value', v.phone, 'contacts', 1) ORDER BY v.phone), '[]'),
                                 'exact', true, 'as_of', rfc3339(now()))
          FROM (SELECT c.phone FROM contacts c
                 WHERE c.workspace_id = current_workspace() AND c.phone >= $1 AND c.phone < $1 || chr(1114111)
                 ORDER BY c.phone LIMIT $2) v
        """)
    static let externalIDs = Statement<JSONText, String, Int>(
        """
        SELECT json_build_object('items', coalesce(json_agg(json_build_object('value', v.external_id, 'contacts', 1)
                                                            ORDER BY v.external_id), '[]'),
                                 'exact', true, 'as_of', rfc3339(now()))
          FROM (SELECT c.external_id FROM contacts c
                 WHERE c.workspace_id = current_workspace() AND c.external_id >= $1 AND c.external_id < $1 || chr(1114111)
                 ORDER BY c.external_id LIMIT $2) v
        """)
}

func suggestValues(_ call: Call) throws -> Response {
    let key = normalizedNFC(call.pathText("key"))
    let prefix = normalizedNFC(call.query("prefix") ?? "")
    let limit = call.query("limit").flatMap { Int($0) } ?? 20
    return try call.read { db in
        switch key {
        case "email": return .json(try db.one(ValueSQL.emails, prefix, limit))
        case "phone": return .json(try db.one(ValueSQL.phones, phoneQuery(prefix), limit))
        case "external_id": return .json(try db.one(ValueSQL.externalIDs, prefix, limit))
        case _ where RuleContext.builtIn[key] == nil:
            guard try db.one(ValueSQL.exists, key) else { throw Problem.notFound("field") }
            fallthrough
        default: return .json(try db.one(ValueSQL.frequent, key, prefix, limit))
        }
    }
}
