import PostgreSQL
import Synchronization
import Testing
import Vocabulary

@testable import Web

/// The shared counter, played by a number: what PostgreSQL's `lease_requests` does is tested on a real database.
private final class Counter: Sendable {
    private let used = Mutex(0)
    let capacity: Int
    init(_ capacity: Int) { self.capacity = capacity }
    func lease(_ wanted: Int, secondsLeft: Int = 30) -> Lease {
        used.withLock { used in
            let granted = min(wanted, max(0, capacity - used))
            used += granted
            return Lease(granted: granted, remaining: capacity - used, resetsInSeconds: secondsLeft, unlimited: false)
        }
    }
}

@Suite struct RateLimiterTests {
    private let subject: [UInt8] = [1, 2, 3]

    @Test func `several processes together never let more through than the limit`() throws {
        let counter = Counter(100)
        let processes = (0..<4).map { _ in RateLimiter() }
        var allowed = 0
        for round in 0..<400 {
            let verdict = try processes[round % 4].spend(.standard, subject: subject, nowSeconds: 1000) { counter.lease(7) }
            if verdict!.allowed { allowed += 1 }
        }
        #expect(allowed == 100)
    }

    @Test func `a spent limit is refused without asking again until the window ends`() throws {
        let limiter = RateLimiter()
        let counter = Counter(3)
        var leases = 0
        func spend(_ now: Int64) throws -> Bool {
            try limiter.spend(.heavy, subject: subject, nowSeconds: now) {
                leases += 1
                return counter.lease(3)
            }!.allowed
        }
        #expect(try [spend(0), spend(0), spend(0)] == [true, true, true])
        #expect(try [spend(1), spend(2), spend(29)] == [false, false, false])
        #expect(leases == 1)
        _ = try spend(31)
        #expect(leases == 2)
    }

    @Test func `an unknown token leases nothing and is not a rate-limit matter`() throws {
        #expect(try RateLimiter().spend(.standard, subject: subject, nowSeconds: 0) { nil } == nil)
    }

    @Test func `headers tell the policy and what is left`() throws {
        let verdict = try RateLimiter().spend(.standard, subject: subject, nowSeconds: 0) { Counter(600).lease(30) }!
        #expect(verdict.headers.map(\.value) == ["\"standard\";q=600;w=60", "\"standard\";r=599;t=30"])
    }

    @Test func `threads of one process share a lot without losing or doubling any`() throws {
        let counter = Counter(500)
        let limiter = RateLimiter()
        let allowed = Atomic<Int>(0)
        let done = Atomic<Int>(0)
        for _ in 0..<4 {
            startThread {
                for _ in 0..<500 {
                    let verdict = try? limiter.spend(.standard, subject: [9], nowSeconds: 5) { counter.lease(9) }
                    if verdict?.allowed == true { allowed.wrappingAdd(1, ordering: .relaxed) }
                }
                done.wrappingAdd(1, ordering: .releasing)
            }
        }
        while done.load(ordering: .acquiring) < 4 {}
        #expect(allowed.load(ordering: .relaxed) == 500)
    }
}
