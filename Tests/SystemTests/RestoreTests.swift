// A backup that is restored to a point in time, while a campaign went on after it.
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private let programs = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()

/// What an operator runs: the chore's exit code and what it logged.
private func chore(_ name: String, _ environment: [String: String]) throws -> (status: Int32, log: String) {
    let process = Process()
    process.executableURL = programs.appendingPathComponent("muster-maintenance")
    process.arguments = [name]
    process.environment = environment
    process.standardInput = FileHandle.nullDevice
    let log = Pipe()
    process.standardError = log
    try process.run()
    let text = String(decoding: try log.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
}

@Suite(.serialized) struct RestoreTests {
    @Test func `after a restore nothing is sent until it was reconciled, then the rest, and nobody gets it twice`() throws {
        try withOwnServer { before throws in
            try before.backUp()
            let recipients = 240
            let harness = try CampaignHarness(before, recipients: recipients, rate: 30)
            defer { harness.stop() }
            func taken() throws -> [String] {
                (try harness.server.send("GET", "/sandbox/ledger").json["messages"]?.array ?? []).compactMap { $0["to"]?.string }
            }
            try harness.start()
            try waitUntil("some are sent", seconds: 60) { try taken().count >= recipients / 4 }
            // Slowly, so that it is not over before the instant is kept.
            let living = try before.connect()
            harness.setRate(2, living)
            try before.mark("here")
            let atPoint = try taken().count
            harness.setRate(30, living)
            try waitUntil("more are sent", seconds: 60) { try taken().count >= recipients / 2 }
            // Somebody leaves who has not got it yet, and nobody starts it any more.
            var leaver: String?
            for _ in 0..<5 where leaver == nil {
                let waiting: [String] = try living.dynamic(
                    "SELECT to_address FROM messages WHERE state IN ('pending', 'claimed') ORDER BY id DESC LIMIT 1", [])
                guard let phone = waiting.first, let number = Int(phone.suffix(7)) else { break }
                guard harness.optOut(number - 5_550_000, living) != nil else { continue }
                let isLeft: Bool = try living.value(
                    "SELECT state IN ('pending', 'claimed', 'skipped') FROM messages WHERE to_address = $1", phone.sqlValue)
                if isLeft { leaver = phone }
            }
            let left = try #require(leaver)
            // The disk dies, and with it what the database knew.
            try before.stopServer()
            let after = try before.restored(to: "here")
            let owner = try after.connect()
            // Requests that were under way have reached the provider by then.
            var last = -1
            try waitUntil("nothing is under way", seconds: 30) {
                let count = try taken().count
                defer { last = count }
                if count != last { usleep(500_000) }
                return count == last
            }
            let lost = try taken().count
            let known: Int = try owner.value("SELECT count(*) FROM messages WHERE state NOT IN ('pending', 'claimed')")
            #expect(known < lost && lost < recipients)

            let shared = [
                "MUSTER_TWILIO_URL": harness.server.url + "/sandbox", "MUSTER_SEALING_KEY_FILE": harness.server.folder + "/sealing-key",
            ]
            let server = try ServerUnderTest(after, [.campaigns, .webhooks, .worker], variables: shared)
            defer { server.stop() }
            try waitUntil("the worker says so") { server.logs().contains("sending is held") }
            let end = Instant.now() + 1.5
            try waitUntil("it had its chances") { Instant.now() > end }
            #expect(try taken().count == lost, "something was sent while sending was held")
            #expect(try owner.value("SELECT count(*) = 0 FROM messages WHERE started_at > now() - interval '1 second'"))

            var environment = shared.merging(["MUSTER_DATABASE": after.conninfo(as: .worker), "MUSTER_PUBLIC_URL": server.url]) { $1 }
            environment["MUSTER_CRASH_AT"] = "before_restore_commit"
            #expect(try chore("reconcile-restore", environment).status == 9)
            #expect(try owner.value("SELECT sending_is_held()"))
            environment["MUSTER_CRASH_AT"] = nil
            let (status, log) = try chore("reconcile-restore", environment)
            #expect(try owner.value("SELECT count(*) >= 1 FROM inbound_messages"))
            #expect(status == 0 && log.contains("\"skipped_in_doubt\":0") && !log.contains("\"found\":0"), "\(log)")

            try owner.execute("UPDATE senders SET rate_parts_per_second = 1000, version = version + 1")
            try waitUntil("the rest is sent", seconds: 60) { try owner.value("SELECT status = 'finished' FROM campaigns") }
            let all = try taken()
            try owner.execute("UPDATE look_ups SET due_at = now()")
            try waitUntil("all are settled", seconds: 60) {
                try owner.value("SELECT count(*) = 0 FROM messages WHERE state NOT IN ('delivered', 'sent', 'skipped')")
            }
            let sids = Set(
                try harness.server.send("GET", "/sandbox/ledger").json["messages"]?.array?.compactMap { $0["sid"]?.string } ?? [])
            let skipped: Int = try owner.value("SELECT count(*) FROM messages WHERE state = 'skipped' AND skip_reason = 'opted_out'")
            let stored: [String] = try owner.dynamic("SELECT sid FROM messages WHERE state <> 'skipped'", [])
            print("restored: \(atPoint) sent at the point, \(lost) when the disk died, \(known) known; \(log)")
            #expect(Set(all).count == all.count, "somebody got it twice")
            #expect(all.count + skipped == recipients && !all.contains(left), "somebody never got it, or who had said no")
            #expect(stored.count == all.count && Set(stored) == sids)
        }
    }
}
