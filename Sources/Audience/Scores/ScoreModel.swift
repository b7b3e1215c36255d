internal import JSON
internal import Vocabulary

/// What is written of a model.
struct ScoreModelDraft: BodyDecodable {
    let name: String
    let goal: ScoreGoal

    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 200), "Unique in the workspace; rules name the score by what it is made of: scores.NAME"),
        .required("event", .string(min: 1, max: 200), "The event that is to be foreseen"),
        .optional(
            "where",
            .described(.nullable(.any), "A rule over the event's properties", example: ["field": "amount", "op": "at_least", "value": 50]),
            "Which of these events count; all without it"),
        .required("horizon_days", .integer(1...365), "Within how many days"),
    ])
    init(_ body: JSONObject) throws {
        name = storedText(body.string("name")) ?? ""
        if name.isEmpty { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
        goal = ScoreGoal(
            event: normalizedNFC(body.string("event")), condition: body["where"].flatMap { $0.isNull ? nil : $0 },
            horizonDays: body.integer("horizon_days"))
    }

    /// What rules call it: small letters, digits and underscores.
    var key: String {
        var key = ""
        for scalar in name.lowercased().unicodeScalars {
            if ("a"..."z").contains(scalar) || ("0"..."9").contains(scalar) {
                key.unicodeScalars.append(scalar)
            } else if !key.isEmpty, !key.hasSuffix("_") {
                key += "_"
            }
        }
        while key.hasSuffix("_") { key.removeLast() }
        return key.isEmpty ? "model" : String(key.prefix(50))
    }
}

/// Members of a model that are to change. Another goal is another model: everything that was learned is forgotten.
struct ScoreModelChange: BodyDecodable {
    let name: String?
    private let event: String?
    private let condition: JSONValue??
    private let horizonDays: Int?

    static let schema: Schema = .object([
        .optional("name", .string(min: 1, max: 200), "Unique in the workspace; the field of rules stays what it is"),
        .optional("event", .string(min: 1, max: 200), "The event that is to be foreseen"),
        .optional("where", .nullable(.any), "Which of these events count; null for all"),
        .optional("horizon_days", .integer(1...365), "Within how many days"),
    ])
    init(_ body: JSONObject) throws {
        name = body.optionalString("name").map { storedText($0) ?? "" }
        if name == "" { throw Fault(pointer: "/name", code: "empty", detail: "The name is blank.") }
        event = body.optionalString("event").map(normalizedNFC)
        condition = body["where"].map { $0.isNull ? .none : .some($0) }
        horizonDays = body.optionalInteger("horizon_days")
    }

    func goal(instead old: ScoreGoal) -> ScoreGoal {
        ScoreGoal(event: event ?? old.event, condition: condition ?? old.condition, horizonDays: horizonDays ?? old.horizonDays)
    }
}

/// What is written of the groups.
struct RFMDraft: BodyDecodable {
    let event: String
    let valueProperty: String?
    let windowDays: Int

    static let schema: Schema = .object([
        .required("event", .string(min: 1, max: 200), "What counts as a purchase"),
        .optional(
            "value_property", .nullable(.string(min: 1, max: 300)), "The number in it that is summed; without it there is no monetary score"
        ),
        .optional("window_days", .integer(1...3650), "How far back purchases count; 365 when absent"),
    ])
    init(_ body: JSONObject) throws {
        event = normalizedNFC(body.string("event"))
        // As for rules, which the groups are fields of: they would feed themselves.
        if event.hasPrefix("segment.") {
            throw Fault(pointer: "/event", code: "reserved_event", detail: "Events of segments are no purchases; name another.")
        }
        valueProperty = body.optionalString("value_property").map(normalizedNFC)
        windowDays = body.optionalInteger("window_days") ?? 365
    }
}
