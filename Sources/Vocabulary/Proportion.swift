/// A share of something, with the 95 % interval of the rate behind it.
///
/// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22 (1927), 209–212. Unlike the textbook's interval it stays within 0…1 and is not of no width
/// where nobody, or everybody, did it.
public struct Proportion: Equatable, Sendable {
    public let count: Int
    public let total: Int
    public init(count: Int, total: Int) {
        self.count = count
        self.total = total
    }

    /// A fraction `0...1`; `nil` when there was nothing to count.
    public var rate: Double? { total > 0 ? Double(count) / Double(total) : nil }

    /// Fractions `0...1`, the lower first; `nil` when there was nothing to count.
    public var interval: (low: Double, high: Double)? {
        guard let p = rate else { return nil }
        let (n, z) = (Double(total), 1.959_963_984_540_054)
        let middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        let half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
        return (max(0, middle - half), min(1, middle + half))
    }

    /// By how much this rate is above another's, with the 95 % interval of that: `-1...1`. The two are of different people.
    /// `nil` when either has nothing to count: a missing control is not "no effect".
    ///
    /// Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven
    /// methods", Statistics in Medicine 17 (1998), 873–890, method 10: from the two intervals of Wilson, no continuity
    /// correction.
    public func difference(from other: Proportion) -> (value: Double, low: Double, high: Double)? {
        guard let p = rate, let q = other.rate, let a = interval, let b = other.interval else { return nil }
        func length(_ x: Double, _ y: Double) -> Double { (x * x + y * y).squareRoot() }
        return (p - q, p - q - length(p - a.low, b.high - q), p - q + length(a.high - p, q - b.low))
    }
}
