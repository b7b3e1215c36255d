// Messages of which nobody tells are asked for at the provider.
import JSON
import Jobs
import Messaging
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct LookUpTests {
    /// A campaign of `recipients` that is sent while the provider plays `faults`, and its messages once none is under way.
    private func withSent(
        _ recipients: Int, _ faults: JSONValue, _ body: (CampaignHarness, Connection) throws -> Void
    ) throws {
        try withOwnDatabase { database throws in
            let harness = try CampaignHarness(database, recipients: recipients, rate: 200)
            defer { harness.stop() }
            try harness.play(faults)
            try harness.start()
            let owner = try database.connect()
            try waitUntil("the campaign has finished", seconds: 40) { try harness.status() == "finished" }
            try body(harness, owner)
        }
    }

    private func states(_ owner: Connection) throws -> [String] {
        try owner.dynamic(
            "SELECT state || coalesce(' ' || provider_status, '') || ' ' || count(*) FROM messages GROUP BY state, provider_status ORDER BY 1",
            [])
    }

    @Test func `a message whose answer was lost and of which no callback comes is found at the provider`() throws {
        try withSent(12, ["bad_answer": 1, "drop_callbacks": 1, "callback_delay_ms": 10]) { _, owner in
            #expect(try states(owner) == ["unknown 12"])
            #expect(
                try owner.value("SELECT count(*) = 12 AND bool_and(due_at BETWEEN now() AND now() + interval '30 seconds') FROM look_ups"))
            try owner.execute("UPDATE look_ups SET due_at = now()")
            try waitUntil("all are found") { try states(owner) == ["delivered delivered 12"] }
            #expect(try owner.value("SELECT count(DISTINCT sid) FROM messages", as: Int.self) == 12)
            try owner.execute("UPDATE look_ups SET due_at = now()")
            try waitUntil("nobody is asked for any more") { try owner.value("SELECT count(*) = 0 FROM look_ups") }
        }
    }

    @Test func `a message that the provider never took is failed, but not at the first look and not within the hour`() throws {
        try withSent(6, ["server_error": 1]) { harness, owner in
            #expect(try states(owner) == ["unknown 6"])
            for look in 1...3 {
                try owner.execute("UPDATE look_ups SET due_at = now()")
                try waitUntil("they were asked for") { try owner.value("SELECT bool_and(misses = \(look)) FROM look_ups") }
                #expect(try states(owner) == ["unknown 6"])
            }
            try owner.execute("UPDATE look_ups SET since = since - interval '61 minutes', misses = 0, due_at = now()")
            try waitUntil("they were asked for") { try owner.value("SELECT bool_and(misses = 1) FROM look_ups") }
            #expect(try states(owner) == ["unknown 6"])
            try owner.execute("UPDATE look_ups SET due_at = now()")
            try waitUntil("they are given up") { try states(owner) == ["failed not_found 6"] }
            #expect(try harness.compare([]).isHarmless)
        }
    }

    @Test func `another account is not asked for what was sent from the one before`() throws {
        try withSent(2, ["server_error": 1]) { _, owner in
            try owner.execute(
                "UPDATE look_ups SET account_sid = 'AC11111111111111111111111111111111', since = since - interval '2 hours', due_at = now()"
            )
            try waitUntil("they had their turn") { try owner.value("SELECT bool_and(looks = 1) FROM look_ups") }
            #expect(try owner.value("SELECT bool_and(misses = 0) FROM look_ups") && states(owner) == ["unknown 2"])
        }
    }

    @Test func `a message of whose end no callback tells is asked for by its id, twice at most`() throws {
        try withSent(12, ["drop_callbacks": 1, "callback_delay_ms": 10, "undelivered": 0.5]) { harness, owner in
            #expect(try states(owner) == ["sent queued 12"])
            let maintenance = try harness.database.connect(as: .maintenance)
            func plan() throws -> Int {
                try #require(messagingChores.first { $0.name == "plan-look-ups" }).run(maintenance).first?.1 ?? -1
            }
            #expect(try plan() == 0)
            try owner.execute("UPDATE messages SET sent_at = sent_at - interval '61 minutes'")
            #expect(try plan() == 12 && plan() == 0)
            try waitUntil("all have ended") { try owner.value("SELECT bool_and(state IN ('delivered', 'undelivered')) FROM messages") }
            let verdict = try harness.compare([])
            #expect(verdict.isHarmless && verdict.states["undelivered"] != nil, "\(verdict)")
        }
    }
}
