// What a workspace may send in a calendar month: how it is told and kept to. Counting it is `Allowance`.
internal import JSON
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

func readUsage(_ call: Call) throws -> Response {
    .json(try call.read { db in try db.one(MonthlyLimitSQL.usage) })
}

enum MonthlyLimit {
    static let reason = "monthly_limit_reached"

    /// What preflight tells: null without a limit. How many would not fit follows from the average of their parts.
    static func report(
        _ channel: Channel, parts: Int, recipients: Int, _ warnings: inout Faults, _ db: Connection
    ) throws -> JSONValue {
        let pointer = "/monthly_limit"
        guard let left = try db.one(MonthlyLimitSQL.left, channel) else { return .null }
        let fitting = parts <= left ? recipients : Int(Double(recipients) * Double(left) / Double(parts))
        let over = recipients - fitting
        if over > 0 {
            warnings.add(
                pointer, "over_monthly_limit",
                "This month's limit does not suffice for about \(over) of them; the campaign will pause when it is reached.")
        }
        return ["left": JSONValue(left), "suffices": .bool(over == 0), "over_monthly_limit": JSONValue(over)]
    }

    /// A campaign that the month did not suffice for goes on with a larger limit, or in the next month.
    static func checkResume(_ campaign: Campaign, _ db: Connection) throws {
        guard try db.one(MonthlyLimitSQL.keepsPaused, campaign.id) else { return }
        throw Problem.conflict(
            reason, "The workspace has sent what it may in this month; raise the limit first. A new month resumes the campaign by itself.")
    }

    /// paused → sending, once a new month has begun. One of several workers does it; what somebody else did meanwhile stays.
    static func resume(_ id: CampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            let campaign = try db.one(CampaignSQL.lock, id)
            guard let sender = campaign.sender, try db.one(SenderSQL.lockStatus, sender) == "active",
                try db.run(MonthlyLimitSQL.resume, id) > 0
            else { return }
            // What went wrong still counts for the stop rules: nobody has looked at it.
            try db.run(ScheduleSQL.audit, "campaign.resumed", id)
            Log.notice("campaign resumed", [("campaign", .string(id.description)), ("reason", .string("new month"))])
        }
    }
}
