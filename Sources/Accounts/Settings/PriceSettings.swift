// What a team pays its provider for each message part, so that a campaign's cost is known before it is sent.
internal import JSON
internal import Web

struct PriceSettings {
    let json: JSONValue

    static let members: [Member] = [
        .optional(
            "prices",
            .nullable(
                .object([
                    .required("currency", .string(min: 3, max: 3), "ISO 4217, as in USD"),
                    .required("items", .array(.object(item), max: 1000), "One for each channel and country"),
                ])), "What one message part, or one e-mail, costs; null: not known")
    ]
    private static let item: [Member] = [
        .required("channel", .string(oneOf: ["sms", "email"]), "Of which messages"),
        .optional("country", .nullable(.string(min: 2, max: 2)), "ISO 3166, of the number; null: of each country without its own"),
        .required("amount_micros", .integer(0...1_000_000_000), "In millionths of the currency's unit: 7900 is 0.0079"),
    ]

    /// `nil` where the body gives none.
    init?(_ body: JSONObject) throws {
        guard let prices = body["prices"]?.object else { return nil }
        var faults = Faults()
        func isCapital(_ text: String) -> Bool { text.utf8.allSatisfy { (65...90).contains($0) } }
        if !isCapital(prices.string("currency")) {
            faults.add("/prices/currency", "bad_format", "Expected three capital letters, as in USD.")
        }
        var known: Set<[String?]> = []
        for (index, item) in (prices["items"]?.array ?? []).enumerated() {
            let (channel, country) = (item["channel"]?.string, item["country"]?.string)
            if let country, channel == "email" || !isCapital(country) {
                faults.add(
                    "/prices/items/\(index)/country", "bad_format",
                    channel == "email" ? "E-mail has no country." : "Expected two capital letters, as in US.")
            }
            if !known.insert([channel, country]).inserted {
                faults.add("/prices/items/\(index)", "repeated", "There is a price for this already.")
            }
        }
        try faults.check()
        json = .object(prices)
    }
}
