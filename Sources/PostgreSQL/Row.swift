// Rows on their way out of libpq: read where they lie, copied once.
internal import CPostgreSQL
internal import Glibc
public import JSON
public import Vocabulary

/// One row of a result, valid while it is being decoded.
public struct Row: ~Copyable {
    private let result: OpaquePointer
    private let row: Int32

    init(_ result: OpaquePointer, _ row: Int32) {
        self.result = result
        self.row = row
    }

    /// Number of columns.
    public var count: Int { Int(PQnfields(result)) }

    public subscript<T: SQLDecodable>(index index: Int) -> T {
        get throws(PostgresError) {
            guard index < count else {
                throw .column(name: "#\(index)", expected: T.sqlName, found: "\(count) columns")
            }
            return try decode(Int32(index))
        }
    }

    public subscript<T: SQLDecodable>(_ column: String) -> T {
        get throws(PostgresError) {
            let index = position(of: column)
            guard index >= 0 else { throw .column(name: column, expected: T.sqlName, found: "no such column") }
            return try decode(index)
        }
    }

    /// PQfnumber copies and folds the name for each call; names of ours are as they are. -1: no such column.
    private func position(of column: String) -> Int32 {
        var column = column
        return column.withUTF8 { wanted in
            for index in 0..<PQnfields(result) {
                let name = PQfname(result, index)!
                if strncmp(name, wanted.baseAddress!, wanted.count) == 0, name[wanted.count] == 0 { return index }
            }
            return -1
        }
    }

    private func decode<T: SQLDecodable>(_ column: Int32) throws(PostgresError) -> T {
        let decoded: T?
        if PQgetisnull(result, row, column) == 1 {
            decoded = T.ofNull
        } else {
            let length = Int(PQgetlength(result, row, column))
            let text = UnsafeRawPointer(PQgetvalue(result, row, column)!).assumingMemoryBound(to: UInt8.self)
            decoded = T(sqlText: UnsafeBufferPointer(start: text, count: length))
        }
        if let decoded { return decoded }
        throw .column(
            name: String(cString: PQfname(result, column)), expected: T.sqlName,
            found: PQgetisnull(result, row, column) == 1 ? "NULL" : "another type")
    }
}

/// A type that one row becomes.
public protocol RowDecodable {
    init(_ row: borrowing Row) throws(PostgresError)
}

// A single column is its own row.
extension RowDecodable where Self: SQLDecodable {
    public init(_ row: borrowing Row) throws(PostgresError) { self = try row[index: 0] }
}
extension String: RowDecodable {}
extension Int: RowDecodable {}
extension Int32: RowDecodable {}
extension Int64: RowDecodable {}
extension Double: RowDecodable {}
extension Bool: RowDecodable {}
extension UUID: RowDecodable {}
extension ID: RowDecodable {}
extension Instant: RowDecodable {}
extension Day: RowDecodable {}
extension Channel: RowDecodable {}
extension JSONValue: RowDecodable {}
extension JSONText: RowDecodable {}
extension Array: RowDecodable where Element: SQLDecodable {}
extension Optional: RowDecodable where Wrapped: SQLDecodable {}

/// A row whose columns are read in order, for statements too small to deserve a type.
public struct Columns<each Value: SQLDecodable>: RowDecodable {
    public let values: (repeat each Value)
    public init(_ row: borrowing Row) throws(PostgresError) {
        var index = 0
        func next<T: SQLDecodable>(_ row: borrowing Row, _: T.Type) throws(PostgresError) -> T {
            defer { index += 1 }
            return try row[index: index]
        }
        values = (repeat try next(row, (each Value).self))
    }
}
