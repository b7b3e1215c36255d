// The winner of an experiment: chosen once, by time or by a person; then the remainder is let go.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

public let experimentLoops: [WorkerLoop] = [
    WorkerLoop("experiments") { context in
        return {
            for due in try context.db.all(DecisionSQL.due) where !context.isStopping {
                try alone("experiment not decided", due.campaign.description) {
                    try Decision.advance(due.campaign, in: due.workspace, context.db, isStopping: { context.isStopping })
                }
            }
            return 1
        }
    }
]

enum Decision {
    /// In one transaction; others get at the rows between two.
    private static let batch = 5000

    /// Whatever is to be done about an experiment: each step is a transaction of its own and finds out by itself whether it
    /// was done before, so it may end between any two and go on elsewhere.
    static func advance(_ id: CampaignID, in workspace: WorkspaceID, _ db: Connection, isStopping: () -> Bool = { false }) throws {
        try decide(id, in: workspace, db)
        crashPoint("after_decision")
        while !isStopping() {
            let released = try db.inWorkspace(workspace) { db in
                guard try db.one(DecisionSQL.canRelease, id) else {
                    try db.run(DecisionSQL.closeEnded, id)
                    return 0
                }
                let count = try db.run(Remainder.release, id, batch)
                // Rows that somebody else holds are skipped: only a look that waits for nobody says that none are left.
                if count == 0, try !db.one(Remainder.isWaiting, id) { try db.run(DecisionSQL.close, id) }
                return count
            }
            crashPoint("after_release")
            if released == 0 { return }
        }
    }

    /// Chooses the winner by the measure, if that is due. Whoever else is at it settles it.
    static func decide(_ id: CampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            guard let experiment = try db.first(DecisionSQL.lockDue, id) else { return }
            // Nothing was started yet, and something still may be.
            if !experiment.hasBegun, try db.one(DecisionSQL.isTestOpen, id) { return }
            let figures = try db.all(DecisionSQL.figures, id, experiment.measure)
            let verdict = Verdict(figures)
            try store(verdict.place, verdict.reason.rawValue, by: nil, figures, id, db)
            let name = figures.first { $0.place == verdict.place }?.name ?? ""
            _ = try db.one(DecisionSQL.tell, id, name, words(verdict, name))
            try db.run(DecisionSQL.audit, id, name)
            Log.notice("winner chosen", [("campaign", .string(id.description)), ("reason", .string(verdict.reason.rawValue))])
        }
    }

    /// In a transaction that holds the experiment's row and found no winner in it.
    static func store(_ place: Int, _ reason: String, by user: UserID?, _ figures: [VariantFigure], _ id: CampaignID, _ db: Connection)
        throws
    {
        try db.run(DecisionSQL.decide, id, place, reason, reason == "by_hand" ? "user" : "automatic", user, figures.json)
        try db.run(DecisionSQL.touch, id)
    }

    private static func words(_ verdict: Verdict, _ name: String) -> String {
        switch verdict.reason {
        case .best: "The experiment of a campaign was decided: \(name) was best, and goes to the rest."
        case .tie: "The experiment of a campaign was decided: \(name), the first of several that were equally good, goes to the rest."
        case .noData: "The experiment of a campaign was decided without data: \(name), the first variant, goes to the rest."
        }
    }
}

/// Which variant the rest of the audience gets.
struct WinnerChoice: BodyDecodable {
    let variant: String
    static let schema = Schema.object([.required("variant", .string(min: 1, max: 100), "Its name")])
    init(_ body: JSONObject) { variant = normalized(body.string("variant")) }
}

/// Chosen by a person, also before the time of an automatic one.
func chooseWinner(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let choice = try call.body(WinnerChoice.self)
    return try call.transaction(timeoutSeconds: 60) { db in
        let campaign = try db.one(CampaignSQL.find, id)
        let allowed: [CampaignStatus] = [.sending, .paused, .finished]
        guard allowed.contains(campaign.status) else { throw campaign.wrongState(for: "have a winner", from: allowed) }
        // Waits for whoever chooses at the moment.
        guard let experiment = try db.first(DecisionSQL.lock, id), experiment.winnerBy != WinnerBy.none.rawValue else {
            throw Problem.conflict("no_experiment", "The campaign has no experiment with a winner.")
        }
        let figures = try db.all(DecisionSQL.figures, id, experiment.measure)
        guard let chosen = figures.first(where: { $0.name == choice.variant }) else {
            throw Problem.invalid("/variant", "not_found", "The experiment has no variant of this name.")
        }
        if let winner = experiment.winner {
            guard winner == chosen.place else { throw Problem.conflict("winner_chosen", "Another variant has won already.") }
            return .resource(try db.one(CampaignSQL.read, id))
        }
        try Decision.store(chosen.place, "by_hand", by: call.actor.user, figures, id, db)
        try call.audit("campaign.winner_chosen", "campaign", id.uuid, details: ["variant": .string(chosen.name)], in: db)
        return .resource(try db.one(CampaignSQL.read, id))
    }
}

enum DecisionSQL {
    static let due = Statement<DueCampaign>("SELECT workspace_id, campaign_id FROM experiments_due()")

    private static let columns = "e.winner_by, e.measure, e.winner, e.begun_at IS NOT NULL AS has_begun"

    /// Where the time has come to choose, of a campaign that is neither paused nor cancelled: somebody who stopped it may have
    /// seen what is wrong with a variant, and nothing could be sent anyway.
    static let lockDue = Statement<ExperimentAtHand, CampaignID>(
        """
        SELECT \(columns)
          FROM campaign_experiments e
         WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1 AND e.winner_by = 'automatic' AND e.winner IS NULL
           AND (e.begun_at IS NULL OR e.begun_at + make_interval(secs => e.decide_after_seconds) <= now())
           AND (SELECT c.status FROM campaigns c WHERE c.workspace_id = current_workspace() AND c.id = $1) IN ('sending', 'finished')
           FOR UPDATE SKIP LOCKED
        """)

    static let lock = Statement<ExperimentAtHand, CampaignID>(
        """
        SELECT \(columns) FROM campaign_experiments e
         WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1 FOR UPDATE
        """)

    /// Whether a message of the test may still be started.
    static let isTestOpen = Statement<Bool, CampaignID>(
        """
        SELECT EXISTS (SELECT FROM messages m
                        WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign'
                          AND m.state = 'pending' AND NOT \(Remainder.waits("m")))
            OR EXISTS (SELECT FROM messages m
                        WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign'
                          AND m.state IN ('claimed', 'started'))
        """)

    /// Of each variant, also of those that nobody has.
    static let figures = Statement<VariantFigure, CampaignID, String?>(
        """
        SELECT v.place, v.name, coalesce(f.sent, 0) AS sent,
               coalesce(CASE $2 WHEN 'clicked' THEN f.clicked WHEN 'opened' THEN f.opened WHEN 'replied' THEN f.replied
                                WHEN 'converted' THEN f.converted WHEN 'delivered' THEN f.delivered END, 0) AS count
          FROM campaign_variants v LEFT JOIN experiment_figures($1) f ON f.place = v.place
         WHERE v.workspace_id = current_workspace() AND v.campaign_id = $1
         ORDER BY v.place
        """)

    static let decide = Statement<Int, CampaignID, Int, String, String, UserID?, JSONValue>(
        """
        UPDATE campaign_experiments
           SET winner = $2, decided_at = now(), reason = $3, decided_by = $4, decided_by_user = $5, figures = $6
         WHERE workspace_id = current_workspace() AND campaign_id = $1 AND winner IS NULL
        """)

    /// The campaign is shown with its winner from now on.
    static let touch = Statement<Int, CampaignID>(
        """
        UPDATE campaigns SET version = version + 1, updated_at = now() WHERE workspace_id = current_workspace() AND id = $1
        """)

    /// There is a winner; or the campaign's time is over, and the claim skips whoever is let go now.
    static let canRelease = Statement<Bool, CampaignID>(
        """
        SELECT EXISTS (SELECT FROM campaign_experiments e
                         JOIN campaigns c ON c.workspace_id = current_workspace() AND c.id = e.campaign_id
                        WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1 AND e.released_at IS NULL
                          AND c.status = 'sending' AND (e.winner IS NOT NULL OR c.send_until <= now()))
        """)

    static let close = Statement<Int, CampaignID>(
        """
        UPDATE campaign_experiments SET released_at = now()
         WHERE workspace_id = current_workspace() AND campaign_id = $1 AND released_at IS NULL
        """)

    /// Where nothing can be let go any more: the campaign was cancelled, or has finished, so that nobody waits. Whoever has messages of
    /// a finished one tried again finds them in the test, or with the winner; and a person may still choose it.
    static let closeEnded = Statement<Int, CampaignID>(
        """
        UPDATE campaign_experiments e SET released_at = now()
          FROM campaigns c
         WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1 AND e.released_at IS NULL
           AND c.workspace_id = current_workspace() AND c.id = e.campaign_id
           AND (c.status = 'cancelled' OR c.status = 'finished' AND (e.winner IS NOT NULL OR e.winner_by = 'by_hand'))
        """)

    static let tell = Statement<Bool, CampaignID, String, String>(
        """
        SELECT notify_workspace('campaign.winner_chosen', jsonb_build_object('campaign_id', $1::uuid, 'variant', $2::text), $3) IS NOT NULL
        """)

    /// Nobody did it: the actor stays empty.
    static let audit = Statement<Int, CampaignID, String>(
        """
        INSERT INTO audit_log (workspace_id, action, subject_type, subject_id, details)
        VALUES (current_workspace(), 'campaign.winner_chosen', 'campaign', $1, jsonb_build_object('by', 'experiment', 'variant', $2::text))
        """)
}

struct ExperimentAtHand: RowDecodable {
    let winnerBy: String
    let measure: String?
    /// The place of the variant that has won.
    let winner: Int?
    let hasBegun: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        winnerBy = try row["winner_by"]
        measure = try row["measure"]
        winner = try row["winner"]
        hasBegun = try row["has_begun"]
    }
}
