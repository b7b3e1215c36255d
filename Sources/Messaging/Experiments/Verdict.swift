// Which variant is the best. Pure: what was counted goes in, a place comes out.
internal import JSON
internal import PostgreSQL

/// What became of one variant's messages in the test.
struct VariantFigure: RowDecodable {
    let place: Int
    let name: String
    let sent: Int
    /// How many of those sent did what the measure counts.
    let count: Int
    init(place: Int, name: String, sent: Int, count: Int) {
        self.place = place
        self.name = name
        self.sent = sent
        self.count = count
    }
    init(_ row: borrowing Row) throws(PostgresError) {
        place = try row["place"]
        name = try row["name"]
        sent = try row["sent"]
        count = try row["count"]
    }

    /// Whether its rate is above another's, exactly. Without anything sent there is no rate, which is below every rate.
    func beats(_ other: VariantFigure) -> Bool {
        if sent == 0 || other.sent == 0 { return sent > 0 }
        return count * other.sent > other.count * sent
    }
}

struct Verdict: Equatable {
    enum Reason: String {
        case best, tie, noData = "no_data"
    }
    let place: Int
    let reason: Reason

    /// The best rate wins, however little it is above the next. Of equal ones the first in the order of the variants does, so
    /// the first of all where nobody did anything: with no data the author's own order decides.
    init(_ figures: [VariantFigure]) {
        let figures = figures.sorted { $0.place < $1.place }
        let best = figures.reduce(nil as VariantFigure?) { best, next in best.map { next.beats($0) ? next : $0 } ?? next }
        guard let best, best.count > 0 else {
            place = figures.first?.place ?? 0
            reason = .noData
            return
        }
        place = best.place
        reason = figures.contains { $0.place != best.place && !best.beats($0) } ? .tie : .best
    }
}

extension [VariantFigure] {
    /// As the decision keeps it.
    var json: JSONValue {
        .array(
            map {
                [
                    "name": .string($0.name), "sent": JSONValue($0.sent), "count": JSONValue($0.count),
                    "rate": $0.sent > 0 ? .real(Double($0.count) / Double($0.sent)) : .null,
                ]
            })
    }
}
