// What a workspace's rules may refer to, read in the transaction that uses it.
public import JSON
public import PostgreSQL
internal import Vocabulary
internal import Web

private enum RuleSQL {
    static let fields = Statement<FieldRow>("""
        SELECT key, type FROM fields WHERE workspace_id = current_workspace()
        """)
    static let segments = Statement<SegmentID>("""
        SELECT id FROM segments WHERE workspace_id = current_workspace()
        """)
    static let lists = Statement<ListID>("""
        SELECT id FROM lists WHERE workspace_id = current_workspace()
        """)
    static let zone = Statement<String>("""
        SELECT timezone FROM workspaces WHERE id = current_workspace()
        """)
    static let pattern = Statement<Bool, String>("""
        SELECT '' ~ $1
        """)
}

private struct FieldRow: RowDecodable {
    let key: String
    let type: String
    init(_ row: borrowing Row) throws(PostgresError) {
        key = try row["key"]
        type = try row["type"]
    }
}

/// Reads and compiles rules in an open transaction of their workspace.
public struct RuleLibrary {
    private let db: Connection
    private let types: [String: FieldType]
    private let segments: Set<SegmentID>
    private let lists: Set<ListID>
    public let workspaceZone: String

    public init(_ db: Connection) throws {
        self.db = db
        let fields = try db.all(RuleSQL.fields)
        types = Dictionary(fields.compactMap { row in FieldType(rawValue: row.type).map { (row.key, $0) } }, uniquingKeysWith: { a, _ in a })
        segments = Set(try db.all(RuleSQL.segments))
        lists = Set(try db.all(RuleSQL.lists))
        workspaceZone = try db.one(RuleSQL.zone)
    }

    /// - Throws: `Faults` with all that is wrong, patterns that PostgreSQL does not take included.
    public func parse(_ json: JSONValue, at pointer: String = "/rule") throws -> Rule {
        let context = RuleContext(attributeTypes: types, segments: segments, lists: lists) { name in
            do { return try db.one(ContactSQL.zoneExists, name) } catch { return false }
        }
        let rule = try RuleParser.parse(json, context: context, at: pointer)
        try checkPatterns(rule.match, pointer + "/match")
        return rule
    }

    /// Regular expressions are PostgreSQL's, so PostgreSQL says whether one is.
    private func checkPatterns(_ node: Node, _ pointer: String) throws {
        var faults = Faults()
        try patterns(node) { pattern in
            do {
                _ = try db.transaction { db in try db.one(RuleSQL.pattern, pattern) }
            } catch let error as PostgresError where error.sqlState == .invalidRegularExpression {
                faults.add(pointer, "bad_pattern", "\(quoted(pattern)) is no regular expression.")
            }
        }
        try faults.check()
    }

    private func patterns(_ node: Node, _ visit: (String) throws -> Void) throws {
        func look(_ operation: Operation) throws {
            switch operation {
            case .textMatches(let pattern): try visit(pattern)
            case .complement(let inner): try look(inner)
            default: break
            }
        }
        switch node {
        case .all(let nodes), .any(let nodes), .none(let nodes), .atLeast(_, let nodes):
            for node in nodes { try patterns(node, visit) }
        case .not(let node): try patterns(node, visit)
        case .field(let leaf): try look(leaf.operation)
        case .event(let leaf): if let condition = leaf.condition { try patterns(condition, visit) }
        case .aggregate(let leaf): if let condition = leaf.condition { try patterns(condition, visit) }
        default: break
        }
    }
}
