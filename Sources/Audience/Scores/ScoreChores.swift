// The nightly training, scoring and grouping, workspace by workspace.
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

private enum ScoreChoreSQL {
    static let models = Statement<WorkspaceModel>(
        """
        SELECT workspace_id, id FROM score_models ORDER BY workspace_id, id
        """)
    static let groups = Statement<WorkspaceID>(
        """
        SELECT w.id FROM workspaces w
         WHERE EXISTS (SELECT FROM rfm_settings s WHERE s.workspace_id = w.id)
            OR EXISTS (SELECT FROM contact_rfm r WHERE r.workspace_id = w.id)
         ORDER BY w.id
        """)
}

private struct WorkspaceModel: RowDecodable {
    let workspace: WorkspaceID
    let id: ScoreModelID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        id = try row["id"]
    }
}

public let scoreChores: [Chore] = [
    Chore("score-contacts", "Train the score models, score every contact, calculate the RFM groups") { db in
        var counts = (models: 0, unfit: 0, scores: 0, groups: 0, failed: 0)
        /// One that fails keeps what it had, and does not keep the others from theirs.
        func each(_ what: String, _ id: String, _ work: () throws -> Void) throws {
            do { try work() } catch let error as PostgresError where !error.isTransient {
                counts.failed += 1
                Log.error("not scored", [(what, .string(id)), ("error", .string(error.description))])
            }
        }
        func inWorkspace(_ workspace: WorkspaceID, _ work: (Connection) throws -> Void) throws {
            try db.transaction { db in
                try db.setWorkspace(workspace)
                try work(db)
            }
        }
        for model in try db.all(ScoreChoreSQL.models) {
            try each("model", model.id.description) {
                let run = ScoreRun { work in try inWorkspace(model.workspace, work) }
                guard let result = try run.trainAndScore(model.id) else { return }
                counts.models += 1
                counts.unfit += result.problem == nil ? 0 : 1
                counts.scores += result.changed
            }
        }
        for workspace in try db.all(ScoreChoreSQL.groups) {
            try each("workspace", workspace.description) {
                let start = Instant.now()
                var changed = 0
                var isSet = true
                try inWorkspace(workspace) { db in
                    let result = try RFM.calculate(db)
                    (changed, isSet) = (result?.changed ?? 0, result != nil)
                }
                if !isSet { counts.groups += try RFM.drop { work in try inWorkspace(workspace, work) } }
                counts.groups += changed
                if (1...Scores.mostMarks).contains(changed) {
                    try inWorkspace(workspace) { db in try RFM.recalculateReaders(savedSince: start, db) }
                }
            }
        }
        return [
            ("models", counts.models), ("unfit", counts.unfit), ("scores_changed", counts.scores), ("groups_changed", counts.groups),
            ("failed", counts.failed),
        ]
    }
]
