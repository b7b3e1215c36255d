// Two ways to a database: a transaction that is rolled back, and a clone that is dropped.
import PostgreSQL
import Synchronization

/// Who a connection is.
public enum DatabaseRole: String, Sendable, CaseIterable {
    case superuser = "postgres"
    case owner = "muster_owner"
    case responder = "muster_responder"
    case worker = "muster_worker"
    case maintenance = "muster_maintenance"
}

private struct RolledBack: Error {}

/// Runs `body` in a transaction of a migrated database, and rolls it back. Transactions inside are savepoints.
/// Nothing commits, so nobody else sees what it does: for two connections, NOTIFY or commits take `withOwnDatabase`.
/// - Parameter role: who acts; `Connection.acting(as:)` changes it for a while.
@discardableResult
public func withDatabase<T>(as role: DatabaseRole = .owner, _ body: (Connection) throws -> T) throws -> T {
    let cluster = try TestCluster.running()
    let db = try Connection(cluster.conninfo(.superuser, cluster.shared), applicationName: "muster tests")
    var value: T?
    do {
        try db.transaction { db in
            try db.act(as: role)
            value = try body(db)
            throw RolledBack()
        }
    } catch is RolledBack {}
    guard let value else { throw TestSupportError("the transaction gave nothing") }
    return value
}

/// Runs `body` with a database of its own, a clone of the migrated template, and drops it.
@discardableResult
public func withOwnDatabase<T>(_ body: (TestDatabase) throws -> T) throws -> T {
    let database = try TestDatabase()
    defer { database.drop() }
    return try body(database)
}

/// Runs `body` with a database on a server of its own, whose commits survive a crash of the server.
@discardableResult
public func withOwnServer<T>(_ body: (TestDatabase) throws -> T) throws -> T {
    try body(TestDatabase(on: TestCluster(own: true)))
}

/// A migrated database that nobody else uses.
public final class TestDatabase: Sendable {
    public let name: String
    private let cluster: TestCluster
    private static let count = Atomic<Int>(0)

    /// Prefer `withOwnDatabase`; who calls this calls `drop`.
    public convenience init() throws { try self.init(on: TestCluster.running()) }

    fileprivate init(on cluster: TestCluster) throws {
        self.cluster = cluster
        name = "\(cluster.prefix)_\(Self.count.wrappingAdd(1, ordering: .relaxed).newValue)"
        let postgres = try Connection(cluster.conninfo(.superuser, "postgres"))
        try postgres.execute("CREATE DATABASE \(name) OWNER muster_owner TEMPLATE \(cluster.template)")
        try cluster.release(name)
    }

    /// Restarts the server of a database that has one of its own. Everybody else's sessions end.
    /// - Parameter isCrash: without notice and without a checkpoint.
    public func restartServer(isCrash: Bool) throws { try cluster.restart(isCrash ? "immediate" : "fast") }

    /// Of a database that has a server of its own: keeps all that is written from now on.
    public func backUp() throws { try cluster.backUp() }

    /// Marks this instant, which `restored` can go back to.
    public func mark(_ point: String) throws {
        let postgres = try connect(as: .superuser)
        let file: String = try postgres.value("SELECT pg_walfile_name(pg_create_restore_point($1))", point.sqlValue)
        try postgres.execute("SELECT pg_switch_wal()")
        try waitUntil("the instant is kept") {
            try postgres.value("SELECT coalesce(last_archived_wal >= $1, false) FROM pg_stat_archiver", file.sqlValue)
        }
    }

    /// Ends its server for good.
    public func stopServer() throws { try cluster.stop() }

    /// The same database on a fresh server, as it was when `point` was marked.
    public func restored(to point: String) throws -> TestDatabase {
        let database = TestDatabase(name, on: try TestCluster(restoring: cluster, to: point))
        try waitUntil("the server has recovered", seconds: 60) {
            try database.connect(as: .superuser).value("SELECT NOT pg_is_in_recovery()")
        }
        return database
    }

    private init(_ name: String, on cluster: TestCluster) {
        self.name = name
        self.cluster = cluster
    }

    /// For processes that connect by themselves.
    public func conninfo(as role: DatabaseRole) -> String { cluster.conninfo(role, name) }

    public func connect(as role: DatabaseRole = .owner) throws -> Connection {
        try Connection(conninfo(as: role), applicationName: "muster tests")
    }

    public func drop() {
        guard let postgres = try? Connection(cluster.conninfo(.superuser, "postgres")) else { return }
        try? postgres.execute("DROP DATABASE IF EXISTS \(name) WITH (FORCE)")
    }
}

extension Connection {
    /// Becomes a role until the transaction ends. Only in `withDatabase`, whose sessions may become anybody.
    public func act(as role: DatabaseRole) throws { try execute("SET LOCAL ROLE \(role.rawValue)") }

    /// Runs `body` as a role, then goes back to the one before.
    public func acting<T>(as role: DatabaseRole, _ body: (Connection) throws -> T) throws -> T {
        let before: [String] = try dynamic("SELECT current_user::text", [])
        try act(as: role)
        defer { try? execute("SET LOCAL ROLE \(before[0])") }
        return try body(self)
    }
}

/// A connection to the database that rolled-back transactions share, outside any of them: for what touches only
/// temporary tables or tables of its own.
public func sharedConnection(as role: DatabaseRole = .owner) throws -> Connection {
    let cluster = try TestCluster.running()
    return try Connection(cluster.conninfo(role, cluster.shared), applicationName: "muster tests")
}
