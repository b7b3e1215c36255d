// Several statements in one round trip: libpq's pipeline mode.
internal import CPostgreSQL

/// The rows that a queued statement gives once its pipeline is synchronised.
public final class Pending<Output> {
    public fileprivate(set) var rows: [Output] = []
    /// Rows affected.
    public fileprivate(set) var count = 0
    fileprivate init() {}
}

/// Statements that travel together. Outside an explicit transaction they form one of their own: all or none.
public final class Pipeline {
    private enum Step {
        case prepare(id: Int, sql: String)
        case execute(sql: String, (OpaquePointer) throws(PostgresError) -> Void)
    }
    private let connection: Connection
    private let handle: OpaquePointer
    private var steps: [Step] = []
    fileprivate var isSynchronised = true

    fileprivate init(_ connection: Connection, _ handle: OpaquePointer) {
        self.connection = connection
        self.handle = handle
    }

    /// Queues a statement.
    public func add<Output: RowDecodable, each Input: SQLEncodable>(
        _ statement: Statement<Output, repeat each Input>, _ inputs: repeat each Input
    ) throws(PostgresError) -> Pending<Output> {
        let pending = Pending<Output>()
        try queue(statement.id, statement.name, statement.sql, connection.encoded(repeat each inputs)) {
            [connection] result throws(PostgresError) in
            pending.rows = try connection.rows(of: result)
            pending.count = connection.affected(result)
        }
        return pending
    }

    private func queue(
        _ id: Int, _ name: String, _ sql: String, _ parameters: Parameters,
        _ receive: @escaping (OpaquePointer) throws(PostgresError) -> Void
    ) throws(PostgresError) {
        try parameters.check(sql)
        isSynchronised = false
        if !connection.isPrepared(id), !steps.contains(where: { if case .prepare(id, _) = $0 { true } else { false } }) {
            guard PQsendPrepare(handle, name, sql, 0, nil) == 1 else { throw .connectionLost }
            steps.append(.prepare(id: id, sql: sql))
        }
        let sent = parameters.withPointers { count, values, lengths, formats in
            PQsendQueryPrepared(handle, name, count, values, lengths, formats, 0)
        }
        guard sent == 1 else { throw .connectionLost }
        steps.append(.execute(sql: sql, receive))
    }

    /// Sends what is queued and reads all answers.
    /// - Throws: the first error; statements behind it did not run.
    public func sync() throws(PostgresError) {
        guard PQpipelineSync(handle) == 1 else { throw .connectionLost }
        var first: PostgresError?
        for step in steps {
            guard let result = PQgetResult(handle) else { throw .connectionLost }
            defer { PQclear(result) }
            switch (PQresultStatus(result), step) {
            case (PGRES_COMMAND_OK, .prepare(let id, _)): connection.markPrepared(id)
            case (PGRES_TUPLES_OK, .execute(_, let receive)), (PGRES_COMMAND_OK, .execute(_, let receive)):
                if first == nil {
                    do { try receive(result) } catch { first = error }
                }
            case (PGRES_PIPELINE_ABORTED, _): break
            case (_, .prepare(_, let sql)), (_, .execute(let sql, _)):
                if first == nil { first = connection.failure(result, handle, sql) }
            }
            // A NULL closes each statement's results.
            while let extra = PQgetResult(handle) { PQclear(extra) }
            if PQstatus(handle) != CONNECTION_OK { throw .connectionLost }
        }
        steps = []
        guard let end = PQgetResult(handle) else { throw .connectionLost }
        defer { PQclear(end) }
        guard PQresultStatus(end) == PGRES_PIPELINE_SYNC else { throw .connectionLost }
        isSynchronised = true
        if let first { throw first }
    }
}

extension Connection {
    /// Opens a pipeline for `work`, which must end with `sync()`.
    public func pipeline<T>(_ work: (Pipeline) throws(PostgresError) -> T) throws(PostgresError) -> T {
        let handle = try live()
        guard PQenterPipelineMode(handle) == 1 else { throw .connectionLost }
        let pipeline = Pipeline(self, handle)
        do throws(PostgresError) {
            let result = try work(pipeline)
            precondition(pipeline.isSynchronised, "a pipeline ends with sync()")
            guard PQexitPipelineMode(handle) == 1 else { throw .connectionLost }
            return result
        } catch {
            // Answers that nobody will read are still under way, unless sync() has read them all.
            if !pipeline.isSynchronised || PQexitPipelineMode(handle) != 1 { close() }
            throw error
        }
    }

    /// Two statements in one round trip and one transaction: a guard that gives one row, and what it guards.
    public func pair<A: RowDecodable, each I: SQLEncodable, B: RowDecodable, each J: SQLEncodable>(
        _ first: Statement<A, repeat each I>, _ firstInputs: (repeat each I),
        _ second: Statement<B, repeat each J>, _ secondInputs: (repeat each J)
    ) throws(PostgresError) -> (A, [B]) {
        try pipeline { pipeline throws(PostgresError) in
            let a = try pipeline.add(first, repeat each firstInputs)
            let b = try pipeline.add(second, repeat each secondInputs)
            try pipeline.sync()
            guard let row = a.rows.first else { throw .noRow }
            return (row, b.rows)
        }
    }
}
