// Features in SQL: for many contacts at once, as of one instant, with nothing in them that came later.
//
// Fields are read as they were then: what the history says was changed since is put back. Events, messages, answers
// and consents count by when they happened.
internal import PostgreSQL
internal import Vocabulary

enum FeatureSQL {
    /// Attributes that may say something, in the order of their keys.
    static let attributes = Statement<KnownAttribute>(
        """
        SELECT substr(key, 12) AS key, type FROM fields
         WHERE workspace_id = current_workspace() AND type <> 'tags' ORDER BY key LIMIT 100
        """)
    static let tags = Statement<String, Instant>(
        """
        SELECT t.tag FROM contacts c CROSS JOIN LATERAL unnest(c.tags) AS t (tag)
         WHERE c.workspace_id = current_workspace() AND c.created_at <= $1
         GROUP BY t.tag HAVING count(*) >= 20 ORDER BY count(*) DESC, t.tag LIMIT 20
        """)
    /// The twelve most frequent kinds of events of the year before, each with the number in it that is there most often;
    /// one whose name says money goes first.
    static let events = Statement<KnownEvent, Instant>(
        """
        SELECT n.name,
               (SELECT p.key
                  FROM (SELECT e.properties FROM events e
                         WHERE e.workspace_id = current_workspace() AND e.name = n.name AND e.occurred_at <= $1
                         ORDER BY e.occurred_at DESC LIMIT 500) r
                 CROSS JOIN LATERAL jsonb_each(r.properties) p
                 WHERE number_of(p.value) IS NOT NULL
                 GROUP BY p.key
                 ORDER BY p.key IN ('amount', 'value', 'total', 'revenue', 'price') DESC, count(*) DESC, p.key LIMIT 1) AS property
          FROM (SELECT e.name FROM events e
                 WHERE e.workspace_id = current_workspace() AND e.occurred_at <= $1 AND e.occurred_at > $1 - interval '365 days'
                   AND e.name NOT LIKE 'segment.%'
                 GROUP BY e.name ORDER BY count(*) DESC, e.name LIMIT 12) n
        """)

    /// What may be looked at, before anybody knows what of it says anything.
    static func candidates(asOf instant: Instant, _ db: Connection) throws -> [FeatureOrigin] {
        var origins: [FeatureOrigin] = [.age, .has("email"), .has("phone"), .column("status"), .column("country")]
        for attribute in try db.all(attributes) {
            switch FieldType(rawValue: attribute.type) {
            case .number, .money: origins.append(.attribute(attribute.key, .number))
            case .boolean: origins.append(.attribute(attribute.key, .boolean))
            case .date, .time: origins.append(.attribute(attribute.key, .time))
            default: origins.append(.attribute(attribute.key, .category))
            }
        }
        for event in try db.all(events, instant) {
            origins += [.event(event.name, .daysSince), .event(event.name, .count), .event(event.name, .recentCount)]
            if let property = event.property { origins.append(.event(event.name, .sum(property))) }
        }
        origins += [.messages(.sent), .messages(.delivered), .messages(.daysSince)]
        origins += ["replied", "clicked", "converted"].map { .responses($0) }
        origins += [.consent("sms"), .consent("email")]
        return origins + (try db.all(tags, instant)).map { .tag($0) }
    }
}

struct KnownAttribute: RowDecodable {
    let key: String
    let type: String
    init(_ row: borrowing Row) throws(PostgresError) {
        key = try row["key"]
        type = try row["type"]
    }
}

struct KnownEvent: RowDecodable {
    let name: String
    /// A number among its properties.
    let property: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        name = try row["name"]
        property = try row["property"]
    }
}

/// A contact with its features.
struct Observation: RowDecodable {
    let id: ContactID
    let raw: RawFeatures
    /// Whether it did what the model is about, in the time after.
    let outcome: Bool
    /// 0 to 9999: which part of the data the contact belongs to.
    let bucket: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        raw = RawFeatures(numbers: try row["numbers"], texts: try row["texts"])
        outcome = try row["outcome"]
        bucket = try row["bucket"]
    }
}

/// The statement that observes a batch of contacts.
struct FeatureQuery {
    private(set) var values: [SQLValue]
    private var bound: [String: [SQLValue: String]] = [:]
    private let at: Instant

    /// Which contacts: those behind `after`, by id, who existed at the instant.
    struct Batch {
        let after: ContactID
        let size: Int
        /// Names the drawing of lots that splits contacts into parts.
        let salt: String
        /// Of 10,000 contacts this many are observed.
        var share = 10_000
    }

    /// - Parameters:
    ///   - isPast: whether fields have to be put back to what they were.
    ///   - goal: what an outcome is; `nil` where nobody knows yet.
    static func observe(
        _ origins: [FeatureOrigin], asOf at: Instant, isPast: Bool, goal: CompiledRule?, _ batch: Batch
    ) -> (sql: String, values: [SQLValue]) {
        var query = FeatureQuery(values: goal?.values ?? [], at: at)
        let sql = query.sql(origins, isPast, goal?.predicate, batch)
        return (sql, query.values)
    }

    private init(values: [SQLValue], at: Instant) {
        self.values = values
        self.at = at
    }

    private mutating func bind(_ value: some SQLEncodable, _ type: String) -> String {
        let value = value.sqlValue
        if let known = bound[type]?[value] { return known }
        values.append(value)
        let name = "$\(values.count)::\(type)"
        bound[type, default: [:]][value] = name
        return name
    }
    private var instant: String { mutating get { bind(at, "timestamptz") } }
    private static let own = "workspace_id = current_workspace()"
    /// An array keeps the planner on the index of the contacts, whatever it thinks of their number.
    private static let ofPicked = "contact_id = ANY (ARRAY(SELECT p.id FROM picked p))"

    private mutating func sql(_ origins: [FeatureOrigin], _ isPast: Bool, _ goal: String?, _ batch: Batch) -> String {
        let numbers = origins.filter { !$0.isCategory }.map { "coalesce(\(number($0)), 'NaN')" }
        let texts = origins.filter(\.isCategory).map { "coalesce(left(lower(\(text($0))), 100), '')" }
        var tables = ["picked AS MATERIALIZED (\(picked(batch)))", "person AS (\(isPast ? past() : Self.present))"]
        var joins = ""
        func join(_ table: String, _ name: String) {
            tables.append("\(name) AS MATERIALIZED (\(table))")
            joins += " LEFT JOIN \(name) ON \(name).contact_id = p.id"
        }
        let events = origins.compactMap { if case .event(let name, let measure) = $0 { (name, measure) } else { nil } }
        if !events.isEmpty { join(did(events), "did") }
        if origins.contains(where: { if case .messages = $0 { true } else { false } }) { join(messages(), "sent") }
        if origins.contains(where: { if case .responses = $0 { true } else { false } }) { join(responses(), "answers") }
        for case .consent(let channel) in origins { join(consents(channel), "consent_\(channel)") }
        if let goal {
            join("SELECT c.id AS contact_id FROM contacts c WHERE c.id = ANY (ARRAY(SELECT p.id FROM picked p)) AND \(goal)", "goal")
        }
        return """
            WITH \(tables.joined(separator: ", "))
            SELECT p.id, ARRAY[\(numbers.joined(separator: ", "))]::float8[] AS numbers,
                   ARRAY[\(texts.joined(separator: ", "))]::text[] AS texts,
                   \(goal == nil ? "false" : "goal.contact_id IS NOT NULL") AS outcome,
                   bucket_of(\(bind(batch.salt, "text")), p.id) AS bucket
              FROM person p\(joins) ORDER BY p.id
            """
    }

    private mutating func picked(_ batch: Batch) -> String {
        // Lots of another name: otherwise a sample would be one part of the data.
        let lot = batch.share < 10_000 ? " AND bucket_of(\(bind("sample " + batch.salt, "text")), c.id) < \(bind(batch.share, "int"))" : ""
        return """
            SELECT c.id, c.created_at, c.email, c.phone, c.status, c.country, c.tags, c.attributes FROM contacts c
             WHERE c.\(Self.own) AND c.id > \(bind(batch.after, "uuid")) AND c.created_at <= \(instant)\(lot)
             ORDER BY c.id LIMIT \(bind(batch.size, "int"))
            """
    }

    private static let present = "SELECT p.id, p.created_at, p.email, p.phone, p.status, p.country, p.tags, p.attributes FROM picked p"

    /// The first change after the instant tells what was before. JSON null, which a missing value becomes, is missing to
    /// everything that reads it.
    private mutating func past() -> String {
        func column(_ name: String) -> String { "CASE WHEN u.fields ? '\(name)' THEN u.fields ->> '\(name)' ELSE p.\(name) END AS \(name)" }
        return """
            SELECT p.id, p.created_at, \(["email", "phone", "status", "country"].map(column).joined(separator: ", ")),
                   CASE WHEN u.fields ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(u.fields -> 'tags')) ELSE p.tags END AS tags,
                   p.attributes || coalesce(u.attributes, '{}') AS attributes
              FROM picked p
              LEFT JOIN (SELECT f.contact_id, jsonb_object_agg(f.key, f.before) AS fields,
                                jsonb_object_agg(substr(f.key, 12), f.before) FILTER (WHERE f.key LIKE 'attributes.%') AS attributes
                           FROM (SELECT DISTINCT ON (h.contact_id, h.key) h.contact_id, h.key, h.before FROM contact_changes h
                                  WHERE h.\(Self.own) AND h.\(Self.ofPicked) AND h.changed_at > \(instant)
                                  ORDER BY h.contact_id, h.key, h.changed_at) f
                          GROUP BY f.contact_id) u ON u.contact_id = p.id
            """
    }

    // MARK: Beside the contact

    private mutating func did(_ events: [(name: String, measure: FeatureOrigin.EventMeasure)]) -> String {
        var columns: [String] = []
        var names: [String] = []
        for (name, measure) in events {
            if !names.contains(name) { names.append(name) }
            let named = "e.name = \(bind(name, "text"))"
            let aggregate =
                switch measure {
                case .daysSince: "max(e.occurred_at) FILTER (WHERE \(named))"
                case .count: "count(*) FILTER (WHERE \(named))"
                case .recentCount: "count(*) FILTER (WHERE \(named) AND e.occurred_at > \(instant) - interval '30 days')"
                case .sum(let property): "sum(number_of(e.properties -> \(bind(property, "text")))) FILTER (WHERE \(named))"
                }
            columns.append("\(aggregate) AS \(eventColumn(name, measure, names))")
        }
        return """
            SELECT e.contact_id, \(columns.joined(separator: ", ")) FROM events e
             WHERE e.\(Self.own) AND e.\(Self.ofPicked) AND e.name = ANY (\(bind(names, "text[]"))) AND e.occurred_at <= \(instant)
             GROUP BY e.contact_id
            """
    }

    /// Names of events are anybody's, columns are ours.
    private mutating func eventColumn(_ name: String, _ measure: FeatureOrigin.EventMeasure, _ names: [String]) -> String {
        let kind =
            switch measure {
            case .daysSince: "last"
            case .count: "count"
            case .recentCount: "recent"
            case .sum: "sum"
            }
        return "\(kind)_\(bind(name, "text").drop { !$0.isNumber }.prefix { $0.isNumber })"
    }

    private mutating func messages() -> String {
        """
        SELECT m.contact_id, max(m.sent_at) AS last, count(*) AS sent,
               count(*) FILTER (WHERE m.state = 'delivered' AND m.settled_at <= \(instant)) AS delivered
          FROM messages m WHERE m.\(Self.own) AND m.\(Self.ofPicked) AND m.kind = 'campaign' AND m.sent_at <= \(instant)
         GROUP BY m.contact_id
        """
    }

    private mutating func responses() -> String {
        """
        SELECT r.contact_id, count(*) FILTER (WHERE r.kind = 'replied') AS replied,
               count(*) FILTER (WHERE r.kind = 'clicked') AS clicked, count(*) FILTER (WHERE r.kind = 'converted') AS converted
          FROM campaign_responses r JOIN picked p ON p.id = r.contact_id
         WHERE r.\(Self.own) AND r.occurred_at <= \(instant) GROUP BY r.contact_id
        """
    }

    private mutating func consents(_ channel: String) -> String {
        """
        SELECT DISTINCT ON (k.contact_id) k.contact_id, k.state FROM consent_events k
         WHERE k.\(Self.own) AND k.\(Self.ofPicked) AND k.channel = \(bind(channel, "text")) AND k.purpose = 'marketing' AND k.occurred_at <= \(instant)
         ORDER BY k.contact_id, k.occurred_at DESC, k.state DESC
        """
    }

    // MARK: One value

    private mutating func json(_ key: String) -> String {
        let keys = key.split(separator: ".").map(String.init)
        return keys.count == 1 ? "p.attributes -> \(bind(key, "text"))" : "p.attributes #> \(bind(keys, "text[]"))"
    }

    /// Inside what a double can hold, however wild the data.
    private func bounded(_ numeric: String) -> String { "round(least(greatest(\(numeric), -1e30), 1e30), 9)::float8" }
    private mutating func daysSince(_ time: String) -> String { "extract(epoch FROM \(instant) - \(time))::float8 / 86400" }

    private mutating func number(_ origin: FeatureOrigin) -> String {
        switch origin {
        case .attribute(let key, .boolean): "boolean_of(\(json(key)))::int::float8"
        case .attribute(let key, .time):
            daysSince("time_of(text_of(\(json(key))), (SELECT w.timezone FROM workspaces w WHERE w.id = current_workspace()))")
        case .attribute(let key, _): bounded("number_of(\(json(key)))")
        case .has(let name): "(p.\(name) IS NOT NULL)::int::float8"
        case .tag(let tag): "(\(bind(tag, "text")) = ANY (p.tags))::int::float8"
        case .event(let name, .daysSince): daysSince("did.\(eventColumn(name, .daysSince, []))")
        case .event(let name, .sum(let property)): bounded("coalesce(did.\(eventColumn(name, .sum(property), [])), 0)")
        case .event(let name, let measure): "coalesce(did.\(eventColumn(name, measure, [])), 0)::float8"
        case .messages(.daysSince): daysSince("sent.last")
        case .messages(let measure): "coalesce(sent.\(measure.rawValue), 0)::float8"
        case .responses(let kind): "coalesce(answers.\(kind), 0)::float8"
        default: daysSince("p.created_at")
        }
    }

    private mutating func text(_ origin: FeatureOrigin) -> String {
        switch origin {
        case .attribute(let key, _): "text_of(\(json(key)))"
        case .consent(let channel): "consent_\(channel).state"
        case .column(let name): "p.\(name)"
        default: preconditionFailure("not a category")
        }
    }
}
