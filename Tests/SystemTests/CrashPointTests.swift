// The harness kills at random and reaches some points of the code hardly ever; here each has its turn.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite(.serialized) struct CrashPointTests {
    @Test func `somebody dies at each point of a campaign's way, and everybody gets it at most once`() throws {
        try withOwnServer { database throws in
            let harness = try CampaignHarness(database, recipients: 600, rate: 8)
            defer { harness.stop() }
            let owner = try database.connect()
            // Some answers and some callbacks are lost, so that there is something to look for.
            try harness.play(["reset": 0.2, "drop_callbacks": 0.3, "callback_delay_ms": 20])
            var optOuts: [(phone: String, at: Instant)] = []
            var contact = 600
            for point in CampaignHarness.crashPoints {
                harness.arm(point, onceIn: 1)
                if point == "before_freeze_commit" { try harness.start() }
                try waitUntil("somebody dies at \(point)", seconds: 60) {
                    harness.attempt("resume")
                    if point == "after_inbound" {
                        contact -= 1
                        if let optOut = harness.optOut(contact, owner) { optOuts.append(optOut) }
                    }
                    try harness.endLeases(owner, olderThan: 5)
                    try harness.askForSilent(owner)
                    return harness.deaths[point] != nil
                }
                harness.disarm()
            }
            try harness.heal()
            let verdict = try harness.compare(optOuts)
            #expect(verdict.isHarmless, "\(verdict)")
            #expect((verdict.states["delivered"] ?? 0) > 400, "\(verdict.states)")
        }
    }
}
