// What a campaign's author settles besides whom it goes to and what it says.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Members of a draft; what is absent stays, or has its default.
struct CampaignPlan {
    let holdout: BasisPoints?

    static let members: [Member] = [
        .optional(
            "holdout_percent", .number, "Share of the recipients who are held out at random, 0 to 50, in steps of 0.01; 0 when absent")
    ]

    init(_ body: JSONObject) throws {
        var faults = Faults()
        holdout = body["holdout_percent"]?.real.flatMap(BasisPoints.init(percent:))
        if let percent = body["holdout_percent"]?.real, holdout == nil || percent > Holdout.most {
            faults.add("/holdout_percent", "out_of_range", "From 0 to 50, in steps of 0.01.")
        }
        try faults.check()
    }

    /// As a campaign is read.
    static let item = "'holdout_percent', trim_scale(c.holdout_basis_points / 100.0)"

    /// In the transaction that wrote the draft.
    /// - Returns: the campaign as it then is; `stored` where nothing is planned.
    func store(in id: CampaignID, _ stored: Stored, _ db: Connection) throws -> Stored {
        guard let holdout else { return stored }
        return try db.one(PlanSQL.change, id, holdout.value)
    }
}

enum PlanSQL {
    static let change = Statement<Stored, CampaignID, Int?>(
        """
        UPDATE campaigns AS c SET holdout_basis_points = coalesce($2, c.holdout_basis_points)
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft'
        RETURNING \(CampaignSQL.item), c.version
        """)
}
