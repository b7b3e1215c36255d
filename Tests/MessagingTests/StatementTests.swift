import PostgreSQL
import TestSupport
import Testing

@testable import Messaging

/// Statements that are put together from pieces; those that stand in one piece are found in the source.
@Suite struct MessagingStatementTests {
    @Test func `every statement is one that the migrated schema understands`() throws {
        try withDatabase(as: .worker) { db throws in
            try db.validate(TemplateSQL.page)
            try db.validate(TemplateSQL.insert)
            try db.validate(TemplateSQL.read)
            try db.validate(TemplateSQL.change)
            try db.validate(TemplateSQL.contact)
            try db.validate(TemplateSQL.versions)
            try db.validate(TemplateSQL.version)
            try db.validate(LinkSQL.track)
            try db.validate(LinkSQL.hits)
            try db.validate(LinkSQL.hitsOfCampaign)
            try db.validate(LinkSQL.read)
            try db.validate(SenderSQL.page)
            try db.validate(SenderSQL.insert)
            try db.validate(SenderSQL.read)
            try db.validate(SenderSQL.change)
            try db.validate(CampaignSQL.page)
            try db.validate(CampaignSQL.pageInStatus)
            try db.validate(CampaignSQL.insert)
            try db.validate(CampaignSQL.read)
            try db.validate(CampaignSQL.find)
            try db.validate(CampaignSQL.lock)
            try db.validate(CampaignSQL.change)
            try db.validate(CampaignSQL.start)
            try db.validate(CampaignSQL.pause)
            try db.validate(CampaignSQL.resume)
            try db.validate(CampaignSQL.cancel)
            try db.validate(CampaignSQL.insertAudience)
            try db.validate(CampaignSQL.insertTest)
            try db.validate(Holdout.countArms)
            try db.validate(Remainder.release)
            try db.validate(Remainder.isWaiting)
            try db.validate(DecisionSQL.lockDue)
            try db.validate(DecisionSQL.lock)
            try db.validate(DecisionSQL.isTestOpen)
            try db.validate(BudgetSQL.touch)
            try db.validate(BudgetSQL.price)
            try db.validate(MonthlyLimitSQL.take)
            try db.validate(LedgerSQL.beginByKey)
            try db.validate(LedgerSQL.beginStarting)
            try db.validate(LedgerSQL.campaign)
            try db.validate(StopRuleSQL.look)
            try db.validate(PreflightSQL.waterfall)
            try db.validate(PreflightSQL.openRecipients)
            try db.validate(MessageSQL.page)
            try db.validate(MessageSQL.pageInState)
            try db.validate(MessageSQL.read)
            try db.validate(LedgerSQL.claim)
            try db.validate(LedgerSQL.start)
            try db.validate(EmailSQL.insertSender)
            try db.validate(EmailSQL.setParts)
        }
    }
}
