// From the members of a segment to those who would get a campaign, reason by reason.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// Counts of one look at the segment, the same that freezing takes.
struct Waterfall {
    private let steps: [WaterfallStep]

    /// In the order in which they are asked: each counts those whom none before it left out. Others, and the holdout,
    /// which is drawn of the rest, come last.
    private static let order = ["no_address", "invalid_address", "opted_out", "suppressed", "no_consent"]

    init(_ steps: [WaterfallStep]) { self.steps = steps }

    var recipients: Int { steps.first { $0.reason == nil }?.count ?? 0 }
    var members: Int { steps.reduce(0) { $0 + $1.count } }

    var json: JSONValue {
        let found = Dictionary(uniqueKeysWithValues: steps.compactMap { step in step.reason.map { ($0, step) } })
        let others = found.keys.filter { !Self.order.contains($0) && $0 != "holdout" }.sorted()
        var remaining = members
        let steps: [JSONValue] = (Self.order + others + ["holdout"]).map { reason in
            remaining -= found[reason]?.count ?? 0
            return [
                "reason": .string(reason), "count": JSONValue(found[reason]?.count ?? 0), "remaining": JSONValue(remaining),
                "sample": found[reason]?.sample ?? [],
            ]
        }
        var skipped = JSONObject()
        for (reason, step) in found.sorted(by: { $0.key < $1.key }) { skipped[reason] = JSONValue(step.count) }
        return [
            "members": JSONValue(members), "skipped": .object(skipped), "recipients": JSONValue(recipients), "steps": .array(steps),
        ]
    }
}

struct WaterfallStep: RowDecodable {
    /// `nil`: they would get it.
    let reason: String?
    let count: Int
    /// Some of them, with their names, as contacts show them.
    let sample: JSONValue?
    init(_ row: borrowing Row) throws(PostgresError) {
        reason = try row["reason"]
        count = try row["count"]
        sample = try row["sample"]
    }
}
