// PostgreSQL for one test process: private, on a unix socket, gone when the process is gone.
import Glibc
import PostgreSQL

public struct TestSupportError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The cluster that the tests of this process share, with a migrated template to clone.
final class TestCluster: Sendable {
    /// Socket folder and the like, without `user` and `dbname`.
    let address: String
    /// Of a private cluster: its socket is here, its data in `data`.
    let folder: String?
    /// Databases of this process begin with it, so that processes that share a cluster do not meet.
    let prefix: String
    var template: String { prefix + "_template" }
    /// Where tests work in transactions that they roll back.
    var shared: String { prefix + "_shared" }

    private static let started = Result { try TestCluster() }
    static func running() throws -> TestCluster { try started.get() }

    /// - Parameter own: a cluster that only one test uses, and may do harm to; its commits are durable.
    init(own: Bool = false) throws {
        prefix = "muster_test_\(getpid())"
        let given = own ? nil : getenv("MUSTER_TEST_DATABASE").map { String(cString: $0) }
        folder = given == nil ? try startPrivateCluster(durable: own) : nil
        address = try given.map(TestCluster.onSocket) ?? "host=\(folder!)"
        let postgres = try Connection("\(address) user=postgres dbname=postgres", applicationName: "muster tests")
        try TestCluster.removeLeftovers(postgres)
        // Several processes may make the roles of one cluster at the same time.
        try postgres.execute("SELECT pg_advisory_lock(7306513828)")
        try postgres.execute(try text(of: repositoryRoot + "/migrations/bootstrap.sql"))
        try postgres.execute("SELECT pg_advisory_unlock(7306513828)")
        try postgres.execute(
            "CREATE DATABASE \(template) OWNER muster_owner TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'")
        // The schema belongs to who migrates, as `muster bootstrap` leaves it.
        let inside = try Connection("\(address) user=postgres dbname=\(template)")
        try inside.execute("ALTER SCHEMA public OWNER TO muster_owner")
        inside.close()
        let owner = try Connection("\(address) user=muster_owner dbname=\(template)")
        try Migrations(folder: repositoryRoot + "/migrations").apply(on: owner)
        owner.close()
        try postgres.execute("CREATE DATABASE \(shared) OWNER muster_owner TEMPLATE \(template)")
        try release(shared)
        if given != nil { atexit { TestCluster.dropOwnDatabases() } }
    }

    /// A fresh server with what `backUp` kept of another, as it was at a restore point. It may still be recovering.
    init(restoring other: TestCluster, to point: String) throws {
        guard let kept = other.folder else { throw TestSupportError("not our cluster") }
        prefix = other.prefix
        folder = try startPrivateCluster(durable: true, restoring: (kept, point))
        address = "host=\(folder!)"
    }

    /// Keeps all that the server writes from now on, and a copy of its data.
    func backUp() throws {
        guard let folder else { throw TestSupportError("not our cluster") }
        let postgres = try Connection("\(address) user=postgres dbname=postgres")
        try postgres.execute("ALTER SYSTEM SET archive_mode = 'on'")
        try postgres.execute("ALTER SYSTEM SET archive_command = 'cp %p \(folder)/archive/%f'")
        try runAsPostgres("mkdir \(folder)/archive", log: folder + "/backup.log")
        try restart("fast")
        try runAsPostgres("exec pg_basebackup -h \(folder) -U postgres -D \(folder)/base -c fast -X none", log: folder + "/backup.log")
    }

    /// Ends the server of a private cluster for good.
    func stop() throws {
        guard let folder else { throw TestSupportError("not our cluster") }
        try runAsPostgres("exec pg_ctl stop -s -w -t 60 -m immediate -D \(folder)/data", log: folder + "/restart.log")
    }

    /// Ends the server of a private cluster as an operator would, and starts it again.
    /// - Parameter mode: `fast` ends sessions and writes a checkpoint; `immediate` is a crash, and the start a recovery.
    func restart(_ mode: String) throws {
        guard let folder else { throw TestSupportError("not our cluster") }
        try runAsPostgres("exec pg_ctl restart -s -w -t 60 -m \(mode) -D \(folder)/data -l \(folder)/log", log: folder + "/restart.log")
    }

    /// A copy takes itself for one that was restored; this one is meant to send.
    func release(_ database: String) throws {
        try Connection(conninfo(.owner, database)).execute("SELECT release_sending()")
    }

    func conninfo(_ role: DatabaseRole, _ database: String) -> String {
        "\(address) user=\(role.rawValue) dbname=\(database)"
    }

    /// Tests create and drop databases. On a socket it can only be this machine's.
    private static func onSocket(_ conninfo: String) throws -> String {
        let words = conninfo.split(separator: " ").map(String.init)
        guard let host = words.first(where: { $0.hasPrefix("host=") }), host.hasPrefix("host=/") else {
            throw TestSupportError("MUSTER_TEST_DATABASE must name a socket folder, like host=/run/postgresql")
        }
        return words.filter { !$0.hasPrefix("dbname=") && !$0.hasPrefix("user=") }.joined(separator: " ")
    }

    /// Databases of test processes that ended without dropping them.
    private static func removeLeftovers(_ postgres: Connection) throws {
        let names: [String] = try postgres.dynamic("SELECT datname FROM pg_database WHERE datname ~ '^muster_test_[0-9]+_'", [])
        for name in names {
            let owner = name.dropFirst("muster_test_".count).prefix { $0.isNumber }
            guard let process = pid_t(owner), kill(process, 0) != 0, errno == ESRCH else { continue }
            try? postgres.execute("DROP DATABASE IF EXISTS \(name) WITH (FORCE)")
        }
    }

    private static func dropOwnDatabases() {
        guard let cluster = try? started.get(),
            let postgres = try? Connection("\(cluster.address) user=postgres dbname=postgres"),
            let names: [String] = try? postgres.dynamic(
                "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", [.text(cluster.prefix + "_")])
        else { return }
        for name in names { try? postgres.execute("DROP DATABASE IF EXISTS \(name) WITH (FORCE)") }
    }
}

/// The folder with Package.swift.
public let repositoryRoot: String = {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(3)
    return parts.joined(separator: "/")
}()

func text(of path: String) throws -> String {
    guard let file = fopen(path, "r") else { throw TestSupportError("cannot read \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
}

private func runAsPostgres(_ command: String, log: String) throws {
    let path = "PATH=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1):$PATH\n"
    try runToEnd(
        ["/usr/bin/env", "-C", "/"] + asPostgres + ["sh", "-c", path + command], environment: ["PATH": "/usr/bin:/bin:/usr/sbin:/sbin"],
        log: log)
}

/// Makes a cluster in a new folder, or restores the backup in folder $2 to the restore point $3, and starts it. Nothing here
/// outlives the process, so nothing is flushed to disk; and unless $1 is `on`, a crash of the server may lose commits.
///
/// The shell stays beside the server and waits for the end of its standard input. That pipe is ours, so it ends when
/// this process ends, in whatever way, and the shell stops the server and removes the folder.
private let script = """
    trap '' INT TERM HUP
    PATH=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1):$PATH
    folder=$(mktemp -d /tmp/muster-test.XXXXXX) || exit 1
    trap 'rm -rf "$folder"' EXIT
    if [ $# -gt 1 ]; then
        cp -a "$2/base" "$folder/data" && touch "$folder/data/recovery.signal" &&
        printf '%s\n' "archive_mode = off" "restore_command = 'cp $2/archive/%f %p'" "recovery_target_name = '$3'" \\
            "recovery_target_action = promote" >>"$folder/data/postgresql.auto.conf"
    else
        initdb -D "$folder/data" -U postgres -E UTF8 --locale=C.UTF-8 -A trust --no-sync >"$folder/log" 2>&1
    fi &&
    postgres -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=200 -c shared_buffers=64MB \\
        -c jit=off -c fsync=off -c synchronous_commit=$1 -c full_page_writes=$1 -c autovacuum_naptime=10s \\
        </dev/null >>"$folder/log" 2>&1 &
    server=$!
    for try in $(seq 400); do
        pg_isready -q -h "$folder" && break
        kill -0 $server 2>/dev/null || { sed 's/^/failed: /' "$folder/log"; exit 1; }
        sleep 0.05
    done
    echo "ready: $folder"
    exec >/dev/null
    cat >/dev/null
    # It may be another one by now, or none.
    server=$(head -1 "$folder/data/postmaster.pid" 2>/dev/null) || exit 0
    kill -INT $server 2>/dev/null
    wait $server 2>/dev/null
    for try in $(seq 400); do kill -0 $server 2>/dev/null || break; sleep 0.05; done
    """

/// PostgreSQL refuses to run as root.
private let asPostgres = getuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] : []

/// - Returns: the socket folder.
private func startPrivateCluster(durable: Bool, restoring: (folder: String, point: String)? = nil) throws -> String {
    var input: [Int32] = [-1, -1]
    var output: [Int32] = [-1, -1]
    guard pipe(&input) == 0, pipe(&output) == 0 else { throw TestSupportError("no descriptors left") }
    // What other children of this process inherit would keep the server alive after us.
    for end in input + output { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input[0], 0)
    posix_spawn_file_actions_adddup2(&actions, output[1], 1)
    let arguments =
        ["env", "-C", "/"] + asPostgres + ["sh", "-c", script, "sh", durable ? "on" : "off"]
        + (restoring.map { [$0.folder, $0.point] } ?? [])
    let pointers = arguments.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    var child = pid_t()
    let code = posix_spawnp(&child, "env", &actions, nil, pointers, environ)
    close(input[0])
    close(output[1])
    defer { close(output[0]) }
    guard code == 0 else { throw TestSupportError("cannot start a shell: \(String(cString: strerror(code)))") }
    var answer = ""
    var chunk = [UInt8](repeating: 0, count: 4096)
    while !answer.contains("\n") || answer.hasPrefix("failed:") {
        let count = read(output[0], &chunk, chunk.count)
        if count <= 0 { break }
        answer += String(decoding: chunk[..<count], as: UTF8.self)
    }
    guard answer.hasPrefix("ready: ") else { throw TestSupportError("no private PostgreSQL: \(answer)") }
    return String(answer.dropFirst("ready: ".count).prefix { $0 != "\n" })
}
