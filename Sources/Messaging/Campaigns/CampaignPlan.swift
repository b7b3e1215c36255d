// What a campaign's author settles besides whom it goes to and what it says.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Members of a draft; what is absent stays, or has its default.
struct CampaignPlan {
    let holdout: BasisPoints?
    let budget: Money?
    private let clearsBudget: Bool

    static let members: [Member] = [
        .optional(
            "holdout_percent", .number, "Share of the recipients who are held out at random, 0 to 50, in steps of 0.01; 0 when absent"),
        .optional("budget", .nullable(Money.schema), "What it may cost at most, by the workspace's prices; null: whatever it costs"),
    ]

    init(_ body: JSONObject) throws {
        var faults = Faults()
        holdout = body["holdout_percent"]?.real.flatMap(BasisPoints.init(percent:))
        if let percent = body["holdout_percent"]?.real, holdout == nil || percent > Holdout.most {
            faults.add("/holdout_percent", "out_of_range", "From 0 to 50, in steps of 0.01.")
        }
        budget = body["budget"]?.object.map { Money(amount: $0.integer("amount"), currency: $0.string("currency")) }
        clearsBudget = body["budget"]?.isNull == true
        if let budget, !budget.currency.utf8.allSatisfy({ (65...90).contains($0) }) {
            faults.add("/budget/currency", "bad_format", "Expected three capital letters, as in USD.")
        }
        try faults.check()
    }

    /// As a campaign is read.
    static let item = """
        'holdout_percent', trim_scale(c.holdout_basis_points / 100.0), 'budget', \(Budget.item)
        """

    /// In the transaction that wrote the draft.
    /// - Returns: the campaign as it then is; `stored` where nothing is planned.
    func store(in id: CampaignID, _ stored: Stored, _ db: Connection) throws -> Stored {
        guard holdout != nil || budget != nil || clearsBudget else { return stored }
        if let holdout { try db.run(PlanSQL.setHoldout, id, holdout.value) }
        try storeBudget(in: id, db)
        return try db.one(CampaignSQL.read, id)
    }

    func storeBudget(in id: CampaignID, _ db: Connection) throws {
        if let budget { try db.run(BudgetSQL.set, id, budget.amount, budget.currency, budget.micros) }
        if clearsBudget { try db.run(BudgetSQL.clear, id) }
    }
}

enum PlanSQL {
    static let setHoldout = Statement<Int, CampaignID, Int>(
        """
        UPDATE campaigns SET holdout_basis_points = $2
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'draft'
        """)
}
