// Nobody gets it twice, nobody is lost, and everything that happened can be told, whoever dies.
import Glibc
import JSON
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

@Suite(.serialized) struct CampaignHarnessTests {
    /// Kills at random while the campaign goes out. `make harness` kills 2,000 times.
    @Test func `whoever is killed, everybody gets the campaign at most once and every message is accounted for`() throws {
        let kills = getenv("MUSTER_HARNESS_KILLS").flatMap { Int(String(cString: $0)) } ?? 200
        let seed = getenv("MUSTER_HARNESS_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 1...UInt64.max)
        var done = 0
        while done < kills { done += try round(min(200, kills - done), seed &+ UInt64(done)) }
    }

    /// Of the sender, in parts per second, but for moments in which it is fast.
    private let rate = 10.0

    /// - Returns: how often something was killed.
    private func round(_ kills: Int, _ seed: UInt64) throws -> Int {
        try withOwnServer { database throws in
            let harness = try CampaignHarness(database, recipients: kills * 16, rate: rate)
            defer { harness.stop() }
            let optOuts = Mutex<[(phone: String, at: Instant)]>([])
            let isOver = Atomic<Bool>(false)
            let killed = Atomic<Int>(0)
            let stalled = Atomic<Int>(0)
            _ = try inParallel(2) { thread throws in
                var random = Seeded(seed &+ UInt64(thread))
                if thread == 0 {
                    defer { isOver.store(true, ordering: .relaxed) }
                    try kill(kills, harness, &random, stalled) { killed.wrappingAdd(1, ordering: .relaxed) }
                } else {
                    try harness.start()
                    let owner = Reconnecting(database)
                    while !isOver.load(ordering: .relaxed) {
                        usleep(UInt32.random(in: 20_000...300_000, using: &random))
                        switch Int.random(in: 0..<36, using: &random) {
                        case 0:
                            // One that is slow could not take so many.
                            guard let db = owner.connection, (try? harness.play([:])) != nil else { continue }
                            harness.setRate(CampaignHarness.fast, db)
                            usleep(UInt32.random(in: 200_000...600_000, using: &random))
                            if let db = owner.connection { harness.setRate(rate, db) }
                        case 1...6:
                            // Whoever holds messages gives them back; some of them are in other hands by now.
                            harness.attempt("pause")
                            usleep(50_000)
                            harness.attempt("resume")
                        case 7...15: harness.attempt("resume")
                        case 16...24:
                            let contact = Int.random(in: 1...harness.recipients, using: &random)
                            if let db = owner.connection, let optOut = harness.optOut(contact, db) {
                                optOuts.withLock { $0.append(optOut) }
                            }
                        default: break
                        }
                    }
                }
            }
            try harness.heal()
            let verdict = try harness.compare(optOuts.withLock { $0 })
            #expect(
                verdict.isHarmless,
                """
                seed \(seed): \(verdict.sentTwice) sent twice, \(verdict.lost) lost, \(verdict.afterOptOut) after an opt-out, \
                \(verdict.wentBack) went back, \(verdict.unexplained.count) unexplained: \(verdict.noted) \(verdict.unexplained.prefix(3))
                """)
            let count = killed.load(ordering: .relaxed)
            let deaths = harness.deaths
            print(
                """
                seed \(seed): \(count) killed, \(deaths) died at points of their own, \(stalled.load(ordering: .relaxed)) stood still, \
                \(verdict.states), unknown for a while: \(verdict.noted)
                """)
            #expect(count == kills && (verdict.states["delivered"] ?? 0) > kills, "seed \(seed): too little happened")
            #expect(verdict.startedAtOnce > kills, "seed \(seed): nearly everything was claimed before it started")
            #expect(!deaths.isEmpty || kills < 50, "seed \(seed): nobody died at a point of its own")
            #expect(stalled.load(ordering: .relaxed) > 0 || kills < 50, "seed \(seed): nobody stood still")
            return kills
        }
    }

    /// Somebody dies every 50 to 350 ms: a process by SIGKILL, or at a point of its own, and now and then PostgreSQL. Whoever
    /// is dead already does not count. Now and then a worker stands still instead, and wakes when others have its messages.
    private func kill(
        _ kills: Int, _ harness: CampaignHarness, _ random: inout Seeded, _ stalled: borrowing Atomic<Int>, _ tell: () -> Void
    ) throws {
        let owner = Reconnecting(harness.database)
        var (turn, done) = (0, 0)
        while done < kills {
            usleep(UInt32.random(in: 50_000...350_000, using: &random))
            // A provider that hangs may not hear it.
            if turn % 10 == 0 { try? harness.play(CampaignHarness.mood(&random)) }
            if turn % 7 == 0 {
                let point = CampaignHarness.crashPoints.randomElement(using: &random)!
                harness.arm(Bool.random(using: &random) ? "any" : point, onceIn: Int.random(in: 5...40, using: &random))
            }
            if turn % 7 == 4 { harness.disarm() }
            if turn % 15 == 14, let db = owner.connection {
                let names = ["worker", "worker-2"].shuffled(using: &random)
                if (try? harness.stall(names[0], other: names[1], db)) == true { stalled.wrappingAdd(1, ordering: .relaxed) }
            }
            if turn % 40 == 39 {
                try harness.database.restartServer(isCrash: true)
                done += 1
                tell()
            } else {
                let name = ["worker", "worker-2", "worker", "worker-2", "webhooks-1", "webhooks-2", "campaigns-1", "campaigns-2"]
                    .randomElement(using: &random)!
                if let pid = harness.server.pid(of: name), Glibc.kill(pid, SIGKILL) == 0 {
                    done += 1
                    tell()
                }
            }
            if turn % 2 == 0, let db = owner.connection { try? harness.endLeases(db) }
            turn += 1
        }
    }
}

/// A connection that is made again after its server died.
private final class Reconnecting {
    private let database: TestDatabase
    private var open: Connection?
    init(_ database: TestDatabase) { self.database = database }

    var connection: Connection? {
        if let open, (try? open.execute("SELECT 1")) != nil { return open }
        open = try? database.connect()
        return open
    }
}
