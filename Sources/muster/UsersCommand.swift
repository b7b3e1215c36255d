// People who sign in.
import ArgumentParser
import PostgreSQL
import Secrets
import Vocabulary
import Web

private enum UsersSQL {
    static let list = Statement<Cells, String>(
        """
        SELECT u.id, u.email, u.name, rfc3339(u.created_at),
               coalesce((SELECT rfc3339(max(s.last_seen_at)) FROM sessions s WHERE s.user_id = u.id), '')
          FROM users u WHERE u.email LIKE '%' || $1 || '%' ORDER BY u.email LIMIT 500
        """)
    static let create = Statement<UserID, String, String, String>(
        """
        INSERT INTO users (email, name, password_hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id
        """)
    static let setPassword = Statement<UserID, String, String>(
        """
        UPDATE users SET password_hash = $2, updated_at = now() WHERE email = $1 RETURNING id
        """)
    static let endSessions = Statement<Int, String>(
        """
        DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE email = $1)
        """)
    static let join = Statement<Int, WorkspaceID, String, String>(
        """
        INSERT INTO members (workspace_id, user_id, role) SELECT $1, id, $3 FROM users WHERE email = $2
        ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role, version = members.version + 1
        """)
}

struct Users: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Makes and changes users.",
        subcommands: [List.self, Create.self, SetPassword.self, SignOut.self, Join.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists users, 500 at most.")
        @Option(help: "Only those whose address contains this.") var search = ""
        func run() throws {
            let rows = try connectAsOwner().all(UsersSQL.list, search.lowercased()).map(\.texts)
            printTable(["ID", "E-MAIL", "NAME", "CREATED", "LAST SEEN"], rows)
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes a user and prints the id. The password is asked for, or read from standard input.")
        @Argument(help: "The e-mail address.") var email: String
        @Option(help: "The name that others see.") var name: String

        func run() throws {
            guard let address = EmailAddress(email) else { throw CommandError("\"\(email)\" is not an e-mail address") }
            let hash = try Password.hash(try readPassword("Password for \(address): "))
            guard let id = try connectAsOwner().first(UsersSQL.create, address.description, name, hash) else {
                throw CommandError("there is a user \(address) already")
            }
            print(id)
        }
    }

    struct SetPassword: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set-password", abstract: "Sets a user's password and ends their sessions.")
        @Argument(help: "The e-mail address.") var email: String

        func run() throws {
            let hash = try Password.hash(try readPassword("New password for \(email): "))
            let email = email.lowercased()
            let ended = try connectAsOwner().transaction { db in
                guard try db.first(UsersSQL.setPassword, email, hash) != nil else {
                    throw CommandError("there is no user \(email)")
                }
                return try db.run(UsersSQL.endSessions, email)
            }
            print("\(ended) sessions ended")
        }
    }

    struct SignOut: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "sign-out", abstract: "Ends all sessions of a user.")
        @Argument(help: "The e-mail address.") var email: String
        func run() throws { print("\(try connectAsOwner().run(UsersSQL.endSessions, email.lowercased())) sessions ended") }
    }

    struct Join: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Makes a user a member of a workspace, or changes their role.")
        @Argument(help: "The e-mail address.") var email: String
        @Option(help: "The workspace's id.") var workspace: String
        @Option(help: "What they may.") var role: Role

        func run() throws {
            let workspace: WorkspaceID = try parseID(workspace, "workspace")
            guard try connectAsOwner().run(UsersSQL.join, workspace, email.lowercased(), role.rawValue) == 1 else {
                throw CommandError("there is no user \(email)")
            }
        }
    }
}
