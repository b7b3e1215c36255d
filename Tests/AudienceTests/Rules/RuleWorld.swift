// A workspace to try rules in: contacts by name, fields by type, and who a rule finds.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Vocabulary

enum WorldSQL {
    static let contact = Statement<ContactID, String, String?, String?, String?, [String], JSONValue, Instant?, Int>(
        """
        INSERT INTO contacts (workspace_id, ordinal, name, email, phone, timezone, tags, attributes, last_contacted_at)
        VALUES (current_workspace(), $8, $1, $2, $3, $4, $5, $6, $7) RETURNING id
        """)
    static let field = Statement<Int, String, String>(
        """
        INSERT INTO fields (workspace_id, key, type, is_declared) VALUES (current_workspace(), $1, $2, true)
        ON CONFLICT (workspace_id, key) DO UPDATE SET type = excluded.type
        """)
    static let event = Statement<Int, ContactID, String, Instant, JSONValue>(
        """
        INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties) VALUES (current_workspace(), $1, $2, $3, $4)
        """)
    static let list = Statement<ListID, String>(
        """
        INSERT INTO lists (workspace_id, name) VALUES (current_workspace(), $1) RETURNING id
        """)
    static let listMember = Statement<Int, ListID, ContactID>(
        """
        INSERT INTO list_members (workspace_id, list_id, contact_id) VALUES (current_workspace(), $1, $2)
        """)
    static let segment = Statement<SegmentID, String, JSONValue>(
        """
        INSERT INTO segments (workspace_id, name, rule) VALUES (current_workspace(), $1, $2) RETURNING id
        """)
    static let consent = Statement<UUID, ContactID, Channel, String>(
        """
        SELECT record_consent($1, $2, $3, 'test')
        """)
    static let member = Statement<Int, SegmentID, ContactID, Instant>(
        """
        INSERT INTO segment_members (workspace_id, segment_id, contact_id, entered_at) VALUES (current_workspace(), $1, $2, $3)
        """)
    static let setAttributes = Statement<Int, ContactID, String>(
        """
        UPDATE contacts SET attributes = $2::jsonb WHERE workspace_id = current_workspace() AND id = $1
        """)
}

/// Lives in a transaction of a test, in a workspace of its own.
final class World {
    let db: Connection
    let workspace: WorkspaceID
    let zone: String
    private var count = 0
    private(set) var ids: [String: ContactID] = [:]

    init(_ db: Connection, zone: String = "UTC") throws {
        self.db = db
        self.zone = zone
        workspace = try db.createWorkspace(timezone: zone)
        try db.setWorkspace(workspace)
    }

    @discardableResult
    func contact(
        _ name: String, _ attributes: JSONValue = [:], email: String? = nil, phone: String? = nil, timezone: String? = nil,
        tags: [String] = [], lastContacted: Instant? = nil
    ) throws -> ContactID {
        count += 1
        let id = try db.one(WorldSQL.contact, name, email, phone, timezone, tags, attributes, lastContacted, count)
        ids[name] = id
        return id
    }

    func field(_ key: String, _ type: FieldType) throws { try db.run(WorldSQL.field, "attributes." + key, type.rawValue) }

    func event(_ contact: String, _ name: String, at time: String, _ properties: JSONValue = [:]) throws {
        try db.run(WorldSQL.event, ids[contact]!, name, Instant(rfc3339: time)!, properties)
    }

    /// Names of those whom the match of a rule finds, in order.
    /// - Parameter now: the instant of the evaluation.
    func find(_ match: JSONValue, zone ruleZone: String = "workspace", now: String? = nil) throws -> [String] {
        try find(rule: ["version": 1, "timezone": .string(ruleZone), "match": match], now: now)
    }

    func find(rule json: JSONValue, now: String? = nil) throws -> [String] {
        var compiled = try RuleLibrary.compile(json, db)
        if let now {
            let scope = RuleScope(workspace: workspace, zone: zone, now: Instant(rfc3339: now)!)
            compiled = RuleCompiler.compile(try RuleLibrary.parse(json, db), scope)
        }
        return try db.dynamic("SELECT c.name FROM contacts c WHERE \(compiled.predicate) ORDER BY c.name", compiled.values)
    }

    /// Code and place of every fault of a rule.
    func faults(_ rule: JSONValue) throws -> [String] {
        do {
            _ = try RuleLibrary.parse(rule, db)
            return []
        } catch let faults as Faults { return faults.list.map { "\($0.code) \($0.pointer)" } }
    }
}

/// Runs `body` with a world that vanishes.
func withWorld(zone: String = "UTC", as role: DatabaseRole = .worker, _ body: (World) throws -> Void) throws {
    try withDatabase { db in
        let world = try World(db, zone: zone)
        try db.act(as: role)
        try body(world)
    }
}
