internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func campaignAnalytics(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let group = call.query("group") ?? "hour"
    return try call.read { db in
        guard try db.one(FigureSQL.exists, id) else { throw Problem.notFound("campaign") }
        let figures = try db.one(FigureSQL.campaign, id)
        var body = figures.members
        var skipped = JSONObject()
        for row in try db.all(FigureSQL.reasons, id, "skipped") { skipped[row.reason] = JSONValue(row.messages) }
        body["skipped"] = .object(skipped)
        body["rates"] = figures.rates
        // What the provider said, whether the message never left or was refused on its way.
        var codes: [String: Int] = [:]
        for measure in ["failed", "undelivered"] {
            for row in try db.all(FigureSQL.reasons, id, measure) { codes[row.reason, default: 0] += row.messages }
        }
        body["failures"] = .array(codes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map {
            ["code": Int64($0.key).map { .integer($0) } ?? .null, "count": JSONValue($0.value)]
        })
        body["timeline"] = try db.one(FigureSQL.timeline, id, group, nil, nil)
        body["previous"] = .null
        if let before = try db.first(FigureSQL.before, id) {
            let figures = try db.one(FigureSQL.campaign, before)
            var previous = figures.members
            previous["campaign_id"] = .string(before.description)
            previous["rates"] = figures.rates
            body["previous"] = .object(previous)
        }
        return .json(.object(body))
    }
}

/// The last 7, 30, 90 or 365 times 24 hours, and as many before them.
func overview(_ call: Call) throws -> Response {
    let days = ["7d": 7, "30d": 30, "90d": 90, "1y": 365][call.query("range") ?? "30d"] ?? 30
    let group = call.query("group") ?? "day"
    // Rollups are by the hour, so the period ends with the hour that runs now.
    let hour: Int64 = 3_600_000_000
    let end = Instant(microseconds: (call.now.microseconds / hour + 1) * hour)
    let start = end - Double(days) * 86_400
    let before = start - Double(days) * 86_400
    return try call.read { db in
        let now = try db.one(FigureSQL.period, start, end)
        let then = try db.one(FigureSQL.period, before, start)
        var body = now.members
        body["from"] = .string(start.description)
        body["to"] = .string(end.description)
        body["contacts"] = JSONValue(try db.one(FigureSQL.contacts))
        body["rates"] = now.rates
        body["timeline"] = try db.one(FigureSQL.timeline, nil, group, start, end)
        var previous = then.members
        previous["rates"] = then.rates
        body["previous"] = .object(previous)
        return .json(.object(body))
    }
}

// MARK: Figures of the team's own

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

private enum MetricSQL {
    static let insert = Statement<JSONText, String, Double, Instant?>("""
        INSERT INTO recorded_metrics (workspace_id, name, value, occurred_at)
        VALUES (current_workspace(), $1, $2, coalesce($3, now()))
        RETURNING json_build_object('id', id, 'name', name, 'value', value, 'occurred_at', rfc3339(occurred_at))
        """)
    static let page = Statement<PageRow, TimestampText, UUID, Int>("""
        SELECT json_build_object('id', id, 'name', name, 'value', value, 'occurred_at', rfc3339(occurred_at)), occurred_at, id
          FROM recorded_metrics
         WHERE workspace_id = current_workspace() AND (occurred_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY occurred_at DESC, id DESC LIMIT $3
        """)
    static let named = Statement<PageRow, TimestampText, UUID, Int, String>("""
        SELECT json_build_object('id', id, 'name', name, 'value', value, 'occurred_at', rfc3339(occurred_at)), occurred_at, id
          FROM recorded_metrics
         WHERE workspace_id = current_workspace() AND name = $4 AND (occurred_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY occurred_at DESC, id DESC LIMIT $3
        """)
}

func recordMetric(_ call: Call) throws -> Response {
    let draft = try call.body(MetricDraft.self)
    let made = try call.transaction { db in try db.one(MetricSQL.insert, draft.name, draft.value, draft.occurredAt) }
    return .json(made, status: 201)
}

func listMetrics(_ call: Call) throws -> Response {
    let paging = try call.paging(sorts: ["-occurred_at"])
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: UUID(high: .max, low: .max))
    if let name = call.query("name") { return try call.page(MetricSQL.named, paging, at, id, paging.fetchLimit, name) }
    return try call.page(MetricSQL.page, paging, at, id, paging.fetchLimit)
}
