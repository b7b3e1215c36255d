import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct BucketTests {
    @Test(arguments: [0.5, 1, 4, 7, 40, 250])
    func `four claimers together never get more than rate and burst in any second`(rate: Double) throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1, rate: rate)
            try scene.work(db)
            let seed = UInt64.random(in: 0...UInt64.max)
            var random = SeededGenerator(seed)
            let start = Instant.now()
            var grants: [(at: Double, parts: Int)] = []
            // Claimers come in any order, and their clocks do not matter: the time is one and never goes back by much.
            var clock = 0.0
            // The bucket holds a part and a quarter of a second: of a slow sender's more is lost to claimers who come less often.
            let step = 1 / rate / 24
            for _ in 0..<3000 {
                clock += Double.random(in: 0...(step * 4), using: &random)
                let skewed = max(0, clock - Double.random(in: 0...0.01, using: &random))
                let wanted = (0..<Int.random(in: 1...4, using: &random)).map { _ in rate < 4 ? 1 : Int.random(in: 1...3, using: &random) }
                let lease = try db.one(LedgerSQL.lease, scene.sender, wanted, start + skewed)
                #expect(lease.granted == wanted.count || lease.waitSeconds > 0)
                let parts = wanted.prefix(lease.granted).reduce(0, +)
                if parts > 0 { grants.append((clock, parts)) }
            }
            // A second of the rate, of which a fast sender's keeps a quarter back.
            let burst = max(0.75 * rate, min(rate, 3 + rate / 4), 1 + rate / 4)
            for (index, first) in grants.enumerated() {
                let inSecond = grants[index...].prefix { $0.at < first.at + 1 }.reduce(0) { $0 + $1.parts }
                // The clocks differ by up to 10 ms.
                #expect(Double(inSecond) <= rate * 1.011 + burst + 1e-6, "seed \(seed), rate \(rate)")
            }
            // Nor does it hold back what it owes to claimers who come often enough.
            let total = Double(grants.reduce(0) { $0 + $1.parts })
            #expect(total >= rate * clock * 0.97, "seed \(seed), rate \(rate)")
        }
    }

    @Test func `claimers at the same instant share one burst`() throws {
        try withOwnDatabase { database in
            let owner = try database.connect()
            let scene = try Scene(owner, contacts: 1, rate: 50)
            let instant = Instant.now()
            let granted = try inParallel(4) { _ in
                let db = try database.connect(as: .worker)
                return try (0..<25).reduce(0) { sum, _ in
                    sum
                        + (try db.inWorkspace(scene.workspace) { db in try db.one(LedgerSQL.lease, scene.sender, [1, 1], instant).granted })
                }
            }
            #expect(granted.reduce(0, +) == 37)
        }
    }

    @Test func `a message larger than the bucket goes when it is full and leaves a debt`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1, rate: 2)
            try scene.work(db)
            let start = Instant.now()
            #expect(try db.one(LedgerSQL.lease, scene.sender, [8], start).granted == 1)
            let after = try db.one(LedgerSQL.lease, scene.sender, [1], start + 2)
            #expect(after.granted == 0)
            #expect(abs(after.waitSeconds - 1.5) < 0.001)
            #expect(try db.one(LedgerSQL.lease, scene.sender, [1], start + 3.5).granted == 1)
        }
    }

    @Test func `a clock that steps back neither gives nor takes`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1, rate: 1)
            try scene.work(db)
            let start = Instant.now()
            #expect(try db.one(LedgerSQL.lease, scene.sender, [1], start).granted == 1)
            #expect(try db.one(LedgerSQL.lease, scene.sender, [1], start - 3600).granted == 0)
            #expect(try db.one(LedgerSQL.lease, scene.sender, [1], start + 1).granted == 1)
        }
    }
}

/// SplitMix64: a failing run is repeated with the seed that it printed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
