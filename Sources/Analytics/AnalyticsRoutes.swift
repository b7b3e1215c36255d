internal import JSON
public import Web

private let anyGroup = QueryParameter(
    "group", .string(oneOf: ["hour", "day", "week", "month"]),
    "Length of a point of the timeline; absent: hours for up to three days, days for more")

public let analyticsRoutes: [Route] = [
    .get("/api/campaigns/{id}/analytics", campaignAnalytics, needs: .readAnalytics, query: [anyGroup], "What came of a campaign"),
    .get("/api/analytics/campaigns/{id}", campaignAnalytics, needs: .readAnalytics, query: [anyGroup], "What came of a campaign"),
    .get(
        "/api/analytics/overview", overview, needs: .readAnalytics,
        query: [
            QueryParameter("range", .string(oneOf: OverviewRange.allCases.map(\.rawValue)), "Days up to today; 30d when absent"),
            QueryParameter("group", .string(oneOf: ["day", "week", "month"]), "Length of a point of the timeline; day when absent"),
        ],
        "All campaigns together, with the period before"),
    .get(
        "/api/analytics", listMetrics, needs: .readAnalytics,
        query: QueryParameter.paging + [QueryParameter("name", .string(min: 1, max: 200), "Only this figure")],
        "Recorded figures, newest first"),
    .post("/api/analytics", recordMetric, needs: .writeEvents, limit: .events, body: MetricDraft.schema, "Record a figure of your own"),
]
