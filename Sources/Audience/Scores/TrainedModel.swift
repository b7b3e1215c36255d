// A model that scores: features, weights and how often its predictions come true.
internal import Glibc
internal import JSON

struct TrainedModel: Equatable {
    let plan: FeaturePlan
    let regression: LogisticRegression
    let calibration: Calibration
    /// Of the predictions for contacts that were held out.
    let cuts: [Double]

    /// The chance that a contact does it, `0...1`, in steps of a millionth.
    func score(_ raw: RawFeatures) -> Double {
        let margin = regression.margin(plan.encode(numbers: raw.numbers, texts: raw.texts))
        return (calibration.chance(ofMargin: margin) * 1e6).rounded() / 1e6
    }

    func decile(of score: Double) -> Int { Audience.decile(of: score, cuts: cuts) }

    var json: JSONValue {
        func numbers(_ values: [Double]) -> JSONValue { .array(values.map { .real($0) }) }
        return [
            "features": plan.json, "intercept": .real(regression.intercept), "weights": numbers(regression.weights),
            "calibration": numbers([calibration.slope, calibration.intercept]), "cuts": numbers(cuts),
        ]
    }

    init(plan: FeaturePlan, regression: LogisticRegression, calibration: Calibration, cuts: [Double]) {
        (self.plan, self.regression, self.calibration, self.cuts) = (plan, regression, calibration, cuts)
    }

    /// `nil` for what another version of this program wrote and this one does not read.
    init?(_ json: JSONValue) {
        func numbers(_ key: String) -> [Double] { json[key]?.array?.compactMap(\.real) ?? [] }
        let (weights, calibration, cuts) = (numbers("weights"), numbers("calibration"), numbers("cuts"))
        guard let plan = FeaturePlan(json["features"]), let intercept = json["intercept"]?.real, weights.count == plan.width,
            calibration.count == 2, cuts.count == 9
        else { return nil }
        self.init(
            plan: plan, regression: LogisticRegression(intercept: intercept, weights: weights),
            calibration: Calibration(slope: calibration[0], intercept: calibration[1]), cuts: cuts)
    }

    /// What moves predictions most, in words.
    /// - Parameters:
    ///   - deviations: of the columns, over the contacts that the weights were fitted on: what half of them have weighs
    ///     more than what one in a thousand has.
    func telling(_ deviations: [Double], most: Int = 10) -> JSONValue {
        let columns = plan.columns
        let order = columns.indices.sorted {
            let (a, b) = (abs(regression.weights[$0]) * deviations[$0], abs(regression.weights[$1]) * deviations[$1])
            return (b, $0) < (a, $1)
        }
        return .array(
            order.prefix(most).compactMap { index in
                let effect = regression.weights[index] * calibration.slope
                guard abs(effect) * deviations[index] > 1e-3 else { return nil }
                let (name, isAmount) = columns[index]
                let more = effect > 0 ? "More likely" : "Less likely"
                return [
                    "feature": .string(name), "direction": effect > 0 ? "more_likely" : "less_likely",
                    "odds_ratio": rounded(exp(effect)),
                    "text": .string("\(more) \(isAmount ? "the higher" : "when") \(name)\(isAmount ? " is" : "")."),
                ]
            })
    }
}
