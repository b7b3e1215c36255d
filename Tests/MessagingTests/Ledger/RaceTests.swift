import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Everything at once: two workers, a moody provider, people who say STOP, and a team that cannot make up its mind.
@Suite struct RaceTests {
    @Test(arguments: 0..<2)
    func `nobody gets it twice, nobody is lost, and a STOP holds from its commit`(run: Int) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        try withSending(
            contacts: 500, rate: 700,
            script: { request, number in
                switch number % 23 {
                case 1: .refuse(status: 429, code: 20429, headers: "Retry-After: 0.02\r\n")
                case 2: .acceptAndHangUp
                case 3: .status(500)
                case 4: .refuse(status: 400, code: 21211)
                default: .accept
                }
            }
        ) { sending in
            var random = SeededGenerator(seed)
            var refusals: [(phone: String, at: Vocabulary.Instant)] = []
            try sending.race(workers: 2) {
                for _ in 0..<60 {
                    Thread.sleep(forTimeInterval: Double.random(in: 0...0.04, using: &random))
                    switch Int.random(in: 0..<8, using: &random) {
                    case 0: try sending.tryToMove(CampaignSQL.pause)
                    case 1, 2: try sending.tryToMove(CampaignSQL.resume)
                    case 3: try sending.cutConnections()
                    case 4: try change("phone = '+1303' || substr(phone, 6)", Int.random(in: 1...500, using: &random), sending)
                    case 5:
                        try sending.db.runDynamic(
                            "DELETE FROM contacts WHERE first_name = $1", ["P\(Int.random(in: 1...500, using: &random))".sqlValue])
                    default: refusals.append(try stop(Int.random(in: 1...500, using: &random), sending))
                    }
                }
                try sending.tryToMove(CampaignSQL.resume)
                // What a cut connection left leased is taken back at once instead of in a minute.
                try waitUntil("the campaign has finished, seed \(seed)", seconds: 60) {
                    try sending.db.execute(
                        "UPDATE messages SET lease_until = now() - interval '1 second' WHERE lease_until < now() + interval '50 seconds'")
                    _ = try sending.db.one(LedgerSQL.rescue, 1000, nil)
                    return try sending.status() == "finished"
                }
            }
            let ledger = sending.provider.ledger
            #expect(Set(ledger.map(\.to)).count == ledger.count, "somebody got it twice, seed \(seed)")
            let states = try sending.states()
            #expect(states.values.reduce(0, +) == 500, "seed \(seed)")
            #expect(
                states.keys.allSatisfy { $0 == "sent" || $0 == "unknown" || $0 == "failed" || $0.hasPrefix("skipped/") },
                "\(states), seed \(seed)")
            // Whatever the provider took is sent or unknown here, and what is sent here the provider took.
            let taken = Set(ledger.map(\.message))
            let known: [JSONValue] = try sending.db.dynamic(
                "SELECT json_build_object('id', id, 'state', state) FROM messages WHERE state IN ('sent', 'unknown')", [])
            let byState = Dictionary(grouping: known) { $0["state"]!.string! }.mapValues { Set($0.map { $0["id"]!.string! }) }
            #expect(byState["sent", default: []].isSubset(of: taken), "seed \(seed)")
            #expect(taken.isSubset(of: byState["sent", default: []].union(byState["unknown", default: []])), "seed \(seed)")
            for refusal in refusals {
                let late: Int = try sending.db.value(
                    "SELECT count(*) FROM messages WHERE to_address = $1 AND started_at > $2", refusal.phone.sqlValue, refusal.at.sqlValue)
                #expect(late == 0, "seed \(seed)")
            }
            #expect(try sending.db.all(RollupSQL.differences, sending.scene.workspace, sending.scene.campaign).isEmpty, "seed \(seed)")
        }
    }

    /// Plays somebody's STOP. Returns their number and an instant by which it was committed.
    private func stop(_ contact: Int, _ sending: Sending) throws -> (phone: String, at: Vocabulary.Instant) {
        let phone = "+1202" + String(5_550_000 + contact)
        try sending.database.connect(as: .responder).transaction { db in
            try db.setWorkspace(sending.scene.workspace)
            _ = try db.one(
                DeliverySQL.receiveInbound, sending.scene.sender, "SM\(Vocabulary.UUID.v7())", phone, "+12025550100", "STOP", "stop", false)
        }
        return (phone, try sending.db.value("SELECT clock_timestamp()"))
    }

    private func change(_ assignment: String, _ contact: Int, _ sending: Sending) throws {
        try sending.db.runDynamic(
            "UPDATE contacts SET \(assignment) WHERE first_name = $1 AND phone LIKE '+1202%'", ["P\(contact)".sqlValue])
    }
}
