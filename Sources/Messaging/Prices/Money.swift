// Amounts of money: minor units for people; for message parts, which cost less than a cent, millionths of the unit.
internal import JSON
internal import Web

/// An amount as the API shows and takes it.
struct Money: Hashable, Sendable {
    /// In minor units: cents of a dollar, whole yen.
    let amount: Int
    /// ISO 4217.
    let currency: String

    static let schema = Schema.object([
        .required("amount", .integer(1...1_000_000_000_000), "In minor units: cents of a dollar, whole yen"),
        .required("currency", .string(min: 3, max: 3), "ISO 4217, as in USD"),
    ])

    init(amount: Int, currency: String) {
        self.amount = amount
        self.currency = currency
    }

    /// Rounded up: a budget of as much suffices.
    init(micros: Int, currency: String) {
        let unit = Money.micros(perMinorUnitOf: currency)
        self.init(amount: (micros + unit - 1) / unit, currency: currency)
    }

    var micros: Int { amount * Money.micros(perMinorUnitOf: currency) }
    var json: JSONValue { ["amount": JSONValue(amount), "currency": .string(currency)] }

    /// Source: ISO 4217, list one (2026): currencies without minor units, and those with a thousand.
    static func micros(perMinorUnitOf currency: String) -> Int {
        switch currency {
        case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF":
            1_000_000
        case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND": 1000
        default: 10_000
        }
    }
}
