// One connection to PostgreSQL: one owner, one thread. C: PGconn.
internal import CPostgreSQL
internal import Glibc
internal import Vocabulary

/// A connection that opens itself on first use and again after it was lost. It never repeats a statement by itself:
/// whether a lost one took effect is for its caller to find out.
public final class Connection {
    private let conninfo: String
    private let applicationName: String
    private let role: String?
    private let database: String?
    private(set) var handle: OpaquePointer?
    /// Prepared on this very connection, by statement id.
    var prepared: [Bool] = []
    /// Statements prepared by `dynamic`, oldest first.
    var dynamicStatements: [(sql: String, name: String)] = []
    /// Listened to again after a reconnection.
    var channels: [String] = []
    /// A plan of this session went stale: the next use outside a transaction starts a new session.
    var isStale = false
    /// Open transactions: 1 is the real one, those above are savepoints.
    var depth = 0
    private var failures = 0
    private var nextAttempt = Instant(microseconds: 0)

    /// Does not connect yet. An empty `conninfo` lets the PG* variables decide.
    /// - Parameters:
    ///   - role: connects as this role whatever `conninfo` says.
    ///   - database: connects to this database whatever `conninfo` says.
    public init(
        lazily conninfo: String, applicationName: String = "muster", role: String? = nil, database: String? = nil
    ) {
        self.conninfo = conninfo
        self.applicationName = applicationName
        self.role = role
        self.database = database
    }

    /// Connects at once.
    public convenience init(
        _ conninfo: String, applicationName: String = "muster", role: String? = nil, database: String? = nil
    ) throws(PostgresError) {
        self.init(lazily: conninfo, applicationName: applicationName, role: role, database: database)
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
        dynamicStatements = []
        isStale = false
    }

    /// Whether there is a session that the server has not ended, as far as can be told without asking it.
    public var isHealthy: Bool { handle.map(isAlive) ?? false }
    /// The server's process for this session; 0 without one.
    public var serverProcessID: Int32 { handle.map { PQbackendPID($0) } ?? 0 }

    /// The open handle. After a failed attempt the next one waits, 50 ms doubling to 2 s, half of it by chance, so
    /// that a server that comes back is not met by everybody at once; until then calls fail at once.
    func live() throws(PostgresError) -> OpaquePointer {
        if depth > 0 {
            // A transaction died with its connection: its remaining statements must not run on another one.
            guard let handle, PQstatus(handle) == CONNECTION_OK else { throw .connectionLost }
            return handle
        }
        if let handle {
            if !isStale, isAlive(handle) { return handle }
            close()
        }
        return try connect()
    }

    /// One look at the socket. A server that ended an idle session (a restart) has closed it, and a statement sent
    /// there would fail for nothing.
    private func isAlive(_ handle: OpaquePointer) -> Bool {
        guard PQstatus(handle) == CONNECTION_OK else { return false }
        let look = Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)
        var byte: UInt8 = 0
        let count = recv(PQsocket(handle), &byte, 1, look)
        if count > 0 {
            // Notices, notifications, or an error: to an idle session that is the server's farewell, and the end of
            // the stream may take another moment. (A TLS record never begins with an E.)
            guard byte != UInt8(ascii: "E"), PQconsumeInput(handle) == 1, PQstatus(handle) == CONNECTION_OK else { return false }
            return recv(PQsocket(handle), &byte, 1, look) != 0
        }
        return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
    }

    private func connect() throws(PostgresError) -> OpaquePointer {
        let now = Instant.steady()
        guard failures == 0 || now >= nextAttempt else { throw .cannotConnect("waiting before the next attempt") }
        var parameters: [(String, String)] = [
            ("dbname", conninfo), ("fallback_application_name", applicationName), ("client_encoding", "UTF8"),
            ("options", "-c timezone=UTC -c datestyle=ISO,YMD -c bytea_output=hex -c client_min_messages=warning"),
            ("connect_timeout", "5"), ("keepalives_idle", "10"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
            ("tcp_user_timeout", "20000"),
        ]
        if let role { parameters.append(("user", role)) }
        // Only the first dbname may be a whole conninfo; this one is a name.
        if let database { parameters.append(("dbname", database)) }
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
            let reason = String(cString: PQerrorMessage(opened)).split(separator: "\n").first.map(String.init) ?? ""
            PQfinish(opened)
            let pause = min(2.0, 0.05 * Double(1 << min(failures, 6)))
            failures += 1
            nextAttempt = now + pause * Double.random(in: 0.5...1)
            throw .cannotConnect(reason)
        }
        failures = 0
        PQsetNoticeProcessor(opened, { _, _ in }, nil)
        handle = opened
        for channel in channels {
            let sql = "LISTEN \(quotedIdentifier(channel))"
            let result = PQexec(opened, sql)
            defer { PQclear(result) }
            do { _ = try checked(result, opened, sql) } catch {
                close()
                throw error
            }
        }
        return opened
    }
}

func quotedIdentifier(_ name: String) -> String {
    "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}

extension Connection {
    /// One setting of a connection string or URI, such as `dbname`; `nil` when it says nothing about it or is malformed.
    public static func setting(_ keyword: String, of conninfo: String) -> String? {
        guard let options = PQconninfoParse(conninfo, nil) else { return nil }
        defer { PQconninfoFree(options) }
        var option = options
        while let name = option.pointee.keyword {
            if String(cString: name) == keyword { return option.pointee.val.map { String(cString: $0) } }
            option += 1
        }
        return nil
    }
}
