// What the variants of a campaign's experiment came to, beside each other.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// Variants compared by the people in the test, who were drawn at random; what came of the remainder, which got the winner later
/// and all the same, stands by itself in `remainder`.
///
/// - Returns: counts as people: `recipients` were not skipped, the others are of those who were sent something. `rate` is the
///   measure's fraction `0...1` of `sent` with its 95 % interval; `null` where nothing was sent, or nothing is measured.
///   `comparison` is of the two best rates: `is_more_than_chance` when the 95 % interval of their difference leaves out 0. Among
///   more than two variants the best pair is picked after the fact, so there chance makes such a difference more often.
/// - Source: intervals as in `Proportion`: Wilson 1927, Newcombe 1998.
struct ExperimentReport {
    let plan: ExperimentRow
    let counts: [VariantCount]

    var body: JSONValue {
        var body: JSONObject = [
            "winner": JSONValue(counts.first(where: \.isWinner)?.name), "decided_at": JSONValue(plan.decidedAt?.description),
            "decided_by": JSONValue(plan.decidedBy), "reason": JSONValue(plan.reason), "decide_at": JSONValue(plan.decideAt?.description),
            "measure": JSONValue(plan.measure), "test_percent": .real(plan.testPercent),
        ]
        body["variants"] = .array(counts.filter { $0.name != nil }.map { .object(told($0)) })
        body["remainder"] = counts.first { $0.name == nil }.map { .object($0.body) } ?? .null
        body["comparison"] = comparison
        return .object(body)
    }

    private func rate(_ count: VariantCount) -> Proportion? {
        plan.measure.map { Proportion(count: count[$0], total: count["sent"]) }
    }

    private func told(_ count: VariantCount) -> JSONObject {
        var body: JSONObject = ["name": JSONValue(count.name), "weight": JSONValue(count.weight)]
        body.merge(count.body)
        let share = rate(count)
        body["rate"] = share?.rate.map { .real($0) } ?? .null
        body["interval"] = share?.interval.map { [.real($0.low), .real($0.high)] } ?? .null
        return body
    }

    private var comparison: JSONValue {
        let shares = counts.compactMap { count in count.name.flatMap { name in rate(count).map { (name: name, share: $0) } } }
        let ranked = shares.enumerated().filter { $0.element.share.rate != nil }.sorted {
            ($1.element.share.rate!, $0.offset) < ($0.element.share.rate!, $1.offset)
        }.map(\.element)
        guard ranked.count > 1, let difference = ranked[0].share.difference(from: ranked[1].share) else { return .null }
        return [
            "better": .string(ranked[0].name), "worse": .string(ranked[1].name), "difference": .real(difference.value),
            "interval": [.real(difference.low), .real(difference.high)],
            "is_more_than_chance": .bool(difference.low > 0 || difference.high < 0),
        ]
    }
}

/// One variant's people, or those of the remainder.
struct VariantCount: RowDecodable {
    /// `nil`: the remainder.
    let name: String?
    let weight: Int?
    let isWinner: Bool
    private let counts: [(measure: String, count: Int)]
    private static let measures = ["recipients", "sent", "delivered", "opened", "clicked", "replied", "converted", "opted_out"]

    init(_ row: borrowing Row) throws(PostgresError) {
        name = try row["name"]
        weight = try row["weight"]
        isWinner = try row["is_winner"]
        var counts: [(measure: String, count: Int)] = []
        for measure in Self.measures { counts.append((measure, try row[measure])) }
        self.counts = counts
    }

    subscript(measure: String) -> Int { counts.first { $0.measure == measure }?.count ?? 0 }

    var body: JSONObject {
        var body = JSONObject()
        for (measure, count) in counts { body[measure] = JSONValue(count) }
        return body
    }
}

struct ExperimentRow: RowDecodable {
    let measure: String?
    let testPercent: Double
    let decideAt: Instant?
    let decidedAt: Instant?
    let decidedBy: String?
    let reason: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        measure = try row["measure"]
        testPercent = try row["test_percent"]
        decideAt = try row["decide_at"]
        decidedAt = try row["decided_at"]
        decidedBy = try row["decided_by"]
        reason = try row["reason"]
    }
}

enum ExperimentReportSQL {
    static let plan = Statement<ExperimentRow, CampaignID>(
        """
        SELECT e.measure, (e.test_basis_points / 100.0)::float8 AS test_percent,
               e.begun_at + make_interval(secs => e.decide_after_seconds) AS decide_at, e.decided_at, e.decided_by, e.reason
          FROM campaign_experiments e WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1
        """)

    /// Of each variant, also of those that nobody has, in their order; then of the remainder, if there is one. Costs what
    /// `experiment_figures` does: a look at each message of the campaign.
    static let counts = Statement<VariantCount, CampaignID>(
        """
        SELECT v.name, v.weight, coalesce(v.place = (SELECT p.winner FROM experiment_plan($1) p), false) AS is_winner,
               coalesce(f.recipients, 0) AS recipients, coalesce(f.sent, 0) AS sent, coalesce(f.delivered, 0) AS delivered,
               coalesce(f.opened, 0) AS opened, coalesce(f.clicked, 0) AS clicked, coalesce(f.replied, 0) AS replied,
               coalesce(f.converted, 0) AS converted, coalesce(f.opted_out, 0) AS opted_out
          FROM (SELECT w.place, w.name, w.weight FROM campaign_variants w
                 WHERE w.workspace_id = current_workspace() AND w.campaign_id = $1) v
          FULL JOIN experiment_figures($1) f ON f.place = v.place
         ORDER BY v.place NULLS LAST
        """)
}
