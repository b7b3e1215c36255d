// The schema: made once, then only ever moved forward.
import ArgumentParser
import PostgreSQL
import Runtime

struct Migrate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Applies the pending migrations, in order, each in a transaction of its own.")

    @Flag(help: "Only say what would be applied.") var dryRun = false
    @Option(help: "The folder of the migrations; MUSTER_MIGRATIONS otherwise.") var folder: String?

    func run() throws {
        let configuration = try loadConfiguration()
        let migrations = try Migrations(folder: folder ?? configuration.migrations)
        let db = try Connection(configuration.database, applicationName: "muster migrate", role: "muster_owner")
        if dryRun {
            let pending = try migrations.pending(on: db)
            for migration in pending { print("would apply \(migration.name)") }
            print(pending.isEmpty ? "nothing is pending" : "\(pending.count) pending; nothing was changed")
            return
        }
        let applied = try migrations.apply(on: db) { print("applied \($0.name)") }
        if applied.isEmpty { print("nothing was pending") }
        // An upgrade of the system's tzdata comes without a migration.
        try db.execute("SELECT refresh_time_zones()")
    }
}

struct Bootstrap: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes the roles and the database, as a superuser. Running it again changes nothing.",
        discussion: """
            Who may become which role is the business of pg_hba.conf and pg_ident.conf: the roles have no passwords.
            """)

    @Option(help: "How a superuser connects; otherwise MUSTER_DATABASE as the role postgres.") var superuser: String?
    @Option(help: "The folder of bootstrap.sql; MUSTER_MIGRATIONS otherwise.") var folder: String?

    private static let databaseExists = Statement<Bool, String>("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")

    func run() throws {
        let configuration = try loadConfiguration()
        let path = (folder ?? configuration.migrations) + "/bootstrap.sql"
        guard let sql = readFile(path) else { throw CommandError("\(path) cannot be read") }
        let name = Connection.setting("dbname", of: configuration.database) ?? "muster"
        let server = superuser ?? configuration.database
        let role = superuser == nil ? "postgres" : nil
        let postgres = try Connection(
            server, applicationName: "muster bootstrap", role: role,
            database: superuser.flatMap { Connection.setting("dbname", of: $0) } ?? "postgres")
        try postgres.execute(sql)
        print("the roles are there")
        if try postgres.one(Self.databaseExists, name) {
            print("the database \(name) is there already")
        } else {
            try postgres.execute(
                """
                CREATE DATABASE \(quoted(name)) OWNER muster_owner TEMPLATE template0
                    ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'
                """)
            print("made the database \(name)")
        }
        let inside = try Connection(server, applicationName: "muster bootstrap", role: role, database: name)
        try inside.execute(
            "ALTER SCHEMA public OWNER TO muster_owner; GRANT CONNECT ON DATABASE \(quoted(name)) TO muster_responder, muster_worker, muster_maintenance"
        )
        print("next: muster migrate")
    }

    private func quoted(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
