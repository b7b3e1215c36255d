// How good predictions are, measured on contacts that the model has not seen.
internal import Glibc
internal import JSON

/// Turns margins into chances that come true as often as they say.
struct Calibration: Equatable {
    let slope: Double
    let intercept: Double

    func chance(ofMargin margin: Double) -> Double { Audience.chance(of: intercept + slope * margin) }

    /// A logistic curve through the margins of contacts that the weights were not fitted on. Targets are drawn a little
    /// towards the middle, so that a handful of contacts cannot make the curve a step.
    ///
    /// - Source: Platt 1999, with the fit by Newton's method (Lin, Lin and Weng 2007).
    static func fit(margins: [Double], outcomes: [Bool]) -> Calibration {
        let positives = outcomes.count { $0 }
        let high = Float(positives + 1) / Float(positives + 2)
        let low = 1 / Float(outcomes.count - positives + 2)
        var matrix = FeatureMatrix(columns: 1, reserving: margins.count)
        for margin in margins { matrix.append([Float(margin)]) }
        let curve = LogisticRegression.fit(matrix, targets: outcomes.map { $0 ? high : low }, ridge: 1e-6) { _ in }
        return Calibration(slope: curve.weights[0], intercept: curve.intercept)
    }
}

/// One tenth of the held-out contacts, by prediction.
struct CalibrationRow: Equatable {
    let decile: Int
    let contacts: Int
    /// The mean of what was predicted, and the share that did it.
    let predicted: Double
    let observed: Double
}

/// Predictions beside what came true.
struct ScoreMeasures: Equatable {
    let contacts: Int
    let positives: Int
    /// The chance that of two contacts, one who did it and one who did not, the first has the higher prediction: 0.5 is
    /// guessing. `nil` when there are not both.
    let auc: Double?
    /// Mean negative logarithm of the chance that was given to what happened; less is better.
    let logLoss: Double
    /// The same for always guessing `baseRate`.
    let baseLogLoss: Double
    /// Of `baseLogLoss - logLoss`, contact by contact.
    let standardError: Double
    let calibration: [CalibrationRow]

    /// - Parameter baseRate: the share of positives among the contacts that the model was made with.
    init(predictions: [Double], outcomes: [Bool], baseRate: Double) {
        precondition(predictions.count == outcomes.count, "one outcome per prediction")
        contacts = outcomes.count
        positives = outcomes.count { $0 }
        var sum = (loss: 0.0, base: 0.0, squares: 0.0)
        for (prediction, outcome) in zip(predictions, outcomes) {
            let (loss, base) = (surprise(prediction, outcome), surprise(baseRate, outcome))
            sum.loss += loss
            sum.base += base
            sum.squares += (base - loss) * (base - loss)
        }
        let count = Double(max(contacts, 1))
        logLoss = sum.loss / count
        baseLogLoss = sum.base / count
        let gain = (sum.base - sum.loss) / count
        standardError = (max(sum.squares / count - gain * gain, 0) / count).squareRoot()
        auc = areaUnderCurve(predictions, outcomes)
        calibration = calibrationTable(predictions, outcomes)
    }

    /// Whether the gain over the base rate is more than chance gives once in twenty times.
    var beatsBaseRate: Bool { baseLogLoss - logLoss > 1.645 * standardError && logLoss < baseLogLoss }

    var json: JSONValue {
        [
            "contacts": JSONValue(contacts), "positives": JSONValue(positives), "auc": auc.map { rounded($0) } ?? .null,
            "log_loss": rounded(logLoss), "base_rate_log_loss": rounded(baseLogLoss), "standard_error": rounded(standardError),
            "calibration": .array(
                calibration.map {
                    [
                        "decile": JSONValue($0.decile), "contacts": JSONValue($0.contacts), "predicted": rounded($0.predicted),
                        "observed": rounded($0.observed),
                    ]
                }),
        ]
    }
}

/// Six digits are more than any of these figures is worth.
func rounded(_ number: Double) -> JSONValue { .real((number * 1e6).rounded() / 1e6) }

/// The negative logarithm of the chance that was given to what happened. A chance of 0 would cost infinitely much when
/// it happens after all, so chances are at least one in a million.
private func surprise(_ chance: Double, _ happened: Bool) -> Double {
    let chance = min(max(chance, 1e-6), 1 - 1e-6)
    return -log(happened ? chance : 1 - chance)
}

/// By ranks; ties count half (Mann and Whitney 1947).
private func areaUnderCurve(_ predictions: [Double], _ outcomes: [Bool]) -> Double? {
    let order = predictions.indices.sorted { predictions[$0] < predictions[$1] }
    var (rankSum, positives) = (0.0, 0)
    var start = 0
    while start < order.count {
        var end = start + 1
        while end < order.count, predictions[order[end]] == predictions[order[start]] { end += 1 }
        let found = order[start..<end].count { outcomes[$0] }
        rankSum += Double(found) * (Double(start + end + 1) / 2)
        positives += found
        start = end
    }
    let negatives = outcomes.count - positives
    guard positives > 0, negatives > 0 else { return nil }
    return (rankSum - Double(positives) * Double(positives + 1) / 2) / (Double(positives) * Double(negatives))
}

/// Tenths of equal size by prediction, as in Hosmer and Lemeshow 1980.
private func calibrationTable(_ predictions: [Double], _ outcomes: [Bool]) -> [CalibrationRow] {
    let order = predictions.indices.sorted { (predictions[$0], $0) < (predictions[$1], $1) }
    return (0..<10).compactMap { tenth in
        let rows = order[(tenth * order.count / 10)..<((tenth + 1) * order.count / 10)]
        guard !rows.isEmpty else { return nil }
        return CalibrationRow(
            decile: tenth + 1, contacts: rows.count, predicted: rows.reduce(0) { $0 + predictions[$1] } / Double(rows.count),
            observed: Double(rows.count { outcomes[$0] }) / Double(rows.count))
    }
}

/// The nine predictions between the tenths.
func decileCuts(_ predictions: [Double]) -> [Double] {
    let sorted = predictions.sorted()
    return (1...9).map { sorted.isEmpty ? 1 : sorted[min($0 * sorted.count / 10, sorted.count - 1)] }
}

/// 1 to 10: between which cuts a prediction lies.
func decile(of prediction: Double, cuts: [Double]) -> Int { 1 + cuts.count { prediction >= $0 } }
