// What single resources of this module are read as: JSON made by PostgreSQL, and the version behind the ETag.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Columns `item` and `version`.
struct Stored: RowDecodable {
    let item: JSONText
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        item = try row["item"]
        version = try row["version"]
    }
}

extension Response {
    static func resource(_ stored: Stored) -> Response { json(stored.item).etag(version: stored.version) }
}

extension Paging {
    /// The sort key `(time, id)` behind which a list, newest first, goes on.
    func newestFirst<T>(_ type: ID<T>.Type = ID<T>.self) throws -> (TimestampText, ID<T>) {
        (try after(0, from: .infinity), try after(1, from: ID(UUID(high: .max, low: .max))))
    }
}
