// From what values look like to how they are encoded.
internal import Glibc

/// What one contact showed at an instant.
struct RawFeatures {
    let numbers: [Double]
    let texts: [String]
}

extension FeaturePlan {
    static let maximumWidth = 200
    private static let maximumValues = 20

    /// Drops what is the same for everybody, and values that few have.
    ///
    /// - Parameters:
    ///   - origins: in the order in which they may take up room.
    ///   - sample: of the contacts that the weights will be fitted on, so that the others stay unseen.
    init(_ origins: [FeatureOrigin], sample: [RawFeatures]) {
        var features: [Feature] = []
        var (width, number, text) = (0, 0, 0)
        for origin in origins {
            let encoding: FeatureEncoding?
            if origin.isCategory {
                let index = text
                text += 1
                encoding = FeaturePlan.category(sample.map { $0.texts[index] })
            } else {
                let index = number
                number += 1
                encoding = FeaturePlan.number(sample.map { $0.numbers[index] })
            }
            guard let encoding, width + encoding.columns <= FeaturePlan.maximumWidth else { continue }
            width += encoding.columns
            features.append(Feature(origin: origin, encoding: encoding))
        }
        self.features = features
    }

    private static func number(_ values: [Double]) -> FeatureEncoding? {
        let known = values.filter { !$0.isNaN }
        guard !known.isEmpty else { return nil }
        let missing = Double(values.count - known.count) / Double(values.count)
        let tellsMissing = missing >= 0.005 && missing <= 0.995
        let plain = Moments(known)
        let isLogarithmic = abs(plain.skewness) > 2
        let moments = isLogarithmic ? Moments(known.map(signedLogarithm)) : plain
        // All the same: then only having a value or not says something.
        guard moments.deviation > 1e-9 else {
            return tellsMissing ? .number(isLogarithmic: false, mean: plain.mean, deviation: 1, tellsMissing: true) : nil
        }
        return .number(isLogarithmic: isLogarithmic, mean: moments.mean, deviation: moments.deviation, tellsMissing: tellsMissing)
    }

    /// The values of at least a hundredth of the contacts, the most frequent first. When they are all that there is, the
    /// most frequent one says no more than that it is none of the others, and is left out.
    private static func category(_ values: [String]) -> FeatureEncoding? {
        var counts: [String: Int] = [:]
        for value in values { counts[value, default: 0] += 1 }
        let least = max(10, values.count / 100)
        let frequent = counts.filter { $0.value >= least }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(maximumValues)
        let isAll = frequent.count == counts.count
        let kept = frequent.dropFirst(isAll ? 1 : 0).map(\.key)
        return kept.isEmpty ? nil : .category(kept)
    }
}

private struct Moments {
    let mean: Double
    let deviation: Double
    /// 0 for what is symmetric, 2 for what falls off exponentially.
    let skewness: Double

    init(_ values: [Double]) {
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        var (second, third) = (0.0, 0.0)
        for value in values {
            let distance = value - mean
            second += distance * distance
            third += distance * distance * distance
        }
        self.mean = mean
        deviation = (second / count).squareRoot()
        skewness = second > 0 ? (third / count) / (deviation * deviation * deviation) : 0
    }
}
