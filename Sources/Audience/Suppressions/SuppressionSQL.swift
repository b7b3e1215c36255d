internal import PostgreSQL
internal import Vocabulary
internal import Web

enum SuppressionSQL {
    static let page = Statement<PageRow, TimestampText, SuppressionID, String?, String?, String?, Int>(
        """
        SELECT suppression_json(s), s.created_at, s.id FROM suppressions s
         WHERE s.workspace_id = current_workspace() AND (s.created_at, s.id) < ($1::timestamptz, $2)
           AND ($3::text IS NULL OR s.channel = $3) AND ($4::text IS NULL OR s.reason = $4)
           AND ($5::text IS NULL OR s.address = $5)
         ORDER BY s.created_at DESC, s.id DESC LIMIT $6
        """)
    static let read = Statement<StoredSuppression, SuppressionID>(
        """
        SELECT s.id, suppression_json(s) AS json FROM suppressions s WHERE s.workspace_id = current_workspace() AND s.id = $1
        """)
    static let readByAddress = Statement<StoredSuppression, String, String>(
        """
        SELECT s.id, suppression_json(s) AS json FROM suppressions s
         WHERE s.workspace_id = current_workspace() AND s.channel = $1 AND s.address = $2
        """)
    static let suppress = Statement<Bool, String, String, String>(
        """
        SELECT suppress($1, $2, $3, 'api') IS NULL
        """)
    static let delete = Statement<String, SuppressionID>(
        """
        DELETE FROM suppressions WHERE workspace_id = current_workspace() AND id = $1 RETURNING reason
        """)
}

struct StoredSuppression: RowDecodable {
    let id: SuppressionID
    let json: JSONText
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        json = try row["json"]
    }
}
