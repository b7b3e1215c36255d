internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum ScoreSQL {
    static let page = Statement<PageRow, TimestampText, ScoreModelID, Int>(
        """
        SELECT score_model_json(m), m.created_at, m.id FROM score_models m
         WHERE m.workspace_id = current_workspace() AND (m.created_at, m.id) < ($1::timestamptz, $2::uuid)
         ORDER BY m.created_at DESC, m.id DESC LIMIT $3
        """)
    static let read = Statement<Stored, ScoreModelID>(
        """
        SELECT score_model_json(m) AS item, m.version FROM score_models m WHERE m.workspace_id = current_workspace() AND m.id = $1
        """)
    /// So that two who make the last one that is allowed do not make two, nor one key. Until the transaction ends.
    static let lockNames = Statement<Bool>(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('score models ' || current_workspace()::text, 0)) IS NULL
        """)
    static let count = Statement<Int>(
        """
        SELECT count(*) FROM score_models WHERE workspace_id = current_workspace()
        """)
    /// A key that another model has gets a number behind it. One more number than there are models is always enough.
    static let insert = Statement<ScoreModelID, String, String, String, JSONValue?, Int, UserID?>(
        """
        INSERT INTO score_models (workspace_id, name, key, event, condition, horizon_days, created_by)
        SELECT current_workspace(), $1, (
                   SELECT k.key
                     FROM (SELECT n, $2::text || CASE n WHEN 1 THEN '' ELSE '_' || n END AS key
                             FROM generate_series(
                                      1, 1 + (SELECT count(*) FROM score_models a WHERE a.workspace_id = current_workspace())) n) k
                    WHERE NOT EXISTS (SELECT FROM score_models o WHERE o.workspace_id = current_workspace() AND o.key = k.key)
                    ORDER BY k.n LIMIT 1),
               $3, $4::jsonb, $5, $6
        RETURNING id
        """)
    static let lock = Statement<StoredScoreModel, ScoreModelID>(
        """
        SELECT id, key, event, condition, horizon_days, model, version FROM score_models
         WHERE workspace_id = current_workspace() AND id = $1 FOR NO KEY UPDATE
        """)
    static let stored = Statement<StoredScoreModel, ScoreModelID>(
        """
        SELECT id, key, event, condition, horizon_days, model, version FROM score_models
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let update = Statement<Int, ScoreModelID, String?, String, JSONValue?, Int>(
        """
        UPDATE score_models
           SET name = coalesce($2, name), event = $3, condition = $4::jsonb, horizon_days = $5, updated_at = now(), version = version + 1
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    /// What was learned for another goal.
    static let forget = Statement<Int, ScoreModelID>(
        """
        UPDATE score_models SET state = 'untrained', problem = NULL, model = NULL, report = NULL, trained_at = NULL, scored_at = NULL,
                                scored_count = 0
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let delete = Statement<Int, ScoreModelID>(
        """
        DELETE FROM score_models WHERE workspace_id = current_workspace() AND id = $1
        """)
    /// Segments whose rules read one of these fields.
    static let readers = Statement<String, [String]>(
        """
        SELECT DISTINCT segment_label(s) FROM segment_inputs i JOIN segments s ON s.workspace_id = i.workspace_id AND s.id = i.segment_id
         WHERE i.workspace_id = current_workspace() AND i.input = ANY ($1) ORDER BY 1
        """)

    // MARK: Training

    /// How many contacts existed, and how many of them did it.
    static func countGoal(_ goal: CompiledRule, before cutoff: Instant) -> (sql: String, values: [SQLValue]) {
        (
            """
            SELECT count(*) AS contacts, count(*) FILTER (WHERE \(goal.predicate)) AS positives FROM contacts c
             WHERE c.workspace_id = current_workspace() AND c.created_at <= $\(goal.values.count + 1)::timestamptz
            """, goal.values + [cutoff.sqlValue]
        )
    }
    /// Not when the goal was changed meanwhile: then it is another goal's.
    static let trained = Statement<Int, ScoreModelID, Int, JSONValue, JSONValue, Instant>(
        """
        UPDATE score_models SET state = 'ready', problem = NULL, model = $3, report = $4, trained_at = $5
         WHERE workspace_id = current_workspace() AND id = $1 AND version = $2
        """)
    static let unfit = Statement<Int, ScoreModelID, Int, String, JSONValue, Instant>(
        """
        UPDATE score_models SET state = 'unfit', problem = $3, model = NULL, report = $4, trained_at = $5, scored_at = NULL, scored_count = 0
         WHERE workspace_id = current_workspace() AND id = $1 AND version = $2
        """)

    // MARK: Scores

    /// Writes what differs by more than a hundredth of itself, or lies in another tenth: nights on which little happens
    /// write little. Contacts that are gone by now are left out. Where `$6`, whoever's score changed is marked for the
    /// segments that read it.
    static let write = Statement<Int, ScoreModelID, [ContactID], [Double], [Int], Instant, Bool>(
        """
        WITH wanted AS MATERIALIZED (
                SELECT u.id, u.score::numeric(7, 6) AS score, u.decile
                  FROM unnest($2::uuid[], $3::numeric[], $4::smallint[]) AS u (id, score, decile)
                  LEFT JOIN contact_scores s ON s.workspace_id = current_workspace() AND s.model_id = $1 AND s.contact_id = u.id
                 WHERE s.contact_id IS NULL OR abs(s.score - u.score) > s.score / 100 OR s.decile <> u.decile),
             written AS (
                INSERT INTO contact_scores AS s (workspace_id, model_id, contact_id, score, decile, scored_at)
                SELECT c.workspace_id, $1, c.id, w.score, w.decile, $5
                  FROM wanted w JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = w.id
                ON CONFLICT (workspace_id, model_id, contact_id) DO UPDATE
                   SET score = excluded.score, decile = excluded.decile, scored_at = excluded.scored_at
                RETURNING s.contact_id),
             marked AS (
                INSERT INTO dirty_contacts (workspace_id, contact_id, reads)
                SELECT current_workspace(), w.contact_id, ARRAY['scores.' || m.key]
                  FROM written w JOIN score_models m ON m.workspace_id = current_workspace() AND m.id = $1
                 WHERE $6 AND EXISTS (
                       SELECT FROM segment_inputs i WHERE i.workspace_id = current_workspace() AND i.input = 'scores.' || m.key))
        SELECT count(*) FROM written
        """)
    /// Live segments that read one of these fields; with `$2` those alone that were saved or calculated since.
    static let liveReaders = Statement<SegmentID, [String], Instant?>(
        """
        SELECT DISTINCT s.id FROM segment_inputs i JOIN segments s ON s.workspace_id = i.workspace_id AND s.id = i.segment_id
         WHERE i.workspace_id = current_workspace() AND i.input = ANY ($1) AND s.schedule = 'live'
           AND ($2::timestamptz IS NULL OR s.calculated_at IS NULL OR greatest(s.calculated_at, s.updated_at) >= $2)
        """)
    static let scored = Statement<Int, ScoreModelID, Int, Instant>(
        """
        UPDATE score_models m
           SET scored_at = $3, scored_count = (
                   SELECT count(*) FROM contact_scores s WHERE s.workspace_id = current_workspace() AND s.model_id = $1)
         WHERE m.workspace_id = current_workspace() AND m.id = $1 AND m.version = $2
        """)
    /// In short batches, so that nobody waits for the last of a million.
    static let dropScores = Statement<Int, ScoreModelID>(
        """
        DELETE FROM contact_scores s USING (
            SELECT o.contact_id FROM contact_scores o WHERE o.workspace_id = current_workspace() AND o.model_id = $1 LIMIT 10000) old
         WHERE s.workspace_id = current_workspace() AND s.model_id = $1 AND s.contact_id = old.contact_id
        """)
}

struct StoredScoreModel: RowDecodable {
    let id: ScoreModelID
    let key: String
    let goal: ScoreGoal
    let model: TrainedModel?
    let version: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        key = try row["key"]
        goal = ScoreGoal(event: try row["event"], condition: try row["condition"], horizonDays: try row["horizon_days"])
        let json: JSONValue? = try row["model"]
        model = json.flatMap { TrainedModel($0) }
        version = try row["version"]
    }
}
