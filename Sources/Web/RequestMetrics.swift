// What a responder counts, as Prometheus reads it. No workspace, address or id in a label.
internal import Synchronization

/// Requests by status class and their duration. Lock-free: threads only add.
final class RequestMetrics: Sendable {
    private let area: String
    /// Upper bounds in microseconds; the last bucket is +Inf.
    private static let bounds: [Int] = [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000]
    private let buckets: [Counter]
    private let byClass: [Counter]
    private let microseconds = Counter()

    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
        func add(_ amount: Int) { value.wrappingAdd(amount, ordering: .relaxed) }
        var now: Int { value.load(ordering: .relaxed) }
    }

    init(area: String) {
        self.area = area
        buckets = (0...Self.bounds.count).map { _ in Counter() }
        byClass = (0..<6).map { _ in Counter() }
    }

    func record(status: Int, seconds: Double) {
        let elapsed = Int(seconds * 1_000_000)
        buckets[Self.bounds.firstIndex { elapsed <= $0 } ?? Self.bounds.count].add(1)
        byClass[min(5, max(1, status / 100))].add(1)
        microseconds.add(elapsed)
    }

    /// Text exposition format 0.0.4.
    func text() -> String {
        var text = "# HELP muster_requests_total Requests answered, by class of status.\n# TYPE muster_requests_total counter\n"
        for status in 1...5 {
            text += "muster_requests_total{area=\"\(area)\",status=\"\(status)xx\"} \(byClass[status].now)\n"
        }
        text += "# HELP muster_request_seconds Time from the request's arrival to its last byte.\n"
        text += "# TYPE muster_request_seconds histogram\n"
        var count = 0
        for (index, bucket) in buckets.enumerated() {
            count += bucket.now
            let bound = index < Self.bounds.count ? "\(Double(Self.bounds[index]) / 1_000_000)" : "+Inf"
            text += "muster_request_seconds_bucket{area=\"\(area)\",le=\"\(bound)\"} \(count)\n"
        }
        text += "muster_request_seconds_sum{area=\"\(area)\"} \(Double(microseconds.now) / 1_000_000)\n"
        text += "muster_request_seconds_count{area=\"\(area)\"} \(count)\n"
        return text
    }
}
