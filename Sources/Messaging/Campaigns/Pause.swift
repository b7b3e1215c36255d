// What pauses campaigns by itself, and tells whoever runs them.
internal import PostgreSQL
internal import Vocabulary

enum Pause {
    /// sending → paused. `false`: it was not sending, nothing changes and nobody is told.
    @discardableResult
    static func campaign(_ campaign: CampaignID, _ reason: String, _ db: Connection) throws -> Bool {
        guard try db.run(LedgerSQL.pauseCampaign, campaign, reason) > 0 else { return false }
        try Notice.campaignPaused(campaign, reason, db)
        return true
    }

    /// sending → paused, for all campaigns of a sender that is suspended. In the transaction that suspends it, so that none
    /// starts in between.
    static func campaigns(ofSuspended sender: SenderID, _ db: Connection) throws {
        let reason = "sender_suspended"
        for campaign in try db.all(LedgerSQL.pauseCampaignsOfSender, sender, reason) {
            try Notice.campaignPaused(campaign, reason, db)
        }
    }
}
