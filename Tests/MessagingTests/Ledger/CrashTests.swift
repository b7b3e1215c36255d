import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Messaging

/// The real worker process, killed at each named point between two lines that matter.
@Suite(.serialized) struct CrashTests {
    @Test(arguments: ["after_claim:1", "after_claim:2", "after_start:3", "after_submit:3", "after_answer:3", "after_settle:3"], [1, 2])
    func `a worker that dies sends nothing twice and loses nothing`(point: String, threads: Int) throws {
        try withSending(contacts: 400) { sending in
            try die(at: point, threads: threads, sending)
            let unknown = try sending.states()["unknown"] ?? 0
            #expect(unknown <= threads * SendLoop.window, "more unknown than there were requests under way")
            if point == "after_claim:1", threads == 1 { #expect(unknown == 0) }

            try sending.run()
            let ledger = sending.provider.ledger
            #expect(Set(ledger.map(\.to)).count == ledger.count, "somebody got it twice")
            // The provider's callbacks settle what it knows of.
            for message in ledger {
                _ = try sending.db.inWorkspace(sending.scene.workspace) { db in
                    try db.dynamic(
                        "SELECT apply_status($1, $2, 'delivered', NULL, now())",
                        [
                            message.message.sqlValue, ("SM" + message.message.filter { $0 != "-" }).sqlValue,
                        ]) as [String]
                }
            }
            let states = try sending.states()
            #expect(states["delivered"] == ledger.count)
            // What is left was started and never reached the provider; it is told as such, not sent by guessing.
            #expect((states["unknown"] ?? 0) == 400 - ledger.count)
            #expect(states.values.reduce(0, +) == 400)
            #expect(try sending.db.all(RollupSQL.differences, sending.scene.workspace, sending.scene.campaign).isEmpty)
            // Another thread may have been about to call.
            if threads == 1, point.hasPrefix("after_answer") || point.hasPrefix("after_settle") { #expect(ledger.count == 400) }
        }
    }

    @Test(arguments: ["after_claim:2", "after_start:3", "after_submit:3", "after_answer:3"])
    func `what a worker that dies had started has taken its share of the month, once`(point: String) throws {
        try withSending(contacts: 400) { sending in
            try sending.db.execute("UPDATE workspaces SET settings = settings || '{\"monthly_limits\": {\"sms_parts\": 300}}'")
            try die(at: point, sending)
            try sending.run()
            let ledger = sending.provider.ledger
            #expect(Set(ledger.map(\.to)).count == ledger.count && ledger.count <= 300)
            #expect(try sending.states()["pending"] == 100)
            #expect(try sending.db.value("SELECT used FROM month_usage") == 300)
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused monthly_limit_reached")
        }
    }

    @Test(arguments: ["after_claim:1", "after_start:1", "after_submit:1", "after_answer:1"])
    func `nobody is asked for consent twice because a worker died`(point: String) throws {
        try withSending(contacts: 60) { sending in
            try sending.db.execute("DELETE FROM consents; UPDATE campaigns SET status = 'paused', paused_at = now()")
            for index in 0..<60 { try sending.request(of: index) }
            try die(at: point, sending)
            try sending.round()
            let ledger = sending.provider.ledger
            #expect(Set(ledger.map(\.to)).count == ledger.count)
            let states: [String] = try sending.db.dynamic("SELECT DISTINCT state FROM messages WHERE kind = 'request' ORDER BY 1", [])
            #expect(Set(states).isSubset(of: ["sent", "unknown"]), "\(states)")
            #expect(try sending.db.value("SELECT max(attempt) FROM messages WHERE kind = 'request'", as: Int.self) == 1)
            if point.hasPrefix("after_claim") { #expect(ledger.count == 60) }
        }
    }

    /// A worker dies, and what it held is taken back.
    private func die(at point: String, threads: Int = 1, _ sending: Sending) throws {
        let worker = try sending.worker(crashingAt: point, sendingThreads: threads)
        worker.waitUntilExit()
        #expect(worker.terminationReason == .uncaughtSignal && worker.terminationStatus == SIGKILL, "it did not reach \(point)")
        // What the provider still reads of the last requests.
        try waitUntil("the provider has read it all") { sending.provider.isIdle }
        try sending.db.execute("UPDATE messages SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL")
        _ = try sending.db.dynamic("SELECT released FROM rescue_messages(1000)", []) as [Int]
    }
}

extension Sending {
    /// `muster-worker` as it is built beside the tests.
    func worker(crashingAt point: String, sendingThreads: Int = 1) throws -> Process {
        let programs = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let process = Process()
        process.executableURL = programs.appendingPathComponent("muster-worker")
        process.environment = environment.merging([
            "MUSTER_CRASH_AT": point, "MUSTER_LOG_LEVEL": "error", "MUSTER_WORKER_THREADS": "1",
            "MUSTER_SENDING_THREADS": String(sendingThreads),
        ]) { $1 }
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // A point that is never reached fails the test instead of hanging it.
        DispatchQueue.global().asyncAfter(deadline: .now() + 30) { if process.isRunning { process.terminate() } }
        return process
    }
}
