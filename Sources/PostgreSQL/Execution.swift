// Running statements, one at a time.
internal import CPostgreSQL
internal import Glibc

extension Connection {
    /// All rows.
    public func all<Output: RowDecodable, each Input: SQLEncodable>(
        _ statement: Statement<Output, repeat each Input>, _ inputs: repeat each Input
    ) throws(PostgresError) -> [Output] {
        let result = try perform(statement, encoded(repeat each inputs))
        defer { PQclear(result) }
        return try rows(of: result)
    }

    /// The first row; `nil` when there is none.
    public func first<Output: RowDecodable, each Input: SQLEncodable>(
        _ statement: Statement<Output, repeat each Input>, _ inputs: repeat each Input
    ) throws(PostgresError) -> Output? {
        let result = try perform(statement, encoded(repeat each inputs))
        defer { PQclear(result) }
        guard PQntuples(result) > 0 else { return nil }
        return try Output(Row(result, 0))
    }

    /// The first row of a statement that must give one.
    /// - Throws: `.noRow` when it gave none.
    public func one<Output: RowDecodable, each Input: SQLEncodable>(
        _ statement: Statement<Output, repeat each Input>, _ inputs: repeat each Input
    ) throws(PostgresError) -> Output {
        guard let row = try first(statement, repeat each inputs) else { throw .noRow }
        return row
    }

    /// Runs a statement for its effect.
    /// - Returns: rows affected.
    @discardableResult
    public func run<Output, each Input: SQLEncodable>(
        _ statement: Statement<Output, repeat each Input>, _ inputs: repeat each Input
    ) throws(PostgresError) -> Int {
        let result = try perform(statement, encoded(repeat each inputs))
        defer { PQclear(result) }
        return affected(result)
    }

    /// A statement whose text is made at run time: compiled rules. Values are parameters as ever.
    /// - Parameter prepare: keeps it prepared, for text that this connection will see again; the last 32 are kept.
    public func dynamic<Output: RowDecodable>(
        _ sql: String, _ values: [SQLValue], prepare: Bool = false
    ) throws(PostgresError) -> [Output] {
        let result = try perform(sql, values, prepare: prepare)
        defer { PQclear(result) }
        return try rows(of: result)
    }

    /// As `dynamic`, for its effect. Returns rows affected.
    @discardableResult
    public func runDynamic(_ sql: String, _ values: [SQLValue], prepare: Bool = false) throws(PostgresError) -> Int {
        let result = try perform(sql, values, prepare: prepare)
        defer { PQclear(result) }
        return affected(result)
    }

    /// Prepares a statement without running it: whether the schema knows everything that it names.
    public func validate<Output, each Input>(_ statement: Statement<Output, repeat each Input>) throws(PostgresError) {
        let handle = try live()
        let result = PQprepare(handle, "", statement.sql, 0, nil)
        defer { PQclear(result) }
        _ = try checked(result, handle, statement.sql)
    }

    /// One or more statements without parameters, by the simple protocol: migrations, SET, LISTEN.
    public func execute(_ sql: String) throws(PostgresError) {
        let handle = try live()
        let result = PQexec(handle, sql)
        defer { PQclear(result) }
        _ = try checked(result, handle, sql)
    }

    // MARK: Below

    func encoded<each Input: SQLEncodable>(_ inputs: repeat each Input) -> Parameters {
        var parameters = Parameters()
        for input in repeat each inputs { parameters.append(input.sqlValue) }
        return parameters
    }

    func rows<Output: RowDecodable>(of result: OpaquePointer) throws(PostgresError) -> [Output] {
        let count = PQntuples(result)
        var rows: [Output] = []
        rows.reserveCapacity(Int(count))
        for index in 0..<count { rows.append(try Output(Row(result, index))) }
        return rows
    }

    func affected(_ result: OpaquePointer) -> Int { Int(atoi(PQcmdTuples(result))) }

    func isPrepared(_ id: Int) -> Bool { id < prepared.count && prepared[id] }
    func markPrepared(_ id: Int) {
        while prepared.count <= id { prepared.append(false) }
        prepared[id] = true
    }

    private func perform<Output, each Input>(
        _ statement: Statement<Output, repeat each Input>, _ parameters: Parameters
    ) throws(PostgresError) -> OpaquePointer {
        let handle = try live()
        try parameters.check(statement.sql)
        if !isPrepared(statement.id) {
            let result = PQprepare(handle, statement.name, statement.sql, 0, nil)
            defer { PQclear(result) }
            _ = try checked(result, handle, statement.sql)
            markPrepared(statement.id)
        }
        let result = parameters.withPointers { count, values, lengths, formats in
            PQexecPrepared(handle, statement.name, count, values, lengths, formats, 0)
        }
        do {
            return try checked(result, handle, statement.sql)
        } catch {
            PQclear(result)
            throw error
        }
    }

    private func perform(_ sql: String, _ values: [SQLValue], prepare: Bool) throws(PostgresError) -> OpaquePointer {
        let handle = try live()
        let parameters = Parameters(values)
        try parameters.check(sql)
        let name = prepare ? try dynamicName(sql, handle) : nil
        let result = parameters.withPointers { count, values, lengths, formats in
            if let name { return PQexecPrepared(handle, name, count, values, lengths, formats, 0) }
            return PQexecParams(handle, sql, count, nil, values, lengths, formats, 0)
        }
        do {
            return try checked(result, handle, sql)
        } catch {
            PQclear(result)
            throw error
        }
    }

    private func dynamicName(_ sql: String, _ handle: OpaquePointer) throws(PostgresError) -> String {
        if let known = dynamicStatements.first(where: { $0.sql == sql }) { return known.name }
        if dynamicStatements.count == 32 { try execute("DEALLOCATE \(dynamicStatements.removeFirst().name)") }
        let name = "d\(StatementIDs.next())"
        let result = PQprepare(handle, name, sql, 0, nil)
        defer { PQclear(result) }
        _ = try checked(result, handle, sql)
        dynamicStatements.append((sql, name))
        return name
    }

    /// - Returns: the result, when it is a good one. The caller clears it either way.
    func checked(_ result: OpaquePointer?, _ handle: OpaquePointer, _ sql: String) throws(PostgresError) -> OpaquePointer {
        guard let result else { throw PQstatus(handle) == CONNECTION_OK ? .outOfMemory : .connectionLost }
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_SINGLE_TUPLE, PGRES_EMPTY_QUERY, PGRES_COPY_IN, PGRES_COPY_OUT:
            return result
        default: throw failure(result, handle, sql)
        }
    }

    func failure(_ result: OpaquePointer, _ handle: OpaquePointer, _ sql: String) -> PostgresError {
        func field(_ code: Int32) -> String? { PQresultErrorField(result, code).map { String(cString: $0) } }
        // FATAL errors come with a state, then the connection is gone: the connection is what matters.
        guard PQstatus(handle) == CONNECTION_OK, let code = field(pgDiagSQLState) else { return .connectionLost }
        let state = SQLState(rawValue: code)
        // "cached plan must not change result type", after a migration; and names that somebody deallocated.
        if state == .featureNotSupported || state == .invalidStatementName { isStale = true }
        let message = field(pgDiagMessagePrimary) ?? ""
        return .statement(
            state,
            Evidence(
                sql: sql, message: SQLState.dataException ~= state ? withoutQuotedText(message) : message,
                constraint: field(pgDiagConstraintName), table: field(pgDiagTableName),
                position: field(pgDiagStatementPosition).flatMap { Int($0) }))
    }
}
