public import PostgreSQL
public import Vocabulary

/// What a single resource is read as: JSON made by PostgreSQL (column `item`), and the `version` behind its ETag.
public struct Stored: RowDecodable {
    public let item: JSONText
    public let version: Int
    public init(_ row: borrowing Row) throws(PostgresError) {
        item = try row["item"]
        version = try row["version"]
    }
}

extension Response {
    public static func resource(_ stored: Stored) -> Response { json(stored.item).etag(version: stored.version) }
    public static func created(_ stored: Stored, at location: String) -> Response {
        created(stored.item, at: location).etag(version: stored.version)
    }
}

extension Paging {
    /// The sort key `(time, id)` behind which a list, newest first, goes on.
    public func newestFirst<T>(_ type: ID<T>.Type = ID<T>.self) throws -> (TimestampText, ID<T>) {
        (try after(0, from: .infinity), try after(1, from: ID(UUID(high: .max, low: .max))))
    }
}
