internal import JSON

/// What is written of a segment.
struct SegmentDraft: BodyDecodable {
    let name: String
    let description: String?
    let rule: JSONValue
    let schedule: SegmentSchedule?

    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("description", .nullable(.string(max: 2000)), "For people"),
        .required("rule", .described(.any, "The rule language, version 1, or its flat form", example: exampleRule), "Who is in it"),
        .optional("schedule", SegmentSchedule.schema, "When it is brought up to date; live when absent"),
    ])
    init(_ body: JSONObject) throws {
        name = storedText(body.string("name")) ?? ""
        description = body.optionalString("description").flatMap(storedText)
        rule = body["rule"]!
        schedule = try body["schedule"].map { try SegmentSchedule($0) }
        if name.isEmpty { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
    }
}

/// Members of a segment that are to change.
struct SegmentChange: BodyDecodable {
    let name: String?
    let description: String??
    let rule: JSONValue?
    let schedule: SegmentSchedule?

    static let schema: Schema = .object([
        .optional("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("description", .nullable(.string(max: 2000)), "For people"),
        .optional("rule", .any, "Who is in it; the membership is calculated anew"),
        .optional("schedule", SegmentSchedule.schema, "When it is brought up to date"),
    ])
    init(_ body: JSONObject) throws {
        name = body.optionalString("name").map { storedText($0) ?? "" }
        description = body["description"].map { $0.string.flatMap(storedText) }
        rule = body["rule"]
        schedule = try body["schedule"].map { try SegmentSchedule($0) }
        if name == "" { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
    }
}

struct PreviewRequest: BodyDecodable {
    let rule: JSONValue
    static let schema: Schema = .object([
        .required("rule", .described(.any, "The rule language, version 1, or its flat form", example: exampleRule), "Who is counted")
    ])
    init(_ body: JSONObject) throws { rule = body["rule"]! }
}

private let exampleRule: JSONValue = [
    "version": 1,
    "match": [
        "all": [
            ["field": "attributes.channel", "op": "is", "value": "Web"],
            ["field": "attributes.history", "op": "at_least", "value": 500],
        ]
    ],
]
