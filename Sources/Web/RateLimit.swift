// Rate limits, leased from PostgreSQL in small lots and spent locally: never more than the limit in total, and a
// write per lot instead of per request (a row updated per request costs 40 % of the listing's throughput).
internal import PostgreSQL
internal import Synchronization

/// A class of endpoints with one limit per key, session or address.
public enum RateClass: String, Sendable {
    case standard
    /// Counts over many contacts, imports, exports.
    case heavy
    case events
    /// Sign-up and sign-in, per address and per account.
    case signIn = "sign_in"
    /// Callbacks: nginx limits them per address; a provider must never be told to slow down by us.
    case unlimited

    static let windowSeconds = 60

    /// Requests per window on the standard plan.
    var capacity: Int {
        switch self {
        case .standard: 600
        case .heavy: 60
        case .events: 1_200
        case .signIn: 10
        case .unlimited: .max
        }
    }

    /// How much is leased at once: small against the capacity, so that little is stranded in other processes.
    var lot: Int { max(1, capacity / 20) }
}

/// What the limiter says of one request.
struct RateVerdict {
    let allowed: Bool
    let rateClass: RateClass
    let capacity: Int
    let remaining: Int
    let resetsInSeconds: Int

    /// `RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers, in structured-field syntax.
    var headers: [(name: String, value: String)] {
        [
            ("RateLimit-Policy", "\"\(rateClass.rawValue)\";q=\(capacity);w=\(RateClass.windowSeconds)"),
            ("RateLimit", "\"\(rateClass.rawValue)\";r=\(remaining);t=\(resetsInSeconds)"),
        ]
    }
}

/// The lots of this process, shared by its threads. The one lock on the request path: it guards a dictionary look-up
/// and a subtraction, and sharing lots between threads leaves less of the limit stranded than a lot per thread would.
final class RateLimiter: Sendable {
    private struct Key: Hashable {
        let subject: [UInt8]
        let rateClass: RateClass
    }
    private struct Lot {
        var left: Int
        var remainingElsewhere: Int
        var endsAt: Int64
        var capacity: Int
    }
    private let lots = Mutex<[Key: Lot]>([:])
    private static let maximumLots = 50_000

    /// - Parameters:
    ///   - nowSeconds: seconds since 1970; windows begin at multiples of their length.
    ///   - lease: asks the database for a lot; `nil` when it does not know the token.
    /// - Returns: `nil` when the token is unknown: that request ends as 401, not as 429.
    func spend(
        _ rateClass: RateClass, subject: [UInt8], nowSeconds: Int64, lease: () throws -> Lease?
    ) throws -> RateVerdict? {
        let key = Key(subject: subject, rateClass: rateClass)
        if let verdict = spendLocally(key, nowSeconds) { return verdict }
        guard let lease = try lease() else { return nil }
        let capacity = lease.unlimited ? 100_000_000 : rateClass.capacity
        return lots.withLock { lots in
            if lots.count >= Self.maximumLots { lots = lots.filter { $0.value.endsAt > nowSeconds } }
            if lots.count >= Self.maximumLots { lots.removeAll() }
            var lot = Lot(
                left: lease.granted, remainingElsewhere: lease.remaining,
                endsAt: nowSeconds + Int64(max(1, lease.resetsInSeconds)), capacity: capacity)
            // Another thread may have leased at the same moment: keep what it has left.
            if let other = lots[key], other.endsAt > nowSeconds { lot.left += other.left }
            let allowed = lot.left > 0
            if allowed { lot.left -= 1 }
            lots[key] = lot
            return verdict(rateClass, lot, allowed, nowSeconds)
        }
    }

    private func spendLocally(_ key: Key, _ now: Int64) -> RateVerdict? {
        lots.withLock { lots in
            guard var lot = lots[key] else { return nil }
            guard lot.endsAt > now else {
                lots[key] = nil
                return nil
            }
            if lot.left > 0 {
                lot.left -= 1
                lots[key] = lot
                return verdict(key.rateClass, lot, true, now)
            }
            // Nothing left anywhere: say so without asking the database again in this window.
            return lot.remainingElsewhere == 0 ? verdict(key.rateClass, lot, false, now) : nil
        }
    }

    private func verdict(_ rateClass: RateClass, _ lot: Lot, _ allowed: Bool, _ now: Int64) -> RateVerdict {
        RateVerdict(
            allowed: allowed, rateClass: rateClass, capacity: lot.capacity, remaining: lot.left + lot.remainingElsewhere,
            resetsInSeconds: Int(max(1, lot.endsAt - now)))
    }
}
