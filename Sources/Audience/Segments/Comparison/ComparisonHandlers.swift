// Two to five segments side by side: how large, how much the same, and what came of writing to each.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func compareSegments(_ call: Call) throws -> Response {
    let days = periodDays[call.query("range") ?? "30d"] ?? 30
    let (from, to) = (call.now - Double(days) * 86_400, call.now)
    return try call.read(timeoutSeconds: 15) { db in
        guard let text = call.query("ids") else { throw Problem.invalid("/ids", "required", "`ids` names 2 to 5 segments.") }
        let ids = try segmentIDs(text, 2...5)
        let segments = try db.all(ComparisonSQL.segments, ids)
        try checkFound(ids, segments.map(\.id))
        let comparison = Comparison(
            segments: segments, masks: try db.all(ComparisonSQL.masks, ids), outcomes: try db.all(ComparisonSQL.outcomes, ids, from, to))
        var body = comparison.json
        body["period"] = ["from": .string(from.description), "to": .string(to.description)]
        return .json(.object(body))
    }
}

/// Periods that are looked back over, in days.
let periodDays = ["7d": 7, "30d": 30, "90d": 90, "1y": 365]

struct Comparison {
    let segments: [ComparedSegment]
    let masks: [MaskCount]
    let outcomes: [MaskCount]

    var json: JSONObject {
        let places = segments.indices
        var overlaps: [JSONValue] = []
        for a in places {
            for b in places where b > a {
                let (common, either) = (members { $0 & (1 << a) != 0 && $0 & (1 << b) != 0 }, members { $0 & (1 << a | 1 << b) != 0 })
                overlaps.append([
                    "segments": [.string(segments[a].id.description), .string(segments[b].id.description)], "count": JSONValue(common),
                    "jaccard": either == 0 ? .null : .real(Double(common) / Double(either)),
                ])
            }
        }
        return [
            "segments": .array(places.map(segment)), "overlaps": .array(overlaps), "in_any": JSONValue(members { $0 != 0 }),
            "in_all": JSONValue(members { $0 == 1 << segments.count - 1 }),
            "interval": ["confidence": 0.95, "method": "Wilson score, 1927"],
        ]
    }

    private func members(_ isMeant: (Int) -> Bool) -> Int { masks.reduce(0) { $0 + (isMeant($1.mask) ? $1.members : 0) } }

    private func segment(_ place: Int) -> JSONValue {
        let own = outcomes.filter { $0.mask & (1 << place) != 0 }
        let sent = own.reduce(0) { $0 + $1.sent }
        var rates: JSONObject = [:]
        for (name, outcome) in [
            ("delivery_rate", "delivered"), ("reply_rate", "replied"), ("opt_out_rate", "opted_out"), ("click_rate", "clicked"),
            ("conversion_rate", "converted"),
        ] {
            let share = Proportion(count: own.reduce(0) { $0 + ($1.outcomes[outcome] ?? 0) }, total: sent)
            rates[name] = [
                "count": JSONValue(share.count), "rate": share.rate.map { .real($0) } ?? .null,
                "low": share.interval.map { .real($0.low) } ?? .null, "high": share.interval.map { .real($0.high) } ?? .null,
            ]
        }
        return [
            "id": .string(segments[place].id.description), "name": .string(segments[place].name), "as_of": JSONValue(segments[place].asOf),
            "member_count": JSONValue(members { $0 & (1 << place) != 0 }), "only_here": JSONValue(members { $0 == 1 << place }),
            "sent": JSONValue(sent), "rates": .object(rates),
        ]
    }
}
