// What a model looks at: where a value comes from, and how it becomes numbers.
internal import Glibc
internal import JSON

/// Where a value comes from. All are read as of one instant.
enum FeatureOrigin: Hashable {
    enum Reading: String { case number, boolean, time, category }
    enum EventMeasure: Hashable {
        case daysSince, count
        /// In the 30 days before.
        case recentCount
        case sum(String)
    }
    enum MessageMeasure: String { case sent, delivered, daysSince = "days_since" }

    case attribute(String, Reading)
    /// A text column of contacts.
    case column(String)
    /// Whether there is an address: `email` or `phone`.
    case has(String)
    case tag(String)
    /// Days since the contact was created.
    case age
    case event(String, EventMeasure)
    case messages(MessageMeasure)
    /// How often the contact replied, clicked and so on.
    case responses(String)
    case consent(String)

    var isCategory: Bool {
        switch self {
        case .attribute(_, .category), .column, .consent: true
        default: false
        }
    }

    /// What people call it.
    var name: String {
        switch self {
        case .attribute(let key, .time): "days since attributes.\(key)"
        case .attribute(let key, _): "attributes.\(key)"
        case .column(let name): name
        case .has(let name): "has \(name)"
        case .tag(let tag): "has the tag \(tag)"
        case .age: "days since created_at"
        case .event(let name, .daysSince): "days since the last \(name)"
        case .event(let name, .count): "number of \(name)"
        case .event(let name, .recentCount): "number of \(name) in 30 days"
        case .event(let name, .sum(let property)): "sum of \(property) of \(name)"
        case .messages(.sent): "messages sent"
        case .messages(.delivered): "messages delivered"
        case .messages(.daysSince): "days since the last message"
        case .responses(let kind): "campaigns \(kind)"
        case .consent(let channel): "consent to \(channel)"
        }
    }

    private var parts: [String] {
        switch self {
        case .attribute(let key, let reading): ["attribute", key, reading.rawValue]
        case .column(let name): ["column", name]
        case .has(let name): ["has", name]
        case .tag(let tag): ["tag", tag]
        case .age: ["age"]
        case .event(let name, .daysSince): ["event", name, "days_since"]
        case .event(let name, .count): ["event", name, "count"]
        case .event(let name, .recentCount): ["event", name, "recent_count"]
        case .event(let name, .sum(let property)): ["event", name, "sum", property]
        case .messages(let measure): ["messages", measure.rawValue]
        case .responses(let kind): ["responses", kind]
        case .consent(let channel): ["consent", channel]
        }
    }
    var json: JSONValue { .array(parts.map { .string($0) }) }

    init?(_ json: JSONValue?) {
        let parts = json?.array?.compactMap(\.string) ?? []
        func part(_ index: Int) -> String { parts.count > index ? parts[index] : "" }
        switch (part(0), parts.count) {
        case ("attribute", 3):
            guard let reading = Reading(rawValue: part(2)) else { return nil }
            self = .attribute(part(1), reading)
        case ("column", 2): self = .column(part(1))
        case ("has", 2): self = .has(part(1))
        case ("tag", 2): self = .tag(part(1))
        case ("age", 1): self = .age
        case ("event", 3...4):
            switch part(2) {
            case "days_since": self = .event(part(1), .daysSince)
            case "count": self = .event(part(1), .count)
            case "recent_count": self = .event(part(1), .recentCount)
            default: self = .event(part(1), .sum(part(3)))
            }
        case ("messages", 2):
            guard let measure = MessageMeasure(rawValue: part(1)) else { return nil }
            self = .messages(measure)
        case ("responses", 2): self = .responses(part(1))
        case ("consent", 2): self = .consent(part(1))
        default: return nil
        }
    }
}

/// How one value becomes columns of the matrix.
enum FeatureEncoding: Equatable {
    /// Its distance from the mean in standard deviations, at most 6; the logarithm of its size first, if it is skewed.
    /// A missing value counts as the mean, and in a column of its own where that is worth one.
    case number(isLogarithmic: Bool, mean: Double, deviation: Double, tellsMissing: Bool)
    /// One column per frequent value; "" is a missing one.
    case category([String])

    var columns: Int {
        switch self {
        case .number(_, _, _, let tellsMissing): tellsMissing ? 2 : 1
        case .category(let values): values.count
        }
    }
}

struct Feature: Equatable {
    let origin: FeatureOrigin
    let encoding: FeatureEncoding
}

/// All features of a model, in the order of the matrix.
struct FeaturePlan: Equatable {
    let features: [Feature]
    var width: Int { features.reduce(0) { $0 + $1.encoding.columns } }
    var origins: [FeatureOrigin] { features.map(\.origin) }

    /// - Parameters:
    ///   - numbers: of the features that are no categories, in their order; NaN is missing.
    ///   - texts: of those that are, in their order; "" is missing.
    func encode(numbers: [Double], texts: [String]) -> [Float] {
        var row: [Float] = []
        row.reserveCapacity(width)
        var (number, text) = (0, 0)
        for feature in features {
            switch feature.encoding {
            case .number(let isLogarithmic, let mean, let deviation, let tellsMissing):
                let value = numbers[number]
                number += 1
                let scaled = ((isLogarithmic ? signedLogarithm(value) : value) - mean) / deviation
                row.append(value.isNaN ? 0 : Float(min(max(scaled, -6), 6)))
                if tellsMissing { row.append(value.isNaN ? 1 : 0) }
            case .category(let values):
                for value in values { row.append(value == texts[text] ? 1 : 0) }
                text += 1
            }
        }
        return row
    }

    /// What each column says, and whether it is one of more or less, or of yes or no.
    var columns: [(name: String, isAmount: Bool)] {
        features.flatMap { feature -> [(String, Bool)] in
            let name = feature.origin.name
            switch feature.encoding {
            case .number(_, _, _, let tellsMissing): return [(name, true)] + (tellsMissing ? [("\(name) is missing", false)] : [])
            case .category(let values): return values.map { ($0.isEmpty ? "\(name) is missing" : "\(name) is \($0)", false) }
            }
        }
    }
}

/// The logarithm of a number's size with its sign: 0 stays 0.
func signedLogarithm(_ x: Double) -> Double { x < 0 ? -log1p(-x) : log1p(x) }

// MARK: Stored with the model

extension FeaturePlan {
    var json: JSONValue {
        .array(
            features.map { feature in
                switch feature.encoding {
                case .number(let isLogarithmic, let mean, let deviation, let tellsMissing):
                    [
                        "origin": feature.origin.json, "logarithmic": .bool(isLogarithmic), "mean": .real(mean),
                        "deviation": .real(deviation),
                        "missing": .bool(tellsMissing),
                    ]
                case .category(let values): ["origin": feature.origin.json, "values": .array(values.map { .string($0) })]
                }
            })
    }

    init?(_ json: JSONValue?) {
        var features: [Feature] = []
        for entry in json?.array ?? [] {
            guard let origin = FeatureOrigin(entry["origin"]) else { return nil }
            if let values = entry["values"]?.array {
                features.append(Feature(origin: origin, encoding: .category(values.compactMap(\.string))))
            } else {
                guard let mean = entry["mean"]?.real, let deviation = entry["deviation"]?.real, deviation > 0 else { return nil }
                features.append(
                    Feature(
                        origin: origin,
                        encoding: .number(
                            isLogarithmic: entry["logarithmic"]?.bool == true, mean: mean, deviation: deviation,
                            tellsMissing: entry["missing"]?.bool == true)))
            }
        }
        self.features = features
    }
}
