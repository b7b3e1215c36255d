// Trains a model, then gives every contact its score, batch by batch.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Vocabulary

public let scoreJobs: [JobHandler] = [
    JobHandler("train_score_model") { context in
        guard let id = context.payload["model_id"]?.string.flatMap({ ScoreModelID($0) }) else {
            throw JobFailure("bad_payload", "The job names no model.")
        }
        var run = ScoreRun { work in try context.transaction(work) }
        run.progress = { fraction in try context.progress(fraction) }
        guard let result = try run.trainAndScore(id) else { throw JobFailure("not_found", "The model is gone.") }
        return [
            "model_id": .string(id.description), "state": .string(result.problem == nil ? "ready" : "unfit"),
            "problem": JSONValue(result.problem),
            "scored": JSONValue(result.contacts), "changed": JSONValue(result.changed),
        ]
    },
    JobHandler("calculate_rfm") { context in
        let start = Instant.now()
        let result = try context.transaction { db in try RFM.calculate(db) }
        if (1...Scores.mostMarks).contains(result?.changed ?? 0) {
            try context.transaction { db in try RFM.recalculateReaders(savedSince: start, db) }
        }
        guard let result else {
            return ["contacts": 0, "changed": JSONValue(try RFM.drop { work in try context.transaction(work) })]
        }
        return ["contacts": JSONValue(result.contacts), "changed": JSONValue(result.changed)]
    },
]

struct ScoreRun {
    /// Opens a transaction in the model's workspace.
    let inTransaction: ((Connection) throws -> Void) throws -> Void
    var progress: (Double) throws -> Void = { _ in }
    /// The instant that training looks back from, and that contacts are scored at.
    var now = Instant.now()
    private static let batch = 5000

    init(inTransaction: @escaping ((Connection) throws -> Void) throws -> Void) { self.inTransaction = inTransaction }

    struct Result {
        /// Why nothing was published.
        let problem: String?
        /// That were scored.
        var contacts = 0
        /// Scores that were written.
        var changed = 0
    }

    /// - Returns: `nil` when there is no such model. When its goal changes meanwhile, nothing of the old one is kept.
    func trainAndScore(_ id: ScoreModelID) throws -> Result? {
        var stored: StoredScoreModel?
        try inTransaction { db in stored = try db.first(ScoreSQL.stored, id) }
        guard let stored else { return nil }
        var training = ScoreTraining(goal: stored.goal, salt: id.description, now: now, inTransaction: inTransaction)
        training.progress = { try progress($0 / 2) }
        let outcome: TrainingOutcome
        do { outcome = try training.run() } catch let faults as Faults {
            let problem = faults.list.map { "\($0.pointer): \($0.detail)" }.joined(separator: " ")
            outcome = .unfit("The goal's condition is not a rule any more. " + String(problem.prefix(1000)), report: [:])
        }
        switch outcome {
        case .unfit(let problem, let report):
            try inTransaction { db in try db.run(ScoreSQL.unfit, id, stored.version, problem, report, now) }
            return Result(problem: problem, changed: try dropScores(of: stored))
        case .trained(let model, let report):
            var isCurrent = false
            try inTransaction { db in isCurrent = try db.run(ScoreSQL.trained, id, stored.version, model.json, report, now) > 0 }
            return isCurrent ? try score(stored, model) : Result(problem: nil)
        }
    }

    private func dropScores(of model: StoredScoreModel) throws -> Int {
        var (total, dropped) = (0, 0)
        repeat {
            try inTransaction { db in
                dropped = try db.run(ScoreSQL.dropScores, model.id)
                // With the first, because a worker that dies finds nothing left to drop; and with the last.
                if (total == 0) != (dropped == 0) { try Scores.recalculate(readersOf: ["scores." + model.key], db) }
            }
            total += dropped
        } while dropped > 0
        return total
    }

    private func score(_ stored: StoredScoreModel, _ model: TrainedModel) throws -> Result {
        var result = Result(problem: nil)
        var after: ContactID? = ContactID(UUID(high: 0, low: 0))
        while let start = after {
            var rows: [Observation] = []
            try inTransaction { db in
                try db.setLocalTimeout(seconds: 600)
                let batch = FeatureQuery.Batch(after: start, size: Self.batch, salt: stored.id.description)
                let (sql, values) = FeatureQuery.observe(model.plan.origins, asOf: now, isPast: false, goal: nil, batch)
                rows = try db.dynamic(sql, values)
                // A model that was deleted or changed meanwhile gets no more scores.
                guard try db.first(ScoreSQL.stored, stored.id)?.version == stored.version else { return rows = [] }
                let scores = rows.map { model.score($0.raw) }
                let isMarked = result.changed < Scores.mostMarks
                result.changed += try db.one(
                    ScoreSQL.write, stored.id, rows.map(\.id), scores, scores.map { model.decile(of: $0) }, now, isMarked)
                // Here, too, and not only in the end: a worker that dies in between finds these scores written.
                if isMarked, result.changed >= Scores.mostMarks { try Scores.recalculate(readersOf: ["scores." + stored.key], db) }
            }
            result.contacts += rows.count
            after = rows.count == Self.batch ? rows.last?.id : nil
            try progress(0.5 + 0.5 * (1 - 1 / (1 + Double(result.contacts) / 100_000)))
        }
        try inTransaction { db in
            try db.run(ScoreSQL.scored, stored.id, stored.version, now)
            let isMarked = result.changed < Scores.mostMarks
            if result.changed > 0 { try Scores.recalculate(readersOf: ["scores." + stored.key], since: isMarked ? now : nil, db) }
        }
        return result
    }
}

enum Scores {
    /// Up to about this many changes, segments look at the contacts that changed. Beyond it one calculation of each
    /// segment costs less, and others' marks do not have to wait.
    static let mostMarks = 10_000

    /// Without a key: a calculation that runs may have looked before the change.
    /// - Parameter start: when writing began, in a transaction after it: a segment that was saved meanwhile was no reader
    ///   yet when contacts were marked, and may have been calculated before what was written was to be seen.
    static func recalculate(readersOf fields: [String], since start: Instant? = nil, _ db: Connection) throws {
        // The clocks of two machines agree within seconds.
        for segment in try db.all(ScoreSQL.liveReaders, fields, start?.adding(seconds: -60)) {
            try db.enqueue("calculate_segment", payload: ["segment_id": .string(segment.description)])
        }
    }
}
