internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum NoticeSQL {
    static let page = Statement<PageRow, TimestampText, NoticeID, Int>(
        """
        SELECT notice_json(n), n.created_at, n.id
          FROM notices n
         WHERE n.workspace_id = current_workspace() AND (n.created_at, n.id) < ($1::timestamptz, $2::uuid)
         ORDER BY n.created_at DESC, n.id DESC
         LIMIT $3
        """)

    static let pageRead = Statement<PageRow, TimestampText, NoticeID, Int, Bool>(
        """
        SELECT notice_json(n), n.created_at, n.id
          FROM notices n
         WHERE n.workspace_id = current_workspace() AND (n.created_at, n.id) < ($1::timestamptz, $2::uuid)
           AND (n.read_at IS NOT NULL) = $4
         ORDER BY n.created_at DESC, n.id DESC
         LIMIT $3
        """)

    static let read = Statement<JSONText, NoticeID, UserID?>(
        """
        UPDATE notices n
           SET read_by = CASE WHEN n.read_at IS NULL THEN $2::uuid ELSE n.read_by END, read_at = coalesce(n.read_at, now())
         WHERE n.workspace_id = current_workspace() AND n.id = $1
        RETURNING notice_json(n)
        """)
}
