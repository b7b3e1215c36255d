// Keys: those of programs, and the one that seals secrets.
import ArgumentParser
import PostgreSQL
import Secrets
import Vocabulary
import Web

private enum KeysSQL {
    static let list = Statement<Cells, WorkspaceID>(
        """
        SELECT id, name, prefix || '…', array_to_string(scopes, ' '), rfc3339(created_at), coalesce(rfc3339(last_used_at), ''),
               coalesce(rfc3339(revoked_at), '')
          FROM api_keys WHERE workspace_id = $1 ORDER BY created_at
        """)
    /// In the audit log without an actor: the operator is nobody of the workspace's.
    static let create = Statement<APIKeyID, WorkspaceID, String, String, [UInt8], [String]>(
        """
        WITH made AS (
            INSERT INTO api_keys (workspace_id, name, prefix, secret_hash, scopes) VALUES ($1, $2, $3, $4, $5)
            RETURNING workspace_id, id, scopes),
        noted AS (
            INSERT INTO audit_log (workspace_id, action, subject_type, subject_id, details)
            SELECT workspace_id, 'api_key.created', 'api_key', id, jsonb_build_object('by', 'operator', 'scopes', scopes) FROM made)
        SELECT id FROM made
        """)
    static let revoke = Statement<APIKeyID, APIKeyID>(
        """
        WITH gone AS (
            UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING workspace_id, id),
        noted AS (
            INSERT INTO audit_log (workspace_id, action, subject_type, subject_id, details)
            SELECT workspace_id, 'api_key.revoked', 'api_key', id, jsonb_build_object('by', 'operator') FROM gone)
        SELECT id FROM gone
        """)
}

struct Keys: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Makes and revokes API keys, and makes the sealing key.",
        subcommands: [List.self, Create.self, Revoke.self, Sealing.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists a workspace's API keys.")
        @Option(help: "The workspace's id.") var workspace: String
        func run() throws {
            let rows = try connectAsOwner().all(KeysSQL.list, try parseID(workspace, "workspace")).map(\.texts)
            printTable(["ID", "NAME", "KEY", "SCOPES", "CREATED", "LAST USED", "REVOKED"], rows)
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Makes an API key and prints it. It is never shown again.")
        @Option(help: "The workspace's id.") var workspace: String
        @Option(help: "What it is for.") var name: String
        @Option(name: .customLong("scope"), help: "A scope; may be given several times. * holds all.") var scopes: [String]

        func validate() throws {
            for scope in scopes where !Permission.scopes.contains(scope) {
                throw ValidationError("\(scope) is not a scope; those are \(Permission.scopes.joined(separator: ", "))")
            }
        }

        func run() throws {
            let token = APIKeyFormat.generate(.apiKey)
            _ = try connectAsOwner().one(
                KeysSQL.create, try parseID(workspace, "workspace"), name, APIKeyFormat.prefix(of: token),
                Hash.sha256(Array(token.utf8)), scopes)
            print(token)
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Ends an API key for good.")
        @Argument(help: "The key's id.") var id: String
        func run() throws {
            guard try connectAsOwner().first(KeysSQL.revoke, try parseID(id, "key")) != nil else {
                throw CommandError("there is no such key, or it is revoked already")
            }
        }
    }

    struct Sealing: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints a new sealing key, for a systemd credential or MUSTER_SEALING_KEY_FILE.")
        func run() { print(base64Encode(Random.bytes(32))) }
    }
}
