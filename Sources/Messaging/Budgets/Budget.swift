// What a campaign may cost at most: how it is told, checked and changed. Spending it is `Funds`.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum Budget {
    /// Of campaign `c`; null without one. `spent` is rounded up to minor units.
    static let item = """
        (SELECT json_build_object('amount', b.amount, 'currency', b.currency,
                    'spent', json_build_object('amount', ceil(b.spent_micros / (b.budget_micros / b.amount)::numeric)::bigint, 'currency', b.currency))
           FROM campaign_budgets b WHERE b.workspace_id = current_workspace() AND b.campaign_id = c.id)
        """

    static func exists(_ campaign: String) -> String {
        "EXISTS (SELECT FROM campaign_budgets b WHERE b.workspace_id = current_workspace() AND b.campaign_id = \(campaign))"
    }

    /// A budget that nobody can count against keeps a campaign from starting.
    static func check(_ campaign: Campaign, _ faults: inout Faults, _ db: Connection) throws {
        guard let budget = try db.first(BudgetSQL.find, campaign.id) else { return }
        guard let currency = try db.one(PriceSQL.currency) else {
            return faults.add("/budget", "price_unknown", "A budget needs prices; the workspace's settings have none.")
        }
        guard currency == budget.currency else {
            return faults.add("/budget/currency", "currency_mismatch", "The workspace's prices are in \(currency).")
        }
        if try db.one(BudgetSQL.hasPriceForAll, campaign.channel) { return }
        guard campaign.channel == .sms, let segment = campaign.segment else {
            return faults.add("/budget", "price_unknown", "A budget needs a price; the workspace's settings have none for this channel.")
        }
        _ = try db.one(CampaignSQL.planSetWise)
        let countries = try db.all(BudgetSQL.unpriced, segment, campaign.channel)
        if !countries.isEmpty {
            let some = countries.prefix(10).joined(separator: ", ")
            faults.add("/budget", "price_unknown", "A budget needs a price for each country; there is none for \(some).")
        }
    }

    /// - Parameter cost: as far as it is known; `nil` without prices.
    /// - Returns: null without a budget. How many it would not reach follows from the average of what they cost; who that is, only
    ///   sending decides.
    static func report(
        _ id: CampaignID, _ cost: Cost?, recipients: Int, _ warnings: inout Faults, _ db: Connection
    ) throws -> JSONValue {
        guard let budget = try db.first(BudgetSQL.find, id) else { return .null }
        let left = budget.micros - budget.spent
        let isKnown = cost?.currency == budget.currency && cost?.unpriced == 0
        let suffices = isKnown && cost!.micros <= left
        var over = 0
        if isKnown, !suffices {
            over = recipients - Int(Double(recipients) * Double(max(0, left)) / Double(cost!.micros))
            warnings.add(
                "/budget", "over_budget",
                "The budget does not suffice for about \(over) of the recipients; the campaign will pause when it is spent.")
        }
        return [
            "left": Money(amount: left / Money.micros(perMinorUnitOf: budget.currency), currency: budget.currency).json,
            "suffices": isKnown ? .bool(suffices) : .null, "over_budget": isKnown ? JSONValue(over) : .null,
        ]
    }

    /// While it is paused, to any amount that is not spent yet, or to none. A campaign that began without a budget gets none:
    /// what it has cost was not counted.
    static func change(of campaign: Campaign, to plan: CampaignPlan, _ call: Call, _ db: Connection) throws -> Stored {
        guard let budget = try db.first(BudgetSQL.lock, campaign.id) else {
            throw Problem.conflict("wrong_state", "The campaign began without a budget; only a draft can be given one.")
        }
        if let wanted = plan.budget {
            guard wanted.currency == budget.currency else {
                throw Fault(
                    pointer: "/budget/currency", code: "currency_mismatch", detail: "What it has cost is counted in \(budget.currency).")
            }
            guard wanted.micros >= budget.spent else {
                throw Fault(pointer: "/budget/amount", code: "out_of_range", detail: "More than this is spent already.")
            }
        }
        try plan.storeBudget(in: campaign.id, db)
        let stored = try db.one(BudgetSQL.touch, campaign.id)
        try call.audit("campaign.budget_changed", "campaign", campaign.id.uuid, in: db)
        return stored
    }

    /// A campaign whose budget is spent goes on with a larger one.
    static func checkResume(_ campaign: Campaign, _ db: Connection) throws {
        guard let budget = try db.first(BudgetSQL.find, campaign.id), let needed = budget.needed, needed > budget.micros - budget.spent
        else { return }
        throw Problem.conflict("budget_spent", "The campaign's budget is spent; raise it first.")
    }
}
