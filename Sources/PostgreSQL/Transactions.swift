// BEGIN to COMMIT, and savepoints inside.
internal import CPostgreSQL
public import Vocabulary

/// How much of others' work a transaction sees.
public enum Isolation: String, Sendable {
    case readCommitted = "READ COMMITTED"
    case repeatableRead = "REPEATABLE READ"
    case serializable = "SERIALIZABLE"
}

extension Connection {
    /// Runs `work` between BEGIN and COMMIT. Inside another transaction it is a savepoint, and `isolation`, `readOnly`
    /// and `timeoutSeconds` are the outer one's.
    ///
    /// - Parameter timeoutSeconds: for each statement in it; otherwise the role's own holds.
    /// - Throws: what `work` throws, after a rollback; `.connectionLost` from COMMIT means that the outcome is unknown;
    ///   25P02 when `work` swallowed an error that had doomed the transaction.
    public func transaction<T>(
        isolation: Isolation = .readCommitted, readOnly: Bool = false, timeoutSeconds: Double? = nil,
        _ work: (Connection) throws -> T
    ) throws -> T {
        guard depth == 0 else { return try savepoint(work) }
        var sql = "BEGIN ISOLATION LEVEL \(isolation.rawValue)\(readOnly ? ", READ ONLY" : "")"
        if let timeoutSeconds { sql += "; SET LOCAL statement_timeout = \(milliseconds(timeoutSeconds))" }
        try execute(sql)
        return try finish { try work(self) }
    }

    /// BEGIN and a first statement in one round trip, then `work` with its first row, then COMMIT.
    public func transaction<Output: RowDecodable, each Input: SQLEncodable, T>(
        first statement: Statement<Output, repeat each Input>, _ inputs: repeat each Input,
        then work: (Output) throws -> T
    ) throws -> T {
        guard depth == 0 else {
            return try savepoint { db in try work(try db.one(statement, repeat each inputs)) }
        }
        return try finish {
            // Depth is 0 until the server has begun: a session that went stale may still be replaced.
            depth = 0
            let first = try pipeline { pipeline throws(PostgresError) in
                _ = try pipeline.add(Literals.begin)
                let pending = try pipeline.add(statement, repeat each inputs)
                try pipeline.sync()
                return pending.rows.first
            }
            depth = 1
            guard let first else { throw PostgresError.noRow }
            return try work(first)
        }
    }

    private func finish<T>(_ work: () throws -> T) throws -> T {
        depth = 1
        let value: T
        do {
            value = try work()
        } catch {
            rollBack()
            throw error
        }
        try commit()
        return value
    }

    private func commit() throws(PostgresError) {
        // Depth stays 1 meanwhile, so that a lost connection is not replaced by one that has nothing to commit.
        defer { depth = 0 }
        let handle = try live()
        let result = PQexec(handle, "COMMIT")
        defer { PQclear(result) }
        // The server answers the COMMIT of a doomed transaction with success, and the word ROLLBACK.
        if String(cString: PQcmdStatus(try checked(result, handle, "COMMIT"))) == "ROLLBACK" {
            throw .statement(
                .inFailedTransaction,
                Evidence(sql: "COMMIT", message: "a statement had failed, and its error was not passed on"))
        }
    }

    /// Never throws, so that it hides no error: a session that cannot roll back is closed, which does the same.
    private func rollBack() {
        depth = 0
        guard let handle, PQstatus(handle) == CONNECTION_OK, PQtransactionStatus(handle) != PQTRANS_IDLE else { return }
        let result = PQexec(handle, "ROLLBACK")
        defer { PQclear(result) }
        if PQresultStatus(result) != PGRES_COMMAND_OK { close() }
    }

    private func savepoint<T>(_ work: (Connection) throws -> T) throws -> T {
        let name = "p\(depth)"
        try execute("SAVEPOINT \(name)")
        depth += 1
        defer { depth -= 1 }
        do {
            let value = try work(self)
            try execute("RELEASE \(name)")
            return value
        } catch {
            // When this fails too, the outer transaction is doomed, and its COMMIT says so.
            do { try execute("ROLLBACK TO \(name); RELEASE \(name)") } catch {}
            throw error
        }
    }

    /// Sets the workspace of the open transaction; row-level security and every statement read it.
    public func setWorkspace(_ workspace: WorkspaceID) throws(PostgresError) {
        precondition(depth > 0, "a workspace is set for a transaction")
        _ = try one(Literals.setWorkspace, workspace.description)
    }

    /// Limits each further statement of the open transaction; a longer one fails with `.queryCanceled`.
    public func setLocalTimeout(seconds: Double) throws(PostgresError) {
        precondition(depth > 0, "a local timeout is set for a transaction")
        _ = try one(Literals.setTimeout, "\(milliseconds(seconds))ms")
    }

    private func milliseconds(_ seconds: Double) -> Int { max(1, Int((seconds * 1000).rounded())) }
}
