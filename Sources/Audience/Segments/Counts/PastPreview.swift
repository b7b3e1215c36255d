// Whom a rule found at a past instant, as far as history reaches.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum PastPreview {
    /// Contacts by their values of then. Whom a campaign could have written to is not told: suppressions have no history.
    static func answer(_ rule: Rule, _ scope: RuleScope, asOf instant: Instant, _ db: Connection) throws -> JSONValue {
        let past = RuleScope(workspace: scope.workspace, zone: scope.zone, now: instant, isPast: true)
        let compiled = RuleCompiler.compile(rule, past)
        let count: [Int] = try db.dynamic("SELECT count(*) FROM \(compiled.relation) WHERE \(compiled.predicate)", compiled.values)
        let sample: [JSONValue] =
            try count == [0]
            ? []
            : db.dynamic(
                "SELECT contact_json(c) FROM \(compiled.relation) WHERE \(compiled.predicate) ORDER BY c.id LIMIT 10", compiled.values)
        return [
            "count": JSONValue(count[0]), "exact": true, "as_of": .string(instant.description), "reachable": .null,
            "sample": .array(sample), "cached": false, "limits_of_history": .array(limits(rule.dependencies).map { .string($0) }),
        ]
    }

    /// What of that past is not known any more.
    private static func limits(_ read: Dependencies) -> [String] {
        var limits = ["Contacts that were deleted since are not found."]
        if !read.lists.isEmpty { limits.append("Whoever was taken off a list since counts as never having been on it.") }
        if read.fields.contains(where: { $0.hasPrefix("scores.") || $0.hasPrefix("rfm.") }) {
            limits.append("Scores and RFM groups are those of today.")
        }
        return limits
    }
}
