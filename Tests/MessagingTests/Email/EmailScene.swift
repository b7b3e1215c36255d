import JSON
import PostgreSQL
import Secrets
import TestSupport
import Vocabulary

@testable import Messaging

extension Scene {
    /// The same by mail: contacts `p1@example.com` and so on, who have opted in to it, and a sender at SendGrid.
    /// - Parameter key: what signs its events.
    func becomeMail(
        _ db: Connection, key: SigningKey? = nil, subject: String = "For {{ first_name }}", html: String? = nil,
        credentials: ProviderCredentials? = nil
    ) throws {
        let sendGrid = SendGridCredentials(apiKey: "SG.of-a-test", webhookKey: key.map { base64Encode($0.publicKey) })
        let credentials = credentials ?? .sendGrid(sendGrid)
        let provider = if case .smtp = credentials { "smtp" } else { "sendgrid" }
        try db.transaction { db in
            try db.setWorkspace(workspace)
            try db.runDynamic(
                """
                UPDATE senders SET channel = 'email', provider = $2, from_number = NULL, account_sid = NULL, from_email = 'team@shop.example',
                       from_name = 'Shop', credentials = $3, version = version + 1 WHERE id = $1
                """,
                [sender.sqlValue, provider.sqlValue, credentials.sealed(with: Self.key, workspace: workspace, sender: sender).sqlValue])
            try db.runDynamic(
                "UPDATE contacts SET email = lower(first_name) || '@example.com' WHERE workspace_id = $1", [workspace.sqlValue])
            try db.runDynamic(
                """
                SELECT record_consent(k.contact_id, 'email', 'opted_in', 'test') FROM consents k
                 WHERE k.workspace_id = $1 AND k.channel = 'sms' AND k.state = 'opted_in'
                """, [workspace.sqlValue])
            try db.runDynamic(
                "UPDATE campaigns SET channel = 'email', subject = $2, html = $3 WHERE id = $1",
                [campaign.sqlValue, subject.sqlValue, html.sqlValue])
            try db.runDynamic(
                "UPDATE workspaces SET settings = settings || '{\"postal_address\": \"Shop\\n1 Main Street\"}' WHERE id = $1",
                [workspace.sqlValue])
        }
    }
}
