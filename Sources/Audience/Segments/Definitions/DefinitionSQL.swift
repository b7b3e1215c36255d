internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum DefinitionSQL {
    /// Those asked for, or with NULL all that are not archived, by name.
    static let chosen = Statement<DefinedSegment, [SegmentID]?>(
        """
        SELECT s.id, s.name, s.description, s.rule, s.version, segment_access(s) AS access, s.archived_at IS NOT NULL AS is_archived
          FROM segments s
         WHERE s.workspace_id = current_workspace() AND segment_access(s) > 0
           AND CASE WHEN $1::uuid[] IS NULL THEN s.archived_at IS NULL ELSE s.id = ANY ($1) END
         ORDER BY s.name COLLATE "C"
         LIMIT 1001
        """)

    /// In one order, so that two imports of the same file wait for each other instead of both.
    static let lockNamed = Statement<DefinedSegment, [String]>(
        """
        SELECT s.id, s.name, s.description, s.rule, s.version, segment_access(s) AS access, s.archived_at IS NOT NULL AS is_archived
          FROM segments s
         WHERE s.workspace_id = current_workspace() AND s.name = ANY ($1)
         ORDER BY s.id FOR NO KEY UPDATE
        """)

    /// The names of what rules mention. `matches`: how many things of this kind have the name. What must not be seen has none.
    static let names = Statement<NamedThing, [UUID], [UUID], [UUID]>(
        """
        SELECT 'segment' AS kind, s.id, s.name, 1::bigint AS matches FROM segments s
         WHERE s.workspace_id = current_workspace() AND s.id = ANY ($1) AND segment_access(s) > 0
        UNION ALL
        SELECT 'list', l.id, l.name, 1 FROM lists l WHERE l.workspace_id = current_workspace() AND l.id = ANY ($2)
        UNION ALL
        SELECT 'campaign', c.id, c.name,
               (SELECT count(*) FROM campaigns o WHERE o.workspace_id = current_workspace() AND o.name = c.name)
          FROM campaigns c WHERE c.workspace_id = current_workspace() AND c.id = ANY ($3)
        """)

    /// The other way round; of campaigns with the same name each is a row.
    static let named = Statement<NamedThing, [String], [String], [String]>(
        """
        SELECT 'segment' AS kind, s.id, s.name, 1::bigint AS matches FROM segments s
         WHERE s.workspace_id = current_workspace() AND s.name = ANY ($1) AND segment_access(s) > 0
        UNION ALL
        SELECT 'list', l.id, l.name, 1 FROM lists l WHERE l.workspace_id = current_workspace() AND l.name = ANY ($2)
        UNION ALL
        SELECT 'campaign', c.id, c.name, count(*) OVER (PARTITION BY c.name)
          FROM campaigns c WHERE c.workspace_id = current_workspace() AND c.name = ANY ($3)
        """)

    static let insert = Statement<Int, SegmentID, String, String?, JSONValue, UserID?>(
        """
        INSERT INTO segments (workspace_id, id, name, description, rule, created_by) VALUES (current_workspace(), $1, $2, $3, $4, $5)
        """)
}

/// A segment with what a definition says of it.
struct DefinedSegment: RowDecodable {
    let id: SegmentID
    let name: String
    let description: String?
    let rule: JSONValue
    let version: Int
    let access: Int
    let isArchived: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        name = try row["name"]
        description = try row["description"]
        rule = try row["rule"]
        version = try row["version"]
        access = try row["access"]
        isArchived = try row["is_archived"]
    }
}

struct NamedThing: RowDecodable {
    let kind: String
    let id: UUID
    let name: String
    let matches: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        kind = try row["kind"]
        id = try row["id"]
        name = try row["name"]
        matches = try row["matches"]
    }
}
