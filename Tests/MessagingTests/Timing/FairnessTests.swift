import Foundation
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct FairnessTests {
    @Test func `two campaigns of one sender progress alike`() throws {
        try withSending(contacts: 60, rate: 40) { sending throws in
            let other = try sending.scene.withAnotherCampaign(sending.db)
            try other.freeze(sending.db)
            try sending.run()
            // The first four fifths that were started, in the order in which they were.
            let shares: [Int] = try sending.db.dynamic(
                """
                SELECT count(*) FROM (SELECT campaign_id FROM messages WHERE started_at IS NOT NULL ORDER BY started_at, id LIMIT 80) first
                 GROUP BY campaign_id
                """, [])
            #expect(shares.count == 2 && shares.allSatisfy { (25...55).contains($0) }, "\(shares)")
        }
    }

    @Test func `ten campaigns of one workspace leave half to the one of another`() throws {
        try withSending(
            contacts: 200,
            script: { _, _ in
                // As long as a provider takes, so that connections are what is scarce.
                Thread.sleep(forTimeInterval: 0.01)
                return .accept
            }
        ) { sending throws in
            let crowd = try Scene(sending.db, contacts: 100)
            try crowd.freeze(sending.db)
            for _ in 1..<10 { try crowd.withAnotherCampaign(sending.db).freeze(sending.db) }
            try sending.run()
            #expect(try sending.status() == "finished")
            let crowded: Int = try sending.db.value(
                """
                SELECT count(*) FROM messages
                 WHERE workspace_id = $1
                   AND started_at <= (SELECT max(o.started_at) FROM messages o WHERE o.campaign_id = $2)
                """, crowd.workspace.sqlValue, sending.scene.campaign.sqlValue)
            // As many as the other's 200, and what a turn more or less makes; in turns of campaigns it would be all 1,000.
            #expect((50...400).contains(crowded), "\(crowded)")
        }
    }
}
