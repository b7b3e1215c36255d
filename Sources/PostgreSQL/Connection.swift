// One connection to PostgreSQL: one owner, one thread. C: PGconn.
internal import CPostgreSQL
internal import Glibc
public import Vocabulary

/// A connection that opens itself on first use and again after it was lost. It never repeats a statement by itself:
/// whether a lost one took effect is for its caller to find out.
public final class Connection {
    private let conninfo: String
    private let applicationName: String
    private(set) var handle: OpaquePointer?
    /// Prepared on this very connection, by statement id.
    var prepared: [Bool] = []
    private(set) var depth = 0
    private var failures = 0
    private var nextAttempt = Instant(microseconds: 0)

    /// Does not connect yet. An empty `conninfo` lets the PG* variables decide.
    public init(lazily conninfo: String, applicationName: String = "muster") {
        self.conninfo = conninfo
        self.applicationName = applicationName
    }

    /// Connects at once.
    public convenience init(_ conninfo: String, applicationName: String = "muster") throws(PostgresError) {
        self.init(lazily: conninfo, applicationName: applicationName)
        _ = try live()
    }

    deinit { if let handle { PQfinish(handle) } }

    /// Whether a transaction is open.
    public var isInTransaction: Bool { depth > 0 }

    /// Closes; the next use opens again.
    public func close() {
        if let handle { PQfinish(handle) }
        handle = nil
        prepared = []
    }

    /// The open handle. After a failed attempt the next one waits, 50 ms doubling to 2 s, half of it by chance, so
    /// that a server that comes back is not met by everybody at once; until then calls fail at once.
    func live() throws(PostgresError) -> OpaquePointer {
        if let handle {
            if PQstatus(handle) == CONNECTION_OK { return handle }
            close()
        }
        // A transaction died with its connection: its remaining statements must not run on another one.
        guard depth == 0 else { throw .connectionLost }
        let now = Instant.now()
        guard failures == 0 || now >= nextAttempt else { throw .cannotConnect("waiting before the next attempt") }
        let parameters: [(String, String)] = [
            ("dbname", conninfo), ("fallback_application_name", applicationName), ("client_encoding", "UTF8"),
            ("options", "-c timezone=UTC -c datestyle=ISO,YMD -c bytea_output=hex -c client_min_messages=warning"),
            ("connect_timeout", "5"),
        ]
        let keywords = parameters.map { strdup($0.0) } + [nil]
        let values = parameters.map { strdup($0.1) } + [nil]
        defer { for text in keywords + values { free(text) } }
        let opened = keywords.map { UnsafePointer($0) }.withUnsafeBufferPointer { keywords in
            values.map { UnsafePointer($0) }.withUnsafeBufferPointer { values in
                PQconnectdbParams(keywords.baseAddress, values.baseAddress, 1)
            }
        }
        guard let opened else { throw .outOfMemory }
        guard PQstatus(opened) == CONNECTION_OK else {
            let reason = String(cString: PQerrorMessage(opened))
            PQfinish(opened)
            let pause = min(2.0, 0.05 * Double(1 << min(failures, 6)))
            failures += 1
            nextAttempt = now + pause * Double.random(in: 0.5...1)
            throw .cannotConnect(reason)
        }
        failures = 0
        PQsetNoticeProcessor(opened, { _, _ in }, nil)
        handle = opened
        return opened
    }

    // MARK: Transactions

    /// Runs `work` between BEGIN and COMMIT, or inside a savepoint when a transaction is open already.
    /// - Throws: what `work` throws, after a rollback; `.connectionLost` from COMMIT means that the outcome is unknown.
    public func transaction<T>(_ work: (Connection) throws -> T) throws -> T {
        guard depth == 0 else { return try savepoint(work) }
        _ = try run(Literals.begin)
        return try finish(work)
    }

    /// BEGIN and a first statement in one round trip, then `work` with its first row, then COMMIT.
    public func transaction<Output: RowDecodable, each Input: SQLEncodable, T>(
        first statement: Statement<Output, repeat each Input>, _ inputs: repeat each Input,
        then work: (Output) throws -> T
    ) throws -> T {
        precondition(depth == 0, "the first statement of a transaction cannot be inside another")
        var output: Output?
        try pipeline { pipeline throws(PostgresError) in
            _ = try pipeline.add(Literals.begin)
            let pending = try pipeline.add(statement, repeat each inputs)
            try pipeline.sync()
            output = pending.rows.first
        }
        return try finish { _ in
            guard let output else { throw PostgresError.noRow }
            return try work(output)
        }
    }

    private func finish<T>(_ work: (Connection) throws -> T) throws -> T {
        depth = 1
        do {
            let result = try work(self)
            _ = try run(Literals.commit)
            depth = 0
            return result
        } catch {
            depth = 0
            // A lost connection has rolled back by itself; an error here must not hide the first one.
            if let handle, PQstatus(handle) == CONNECTION_OK, PQtransactionStatus(handle) != PQTRANS_IDLE {
                do { try execute("ROLLBACK") } catch { close() }
            }
            throw error
        }
    }

    private func savepoint<T>(_ work: (Connection) throws -> T) throws -> T {
        let name = "p\(depth)"
        try execute("SAVEPOINT \(name)")
        depth += 1
        defer { depth -= 1 }
        do {
            let result = try work(self)
            try execute("RELEASE \(name)")
            return result
        } catch {
            do { try execute("ROLLBACK TO \(name); RELEASE \(name)") } catch {}
            throw error
        }
    }

    /// Sets the workspace of the open transaction; row-level security and every statement read it.
    public func setWorkspace(_ workspace: WorkspaceID) throws(PostgresError) {
        precondition(depth > 0, "a workspace is set for a transaction")
        _ = try one(Literals.setWorkspace, workspace.description)
    }

    /// Sets the statement timeout of the open transaction.
    public func setLocalTimeout(seconds: Double) throws(PostgresError) {
        _ = try one(Literals.setTimeout, "\(Int(seconds * 1000))ms")
    }
}
