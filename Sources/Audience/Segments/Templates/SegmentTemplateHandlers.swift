internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum SegmentTemplateSQL {
    /// What templates can ask about here: declared and discovered fields, events, and whether silence means yes. Of events a
    /// sample: names are few, and the frequent ones are in it.
    static let context = Statement<TemplateFact>(
        """
        SELECT 'field' AS kind, f.key AS name, f.type AS value, 0::bigint AS rank FROM fields f WHERE f.workspace_id = current_workspace()
        UNION ALL
        SELECT 'event', e.name, '', count(*)
          FROM (SELECT e.name FROM events e WHERE e.workspace_id = current_workspace() LIMIT 5000) e
         WHERE e.name NOT LIKE 'segment.%' AND e.name NOT LIKE 'message.%'
         GROUP BY e.name
        UNION ALL
        SELECT 'consent_mode', coalesce(w.settings ->> 'consent_mode', 'opt_in'), '', 0 FROM workspaces w WHERE w.id = current_workspace()
         ORDER BY rank DESC, kind, name
        """)

    /// Of the newest 2,000 contacts, the value that one in ten of those that have one reaches. A number may be greater than a
    /// double holds, so it becomes one at the end.
    static let high = Statement<Double?, [String]>(
        """
        SELECT (percentile_disc(0.9) WITHIN GROUP (ORDER BY n.value))::double precision
          FROM (SELECT number_of(c.attributes #> $1::text[]) AS value
                  FROM (SELECT attributes FROM contacts WHERE workspace_id = current_workspace()
                         ORDER BY created_at DESC, id DESC LIMIT 2000) c) n
         WHERE n.value BETWEEN -1e15 AND 1e15
        """)
}

struct TemplateFact: RowDecodable {
    let kind: String
    let name: String
    let value: String
    init(_ row: borrowing Row) throws(PostgresError) {
        kind = try row["kind"]
        name = try row["name"]
        value = try row["value"]
    }
}

extension TemplateContext {
    init(_ db: Connection) throws {
        fields = RuleContext.builtIn.map { (key: $0.key, type: $0.value) }
        for fact in try db.all(SegmentTemplateSQL.context) {
            switch fact.kind {
            case "field": if let type = FieldType(rawValue: fact.value) { fields.append((fact.name, type)) }
            case "event": events.append(fact.name)
            default: optOut = fact.name == "opt_out"
            }
        }
        // The one field that the templates would suggest, and no other: each costs a look at contacts.
        for parameter in segmentTemplates.flatMap(\.parameters) {
            guard case .field(let types, let words) = parameter.kind, types.contains(.number), let key = guess(types, words) else {
                continue
            }
            high[key] = try db.one(SegmentTemplateSQL.high, key.split(separator: ".").dropFirst().map(String.init))
        }
    }
}

func listSegmentTemplates(_ call: Call) throws -> Response {
    try call.read { db in
        let context = try TemplateContext(db)
        return .json(["items": .array(segmentTemplates.map { $0.json(context) })])
    }
}

struct TemplatePreview: BodyDecodable {
    let parameters: JSONObject
    static let schema: Schema = .object([.optional("parameters", templateParameters, "What is not given is guessed from the workspace")])
    init(_ body: JSONObject) throws { parameters = body["parameters"]?.object ?? [:] }
}

let templateParameters = Schema.map(.any, max: 20)

func previewSegmentTemplate(_ call: Call) throws -> Response {
    let request = try call.body(TemplatePreview.self)
    return try preview(call) { db in
        guard let template = segmentTemplate(call.pathText("template")) else { throw Problem.notFound("template") }
        return try template.rule(request.parameters, TemplateContext(db))
    }
}

func segmentTemplate(_ key: String) -> SegmentTemplate? { segmentTemplates.first { $0.key == key } }

extension SegmentDraft {
    /// The rule that is to be saved: as it was written, or made of a template.
    func writtenRule(_ db: Connection) throws -> JSONValue {
        if let rule { return rule }
        guard let template = template.flatMap(segmentTemplate) else {
            let known = segmentTemplates.map(\.key).joined(separator: ", ")
            throw Fault(pointer: "/template", code: "not_one_of", detail: "The templates are \(known).")
        }
        return try template.rule(parameters, TemplateContext(db))
    }
}
