// All campaigns of a workspace over its last days, and over as many before them.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum OverviewRange: String, CaseIterable {
    case week = "7d"
    case month = "30d"
    case quarter = "90d"
    case year = "1y"

    /// Calendar days, today included.
    var days: Int {
        switch self {
        case .week: 7
        case .month: 30
        case .quarter: 90
        case .year: 365
        }
    }
}

func overview(_ call: Call) throws -> Response {
    let range = call.query("range").flatMap(OverviewRange.init(rawValue:)) ?? .month
    return try call.read { db in
        let period = try db.one(OverviewSQL.period, call.now, range.days)
        var body: JSONObject = [
            "range": .string(range.rawValue), "from": .string(period.starts.description), "to": .string(period.ends.description),
            "contacts": JSONValue(try db.one(OverviewSQL.contacts)),
            "campaigns": JSONValue(try db.one(OverviewSQL.campaigns, period.starts, period.ends)),
        ]
        body.merge(Figures(try db.all(FigureSQL.period, period.starts, period.ends)).body)
        body.merge(try db.one(FigureSQL.periodTimeline, period.starts, period.ends, call.query("group") ?? "day").object ?? [:])
        var previous: JSONObject = [
            "from": .string(period.before.description), "to": .string(period.starts.description),
            "campaigns": JSONValue(try db.one(OverviewSQL.campaigns, period.before, period.starts)),
        ]
        previous.merge(Figures(try db.all(FigureSQL.period, period.before, period.starts)).body)
        body["previous"] = .object(previous)
        return .json(.object(body))
    }
}

/// Whole days in the workspace's zone: `[starts, ends)` up to the end of today, `[before, starts)` in front of it.
struct OverviewPeriod: RowDecodable {
    let before: Instant
    let starts: Instant
    let ends: Instant
    init(_ row: borrowing Row) throws(PostgresError) {
        before = try row["before"]
        starts = try row["starts"]
        ends = try row["ends"]
    }
}

enum OverviewSQL {
    /// Counted on the calendar: a day with a change of clocks has 23 or 25 hours and is a day.
    static let period = Statement<OverviewPeriod, Instant, Int>(
        """
        SELECT (today - make_interval(days => 2 * $2 - 1)) AT TIME ZONE timezone AS before,
               (today - make_interval(days => $2 - 1)) AT TIME ZONE timezone AS starts,
               (today + interval '1 day') AT TIME ZONE timezone AS ends
          FROM (SELECT timezone, date_trunc('day', $1::timestamptz AT TIME ZONE timezone) AS today
                  FROM workspaces WHERE id = current_workspace()) AS local
        """)

    static let contacts = Statement<Int>(
        """
        SELECT count(*) FROM contacts WHERE workspace_id = current_workspace()
        """)

    /// Campaigns whose audience was frozen in the period.
    static let campaigns = Statement<Int, Instant, Instant>(
        """
        SELECT count(*) FROM campaigns
         WHERE workspace_id = current_workspace() AND frozen_at >= $1 AND frozen_at < $2
        """)
}
