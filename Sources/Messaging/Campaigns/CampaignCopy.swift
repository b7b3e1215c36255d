// A new draft with everything that another campaign has, whatever state that one is in.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What a copy is called.
struct CampaignCopyDraft: BodyDecodable {
    let name: String?
    static let schema = Schema.object([
        .optional("name", .string(min: 1, max: 200), "Of the copy; `Copy of …` when absent")
    ])
    init(_ body: JSONObject) { name = body.optionalString("name") }
}

func copyCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let draft = try call.body(CampaignCopyDraft.self)
    let copy = CampaignID.new()
    return try call.transaction { db in
        // Held, so that nobody changes half of it meanwhile.
        _ = try db.one(CampaignSQL.lock, id)
        try CampaignCopy.make(of: id, as: copy, named: draft.name, by: call.actor.user, db)
        try call.audit("campaign.created", "campaign", copy.uuid, details: ["copy_of": .string(id.description)], in: db)
        return .created(try db.one(CampaignSQL.read, copy), at: "/api/campaigns/\(copy)")
    }
}

/// The tables that a draft stands in, each with the columns that a copy takes over and those that a campaign has of its own: its
/// identity, its state, and what came of it. A test compares both with the database, so that no column is forgotten.
struct CampaignCopy {
    let table: String
    let copied: [String]
    let own: [String]

    static let campaigns = CampaignCopy(
        table: "campaigns",
        copied: [
            "channel", "segment_id", "sender_id", "body", "subject", "preheader", "html", "goal_event", "attribution_window_seconds",
            "track_links", "respects_quiet_hours", "send_until", "tags", "ignores_caps", "holdout_basis_points",
            "template_id", "template_version",
        ],
        own: [
            "workspace_id", "id", "name", "status", "status_reason", "scheduled_at", "scheduled_local", "late", "start_requested_at",
            "frozen_at", "paused_at", "finished_at", "cancelled_at", "workspace_holdout_basis_points", "workspace_holdout_salt",
            "created_by", "created_at", "updated_at", "version",
        ])
    static let budgets = CampaignCopy(
        table: "campaign_budgets", copied: ["amount", "currency", "budget_micros"],
        own: ["workspace_id", "campaign_id", "spent_micros", "needed_micros"])
    static let experiments = CampaignCopy(
        table: "campaign_experiments", copied: ["test_basis_points", "winner_by", "measure", "decide_after_seconds"],
        own: [
            "workspace_id", "campaign_id", "begun_at", "winner", "decided_at", "decided_by", "decided_by_user", "reason", "figures",
            "released_at",
        ])
    static let variants = CampaignCopy(
        table: "campaign_variants", copied: ["place", "name", "weight", "body", "subject", "preheader", "html"],
        own: ["workspace_id", "campaign_id"])

    /// In a transaction that holds the row of the original.
    /// - Parameter name: `nil`: the original's with `Copy of` before it.
    static func make(of original: CampaignID, as copy: CampaignID, named name: String?, by user: UserID?, _ db: Connection) throws {
        try db.run(CampaignCopySQL.campaign, original, copy, name, user)
        try db.run(CampaignCopySQL.budget, original, copy)
        try db.run(CampaignCopySQL.experiment, original, copy)
        try db.run(CampaignCopySQL.variants, original, copy)
    }
}

enum CampaignCopySQL {
    static let campaign: Statement<Int, CampaignID, CampaignID, String?, UserID?> = {
        let columns = CampaignCopy.campaigns.copied.joined(separator: ", ")
        return Statement(
            """
            INSERT INTO campaigns (workspace_id, id, name, created_by, \(columns))
            SELECT workspace_id, $2, coalesce($3::text, 'Copy of ' || left(name, 192)), $4, \(columns)
              FROM campaigns WHERE workspace_id = current_workspace() AND id = $1
            """)
    }()

    static let budget = beside(.budgets)
    static let experiment = beside(.experiments)
    static let variants = beside(.variants)

    private static func beside(_ table: CampaignCopy) -> Statement<Int, CampaignID, CampaignID> {
        let columns = table.copied.joined(separator: ", ")
        return Statement(
            """
            INSERT INTO \(table.table) (workspace_id, campaign_id, \(columns))
            SELECT workspace_id, $2, \(columns) FROM \(table.table) WHERE workspace_id = current_workspace() AND campaign_id = $1
            """)
    }
}
