internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum TemplateSQL {
    private static let item = """
        json_build_object('id', t.id, 'name', t.name, 'channel', t.channel, 'subject', t.subject,
            'body', t.body, 'html', t.html,
            'created_at', rfc3339(t.created_at), 'updated_at', rfc3339(t.updated_at), 'version', t.version)::text AS item
        """

    static let page = Statement<PageRow, TimestampText, TemplateID, Int>(
        """
        SELECT \(item), t.created_at::text, t.id::text
          FROM templates t
         WHERE t.workspace_id = current_workspace() AND (t.created_at, t.id) < ($1::timestamptz, $2)
         ORDER BY t.created_at DESC, t.id DESC
         LIMIT $3
        """)

    static let insert = Statement<Stored, TemplateID, String, Channel, String?, String, String?>(
        """
        INSERT INTO templates AS t (workspace_id, id, name, channel, subject, body, html)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6)
        RETURNING \(item), t.version
        """)

    static let read = Statement<Stored, TemplateID>(
        """
        SELECT \(item), t.version FROM templates t WHERE t.workspace_id = current_workspace() AND t.id = $1
        """)

    static let find = Statement<StoredTemplate, TemplateID>(
        """
        SELECT channel, subject, body, html, version FROM templates WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let lock = Statement<StoredTemplate, TemplateID>(
        """
        SELECT channel, subject, body, html, version FROM templates WHERE workspace_id = current_workspace() AND id = $1 FOR UPDATE
        """)

    static let change = Statement<Stored, TemplateID, String?, String?, String, String?>(
        """
        UPDATE templates AS t
           SET name = coalesce($2, t.name), subject = $3, body = $4, html = $5, version = t.version + 1, updated_at = now()
         WHERE t.workspace_id = current_workspace() AND t.id = $1
        RETURNING \(item), t.version
        """)

    static let delete = Statement<Int, TemplateID>(
        """
        DELETE FROM templates WHERE workspace_id = current_workspace() AND id = $1
        """)

    // MARK: Versions

    private static let versionItem = """
        json_build_object('version', v.version, 'name', v.name, 'subject', v.subject, 'body', v.body, 'html', v.html,
            'created_by', v.created_by, 'created_at', rfc3339(v.created_at))
        """

    /// Keeps what a template is now.
    static let keep = Statement<Int, TemplateID>(
        """
        INSERT INTO template_versions (workspace_id, template_id, version, name, subject, body, html, created_by)
        SELECT t.workspace_id, t.id, t.version, t.name, t.subject, t.body, t.html, current_actor()
          FROM templates t WHERE t.workspace_id = current_workspace() AND t.id = $1
        """)

    static let versions = Statement<PageRow, TemplateID, Int, Int>(
        """
        SELECT \(versionItem), v.version
          FROM template_versions v
         WHERE v.workspace_id = current_workspace() AND v.template_id = $1 AND v.version < $2
         ORDER BY v.version DESC
         LIMIT $3
        """)

    static let version = Statement<TemplateVersion, TemplateID, Int>(
        """
        SELECT \(versionItem) AS item, v.subject, v.body, v.html
          FROM template_versions v
         WHERE v.workspace_id = current_workspace() AND v.template_id = $1 AND v.version = $2
        """)

    // MARK: Contacts

    /// What a text may say of a contact.
    static let contact = Statement<JSONValue, ContactID>(
        """
        SELECT \(contactFields("c")) FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = $1
        """)

    /// The contact as `TextTemplate.render` reads it.
    static func contactFields(_ c: String) -> String {
        """
        json_build_object('email', \(c).email, 'phone', \(c).phone, 'name', \(c).name, 'first_name', \(c).first_name,
            'last_name', \(c).last_name, 'external_id', \(c).external_id, 'status', \(c).status,
            'timezone', \(c).timezone, 'country', \(c).country, 'tags', \(c).tags, 'attributes', \(c).attributes)
        """
    }
}

/// A template as handlers decide about it.
struct StoredTemplate: RowDecodable {
    let channel: Channel
    let subject: String?
    let body: String
    let html: String?
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        channel = try row["channel"]
        subject = try row["subject"]
        body = try row["body"]
        html = try row["html"]
        version = try row["version"]
    }
}

/// What a template was after a save.
struct TemplateVersion: RowDecodable {
    let item: JSONText
    let subject: String?
    let body: String
    let html: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        item = try row["item"]
        subject = try row["subject"]
        body = try row["body"]
        html = try row["html"]
    }
}
