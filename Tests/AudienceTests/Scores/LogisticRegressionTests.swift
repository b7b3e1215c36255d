// The regression beside known solutions, and the measures of what predictions are worth.
@testable import Audience
import Foundation
import JSON
import TestSupport
import Testing

@Suite struct LogisticRegressionTests {
    private func matrix(_ rows: [[Float]]) -> FeatureMatrix {
        var matrix = FeatureMatrix(columns: rows[0].count)
        for row in rows { matrix.append(row) }
        return matrix
    }
    private func fit(_ rows: [[Float]], _ targets: [Float], ridge: Double) -> LogisticRegression {
        LogisticRegression.fit(matrix(rows), targets: targets, ridge: ridge) { _ in }
    }

    /// Transmission by weight of 32 cars (Henderson and Velleman 1981); R's glm gives 12.040 and -4.024.
    @Test func `it finds what other programs find`() {
        let weights: [Float] = [
            2.620, 2.875, 2.320, 3.215, 3.440, 3.460, 3.570, 3.190, 3.150, 3.440, 3.440, 4.070, 3.730, 3.780, 5.250, 5.424,
            5.345, 2.200, 1.615, 1.835, 2.465, 3.520, 3.435, 3.840, 3.845, 1.935, 2.140, 1.513, 3.170, 2.770, 3.570, 2.780,
        ]
        let manual: [Float] = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
        let model = fit(weights.map { [$0] }, manual, ridge: 1e-9)
        #expect(abs(model.intercept - 12.040) < 0.001 && abs(model.weights[0] + 4.024) < 0.001)
    }

    @Test func `a table of two by two gives the logarithms of its odds`() {
        // 20 of 100 without, 60 of 100 with.
        let rows = (0..<200).map { [Float($0 < 100 ? 0 : 1)] }
        let targets = (0..<200).map { Float(($0 < 100 ? $0 < 20 : $0 < 160) ? 1 : 0) }
        let model = fit(rows, targets, ridge: 1e-9)
        #expect(abs(model.intercept - log(0.25)) < 1e-6)
        #expect(abs(model.weights[0] - (log(1.5) - log(0.25))) < 1e-6)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `at the solution nothing can be gained in any direction`(seed: UInt64) {
        var random = Seeded(seed)
        let rows = (0..<300).map { _ in (0..<5).map { _ in Float.random(in: -2...2, using: &random) } }
        let targets = rows.map { Float(Double.random(in: 0..<1, using: &random) < chance(of: Double($0[0] - $0[1]) - 1) ? 1 : 0) }
        let model = fit(rows, targets, ridge: 2)
        let errors = zip(rows, targets).map { Double($1) - chance(of: model.margin($0)) }
        #expect(abs(errors.reduce(0, +)) < 1e-3, "predictions average to the share")
        for column in 0..<5 {
            let slope = zip(rows, errors).reduce(0) { $0 + Double($1.0[column]) * $1.1 } - 2 * model.weights[column]
            #expect(abs(slope) < 1e-3)
        }
        #expect(model == fit(rows, targets, ridge: 2), "the same every time")
    }

    @Test func `columns that tell targets apart without a fault, and columns that are the same, have a solution`() {
        let rows = (0..<40).map { [Float($0 < 20 ? -1 : 1), Float($0 < 20 ? -1 : 1)] }
        let model = fit(rows, (0..<40).map { $0 < 20 ? 0 : 1 }, ridge: 1)
        #expect(model.weights[0].isFinite && model.weights[0] > 0.5)
        #expect(abs(model.weights[0] - model.weights[1]) < 1e-6)
    }
}

@Suite struct ScoreMeasureTests {
    @Test func `the area under the curve counts pairs in the right order, ties half`() {
        func auc(_ predictions: [Double], _ outcomes: [Bool]) -> Double? {
            ScoreMeasures(predictions: predictions, outcomes: outcomes, baseRate: 0.5).auc
        }
        #expect(auc([0.1, 0.4, 0.35, 0.8], [false, false, true, true]) == 0.75)
        #expect(auc([0.5, 0.5, 0.5], [true, false, true]) == 0.5)
        #expect(auc([0.9, 0.1], [true, false]) == 1)
        #expect(auc([0.9, 0.1], [true, true]) == nil)
    }

    @Test func `log loss is the mean surprise, and the base rate's is its own`() {
        let measures = ScoreMeasures(predictions: [0.8, 0.3], outcomes: [true, false], baseRate: 0.5)
        #expect(abs(measures.logLoss - (-log(0.8) - log(0.7)) / 2) < 1e-12)
        #expect(abs(measures.baseLogLoss - log(2)) < 1e-12)
        let certain = ScoreMeasures(predictions: [0], outcomes: [true], baseRate: 0.5)
        #expect(certain.logLoss.isFinite, "a certainty that was wrong is not infinitely wrong")
    }

    @Test func `noise does not beat the base rate, and what is known does`() {
        var random = Seeded(7)
        let chances = (0..<3000).map { _ in Double.random(in: 0.05...0.6, using: &random) }
        let outcomes = chances.map { Double.random(in: 0..<1, using: &random) < $0 }
        let rate = Double(outcomes.count { $0 }) / 3000
        #expect(ScoreMeasures(predictions: chances, outcomes: outcomes, baseRate: rate).beatsBaseRate)
        let guesses = outcomes.map { _ in min(max(rate + Double.random(in: -0.02...0.02, using: &random), 0.01), 0.99) }
        #expect(!ScoreMeasures(predictions: guesses, outcomes: outcomes, baseRate: rate).beatsBaseRate)
    }

    @Test func `calibration mends margins that are too sure of themselves`() {
        var random = Seeded(11)
        let truth = (0..<8000).map { _ in Double.random(in: -3...1, using: &random) }
        let outcomes = truth.map { Double.random(in: 0..<1, using: &random) < chance(of: $0) }
        let calibration = Calibration.fit(margins: truth.map { 3 * $0 + 2 }, outcomes: outcomes)
        #expect(abs(calibration.slope - 1.0 / 3) < 0.03 && abs(calibration.intercept + 2.0 / 3) < 0.1)
        let predictions = truth.map { calibration.chance(ofMargin: 3 * $0 + 2) }
        let table = ScoreMeasures(predictions: predictions, outcomes: outcomes, baseRate: 0.3).calibration
        #expect(table.count == 10 && table.allSatisfy { $0.contacts == 800 })
        #expect(table.allSatisfy { abs($0.predicted - $0.observed) < 0.06 }, "\(table)")
        let cuts = decileCuts(predictions)
        for tenth in 1...10 { #expect(abs(predictions.count { decile(of: $0, cuts: cuts) == tenth } - 800) <= 1) }
    }
}

@Suite struct FeaturePlanTests {
    private let origins: [FeatureOrigin] = [
        .attribute("spent", .number), .attribute("plan", .category), .age, .attribute("same", .number), .attribute("id", .category),
    ]
    /// Spent is skewed and missing for one in ten, `same` is the same for everybody, `id` another for each.
    private func sample() -> [RawFeatures] {
        (0..<1000).map { (n: Int) -> RawFeatures in
            let spent: Double = n % 10 == 0 ? .nan : exp(Double(n % 97) / 8)
            return RawFeatures(numbers: [spent, Double(n % 50), 7], texts: [["gold", "iron", ""][n % 3], "id-\(n)"])
        }
    }

    @Test func `what says nothing is left out, what is skewed is measured by its logarithm`() {
        let plan = FeaturePlan(origins, sample: sample())
        #expect(plan.origins == [.attribute("spent", .number), .attribute("plan", .category), .age])
        guard case .number(true, _, _, true) = plan.features[0].encoding else { Issue.record("\(plan.features[0])"); return }
        guard case .number(false, let mean, _, false) = plan.features[2].encoding else { Issue.record("\(plan.features[2])"); return }
        #expect(abs(mean - 24.5) < 1e-9)
        // Gold is the most frequent by one: being neither iron nor missing says it.
        #expect(
            plan.columns.map(\.name).contains("attributes.plan is iron") && !plan.columns.map(\.name).contains("attributes.plan is gold"))
        #expect(plan.width == 5)
    }

    @Test func `values are standardised, missing ones are the mean and say so, unknown categories are none`() {
        let plan = FeaturePlan(origins, sample: sample())
        let rows = sample().map { plan.encode(numbers: [$0.numbers[0], $0.numbers[1]], texts: [$0.texts[0]]) }
        let known = rows.filter { $0[1] == 0 }.map { Double($0[0]) }
        #expect(abs(known.reduce(0, +) / Double(known.count)) < 1e-4)
        let missing = plan.encode(numbers: [.nan, 24.5], texts: ["lead"])
        #expect(missing == [0, 1, 0, 0, 0])
        #expect(plan.encode(numbers: [.infinity, 1e300], texts: [""])[0] == 6, "what is far out does not go further")
    }

    @Test func `a model is the same after it was stored`() throws {
        let plan = FeaturePlan(
            origins + [.event("order", .sum("amount")), .event("order", .daysSince), .tag("vip"), .has("email")],
            sample: (0..<200).map { n in
                RawFeatures(numbers: (0..<7).map { Double(n % (7 + $0)) }, texts: ["a\(n % 2)", ""])
            })
        let model = TrainedModel(
            plan: plan, regression: LogisticRegression(intercept: -1.5, weights: (0..<plan.width).map { 0.1 * Double($0) }),
            calibration: Calibration(slope: 0.9, intercept: 0.1), cuts: (1...9).map { Double($0) / 10 })
        #expect(try TrainedModel(JSONValue(parsing: Array(model.json.text.utf8))) == model)
        #expect(TrainedModel(["features": []]) == nil)
    }

    @Test func `no model is wider than its limit`() {
        let many = (0..<30).map { FeatureOrigin.attribute("a\($0)", .category) }
        let plan = FeaturePlan(many, sample: (0..<2000).map { n in RawFeatures(numbers: [], texts: (0..<30).map { "v\((n + $0) % 20)" }) })
        #expect(plan.width <= FeaturePlan.maximumWidth && plan.width > 150)
    }
}
