internal import PostgreSQL
internal import Vocabulary
internal import Web

enum InboundSQL {
    static let page = Statement<PageRow, TimestampText, InboundID, Int, String?>(
        """
        SELECT inbound_json(i), i.received_at, i.id FROM inbound_messages i
         WHERE i.workspace_id = current_workspace() AND (i.received_at, i.id) < ($1::timestamptz, $2)
           AND ($4::text IS NULL OR i.intent = $4)
         ORDER BY i.received_at DESC, i.id DESC LIMIT $3
        """)
    static let reviews = Statement<PageRow, TimestampText, InboundID, Int, String, String?>(
        """
        SELECT inbound_json(i), i.received_at, i.id FROM inbound_messages i
         WHERE i.workspace_id = current_workspace() AND i.review_state = $4 AND (i.received_at, i.id) < ($1::timestamptz, $2)
           AND ($5::text IS NULL OR i.intent = $5)
         ORDER BY i.received_at DESC, i.id DESC LIMIT $3
        """)
    static let read = Statement<JSONText, InboundID>(
        """
        SELECT inbound_json(i) FROM inbound_messages i WHERE i.workspace_id = current_workspace() AND i.id = $1
        """)
    static let resolve = Statement<String?, InboundID, String, UserID?, String, UUID?>(
        """
        SELECT resolve_review($1, $2, $3, $4, $5)
        """)
}
