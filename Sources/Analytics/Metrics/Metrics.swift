// Figures that a team records by itself: a name, a value, a time.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

struct MetricDraft: BodyDecodable {
    let name: String
    let value: Double
    let occurredAt: Instant?

    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 200), "What it measures"), .required("value", .number, "How much"),
        .optional("occurred_at", .string(format: "date-time"), "Now when absent"),
    ])

    init(_ body: JSONObject) {
        name = body.string("name")
        value = body["value"]?.real ?? 0
        occurredAt = body.optionalString("occurred_at").flatMap { Instant(rfc3339: $0) }
    }
}

func recordMetric(_ call: Call) throws -> Response {
    let draft = try call.body(MetricDraft.self)
    let made = try call.transaction { db in try db.one(MetricSQL.insert, draft.name, draft.value, draft.occurredAt ?? call.now) }
    return .json(made, status: 201)
}

func listMetrics(_ call: Call) throws -> Response {
    let paging = try call.paging(sorts: ["-occurred_at"])
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: UUID(high: .max, low: .max))
    if let name = call.query("name") { return try call.page(MetricSQL.named, paging, at, id, paging.fetchLimit, name) }
    return try call.page(MetricSQL.page, paging, at, id, paging.fetchLimit)
}

private enum MetricSQL {
    static let insert = Statement<JSONText, String, Double, Instant>(
        """
        INSERT INTO recorded_metrics (workspace_id, name, value, occurred_at)
        VALUES (current_workspace(), $1, $2, $3)
        RETURNING json_build_object('id', id, 'name', name, 'value', value, 'occurred_at', rfc3339(occurred_at))
        """)

    static let page = Statement<PageRow, TimestampText, UUID, Int>(
        """
        SELECT json_build_object('id', id, 'name', name, 'value', value, 'occurred_at', rfc3339(occurred_at)), occurred_at, id
          FROM recorded_metrics
         WHERE workspace_id = current_workspace() AND (occurred_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY occurred_at DESC, id DESC LIMIT $3
        """)

    static let named = Statement<PageRow, TimestampText, UUID, Int, String>(
        """
        SELECT json_build_object('id', id, 'name', name, 'value', value, 'occurred_at', rfc3339(occurred_at)), occurred_at, id
          FROM recorded_metrics
         WHERE workspace_id = current_workspace() AND name = $4 AND (occurred_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY occurred_at DESC, id DESC LIMIT $3
        """)
}
