// Workspaces, seen from above.
import ArgumentParser
import PostgreSQL
import Vocabulary

private enum WorkspacesSQL {
    static let list = Statement<Cells>(
        """
        SELECT w.id, w.name, w.plan, (SELECT count(*) FROM members m WHERE m.workspace_id = w.id)::text,
               rfc3339(w.created_at), coalesce(rfc3339(w.suspended_at), '')
          FROM workspaces w ORDER BY w.created_at, w.id
        """)
    static let owner = Statement<UserID, String>("SELECT id FROM users WHERE email = $1")
    static let create = Statement<WorkspaceID, UserID, String, String, String?>("SELECT create_workspace($1, $2, $3, $4)")
    static let setPlan = Statement<Int, WorkspaceID, String>(
        """
        UPDATE workspaces SET plan = $2, updated_at = now(), version = version + 1 WHERE id = $1
        """)
    static let suspend = Statement<Int, WorkspaceID, Bool>(
        """
        UPDATE workspaces SET suspended_at = CASE WHEN $2 THEN coalesce(suspended_at, now()) END, updated_at = now(),
                              version = version + 1
         WHERE id = $1
        """)
}

struct Workspaces: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workspace", abstract: "Makes and changes workspaces.",
        subcommands: [List.self, Create.self, Plan.self, Suspend.self, Resume.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists all workspaces.")
        func run() throws {
            let rows = try connectAsOwner().all(WorkspacesSQL.list).map(\.texts)
            printTable(["ID", "NAME", "PLAN", "MEMBERS", "CREATED", "SUSPENDED"], rows)
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Makes a workspace and prints its id.")
        @Argument(help: "Its name.") var name: String
        @Option(help: "The e-mail address of the user who will own it.") var owner: String
        @Option(help: "Its time zone, as tzdata names it.") var timezone = "UTC"
        @Option(help: "The country of phone numbers in national form, such as US.") var country: String?
        @Option(help: "Its plan.") var plan = WorkspacePlan.standard

        func run() throws {
            let db = try connectAsOwner()
            let workspace = try db.transaction { db in
                guard let user = try db.first(WorkspacesSQL.owner, owner.lowercased()) else {
                    throw CommandError("there is no user \(owner); see muster user create")
                }
                let workspace = try db.one(WorkspacesSQL.create, user, name, timezone, country)
                try db.run(WorkspacesSQL.setPlan, workspace, plan.rawValue)
                return workspace
            }
            print(workspace)
        }
    }

    struct Plan: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Changes a workspace's plan, and with it its rate limits.")
        @Argument(help: "The workspace's id.") var id: String
        @Argument(help: "The new plan.") var plan: WorkspacePlan
        func run() throws {
            guard try connectAsOwner().run(WorkspacesSQL.setPlan, try parseID(id, "workspace"), plan.rawValue) == 1 else {
                throw CommandError("there is no workspace \(id)")
            }
        }
    }

    struct Suspend: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Locks a workspace: its tokens are refused until it is resumed.")
        @Argument(help: "The workspace's id.") var id: String
        func run() throws { try setSuspended(id, true) }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Opens a suspended workspace again.")
        @Argument(help: "The workspace's id.") var id: String
        func run() throws { try setSuspended(id, false) }
    }

    private static func setSuspended(_ id: String, _ suspended: Bool) throws {
        guard try connectAsOwner().run(WorkspacesSQL.suspend, try parseID(id, "workspace"), suspended) == 1 else {
            throw CommandError("there is no workspace \(id)")
        }
    }
}
