internal import PostgreSQL
internal import Vocabulary
internal import Web

enum ListSQL {
    static let page = Statement<PageRow, TimestampText, ListID, Int>(
        """
        SELECT json_build_object('id', l.id, 'name', l.name, 'created_at', rfc3339(l.created_at),
                                 'updated_at', rfc3339(l.updated_at), 'version', l.version), l.created_at, l.id
          FROM lists l
         WHERE l.workspace_id = current_workspace() AND (l.created_at, l.id) < ($1::timestamptz, $2)
         ORDER BY l.created_at DESC, l.id DESC LIMIT $3
        """)
    static let insert = Statement<StoredList, String>(
        """
        INSERT INTO lists AS l (workspace_id, name) VALUES (current_workspace(), $1)
        RETURNING l.id, l.version,
                  json_build_object('id', l.id, 'name', l.name, 'member_count', 0, 'created_at', rfc3339(l.created_at),
                                    'updated_at', rfc3339(l.updated_at), 'version', l.version) AS json
        """)
    static let read = Statement<StoredList, ListID>(
        """
        SELECT l.id, l.version,
               json_build_object('id', l.id, 'name', l.name, 'member_count', (
                   SELECT count(*) FROM list_members m WHERE m.workspace_id = l.workspace_id AND m.list_id = l.id),
                   'created_at', rfc3339(l.created_at), 'updated_at', rfc3339(l.updated_at), 'version', l.version) AS json
          FROM lists l WHERE l.workspace_id = current_workspace() AND l.id = $1
        """)
    static let exists = Statement<Int, ListID>(
        """
        SELECT version FROM lists WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let lock = Statement<Int, ListID>(
        """
        SELECT version FROM lists WHERE workspace_id = current_workspace() AND id = $1 FOR NO KEY UPDATE
        """)
    static let rename = Statement<StoredList, ListID, String>(
        """
        UPDATE lists AS l SET name = $2, updated_at = now(), version = l.version + 1
         WHERE l.workspace_id = current_workspace() AND l.id = $1
        RETURNING l.id, l.version,
                  json_build_object('id', l.id, 'name', l.name, 'member_count', (
                      SELECT count(*) FROM list_members m WHERE m.workspace_id = l.workspace_id AND m.list_id = l.id),
                      'created_at', rfc3339(l.created_at), 'updated_at', rfc3339(l.updated_at), 'version', l.version) AS json
        """)
    static let delete = Statement<Int, ListID>(
        """
        DELETE FROM lists WHERE workspace_id = current_workspace() AND id = $1
        """)

    static let members = Statement<PageRow, ListID, ContactID, Int>(
        """
        SELECT contact_json(c), c.id
          FROM list_members m JOIN contacts c ON c.workspace_id = m.workspace_id AND c.id = m.contact_id
         WHERE m.workspace_id = current_workspace() AND m.list_id = $1 AND m.contact_id > $2
         ORDER BY m.contact_id LIMIT $3
        """)
    static let add = Statement<Int, ListID, [ContactID]>(
        """
        INSERT INTO list_members (workspace_id, list_id, contact_id)
        SELECT c.workspace_id, $1, c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = ANY ($2)
        ON CONFLICT DO NOTHING
        """)
    static let remove = Statement<Int, ListID, [ContactID]>(
        """
        DELETE FROM list_members WHERE workspace_id = current_workspace() AND list_id = $1 AND contact_id = ANY ($2)
        """)
    static let unknown = Statement<ContactID, [ContactID]>(
        """
        SELECT w.id FROM unnest($1::uuid[]) AS w (id)
         WHERE NOT EXISTS (SELECT FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = w.id)
         ORDER BY w.id
        """)
}

struct StoredList: RowDecodable {
    let id: ListID
    let version: Int
    let json: JSONText
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        version = try row["version"]
        json = try row["json"]
    }
}
