// How many a rule finds, from some thousand contacts drawn at random: the same cost however many there are.
//
// Places are drawn, not contacts: each contact has one place among those that were ever given out, and a place whose
// contact is gone finds nobody. So the number of places, which is known, is all that has to be known.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum Estimate {
    /// With fewer places all are counted: that is as quick.
    static let smallest = 10_000
    static let size = 2500

    static func count(_ rule: Rule, _ scope: RuleScope, places: Int, _ db: Connection) throws -> RuleCount {
        let drawn = try db.one(CountSQL.draw, places, size)
        let compiled = RuleCompiler.compile(rule, scope, among: drawn.contacts)
        let found: [ContactID] = try db.dynamic(SegmentSQL.ids(compiled), compiled.values)
        // Everybody among those who were found.
        let everybody = Rule(json: .null, zone: .workspace, match: .all([]), dependencies: Dependencies())
        let those = RuleCompiler.compile(everybody, scope, among: found)
        let reachable: [Reachable] = found.isEmpty ? [] : try db.dynamic(SegmentSQL.reachable(those), those.values)
        func figure(_ hits: Int) -> (JSONValue, JSONValue) {
            let interval = interval(hits: hits, drawn: drawn.places, places: places)
            return (JSONValue(interval.count), ["low": JSONValue(interval.low), "high": JSONValue(interval.high)])
        }
        let (count, bounds) = figure(found.count)
        let (sms, smsBounds) = figure(reachable.first?.sms ?? 0)
        let (email, emailBounds) = figure(reachable.first?.email ?? 0)
        return RuleCount(
            asOf: compiled.asOf,
            answer: [
                "count": count, "exact": false, "reachable": ["sms": sms, "email": email],
                "estimate": [
                    "method": "random sample, Wilson score interval", "confidence": 0.95, "sampled": JSONValue(drawn.places),
                    "of": JSONValue(places), "count": bounds, "reachable": ["sms": smsBounds, "email": emailBounds],
                ],
                "sample_ids": .array(found.prefix(10).map { .string($0.description) }),
            ])
    }

    /// What `hits` of `drawn` places say about all of them, with 95 % confidence.
    /// - Returns: whole contacts; `low` is at least what was seen, `high` leaves out what was seen not to be.
    /// - Source: Wilson 1927, for `n` as a part of a finite population (Cochran 1977, section 2.6): drawing half of it
    ///   tells more than half as much again.
    static func interval(hits: Int, drawn: Int, places: Int) -> (count: Int, low: Int, high: Int) {
        guard drawn > 0 else { return (0, 0, places) }
        guard drawn < places else { return (hits, hits, hits) }
        let p = Double(hits) / Double(drawn)
        let n = Double(drawn) * Double(places - 1) / Double(places - drawn)
        let z = 1.959964
        let middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        let half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
        func whole(_ share: Double, _ rule: FloatingPointRoundingRule) -> Int { Int((share * Double(places)).rounded(rule)) }
        return (
            whole(p, .toNearestOrAwayFromZero), max(hits, whole(middle - half, .down)),
            min(places - (drawn - hits), whole(middle + half, .up))
        )
    }
}
