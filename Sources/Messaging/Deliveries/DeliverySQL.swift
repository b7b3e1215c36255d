internal import PostgreSQL
internal import Vocabulary

enum DeliverySQL {
    static let senderForWebhook = Statement<WebhookSender, SenderID>("""
        SELECT workspace_id, credentials FROM sender_for_webhook($1)
        """)

    static let setWorkspace = Statement<Bool, WorkspaceID>("""
        SELECT set_workspace($1) IS NULL
        """)

    static let insertReceipt = Statement<Int, SenderID, MessageID?, String, String, Int?, String>("""
        INSERT INTO receipts (workspace_id, sender_id, message_id, sid, status, error_code, body)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6)
        """)

    static let receiveInbound = Statement<String, SenderID, String, String, String, String, String>("""
        SELECT receive_inbound($1, $2, $3, $4, $5, $6)
        """)

    static let workspacesDue = Statement<WorkspaceID, Int>("""
        SELECT workspaces_with_due_receipts($1)
        """)

    static let settle = Statement<Int, Int>("""
        SELECT settle_receipts($1)
        """)
}

struct WebhookSender: RowDecodable {
    let workspace: WorkspaceID
    let credentials: [UInt8]
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        credentials = try row["credentials"]
    }
}
