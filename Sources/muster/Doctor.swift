// Is everything as it should be? And if not, what to do.
import ArgumentParser
import Glibc
import PostgreSQL
import Runtime
import Vocabulary

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Checks configuration, database, roles, migrations, clocks and sockets, and says what to do.")

    @Flag(help: "Do not look for the sockets of running responders.") var withoutSockets = false

    func run() throws {
        var examination = Examination()
        examination.configuration()
        if let configuration = examination.loaded {
            examination.database(configuration)
            if !withoutSockets { examination.sockets(configuration.sockets) }
        }
        print(examination.failures == 0 ? "all is well" : "\(examination.failures) to do")
        if examination.failures > 0 { throw ExitCode.failure }
    }
}

private struct ServerFacts: RowDecodable {
    let version: Int
    let encoding: String
    let collation: String
    let now: Instant
    init(_ row: borrowing Row) throws(PostgresError) {
        version = try row["version"]
        encoding = try row["encoding"]
        collation = try row["collation"]
        now = try row["now"]
    }
}

private enum DoctorSQL {
    static let server = Statement<ServerFacts>(
        """
        SELECT current_setting('server_version_num')::int AS version, pg_encoding_to_char(encoding) AS encoding,
               datcollate AS collation, clock_timestamp() AS now
          FROM pg_database WHERE datname = current_database()
        """)
    static let tooStrong = Statement<Bool>("SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    static let defaultRows = Statement<String>(
        """
        SELECT c.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
         WHERE c.relname LIKE '%\\_default' AND pg_relation_size(c.oid) > 0
        """)
    static let isHeld = Statement<Bool>("SELECT sending_is_held()")
    static let lateJobs = Statement<Int>("SELECT count(*) FROM jobs WHERE state = 'queued' AND run_at < now() - interval '10 minutes'")
}

/// Goes through the checks, telling each as it goes.
private struct Examination {
    private(set) var failures = 0
    private(set) var loaded: Configuration?

    private func good(_ what: String) { print("ok    \(what)") }
    private mutating func bad(_ what: String, _ advice: String) {
        failures += 1
        print("FAIL  \(what)\n      → \(advice)")
    }

    mutating func configuration() {
        do {
            loaded = try Configuration.load()
            good("configuration")
        } catch {
            for fault in error.faults { bad(fault, "correct it in the environment of the services, such as /etc/muster/muster.env") }
            // The rest can be looked at without the key.
            loaded = try? loadConfiguration()
        }
        if let loaded, !loaded.publicURL.hasPrefix("https://") {
            print("note  MUSTER_PUBLIC_URL is \(loaded.publicURL): fine for development; providers and browsers want https")
        }
    }

    mutating func database(_ configuration: Configuration) {
        for role in ["muster_owner", "muster_responder", "muster_worker", "muster_maintenance"] {
            do {
                let db = try Connection(configuration.database, applicationName: "muster doctor", role: role)
                if try db.one(DoctorSQL.tooStrong) {
                    bad("role \(role)", "it passes row-level security; ALTER ROLE \(role) NOSUPERUSER NOBYPASSRLS NOCREATEROLE")
                } else {
                    good("role \(role)")
                }
                if role == "muster_owner" { schema(db, configuration) }
            } catch PostgresError.cannotConnect(let reason) {
                bad(
                    "role \(role): \(reason)",
                    "is the server up? has `muster bootstrap` run? does pg_hba.conf let this user become \(role)?")
            } catch {
                bad("role \(role): \(error)", "run `muster migrate`")
            }
        }
    }

    private mutating func schema(_ db: Connection, _ configuration: Configuration) {
        do {
            let before = Instant.now()
            let server = try db.one(DoctorSQL.server)
            let after = Instant.now()
            server.version >= 150_000
                ? good("PostgreSQL \(server.version / 10_000)") : bad("PostgreSQL \(server.version / 10_000)", "15 or later is needed")
            server.encoding == "UTF8" && ["C.UTF-8", "C.utf8"].contains(server.collation)
                ? good("encoding and collation")
                : bad(
                    "encoding \(server.encoding), collation \(server.collation)",
                    "the order of texts must not change with the system's libraries: make the database with `muster bootstrap`")
            let middle = before + after.seconds(since: before) / 2
            let difference = server.now.seconds(since: middle)
            abs(difference) <= 2 + after.seconds(since: before)
                ? good("clocks")
                : bad(
                    "the database's clock differs by \(Int(difference)) s",
                    "leases and time-outs use its time: turn on NTP on both machines")
            try migrations(db, configuration)
        } catch {
            bad("the schema: \(error)", "run `muster migrate`")
        }
    }

    private mutating func migrations(_ db: Connection, _ configuration: Configuration) throws {
        do {
            let pending = try Migrations(folder: configuration.migrations).pending(on: db)
            pending.isEmpty ? good("migrations") : bad("\(pending.count) migrations are pending", "run `muster migrate`")
            guard pending.isEmpty else { return }
        } catch let error as MigrationError {
            bad("\(error)", "MUSTER_MIGRATIONS must be the folder of this release")
            return
        }
        let overflowing = try db.all(DoctorSQL.defaultRows)
        overflowing.isEmpty
            ? good("partitions")
            : bad("rows in \(overflowing.joined(separator: ", "))", "is muster-partitions.timer on? `muster-maintenance partitions`")
        try db.one(DoctorSQL.isHeld)
            ? bad(
                "sending is held: the database was restored or copied",
                "README.md, \"After restoring a backup\": systemctl start muster-maintenance@reconcile-restore")
            : good("sending")
        let late = try db.one(DoctorSQL.lateJobs)
        late == 0 ? good("queue") : bad("\(late) jobs wait for more than ten minutes", "is muster-worker running? `muster jobs`")
    }

    mutating func sockets(_ folder: String) {
        guard let directory = opendir(folder) else {
            return bad("no folder \(folder)", "systemctl start muster.target, or MUSTER_SOCKETS names another folder")
        }
        defer { closedir(directory) }
        var found = 0
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasSuffix(".sock") || name.hasSuffix(".socket") else { continue }
            found += 1
            answers(folder + "/" + name)
                ? good("socket \(name)") : bad("socket \(name) does not answer", "systemctl status for its service; journalctl tells why")
        }
        if found == 0 { bad("no sockets in \(folder)", "systemctl start muster.target") }
    }

    private func answers(_ path: String) -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}
