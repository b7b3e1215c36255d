// From a rule to one SQL predicate over `contacts c`. No part of a rule reaches the text: values, keys and names
// are parameters.
//
// SQL's third truth value is let through only where it counts as false: under AND and OR at the top of a WHERE.
// Every negation is `IS NOT TRUE`, or NOT of an EXISTS, which is never NULL; so the complement of a positive is
// exact, missing values included.
internal import JSON
public import PostgreSQL
public import Vocabulary

/// A predicate and its parameters.
public struct CompiledRule: Sendable {
    /// True, or not true (false or NULL), for a row `c` of contacts. Names the workspace itself.
    public let predicate: String
    /// The rows `c` of contacts that it is about, for a FROM.
    public let relation: String
    public let values: [SQLValue]
    /// The one instant of the evaluation.
    public let asOf: Instant
}

/// Things that are outside a rule and decide its truth.
public struct RuleScope: Sendable {
    public let workspace: WorkspaceID
    /// IANA name of the workspace's zone.
    public let zone: String
    public let now: Instant
    /// Whether `now` is a past instant, and tables are read as they were then, as far as their history reaches.
    public let isPast: Bool
    public init(workspace: WorkspaceID, zone: String, now: Instant, isPast: Bool = false) {
        self.workspace = workspace
        self.zone = zone
        self.now = now
        self.isPast = isPast
    }
}

public struct RuleCompiler {
    let rule: Rule
    var scope: RuleScope
    /// The only contacts that are asked about; `nil`: all of the workspace.
    let contacts: [ContactID]?
    private(set) var values: [SQLValue] = []
    private var bound: [String: [SQLValue: String]] = [:]

    /// - Parameter contacts: the only ones that are asked about. Subselects over their events are limited to them, so
    ///   that asking about a few costs what a few cost.
    public static func compile(_ rule: Rule, _ scope: RuleScope, among contacts: [ContactID]? = nil) -> CompiledRule {
        var compiler = RuleCompiler(rule: rule, scope: scope, contacts: contacts)
        let own = "c.workspace_id = \(compiler.workspace)" + compiler.among("c.id")
        let match = compiler.sql(rule.match)
        let contacts = compiler.relation("contacts c")
        return CompiledRule(
            predicate: match == "true" ? own : "\(own) AND \(match)", relation: contacts, values: compiler.values, asOf: scope.now)
    }

    init(rule: Rule, scope: RuleScope, contacts: [ContactID]? = nil) {
        self.rule = rule
        self.scope = scope
        self.contacts = contacts
    }

    /// ` AND …` that limits a column with contacts' ids to those that are asked about. For subselects that PostgreSQL
    /// would otherwise evaluate for everybody, like those that group.
    mutating func among(_ column: String) -> String {
        guard let contacts else { return "" }
        return " AND \(column) = ANY (\(bind(contacts, "uuid[]")))"
    }

    /// A parameter of an SQL type. The same value is bound once, which keeps expressions equal that mean the same.
    mutating func bind(_ value: some SQLEncodable, _ type: String) -> String {
        let value = value.sqlValue
        if let known = bound[type]?[value] { return known }
        values.append(value)
        let name = "$\(values.count)::\(type)"
        bound[type, default: [:]][value] = name
        return name
    }

    /// The workspace as a constant: the planner then checks `current_workspace()` of the policy once, not per row.
    var workspace: String { mutating get { bind(scope.workspace, "uuid") } }

    // MARK: Nodes

    mutating func sql(_ node: Node) -> String {
        switch node {
        case .all(let nodes): return joined(nodes, " AND ", empty: "true")
        case .any(let nodes): return joined(nodes, " OR ", empty: "false")
        case .none(let nodes): return complement(joined(nodes, " OR ", empty: "false"))
        case .not(let node): return complement(sql(node))
        case .atLeast(let wanted, let nodes):
            if wanted == 0 { return "true" }
            if nodes.isEmpty { return "false" }
            let count = nodes.map { "(\(sql($0)) IS TRUE)::int" }.joined(separator: " + ")
            return "(\(count) >= \(bind(wanted, "int")))"
        case .field(let leaf): return field(leaf)
        case .history(let leaf): return history(leaf)
        case .event(let leaf): return event(leaf)
        case .aggregate(let leaf): return aggregate(leaf)
        case .sequence(let leaf): return sequence(leaf)
        case .segment(let id): return exists("segment_members m", "m", "m.segment_id = \(bind(id, "uuid"))")
        case .wasInSegment(let id, let window): return wasInSegment(id, window)
        case .list(let id): return exists("list_members m", "m", "m.list_id = \(bind(id, "uuid"))")
        case .consent(let channel, let state):
            let channel = "k.channel = \(bind(channel, "text"))"
            if state == "unknown" { return complement(exists("consents k", "k", channel)) }
            return exists("consents k", "k", "\(channel) AND k.state = \(bind(state, "text"))")
        case .engagement(let leaf): return engagement(leaf)
        case .bucket(let salt, let from, let to):
            return "(bucket_of(\(bind(salt, "text")), c.id) BETWEEN \(bind(from, "int")) AND \(bind(to, "int")))"
        }
    }

    private mutating func joined(_ nodes: [Node], _ separator: String, empty: String) -> String {
        switch nodes.count {
        case 0: empty
        case 1: sql(nodes[0])
        default: "(" + nodes.map { sql($0) }.joined(separator: separator) + ")"
        }
    }

    /// True exactly where `sql` is not. EXISTS stays one, so that the planner can make an anti join of it.
    func complement(_ sql: String) -> String {
        if sql == "true" { return "false" }
        if sql == "false" { return "true" }
        if sql.hasPrefix("EXISTS (") { return "NOT " + sql }
        if sql.hasPrefix("NOT EXISTS (") { return String(sql.dropFirst("NOT ".count)) }
        return "(\(sql) IS NOT TRUE)"
    }

    /// `table alias`, or what the table was at the past instant that the rule is about.
    mutating func relation(_ table: String) -> String {
        guard scope.isPast, let space = table.firstIndex(of: " "), Self.withHistory.contains(String(table[..<space])) else { return table }
        return "\(table[..<space])_as_of(\(bind(scope.now, "timestamptz")))\(table[space...])"
    }

    /// Tables with a function that gives them as of an instant (migration 0067).
    private static let withHistory: Set<String> = [
        "contacts", "events", "consents", "segment_members", "segment_changes", "contact_changes", "list_members", "messages",
        "campaign_responses", "inbound_messages",
    ]

    /// Whether the contact has a row in a table of the workspace. Nothing may follow the closing parenthesis.
    mutating func exists(_ table: String, _ alias: String, _ condition: String) -> String {
        "EXISTS (SELECT FROM \(relation(table)) WHERE \(alias).workspace_id = \(workspace) AND \(alias).contact_id = c.id AND \(condition))"
    }

    /// A member at any moment of the window: one whose stay began by its end, or changed in it, or ended after it
    /// without having begun after it.
    private mutating func wasInSegment(_ id: SegmentID, _ window: Window) -> String {
        let segment = bind(id, "uuid")
        let span = span(window)
        let stays = exists("segment_members m", "m", "m.segment_id = \(segment) AND \(isBefore("m.entered_at", endOf: span))")
        let changed = exists("segment_changes h", "h", "h.segment_id = \(segment) AND \(isWithin("h.occurred_at", span))")
        guard let end = span.to else { return during(window, span, [stays, changed]) }
        let left = """
            EXISTS (SELECT FROM (SELECT DISTINCT ON (h.contact_id) h.contact_id, h.change FROM \(relation("segment_changes h")) \
            WHERE h.workspace_id = \(workspace) AND h.segment_id = \(segment) AND \(isAfter("h.occurred_at", end))\(among("h.contact_id")) \
            ORDER BY h.contact_id, h.occurred_at) h WHERE h.contact_id = c.id AND h.change = 'exited')
            """
        return during(window, span, [stays, changed, left])
    }
}
