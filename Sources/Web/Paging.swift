// Lists by key, never by OFFSET: a cursor holds the sort key of the last row, signed.
internal import JSON
public import PostgreSQL
internal import Secrets
public import Vocabulary

/// A row of a list statement: the item as JSON text in the first column, its sort key in the columns after it.
public struct PageRow: RowDecodable {
    public let item: JSONText
    public let key: [String]

    public init(item: JSONText, key: [String]) {
        self.item = item
        self.key = key
    }

    public init(_ row: borrowing Row) throws(PostgresError) {
        item = try row[index: 0]
        var key: [String] = []
        for index in 1..<row.count { key.append(try row[index: index]) }
        self.key = key
    }
}

/// One page as the client asked for it.
public struct Paging {
    /// `1...200`. Statements take `fetchLimit`, one more, to know whether another page follows.
    public let limit: Int
    public var fetchLimit: Int { limit + 1 }
    /// The sort key behind which the page begins; `nil` on the first one.
    public let after: [String]?
    /// The chosen order, as the client wrote it: `-created_at`.
    public let sort: String
    let binding: String

    /// Part `index` of the sort key, or `start` on the first page.
    public func after<T: CursorKey>(_ index: Int, from start: T) throws -> T {
        guard let after else { return start }
        guard index < after.count, let value = T(cursorText: after[index]) else { throw Paging.badCursor }
        return value
    }
    /// Part `index` of the sort key, or `nil` on the first page.
    public func after<T: CursorKey>(_ index: Int, as type: T.Type) throws -> T? {
        guard let after else { return nil }
        guard index < after.count, let value = T(cursorText: after[index]) else { throw Paging.badCursor }
        return value
    }
    static let badCursor = Problem.badRequest("bad_cursor", "`cursor` is not one that this list gave out.")
}

/// What a sort key can be made of.
public protocol CursorKey {
    init?(cursorText: String)
}
extension String: CursorKey { public init?(cursorText: String) { self = cursorText } }
extension Int: CursorKey { public init?(cursorText: String) { self.init(cursorText) } }
extension UUID: CursorKey { public init?(cursorText: String) { self.init(cursorText) } }
extension ID: CursorKey { public init?(cursorText: String) { self.init(cursorText) } }
/// PostgreSQL writes timestamptz in its own way, so cursors carry it as PostgreSQL's text and hand it back as such.
public struct TimestampText: CursorKey, SQLEncodable, Sendable {
    public let text: String
    public init?(cursorText: String) { text = cursorText }
    init(_ text: String) { self.text = text }
    public var sqlValue: SQLValue { .text(text) }
    public static let infinity = TimestampText("infinity")
    public static let minusInfinity = TimestampText("-infinity")
}

extension Call {
    /// Reads `limit`, `cursor` and `sort`.
    /// - Parameter sorts: the orders that this list has; the first is the default.
    /// - Throws: 400 for a cursor of another list, of other filters, or not ours; 422 for a wrong limit or sort.
    public func paging(sorts: [String] = ["-created_at"]) throws -> Paging {
        var limit = 50
        if let text = query("limit") {
            guard let number = Int(text), (1...200).contains(number) else {
                throw Problem.invalid("/limit", "out_of_range", "`limit` is a whole number from 1 to 200.")
            }
            limit = number
        }
        let sort = query("sort") ?? sorts[0]
        guard sorts.contains(sort) else {
            throw Problem.invalid("/sort", "not_one_of", "`sort` is one of \(sorts.joined(separator: ", ")).")
        }
        // The cursor holds for the same path, order and filters only.
        let filters = request.query.filter { !["cursor", "limit", "sort"].contains($0.name) }.map { "\($0.name)=\($0.value)" }
        let binding = request.path + "\n" + sort + "\n" + filters.sorted().joined(separator: "\n")
        let after = try query("cursor").map { try open(cursor: $0, binding: binding) }
        return Paging(limit: limit, after: after, sort: sort, binding: binding)
    }

    private func open(cursor: String, binding: String) throws -> [String] {
        guard let bytes = base64URLDecode(cursor), bytes.count > 16 else { throw Paging.badCursor }
        let payload = Array(bytes[16...])
        guard constantTimeEqual(Array(bytes[..<16]), mac(payload, binding)),
            case .array(let parts) = try? JSONValue(parsing: payload)
        else { throw Paging.badCursor }
        return parts.compactMap(\.string)
    }

    fileprivate func seal(_ key: [String], binding: String) -> String {
        var payload: [UInt8] = []
        JSONValue.array(key.map { .string($0) }).write(into: &payload)
        return base64URLEncode(mac(payload, binding) + payload)
    }

    private func mac(_ payload: [UInt8], _ binding: String) -> [UInt8] {
        Array(Hash.hmacSHA256(key: server.cursorKey, payload + [0] + Array(binding.utf8))[..<16])
    }

    /// The envelope of a list: `{"items":[…],"pagination":{…}}`, with a `Link` to the next page.
    /// - Parameter rows: at most `paging.fetchLimit` rows of the statement.
    public func page(_ rows: [PageRow], _ paging: Paging) -> Response {
        let hasMore = rows.count > paging.limit
        var bytes: [UInt8] = []
        bytes.reserveCapacity(rows.reduce(80) { $0 + $1.item.bytes.count + 1 })
        bytes += "{\"items\":[".utf8
        for (index, row) in rows.prefix(paging.limit).enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes += row.item.bytes
        }
        bytes += "],\"pagination\":{\"has_more\":\(hasMore),\"next_cursor\":".utf8
        guard hasMore else {
            bytes += "null}}".utf8
            return .bytes(bytes, contentType: "application/json")
        }
        let cursor = seal(rows[paging.limit - 1].key, binding: paging.binding)
        bytes += "\"\(cursor)\"}}".utf8
        let others = request.rawQuery.split(separator: "&").filter { !$0.hasPrefix("cursor=") }
        let query = (others.map(String.init) + ["cursor=\(cursor)"]).joined(separator: "&")
        return .bytes(bytes, contentType: "application/json")
            .with("Link", "<\(configuration.publicURL)\(request.path)?\(query)>; rel=\"next\"")
    }
}
