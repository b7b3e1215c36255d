/// A share of something, with the 95 % interval of the rate behind it.
///
/// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22 (1927), 209–212. Unlike the textbook's interval it stays within 0…1 and is not of no width
/// where nobody, or everybody, did it.
struct Proportion: Equatable {
    let count: Int
    let total: Int

    /// A fraction `0...1`; `nil` when there was nothing to count.
    var rate: Double? { total > 0 ? Double(count) / Double(total) : nil }

    /// Fractions `0...1`, the lower first; `nil` when there was nothing to count.
    var interval: (low: Double, high: Double)? {
        guard let p = rate else { return nil }
        let (n, z) = (Double(total), 1.959_963_984_540_054)
        let middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        let half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
        return (max(0, middle - half), min(1, middle + half))
    }
}
