// What dies under load: responders, and the database. The clients keep a ledger of what was acknowledged.
import Glibc
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

/// Writes contacts, one after another on each thread, and repeats with the same key until one is acknowledged.
private final class Load: Sendable {
    struct Tally: Sendable {
        var acknowledged: [String] = []
        /// 503 with Retry-After.
        var refused = 0
        /// Anything else; there must be none.
        var wrong: [String] = []
        /// From the last fault to the acknowledgement of what it may have interrupted.
        var healingSeconds = 0.0
    }
    private let server: ServerUnderTest
    private let token: String
    private let lastFault = Atomic<UInt64>(0)
    private let isOver = Atomic<Bool>(false)

    init(_ server: ServerUnderTest, token: String) {
        self.server = server
        self.token = token
    }

    /// Runs `faults` while `clients` threads write, then lets each bring its last write to its end.
    func run(clients: Int, _ faults: @escaping @Sendable () throws -> Void) throws -> Tally {
        let tallies = try inParallel(clients + 1) { [self] thread in
            guard thread == clients else { return try write() }
            defer {
                lastFault.store(monotonicSeconds().bitPattern, ordering: .sequentiallyConsistent)
                isOver.store(true, ordering: .sequentiallyConsistent)
            }
            try faults()
            return Tally()
        }
        return tallies.reduce(into: Tally()) {
            $0.acknowledged += $1.acknowledged
            $0.refused += $1.refused
            $0.wrong += $1.wrong
            $0.healingSeconds = max($0.healingSeconds, $1.healingSeconds)
        }
    }

    private func write() throws -> Tally {
        var tally = Tally()
        while !isOver.load(ordering: .sequentiallyConsistent) {
            let id = UUID.v7().description
            var isRepeated = false
            let deadline = monotonicSeconds() + 60
            while monotonicSeconds() < deadline {
                let answer = try server.send(
                    "POST", "/api/contacts", token: token, headers: [("Idempotency-Key", id)], json: ["external_id": .string(id)])
                if answer.status == 201 {
                    tally.acknowledged.append(id)
                    break
                }
                if answer.status == 503, answer.header("Retry-After") != nil {
                    tally.refused += 1
                } else if !(isRepeated && answer.code == "still_running") {
                    // Of a killed responder's session the server may notice the end a moment later.
                    tally.wrong.append("\(answer.status) \(answer.text)")
                }
                isRepeated = true
                usleep(100_000)
            }
        }
        tally.healingSeconds = monotonicSeconds() - Double(bitPattern: lastFault.load(ordering: .sequentiallyConsistent))
        return tally
    }
}

private func check(_ tally: Load.Tally, _ owner: Connection) throws {
    #expect(tally.wrong.isEmpty, "\(tally.wrong.count) wrong answers: \(tally.wrong.prefix(3))")
    #expect(tally.acknowledged.count > 50, "too little load to mean anything: \(tally.acknowledged.count)")
    #expect(tally.healingSeconds < 5, "healed after \(tally.healingSeconds) s")
    // Each exactly once, and nothing that nobody was told of.
    let stored: [String] = try owner.dynamic("SELECT external_id FROM contacts ORDER BY external_id", [])
    #expect(stored == tally.acknowledged.sorted(), "\(tally.acknowledged.count) acknowledged, \(stored.count) stored")
}

@Suite struct FaultTests {
    @Test func `responders killed over and over under load lose no acknowledged write and refuse only for a moment`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        try withServer([.segments], instances: 2) { server throws in
            let owner = try server.database.connect()
            let key = try owner.createAPIKey(in: try owner.createWorkspace())
            let kills = Atomic<Int>(0)
            let tally = try Load(server, token: key.token).run(clients: 6) {
                var random = Seeded(seed)
                for _ in 0..<12 {
                    usleep(UInt32.random(in: 50_000...400_000, using: &random))
                    let name = Bool.random(using: &random) ? "segments-1" : "segments-2"
                    if let pid = server.pid(of: name), kill(pid, SIGKILL) == 0 { kills.add(1, ordering: .relaxed) }
                }
            }
            try check(tally, owner)
            #expect(kills.load(ordering: .relaxed) >= 6, "seed \(seed)")
        }
    }

    @Test func `an upgrade under load, one instance after the other, loses no write and refuses next to none`() throws {
        try withServer([.segments], instances: 2) { server throws in
            let owner = try server.database.connect()
            let key = try owner.createAPIKey(in: try owner.createWorkspace())
            let tally = try Load(server, token: key.token).run(clients: 6) {
                for turn in 0..<6 {
                    usleep(500_000)
                    try server.signal(SIGTERM, "segments-\(1 + turn % 2)")
                }
                usleep(300_000)
            }
            try check(tally, owner)
            // nginx may choose a kept connection in the very moment in which it is closed, and gives no POST to a second one.
            #expect(tally.refused <= 6, "\(tally.refused) of \(tally.acknowledged.count) refused")
        }
    }

    @Test func `a database restarted under load, by its operator and by a crash, loses no acknowledged write`() throws {
        try withOwnServer { database throws in
            let server = try ServerUnderTest(database, [.segments], instances: 2)
            defer { server.stop() }
            let setUp = try database.connect()
            let key = try setUp.createAPIKey(in: try setUp.createWorkspace())
            setUp.close()
            let responders = ["segments-1", "segments-2"].map { server.pid(of: $0) }
            let tally = try Load(server, token: key.token).run(clients: 6) {
                for isCrash in [false, true, false, true] {
                    usleep(700_000)
                    try database.restartServer(isCrash: isCrash)
                }
                usleep(300_000)
            }
            try check(tally, try database.connect())
            #expect(tally.refused > 0)
            // They reconnected; nobody had to start them again.
            #expect(["segments-1", "segments-2"].map { server.pid(of: $0) } == responders)
        }
    }
}
