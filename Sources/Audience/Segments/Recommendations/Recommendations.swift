// Segments worth having, found in the workspace's own data, each with its reason. Everything is asked of a sample, so
// that it costs the same however many contacts there are.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func recommendSegments(_ call: Call) throws -> Response {
    try call.read(timeoutSeconds: 15) { db in
        let total = try db.one(RecommendationSQL.total)
        let sample = try db.all(RecommendationSQL.sample, Recommendations.sampleSize, total)
        let recommendations = Recommendations(sample: sample, total: total <= Recommendations.sampleSize ? sample.count : total)
        let items = sample.isEmpty ? [] : try recommendations.differences(db, now: call.now) + recommendations.templates(db)
        return .json([
            "items": .array(items), "sampled": JSONValue(sample.count), "contacts": JSONValue(recommendations.total),
            "interval": ["confidence": 0.95, "method": "Wilson score, 1927"],
        ])
    }
}

struct Recommendations {
    static let sampleSize = 2000
    /// Fewer answers can be anything.
    private static let leastSent = 20
    let sample: [ContactID]
    let total: Int
    private var isWhole: Bool { sample.count == total }

    // MARK: Values that make a difference

    /// Values whose people answer campaigns more often, or less often, than all others; told only where the two intervals
    /// have nothing in common. The strongest first.
    func differences(_ db: Connection, now: Instant) throws -> [JSONValue] {
        let rows = try db.all(RecommendationSQL.values, sample, now - 90 * 86_400)
        guard let whole = rows.first(where: { $0.field == nil }) else { return [] }
        var found: [(strength: Double, item: JSONValue)] = []
        for row in rows {
            guard let field = row.field, let value = row.value else { continue }
            let (inside, outside) = (
                Proportion(count: row.answered, total: row.sent),
                Proportion(count: whole.answered - row.answered, total: whole.sent - row.sent)
            )
            guard min(inside.total, outside.total) >= Self.leastSent, let a = inside.interval, let b = outside.interval,
                let rate = inside.rate, let other = outside.rate, a.low > b.high || a.high < b.low
            else { continue }
            let reason =
                "Contacts whose \(field) is \(quoted(value)) answer campaigns \(rate > other ? "more" : "less") often: "
                + "\(told(inside)) of those written to in 90 days, against \(told(outside)) of all others."
            let rule: JSONValue = [
                "version": 1, "timezone": "workspace", "match": ["field": .string(field), "op": "is", "value": .string(value)],
            ]
            found.append((abs(rate - other), item("\(value) (\(field))", "value_makes_a_difference", rule, row.people, reason)))
        }
        return found.sorted { $0.strength > $1.strength }.prefix(5).map(\.item)
    }

    private func told(_ share: Proportion) -> String {
        guard let rate = share.rate, let interval = share.interval else { return "" }
        return "\(percent(rate)) (\(share.count) of \(share.total); \(percent(interval.low)) to \(percent(interval.high)))"
    }

    // MARK: Templates that find somebody

    /// From which share on a template is worth a look, and up to which: a segment of everybody says nothing. Those about
    /// something that is wrong say more the more they find.
    private static let useful = 0.02...0.6
    private static let troubles = ["never_messaged", "never_asked", "incomplete", "undeliverable"]

    func templates(_ db: Connection) throws -> [JSONValue] {
        let context = try TemplateContext(db)
        let existing = try db.all(DefinitionSQL.chosen, nil).map(\.rule)
        var found: [(share: Double, item: JSONValue)] = []
        for template in segmentTemplates where template.missing(context).isEmpty {
            let rule = try template.rule([:], context)
            let (parsed, scope) = try RuleLibrary.read(rule, db)
            if existing.contains(parsed.json) { continue }
            let compiled = RuleCompiler.compile(parsed, scope, among: sample)
            let counts: [Int] = try db.dynamic(RecommendationSQL.count(compiled), compiled.values)
            let share = Proportion(count: counts.first ?? 0, total: sample.count)
            let isTrouble = Self.troubles.contains(template.key)
            guard let rate = share.rate, Self.useful.lowerBound <= rate, rate <= (isTrouble ? 1 : Self.useful.upperBound) else { continue }
            let reason =
                "\(template.description): \(percent(rate)) of \(isWhole ? "all" : "a sample of") \(sample.count) contacts"
                + (isWhole ? "." : ", about \(estimate(share.count)) of all \(total).")
            let kind = isTrouble ? "needs_attention" : "template_finds_many"
            found.append((isTrouble ? 1 + rate : rate, item(template.name, kind, parsed.json, share.count, reason, template.key)))
        }
        return found.sorted { $0.share > $1.share }.map(\.item)
    }

    // MARK: Small things

    /// - Parameter count: of the sample.
    private func item(_ name: String, _ kind: String, _ rule: JSONValue, _ count: Int, _ reason: String, _ template: String? = nil)
        -> JSONValue
    {
        let interval = Proportion(count: count, total: sample.count).interval
        return [
            "name": .string(name), "kind": .string(kind), "template": JSONValue(template), "rule": rule, "reason": .string(reason),
            "count": JSONValue(isWhole ? count : estimate(count)), "exact": .bool(isWhole),
            "low": isWhole ? JSONValue(count) : JSONValue(interval.map { Int(($0.low * Double(total)).rounded(.down)) }),
            "high": isWhole ? JSONValue(count) : JSONValue(interval.map { Int(($0.high * Double(total)).rounded(.up)) }),
        ]
    }

    private func estimate(_ count: Int) -> Int { Int((Double(count) / Double(sample.count) * Double(total)).rounded()) }

    private func percent(_ rate: Double) -> String {
        let tenths = Int((rate * 1000).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }
}
