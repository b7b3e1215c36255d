internal import JSON

/// What is written of a segment.
struct SegmentDraft: BodyDecodable {
    let name: String
    let description: String?
    /// `nil`: it is made of the template.
    let rule: JSONValue?
    let template: String?
    let parameters: JSONObject
    let schedule: SegmentSchedule?
    /// Why, for whoever reads the versions.
    let note: String?

    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("description", .nullable(.string(max: 2000)), "For people"),
        .optional(
            "rule", .described(.any, "The rule language, version 1, or its flat form", example: exampleRule),
            "Who is in it; either this or a template"),
        .optional("template", .string(min: 1, max: 100), "A key of /api/segment-templates"),
        .optional("parameters", templateParameters, "Of the template; what is not given is guessed from the workspace"),
        .optional("schedule", SegmentSchedule.schema, "When it is brought up to date; live when absent"),
        .optional("note", noteSchema, "Why, for whoever reads the versions"),
    ])
    init(_ body: JSONObject) throws {
        name = storedText(body.string("name")) ?? ""
        description = body.optionalString("description").flatMap(storedText)
        rule = body["rule"]
        template = body.optionalString("template")
        parameters = body["parameters"]?.object ?? [:]
        schedule = try body["schedule"].map { try SegmentSchedule($0) }
        note = body.optionalString("note").flatMap(storedText)
        if name.isEmpty { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
        if rule == nil, template == nil { throw Fault(pointer: "/rule", code: "required", detail: "Give a rule, or a template.") }
        for key in ["template", "parameters"] where rule != nil && body[key] != nil {
            throw Fault(pointer: "/\(key)", code: "one_of_these", detail: "Give a rule, or a template with its parameters.")
        }
    }
}

/// Members of a segment that are to change.
struct SegmentChange: BodyDecodable {
    let name: String?
    let description: String??
    let rule: JSONValue?
    let schedule: SegmentSchedule?
    /// Why, for whoever reads the versions.
    let note: String?

    static let schema: Schema = .object([
        .optional("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("description", .nullable(.string(max: 2000)), "For people"),
        .optional("rule", .any, "Who is in it; the membership is calculated anew"),
        .optional("schedule", SegmentSchedule.schema, "When it is brought up to date"),
        .optional("note", noteSchema, "Why it is changed, for whoever reads the versions"),
    ])
    init(_ body: JSONObject) throws {
        name = body.optionalString("name").map { storedText($0) ?? "" }
        description = body["description"].map { $0.string.flatMap(storedText) }
        rule = body["rule"]
        schedule = try body["schedule"].map { try SegmentSchedule($0) }
        note = body.optionalString("note").flatMap(storedText)
        if name == "" { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
    }
}

private let noteSchema = Schema.nullable(.string(max: 500))

let exampleRule: JSONValue = [
    "version": 1,
    "match": [
        "all": [
            ["field": "attributes.channel", "op": "is", "value": "Web"],
            ["field": "attributes.history", "op": "at_least", "value": 500],
        ]
    ],
]
