// Logistic regression by Newton's method: few steps, no step size to choose, the same result every time.
internal import Glibc

/// Rows of features beside each other, so that a million numbers are one allocation.
struct FeatureMatrix {
    let columns: Int
    private(set) var values: [Float] = []
    var rows: Int { columns == 0 ? 0 : values.count / columns }

    init(columns: Int, reserving rows: Int = 0) {
        self.columns = columns
        values.reserveCapacity(columns * rows)
    }

    /// - Precondition: `row` has `columns` values.
    mutating func append(_ row: [Float]) {
        precondition(row.count == columns, "a row of another width")
        values += row
    }

    /// How far the values of each column are from their mean, typically.
    var deviations: [Double] {
        var (sums, squares) = ([Double](repeating: 0, count: columns), [Double](repeating: 0, count: columns))
        for row in 0..<rows {
            for column in 0..<columns {
                let value = Double(values[row * columns + column])
                sums[column] += value
                squares[column] += value * value
            }
        }
        let count = Double(max(rows, 1))
        return (0..<columns).map { max(squares[$0] / count - sums[$0] * sums[$0] / (count * count), 0).squareRoot() }
    }
}

/// The chance of an event as `1 / (1 + exp(-(intercept + weights · features)))`.
struct LogisticRegression: Equatable {
    var intercept: Double
    var weights: [Double]

    /// The exponent before it is made a chance: 0 means one half.
    func margin(_ row: UnsafeBufferPointer<Float>) -> Double {
        var sum = intercept
        for index in weights.indices { sum += weights[index] * Double(row[index]) }
        return sum
    }
    func margin(_ row: [Float]) -> Double { row.withUnsafeBufferPointer { margin($0) } }

    /// Margins of all rows.
    func margins(_ matrix: FeatureMatrix) -> [Double] {
        matrix.values.withUnsafeBufferPointer { values in
            (0..<matrix.rows).map { row in
                margin(UnsafeBufferPointer(rebasing: values[(row * matrix.columns)..<((row + 1) * matrix.columns)]))
            }
        }
    }

    /// The weights that make the targets likeliest, less half of `ridge` times the sum of their squares. The intercept
    /// is not held back, so predictions average to the share of the targets.
    ///
    /// - Parameters:
    ///   - targets: one per row, `0...1`; not all 0 and not all 1.
    ///   - ridge: above 0. It decides where columns say the same or tell the targets apart without a fault.
    ///   - step: told the number of each step before it is made; what it throws ends the fit.
    /// - Source: iteratively reweighted least squares, McCullagh and Nelder 1989, section 4.4; ridge: le Cessie and van
    ///   Houwelingen 1992. Steps that make it worse are halved.
    static func fit(
        _ matrix: FeatureMatrix, targets: [Float], ridge: Double = 1, maximumSteps: Int = 50, before step: (Int) throws -> Void
    ) rethrows -> LogisticRegression {
        precondition(targets.count == matrix.rows && ridge > 0, "one target per row")
        let share = Double(targets.reduce(0, +)) / Double(max(targets.count, 1))
        let start = min(max(share, 1e-6), 1 - 1e-6)
        var model = LogisticRegression(intercept: log(start / (1 - start)), weights: Array(repeating: 0, count: matrix.columns))
        var best = model.loss(matrix, targets, ridge)
        for number in 0..<maximumSteps {
            try step(number)
            let direction = model.newtonStep(matrix, targets, ridge)
            var scale = 1.0
            var next = model.moved(direction, scale)
            var loss = next.loss(matrix, targets, ridge)
            while !(loss <= best), scale > 1e-4 {
                scale /= 2
                next = model.moved(direction, scale)
                loss = next.loss(matrix, targets, ridge)
            }
            guard loss <= best else { break }
            let gain = best - loss
            (model, best) = (next, loss)
            if gain <= 1e-9 * (1 + best) { break }
        }
        return model
    }

    private func moved(_ step: [Double], _ scale: Double) -> LogisticRegression {
        LogisticRegression(
            intercept: intercept + scale * step[0], weights: weights.indices.map { weights[$0] + scale * step[$0 + 1] })
    }

    /// What is made least: the negative logarithm of the targets' likelihood, and the ridge.
    private func loss(_ matrix: FeatureMatrix, _ targets: [Float], _ ridge: Double) -> Double {
        var sum = weights.reduce(0) { $0 + $1 * $1 } * ridge / 2
        for (margin, target) in zip(margins(matrix), targets) { sum += softplus(margin) - Double(target) * margin }
        return sum
    }

    /// Where the quadratic that touches the loss here has its bottom. The first entry is the intercept's.
    private func newtonStep(_ matrix: FeatureMatrix, _ targets: [Float], _ ridge: Double) -> [Double] {
        let size = matrix.columns + 1
        var hessian = [Double](repeating: 0, count: size * size)
        var gradient = [Double](repeating: 0, count: size)
        let margins = margins(matrix)
        // Rows of features are mostly zeros, which add nothing: their indices are left out.
        var present: [Int] = []
        var row = [Double](repeating: 0, count: size)
        row[0] = 1
        for index in 0..<matrix.rows {
            present.removeAll(keepingCapacity: true)
            present.append(0)
            for column in 0..<matrix.columns {
                let value = matrix.values[index * matrix.columns + column]
                if value != 0 {
                    row[column + 1] = Double(value)
                    present.append(column + 1)
                }
            }
            let chance = chance(of: margins[index])
            let (error, weight) = (Double(targets[index]) - chance, max(chance * (1 - chance), 1e-12))
            hessian.withUnsafeMutableBufferPointer { hessian in
                for i in present {
                    gradient[i] += error * row[i]
                    let scaled = weight * row[i]
                    for j in present {
                        if j > i { break }
                        hessian[i * size + j] += scaled * row[j]
                    }
                }
            }
        }
        for column in 1..<size {
            gradient[column] -= ridge * weights[column - 1]
            hessian[column * size + column] += ridge
        }
        return solve(&hessian, gradient)
    }
}

/// The chance that a margin stands for.
func chance(of margin: Double) -> Double {
    if margin >= 0 { return 1 / (1 + exp(-margin)) }
    let power = exp(margin)
    return power / (1 + power)
}

/// `log(1 + exp(x))` without overflow.
private func softplus(_ x: Double) -> Double { x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)) }

/// Solves `matrix · x = right` for a symmetric positive definite matrix given by its lower half, which is overwritten
/// by its Cholesky factor.
private func solve(_ matrix: inout [Double], _ right: [Double]) -> [Double] {
    let size = right.count
    var x = right
    for i in 0..<size {
        for j in 0...i {
            var sum = matrix[i * size + j]
            for k in 0..<j { sum -= matrix[i * size + k] * matrix[j * size + k] }
            matrix[i * size + j] = i == j ? max(sum, 1e-12).squareRoot() : sum / matrix[j * size + j]
        }
    }
    for i in 0..<size {
        for k in 0..<i { x[i] -= matrix[i * size + k] * x[k] }
        x[i] /= matrix[i * size + i]
    }
    for i in stride(from: size - 1, through: 0, by: -1) {
        for k in (i + 1)..<size { x[i] -= matrix[k * size + i] * x[k] }
        x[i] /= matrix[i * size + i]
    }
    return x
}
