// A person's own page as the outside reaches it: through nginx.
import Foundation
import PostgreSQL
import Runtime
import Secrets
import TestSupport
import Testing
import Vocabulary

@Suite struct PreferencePageTests {
    @Test func `a link in a message leads through nginx to a page that may load its own style and nothing else`() throws {
        try withServer([.webhooks]) { server in
            let owner = try server.database.connect()
            let workspace = try owner.createWorkspace()
            let contact: ContactID = try owner.value(
                "INSERT INTO contacts (workspace_id, ordinal, phone) VALUES ($1, 1, '+12025550123') RETURNING id", workspace.sqlValue)
            let text = try String(contentsOfFile: server.folder + "/sealing-key", encoding: .utf8)
            let bytes = try #require(base64Decode(text.trimmingCharacters(in: .whitespacesAndNewlines)))
            let key = try #require(SealingKey(bytes))
            let path = "/u/" + PreferenceToken(workspace: workspace, contact: contact, channel: .sms).text(key: key)
            let connection = try RawHTTP(server)
            connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            let page = connection.answer()
            #expect(page.hasPrefix("HTTP/1.1 200 ") && page.contains("•••23") && !page.contains("5550123"))
            let policies = page.split(separator: "\r\n").filter { $0.lowercased().hasPrefix("content-security-policy:") }
            #expect(policies.count == 1 && policies[0].contains("style-src 'sha256-") && policies[0].contains("default-src 'none'"))
            let body = "List-Unsubscribe=One-Click"
            for _ in 0..<2 {
                let click = try RawHTTP(server)
                click.send(
                    """
                    POST \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r
                    Content-Length: \(body.utf8.count)\r\n\r\n\(body)
                    """)
                let answer = click.answer()
                #expect(answer.hasPrefix("HTTP/1.1 200 ") && !answer.lowercased().contains("set-cookie"), "\(answer)")
            }
            #expect(try owner.value("SELECT reason || '/' || source FROM suppressions") == "opt_out/preferences")
            #expect(try owner.value("SELECT count(*) FROM consent_events", as: Int.self) == 1)
            let wrong = try RawHTTP(server)
            wrong.send("GET /u/\(String(repeating: "A", count: 66)) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            #expect(wrong.answer().hasPrefix("HTTP/1.1 404 "))
        }
    }
}
