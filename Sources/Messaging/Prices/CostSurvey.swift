// What the texts of a campaign would cost, by the country of each number.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

struct CostSurvey {
    /// By ISO 3166 code; empty for what has no country.
    private var counts: [String: (messages: Int, parts: Int)] = [:]

    mutating func add(_ country: String?, parts: Int) {
        counts[country ?? "", default: (0, 0)].messages += 1
        counts[country ?? "", default: (0, 0)].parts += parts
    }

    /// - Parameter scale: how many recipients each text that was looked at stands for; 1 where all were.
    /// - Returns: `nil` where the workspace has no prices.
    func cost(_ channel: Channel, scale: Double, _ db: Connection) throws -> Cost? {
        guard let currency = try db.one(PriceSQL.currency) else { return nil }
        let prices = try db.all(PriceSQL.ofCountries, channel, Array(counts.keys))
        func scaled(_ count: Int) -> Int { Int((Double(count) * scale).rounded()) }
        let lines = counts.map { country, count in
            let price = prices.first { $0.country == country }?.micros
            let parts = scaled(count.parts)
            return Cost.Line(country: country, messages: scaled(count.messages), parts: parts, micros: price.map { $0 * parts })
        }
        return Cost(currency: currency, isExact: scale == 1, lines: lines.sorted { ($1.messages, $0.country) < ($0.messages, $1.country) })
    }
}

struct Cost {
    struct Line {
        let country: String
        let messages: Int
        let parts: Int
        /// `nil`: without a price.
        let micros: Int?
    }
    let currency: String
    let isExact: Bool
    let lines: [Line]

    var micros: Int { lines.reduce(0) { $0 + ($1.micros ?? 0) } }
    /// Messages without a price; the total knows nothing of them.
    var unpriced: Int { lines.reduce(0) { $0 + ($1.micros == nil ? $1.messages : 0) } }

    var json: JSONValue {
        [
            "currency": .string(currency), "exact": .bool(isExact), "total": Money(micros: micros, currency: currency).json,
            "amount_micros": JSONValue(micros), "unpriced": JSONValue(unpriced),
            "by_country": .array(
                lines.map {
                    [
                        "country": $0.country.isEmpty ? .null : .string($0.country), "messages": JSONValue($0.messages),
                        "parts": JSONValue($0.parts), "amount_micros": JSONValue($0.micros),
                    ]
                }),
        ]
    }
}

enum PriceSQL {
    /// Of the workspace's prices; NULL without any.
    static let currency = Statement<String?>(
        """
        SELECT settings #>> '{prices,currency}' FROM workspaces WHERE id = current_workspace()
        """)

    static let ofCountries = Statement<CountryPrice, Channel, [String]>(
        """
        SELECT c.country, part_price($1, c.country) AS micros FROM unnest($2::text[]) AS c (country)
        """)
}

struct CountryPrice: RowDecodable {
    let country: String
    let micros: Int?
    init(_ row: borrowing Row) throws(PostgresError) {
        country = try row["country"]
        micros = try row["micros"]
    }
}
