// The main job once, through the HTTP API against the sandbox: what a newcomer sees after `make run`.
import ArgumentParser
import Glibc
import HTTPClient
import JSON
import PostgreSQL
import Runtime
import Secrets
import Vocabulary

private enum DemoSQL {
    static let user = Statement<UserID, String>("SELECT id FROM users WHERE email = $1")
    static let workspace = Statement<WorkspaceID, UserID>(
        """
        SELECT m.workspace_id FROM members m WHERE m.user_id = $1 AND m.role = 'owner' ORDER BY m.created_at LIMIT 1
        """)
    static let signUp = Statement<WorkspaceID, String, String>(
        """
        SELECT workspace_id FROM sign_up($1, 'Demo', $2, 'Demo', 'America/New_York', 'US')
        """)
    static let prepare = Statement<Int, WorkspaceID>(
        """
        UPDATE workspaces SET plan = 'unlimited', settings = settings || '{"consent_mode": "opt_out", "quiet_hours_sms": "off"}' WHERE id = $1
        """)
    static let revoke = Statement<Int, WorkspaceID>(
        """
        UPDATE api_keys SET revoked_at = now() WHERE workspace_id = $1 AND name = 'demo' AND revoked_at IS NULL
        """)
    static let key = Statement<Int, WorkspaceID, String, [UInt8], UserID>(
        """
        INSERT INTO api_keys (workspace_id, name, prefix, secret_hash, scopes, created_by) VALUES ($1, 'demo', $2, $3, '{*}', $4)
        """)
}

struct Demo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs the main job once against the sandbox: import, segment, campaign, callbacks, numbers.")
    @Option(help: "A CSV of contacts.") var data: String
    @Option(help: "Where to write the variables for scripts.") var environment: String

    func run() throws {
        let configuration = try loadConfiguration()
        let (workspace, key) = try account()
        let api = API(url: configuration.publicURL, key: key)
        let sandbox = configuration.publicURL + "/sandbox"
        let sender = try self.sender(api, sandbox)
        try writeEnvironment(configuration, workspace, key, sender, sandbox)
        var facts: [[String]] = []

        guard let csv = readBytes(data) else { throw CommandError("\(data) cannot be read") }
        let imported = try api.finish(try api.post("/api/contacts/import", csv, "text/csv"))
        facts.append([
            "Contacts imported",
            "\(imported["result"]?["rows"]?.integer ?? 0) rows: \(imported["result"]?["created"]?.integer ?? 0) created, \(imported["result"]?["updated"]?.integer ?? 0) updated, \(imported["result"]?["unchanged"]?.integer ?? 0) unchanged, \(imported["result"]?["rejected"]?.integer ?? 0) rejected",
        ])

        let rule: JSONValue = [
            "version": 1,
            "match": [
                "all": [
                    ["field": "attributes.channel", "op": "is", "value": "Web"],
                    ["field": "attributes.spent", "op": "at_least", "value": 50],
                ]
            ],
        ]
        let preview = try api.post("/api/segments/preview", ["rule": rule])
        facts.append([
            "Rule finds", "\(preview["count"]?.integer ?? 0) contacts, \(preview["reachable"]?["sms"]?.integer ?? 0) reachable by SMS",
        ])

        let stamp = String(Instant.now().description.prefix(19))
        let segment = try api.post("/api/segments", ["name": .string("Web customers who spent 50 or more, \(stamp)"), "rule": rule])
        _ = try api.wait(seconds: 30, "the segment") { () -> JSONValue? in
            let now = try api.get("/api/segments/\(segment["id"]?.string ?? "")")
            return now["state"]?.string == "ready" ? now : nil
        }
        let campaign = try api.post(
            "/api/campaigns",
            [
                "name": .string("Demo \(stamp)"), "channel": "sms", "segment_id": segment["id"] ?? .null, "sender_id": .string(sender),
                "body":
                    "Hi {{ first_name | default: \"there\" }}, 10% off in {{ city | default: \"your town\" }} this week. Reply STOP to leave.",
            ])
        let id = campaign["id"]?.string ?? ""
        let preflight = try api.post("/api/campaigns/\(id)/preflight", [:])
        if let total = preflight["parts"]?["total"]?.integer {
            facts.append(["Preflight", "\(preflight["waterfall"]?["recipients"]?.text ?? "?") recipients, \(total) message parts"])
        }
        _ = try api.post("/api/campaigns/\(id)/start", [:])
        _ = try api.wait(seconds: 60, "the campaign to finish") {
            let now = try api.get("/api/campaigns/\(id)")
            return now["status"]?.string == "finished" ? now : nil
        }
        // Everybody's last status has come back.
        _ = try api.wait(seconds: 60, "the callbacks") { () -> JSONValue? in
            let now = try api.get("/api/campaigns/\(id)/analytics")
            func count(_ name: String) -> Int { now[name]?.integer ?? 0 }
            return count("delivered") + count("undelivered") + count("failed") >= count("sent") ? now : nil
        }
        if let first = try api.get("/api/campaigns/\(id)/messages?state=delivered&limit=1")["items"]?.array?.first,
            let person = first["to"]?.string
        {
            _ = try API(url: sandbox, key: key).post("/inbound", ["from": .string(person), "to": .string(demoNumber), "body": "STOP"])
            facts.append(["Somebody replied STOP", "suppressed, and left out of every later claim"])
        }
        let after = try api.wait(seconds: 10, "the reply to be counted") { () -> JSONValue? in
            let now = try api.get("/api/campaigns/\(id)/analytics")
            return (now["opted_out"]?.integer ?? 0) > 0 ? now : nil
        }
        for name in ["recipients", "skipped", "sent", "delivered", "undelivered", "failed", "replied", "opted_out", "parts"] {
            if let value = after[name] { facts.append(["Campaign, \(name.split(separator: "_").joined(separator: " "))", value.text]) }
        }
        print()
        printTable(["WHAT HAPPENED", ""], facts)
        print(
            """

            Try next:  curl -s -H "Authorization: Bearer $MUSTER_API_KEY" \(configuration.publicURL)/api/campaigns/\(id)/analytics
            Variables for scripts are in \(environment); `make stop` ends everything.
            """)
    }

    /// The demonstration's workspace and a new key for all of it; the key before is revoked.
    private func account() throws -> (WorkspaceID, String) {
        let db = try connectAsOwner()
        let email = "demo@example.com"
        if try db.first(DemoSQL.user, email) == nil {
            // Nobody needs this password: the operator can set another with `muster user`.
            _ = try db.one(DemoSQL.signUp, email, try Password.hash(APIKeyFormat.generate(.session)))
        }
        let user = try db.one(DemoSQL.user, email)
        let workspace = try db.one(DemoSQL.workspace, user)
        // The contacts of the demonstration are made up and go to the sandbox: they may be texted without consent on
        // record, and at night. A new workspace starts with opt-in and quiet hours.
        try db.run(DemoSQL.prepare, workspace)
        try db.run(DemoSQL.revoke, workspace)
        let key = APIKeyFormat.generate(.apiKey)
        try db.run(DemoSQL.key, workspace, APIKeyFormat.prefix(of: key), Hash.sha256(Array(key.utf8)), user)
        return (workspace, key)
    }

    private let demoNumber = "+13475550100"

    /// The sender at the sandbox, whose account is made known there: the sandbox forgets when it ends.
    private func sender(_ api: API, _ sandbox: String) throws -> String {
        let credentials: JSONValue = [
            "account_sid": "AC00000000000000000000000000000000", "auth_token": "5a0d0b0c5a0d0b0c5a0d0b0c5a0d0b0c",
            "api_key_sid": "SK00000000000000000000000000000000", "api_key_secret": "5a0d0b0c5a0d0b0c5a0d0b0c5a0d0b0d",
        ]
        _ = try API(url: sandbox, key: "").post("/accounts", credentials)
        let known = try api.get("/api/senders?limit=200")["items"]?.array?.first { $0["name"]?.string == "Sandbox" }
        if let id = known?["id"]?.string { return id }
        let made = try api.post(
            "/api/senders",
            [
                "name": "Sandbox", "channel": "sms", "provider": "twilio", "from": .string(demoNumber), "rate_parts_per_second": 1000,
                "credentials": credentials,
            ])
        return made["id"]?.string ?? ""
    }

    private func writeEnvironment(
        _ configuration: Configuration, _ workspace: WorkspaceID, _ key: String, _ sender: String, _ sandbox: String
    ) throws {
        let text = """
            MUSTER_URL=\(configuration.publicURL)
            MUSTER_API_KEY=\(key)
            MUSTER_WORKSPACE_ID=\(workspace)
            MUSTER_SENDER_ID=\(sender)
            MUSTER_SANDBOX_URL=\(sandbox)
            MUSTER_DATABASE='\(configuration.database) user=muster_owner'

            """
        guard let file = fopen(environment, "w") else { throw CommandError("\(environment) cannot be written") }
        chmod(environment, 0o600)
        fputs(text, file)
        fclose(file)
    }
}
