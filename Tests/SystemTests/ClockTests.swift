// Workers whose clocks are an hour off, one early, one late: what counts is the clock of the database.
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

/// Debian's library that shifts the clock of one process.
private let library = ["x86_64", "aarch64"].map { "/usr/lib/\($0)-linux-gnu/faketime/libfaketimeMT.so.1" }
    .first { FileManager.default.fileExists(atPath: $0) }

@Suite(.serialized, .enabled(if: library != nil, "without the package libfaketime no clock can be shifted"))
struct ClockTests {
    /// A campaign with two workers whose clocks are off by what two files say, which may change: first one an hour early, the
    /// other an hour late.
    private func withSkewedWorkers(
        recipients: Int, rate: Double, _ body: (CampaignHarness, Connection, _ set: ([String]) throws -> Void) throws -> Void
    ) throws {
        let files = (1...2).map { _ in "/tmp/muster-clock-\(UUID())" }
        func set(_ clocks: [String]) throws {
            for (file, clock) in zip(files, clocks) { try clock.write(toFile: file, atomically: true, encoding: .utf8) }
        }
        defer { for file in files { unlink(file) } }
        try set(["+1h", "-1h"])
        // Time-outs go by the steady clock, which no step of the other one moves.
        func shifted(by file: String) -> [String: String] {
            [
                "LD_PRELOAD": library ?? "", "FAKETIME_TIMESTAMP_FILE": file, "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "MUSTER_LOG_LEVEL": "notice",
            ]
        }
        try withOwnDatabase { database throws in
            let harness = try CampaignHarness(
                database, recipients: recipients, rate: rate, special: ["worker": shifted(by: files[0]), "worker-2": shifted(by: files[1])])
            defer { harness.stop() }
            let owner = try database.connect()
            try waitUntil("both workers work") {
                try owner.value("SELECT count(DISTINCT pid) >= 8 FROM pg_stat_activity WHERE usename = 'muster_worker'")
            }
            #expect(try skews(harness) == [1, -1], "the clocks are not shifted")
            try body(harness, owner, set)
        }
    }

    /// By how many hours the workers' journals are off.
    private func skews(_ harness: CampaignHarness) throws -> [Int] {
        try ["worker", "worker-2"].map { name in
            let log = try String(contentsOfFile: "\(harness.server.folder)/\(name).log", encoding: .utf8)
            let at = try #require(log.components(separatedBy: "\"at\":\"").dropFirst().first?.prefix { $0 != "\"" })
            return Int((try #require(Instant(rfc3339: at)).seconds(since: .now()) / 3600).rounded())
        }
    }

    private func arrivals(_ harness: CampaignHarness) throws -> [(to: String, at: Instant)] {
        (try harness.server.send("GET", "/sandbox/ledger").json["messages"]?.array ?? []).compactMap { message in
            guard let to = message["to"]?.string, let at = message["accepted_at"]?.string.flatMap({ Instant(rfc3339: $0) }) else {
                return nil
            }
            return (to, at)
        }.sorted { $0.at < $1.at }
    }

    @Test func `a campaign reaches everybody once, at the sender's rate`() throws {
        let (recipients, rate) = (200, 25.0)
        try withSkewedWorkers(recipients: recipients, rate: rate) { harness, owner, _ in
            try harness.play(["delay_ms": 50])
            try harness.start()
            try waitUntil("the campaign has finished", seconds: 90) { try harness.status() == "finished" }
            let all = try arrivals(harness)
            #expect(all.count == recipients && Set(all.map(\.to)).count == recipients, "somebody got it twice, or not at all")
            let seconds = all[all.count - 1].at.seconds(since: all[0].at)
            let most = all.indices.map { first in all[first...].prefix { $0.at.seconds(since: all[first].at) < 1 }.count }.max() ?? 0
            print("clocks an hour off: \(all.count) in \(seconds) s at \(rate) a second, \(most) in one second at most")
            #expect(seconds >= (Double(recipients) - rate) / rate && Double(most) <= 2 * rate)
            // A lease that was taken early would have left some unknown, or sent them again.
            let noted: [String] = try owner.dynamic("SELECT what FROM noted", [])
            #expect(noted == [])
            #expect(
                try owner.value(
                    "SELECT bool_and(started_at BETWEEN now() - interval '10 minutes' AND now() AND sent_at BETWEEN started_at AND now()) FROM messages"
                ))
            #expect(
                try owner.value("SELECT bool_and(created_at BETWEEN now() - interval '10 minutes' AND now()) FROM jobs"))
        }
    }

    @Test func `a clock that jumps an hour back or ahead holds nothing up`() throws {
        try withSkewedWorkers(recipients: 150, rate: 15) { harness, owner, set in
            try set(["+0h", "+0h"])
            try harness.start()
            for (count, clocks) in [(30, ["-1h", "+1h"]), (70, ["+0h", "-1h"]), (110, ["-1h", "-2h"])] {
                try waitUntil("\(count) are sent", seconds: 20) { try arrivals(harness).count >= count }
                try set(clocks)
            }
            try waitUntil("the campaign has finished", seconds: 30) { try harness.status() == "finished" }
            let all = try arrivals(harness)
            #expect(all.count == 150 && Set(all.map(\.to)).count == 150, "somebody got it twice, or not at all")
            let noted: [String] = try owner.dynamic("SELECT what FROM noted", [])
            #expect(noted == [])
        }
    }

    @Test func `a scheduled campaign starts once, when its time has come and not an hour early`() throws {
        try withSkewedWorkers(recipients: 20, rate: 1000) { harness, owner, _ in
            let now: Instant = try owner.value("SELECT clock_timestamp()")
            #expect(try harness.schedule(at: now + 1800) == 200)
            // Both look once a second.
            let end = Instant.now() + 4
            try waitUntil("both had their chances") { Instant.now() > end }
            #expect(try harness.status() == "scheduled")
            try owner.execute("UPDATE campaigns SET scheduled_at = clock_timestamp() + interval '3 seconds'")
            try waitUntil("it has been sent", seconds: 40) { try harness.status() == "finished" }
            #expect(try owner.value("SELECT count(*) FROM audit_log WHERE action = 'campaign.started'", as: Int.self) == 1)
            #expect(
                try owner.value(
                    "SELECT start_requested_at BETWEEN scheduled_at AND scheduled_at + interval '5 seconds' FROM campaigns"))
            let all = try arrivals(harness)
            #expect(all.count == 20 && Set(all.map(\.to)).count == 20)
        }
    }

    @Test func `what a worker holds is not taken from it before its lease ends`() throws {
        try withSkewedWorkers(recipients: 60, rate: 10) { harness, owner, _ in
            try harness.start()
            var held: [String] = []
            try waitUntil("a worker has claimed some and stands still", seconds: 30) {
                held = try owner.dynamic("SELECT id::text FROM messages WHERE state = 'claimed'", [])
                guard held.count >= 5 else { return false }
                for name in ["worker", "worker-2"] { try harness.server.signal(SIGSTOP, name) }
                held = try owner.dynamic("SELECT id::text FROM messages WHERE state = 'claimed'", [])
                if held.isEmpty { for name in ["worker", "worker-2"] { try harness.server.signal(SIGCONT, name) } }
                return !held.isEmpty
            }
            let leases: String = try owner.value(
                "SELECT string_agg(id::text || lease_token, ',' ORDER BY id) FROM messages WHERE state = 'claimed'")
            // Whoever goes on asks for what the other one holds, at once and every five seconds.
            for (awake, asleep) in [("worker", "worker-2"), ("worker-2", "worker")] {
                try owner.execute("UPDATE campaigns SET status = 'paused', paused_at = now() WHERE status = 'sending'")
                kill(try #require(harness.server.pid(of: awake)), SIGKILL)
                let backends: [String] = try owner.dynamic("SELECT pid::text FROM pg_stat_activity WHERE usename = 'muster_worker'", [])
                try waitUntil("it works anew") {
                    let now: [String] = try owner.dynamic("SELECT pid::text FROM pg_stat_activity WHERE usename = 'muster_worker'", [])
                    return Set(now).subtracting(backends).count >= 5
                }
                let end = Instant.now() + 6
                try waitUntil("it has asked") { Instant.now() > end }
                let now: String = try owner.value(
                    "SELECT string_agg(id::text || lease_token, ',' ORDER BY id) FROM messages WHERE state = 'claimed'")
                #expect(now == leases, "\(awake) took what \(asleep) or the dead held")
                if let pid = harness.server.pid(of: awake) { kill(pid, SIGSTOP) }
            }
            for name in ["worker", "worker-2"] { try harness.server.signal(SIGCONT, name) }
            try owner.execute(
                """
                UPDATE messages SET lease_until = now() WHERE lease_until > now();
                UPDATE campaigns SET status = 'sending', paused_at = NULL WHERE status = 'paused'
                """)
            try waitUntil("the rest is sent", seconds: 60) { try harness.status() == "finished" }
            let all = try arrivals(harness)
            #expect(Set(all.map(\.to)).count == all.count)
        }
    }
}
