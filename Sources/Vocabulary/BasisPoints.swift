/// A share in hundredths of a percent, `0...10_000`: how finely people are drawn at random (`bucket_of`, migration 0021).
public struct BasisPoints: Hashable, Sendable {
    public let value: Int

    /// `nil` for less than nothing, more than everything, and what is finer than a hundredth of a percent.
    public init?(percent: Double) {
        guard (0...100).contains(percent) else { return nil }
        let points = (percent * 100).rounded()
        guard abs(points - percent * 100) < 1e-6 else { return nil }
        value = Int(points)
    }

    public var percent: Double { Double(value) / 100 }
}
