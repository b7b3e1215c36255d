// Reading rules in their workspace: what a rule mentions is looked up in one round trip, then the parser is pure.
public import JSON
public import PostgreSQL
internal import Vocabulary

private enum RuleSQL {
    /// Of what the rule mentions, what exists; and the workspace's zone and the clock. Until the transaction ends, a hash
    /// table may hold a third of all contacts, 40 bytes each, because a compiled rule hashes whoever has so many events and
    /// the planner expects a third of them; 6 times 4 MB at least. More room than needed costs: groups of events then are
    /// hashed as well where walking the index in order takes two thirds of the time (1 million contacts, 5 million events).
    /// 64 times (19 million contacts) at most: ordinals grow with contacts that come and go.
    static let mentioned = Statement<Mention, [String], [UUID], [UUID], [UUID], [String]>(
        """
        SELECT 'workspace' AS kind, id::text AS name, timezone AS value FROM workspaces WHERE id = current_workspace()
        UNION ALL
        SELECT 'now', set_config('hash_mem_multiplier', least(64, greatest(6, coalesce(
                   (SELECT o.last_ordinal / 3 * 40 / pg_size_bytes(current_setting('work_mem')) + 1
                      FROM contact_ordinals o WHERE o.workspace_id = current_workspace()), 0)))::text, true),
               rfc3339(clock_timestamp())
        UNION ALL
        SELECT 'field', key, type FROM fields WHERE workspace_id = current_workspace() AND key = ANY ($1::text[])
        UNION ALL
        SELECT 'segment', id::text, '' FROM segments WHERE workspace_id = current_workspace() AND id = ANY ($2::uuid[])
        UNION ALL
        SELECT 'list', id::text, '' FROM lists WHERE workspace_id = current_workspace() AND id = ANY ($3::uuid[])
        UNION ALL
        SELECT 'score', 'scores.' || key, id::text FROM score_models
         WHERE workspace_id = current_workspace() AND 'scores.' || key = ANY ($1::text[])
        UNION ALL
        SELECT 'campaign', id::text, '' FROM campaigns WHERE workspace_id = current_workspace() AND id = ANY ($4::uuid[])
        UNION ALL
        SELECT 'zone', name, '' FROM unnest($5::text[]) name WHERE is_timezone(name)
        """)
    static let pattern = Statement<Bool, String>(
        """
        SELECT '' ~ $1
        """)
}

private struct Mention: RowDecodable {
    let kind: String
    let name: String
    let value: String
    init(_ row: borrowing Row) throws(PostgresError) {
        kind = try row["kind"]
        name = try row["name"]
        value = try row["value"]
    }
}

public enum RuleLibrary {
    /// Understands a rule in the open transaction and its workspace.
    /// - Throws: `Faults` with all that is wrong, patterns that PostgreSQL does not take included.
    /// - Parameter isStored: it was understood before, when it was saved.
    public static func parse(_ json: JSONValue, _ db: Connection, at pointer: String = "/rule", isStored: Bool = false) throws -> Rule {
        try read(json, db, at: pointer, isStored: isStored).rule
    }

    /// The same, compiled for this moment of the database's clock.
    public static func compile(_ json: JSONValue, _ db: Connection, at pointer: String = "/rule") throws -> CompiledRule {
        let (rule, scope) = try read(json, db, at: pointer)
        return RuleCompiler.compile(rule, scope)
    }

    /// The rule, and this moment of the database's clock in its workspace.
    public static func read(
        _ json: JSONValue, _ db: Connection, at pointer: String = "/rule", isStored: Bool = false
    ) throws -> (rule: Rule, scope: RuleScope) {
        var mentions = Mentions()
        mentions.collect(json)
        var context = RuleContext()
        context.isStored = isStored
        var workspace: (id: WorkspaceID, zone: String)?
        var now = Instant.now()
        for found in try db.all(
            RuleSQL.mentioned, Array(mentions.fields), Array(mentions.segments), Array(mentions.lists),
            Array(mentions.campaigns), Array(mentions.zones))
        {
            switch found.kind {
            case "workspace": workspace = WorkspaceID(found.name).map { ($0, found.value) }
            case "now": now = Instant(rfc3339: found.value) ?? now
            case "field": context.attributeTypes[found.name] = FieldType(rawValue: found.value)
            case "segment": if let id = SegmentID(found.name) { context.segments.insert(id) }
            case "score": context.scores[found.name] = ScoreModelID(found.value)
            case "list": if let id = ListID(found.name) { context.lists.insert(id) }
            case "campaign": if let id = CampaignID(found.name) { context.campaigns.insert(id) }
            default: context.zones.insert(found.name)
            }
        }
        guard let workspace else { throw PostgresError.noRow }
        let rule = try RuleParser.parse(json, context: context, at: pointer) { try isPattern($0, db) }
        return (rule, RuleScope(workspace: workspace.id, zone: workspace.zone, now: now))
    }

    /// Regular expressions are PostgreSQL's, so PostgreSQL says whether one is.
    private static func isPattern(_ pattern: String, _ db: Connection) throws -> Bool {
        do {
            _ = try db.transaction { db in try db.one(RuleSQL.pattern, pattern) }
            return true
        } catch let error as PostgresError where error.sqlState == .invalidRegularExpression {
            return false
        }
    }
}

/// Names in a rule that may or may not exist, gathered before anybody knows whether it is one.
private struct Mentions {
    var fields: Set<String> = []
    var segments: Set<UUID> = []
    var lists: Set<UUID> = []
    var campaigns: Set<UUID> = []
    var zones: Set<String> = []

    mutating func collect(_ json: JSONValue) {
        switch json {
        case .array(let elements): for element in elements { collect(element) }
        case .object(let object):
            for (key, value) in object {
                guard let text = value.string, !text.unicodeScalars.contains("\0") else {
                    collect(value)
                    continue
                }
                switch key {
                case "field": fields.insert(normalizedNFC(text))
                case "segment": if let id = UUID(text) { segments.insert(id) }
                case "list": if let id = UUID(text) { lists.insert(id) }
                case "campaign": if let id = UUID(text) { campaigns.insert(id) }
                case "timezone": zones.insert(text)
                default: break
                }
            }
        default: break
        }
    }
}
