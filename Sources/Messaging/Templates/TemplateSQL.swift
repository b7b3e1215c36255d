internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum TemplateSQL {
    private static let item = """
        json_build_object('id', t.id, 'name', t.name, 'channel', t.channel, 'body', t.body,
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

    static let insert = Statement<Stored, TemplateID, String, Channel, String>(
        """
        INSERT INTO templates AS t (workspace_id, id, name, channel, body)
        VALUES (current_workspace(), $1, $2, $3, $4)
        RETURNING \(item), t.version
        """)

    static let read = Statement<Stored, TemplateID>(
        """
        SELECT \(item), t.version FROM templates t WHERE t.workspace_id = current_workspace() AND t.id = $1
        """)

    static let body = Statement<String, TemplateID>(
        """
        SELECT body FROM templates WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let lock = Statement<Int, TemplateID>(
        """
        SELECT version FROM templates WHERE workspace_id = current_workspace() AND id = $1 FOR UPDATE
        """)

    static let change = Statement<Stored, TemplateID, String?, String?>(
        """
        UPDATE templates AS t
           SET name = coalesce($2, t.name), body = coalesce($3, t.body), version = t.version + 1, updated_at = now()
         WHERE t.workspace_id = current_workspace() AND t.id = $1
        RETURNING \(item), t.version
        """)

    static let delete = Statement<Int, TemplateID>(
        """
        DELETE FROM templates WHERE workspace_id = current_workspace() AND id = $1
        """)

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
