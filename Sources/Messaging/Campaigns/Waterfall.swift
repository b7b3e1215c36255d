// From the members of a segment to those who would get a campaign, reason by reason.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// Counts of one look at the segment, the same that freezing takes, and at the time, as sending will.
struct Waterfall {
    private let steps: [WaterfallStep]

    /// In the order in which they are asked: each counts those whom none before it left out. Others come between, the holdout
    /// is drawn of the rest, and quiet hours and caps are asked for when a message is due.
    /// No two contacts share an address, so `duplicate_address` counts nobody: it says that this was looked at.
    private static let first = ["no_address", "invalid_address", "duplicate_address", "opted_out", "suppressed", "no_consent"]
    private static let last = ["holdout", "quiet_hours", "over_cap"]

    init(_ steps: [WaterfallStep]) { self.steps = steps }

    var recipients: Int { steps.first { $0.reason == nil }?.count ?? 0 }
    var members: Int { steps.reduce(0) { $0 + $1.count } }

    /// Of the recipients, those whom quiet hours put off, and when the last of them may get it; null when it goes to all at once.
    var later: JSONValue {
        guard let step = steps.first(where: { $0.reason == nil }), step.later > 0 else { return .null }
        return ["count": JSONValue(step.later), "last_opens_at": JSONValue(step.lastOpensAt?.description)]
    }

    /// - Parameter showingContacts: to whoever may not read contacts, the steps show none.
    func json(showingContacts: Bool) -> JSONValue {
        let found = Dictionary(uniqueKeysWithValues: steps.compactMap { step in step.reason.map { ($0, step) } })
        let others = found.keys.filter { !Self.first.contains($0) && !Self.last.contains($0) }.sorted()
        var remaining = members
        let steps: [JSONValue] = (Self.first + others + Self.last).map { reason in
            remaining -= found[reason]?.count ?? 0
            return [
                "reason": .string(reason), "count": JSONValue(found[reason]?.count ?? 0), "remaining": JSONValue(remaining),
                "sample": showingContacts ? found[reason]?.sample ?? [] : [],
            ]
        }
        var skipped = JSONObject()
        for (reason, step) in found.sorted(by: { $0.key < $1.key }) { skipped[reason] = JSONValue(step.count) }
        return [
            "members": JSONValue(members), "skipped": .object(skipped), "recipients": JSONValue(recipients), "steps": .array(steps),
            "later": later,
        ]
    }
}

struct WaterfallStep: RowDecodable {
    /// `nil`: they would get it.
    let reason: String?
    let count: Int
    /// Of them, whom quiet hours put off.
    let later: Int
    let lastOpensAt: Instant?
    /// Some of them, with their names, as contacts show them.
    let sample: JSONValue?
    init(_ row: borrowing Row) throws(PostgresError) {
        reason = try row["reason"]
        count = try row["count"]
        later = try row["later"]
        lastOpensAt = try row["last_opens_at"]
        sample = try row["sample"]
    }
}
