// Learns from what contacts did after an instant in the past what they will do after now.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// What a training came to.
enum TrainingOutcome {
    case trained(TrainedModel, report: JSONValue)
    /// Nothing to publish; in words for people.
    case unfit(String, report: JSONValue)
}

/// One training. Contacts are drawn by lot into three parts, always the same: 55 of 100 for the weights, 15 to calibrate
/// them, and 30 that are held out and tell what the model is worth.
struct ScoreTraining {
    let goal: ScoreGoal
    /// Names the lots.
    let salt: String
    let now: Instant
    /// Opens a transaction in the model's workspace.
    let inTransaction: ((Connection) throws -> Void) throws -> Void
    /// Told now and then; what it throws ends the training.
    var progress: (Double) throws -> Void = { _ in }

    static let leastOfEach = 50
    static let mostContacts = 200_000
    private static let samples = 20_000
    private static let batch = 10_000
    private enum Part {
        case fitting, calibration, heldOut
        init(bucket: Int) { self = bucket < 5500 ? .fitting : bucket < 7000 ? .calibration : .heldOut }
    }

    /// The last instant whose future is known as far as the goal looks.
    var cutoff: Instant { now - Double(goal.horizonDays) * 86_400 }

    /// - Throws: `Faults` when the goal's condition is none any more; what a transaction throws.
    func run() throws -> TrainingOutcome {
        var report: JSONObject = [
            "from": .string(cutoff.description), "to": .string(now.description),
            "parts": ["fitting": 0.55, "calibration": 0.15, "held_out": 0.3],
        ]
        func unfit(_ reason: String) -> TrainingOutcome { .unfit(reason, report: .object(report)) }
        var (rule, origins): (CompiledRule?, [FeatureOrigin]) = (nil, [])
        var counts = GoalCount.none
        try inTransaction { db in
            try db.setLocalTimeout(seconds: 600)
            let compiled = try RuleLibrary.compile(goal.rule(from: cutoff, to: now), db, at: "")
            let (sql, values) = ScoreSQL.countGoal(compiled, before: cutoff)
            let rows: [GoalCount] = try db.dynamic(sql, values)
            counts = rows.first ?? .none
            (rule, origins) = (compiled, try FeatureSQL.candidates(asOf: cutoff, db))
        }
        report["contacts"] = JSONValue(counts.contacts)
        report["positives"] = JSONValue(counts.positives)
        let share = min(10_000, Self.mostContacts * 10_000 / max(counts.contacts, 1))
        // Of a sample there must be enough, too.
        let (positives, negatives) = (counts.positives * share / 10_000, (counts.contacts - counts.positives) * share / 10_000)
        let did = "\(counts.positives) of the \(counts.contacts) contacts who existed \(goal.horizonDays) days ago did \(goal.event) since"
        if positives < Self.leastOfEach { return unfit("Only \(did): at least \(Self.leastOfEach) are needed to learn from.") }
        if negatives < Self.leastOfEach {
            return unfit("Too few did not: \(did). At least \(Self.leastOfEach) others are needed to compare them with.")
        }
        let sampled = min(share, Self.samples * 10_000 / max(counts.contacts, 1))
        var sample: [RawFeatures] = []
        try observe(origins, rule, share: max(sampled, 1)) { if Part(bucket: $0.bucket) == .fitting { sample.append($0.raw) } }
        let plan = FeaturePlan(origins, sample: sample)
        sample = []
        guard plan.width > 0 else { return unfit("Nothing is known of the contacts that tells one from another.") }
        try progress(0.2)

        var parts: [Part: (matrix: FeatureMatrix, outcomes: [Bool])] = [:]
        for part in [Part.fitting, .calibration, .heldOut] { parts[part] = (FeatureMatrix(columns: plan.width), []) }
        try observe(plan.origins, rule, share: share) { observation in
            let part = Part(bucket: observation.bucket)
            parts[part]!.matrix.append(plan.encode(numbers: observation.raw.numbers, texts: observation.raw.texts))
            parts[part]!.outcomes.append(observation.outcome)
        }
        let (fitting, calibrating, heldOut) = (parts[.fitting]!, parts[.calibration]!, parts[.heldOut]!)
        parts = [:]
        guard [fitting, calibrating, heldOut].allSatisfy({ $0.outcomes.contains(true) && $0.outcomes.contains(false) }) else {
            return unfit("Too few to measure with: \(did).")
        }
        try progress(0.5)

        let regression = try LogisticRegression.fit(fitting.matrix, targets: fitting.outcomes.map { $0 ? 1 : 0 }) { step in
            try progress(min(0.9, 0.5 + 0.04 * Double(step)))
        }
        let calibration = Calibration.fit(margins: regression.margins(calibrating.matrix), outcomes: calibrating.outcomes)
        let predictions = regression.margins(heldOut.matrix).map { calibration.chance(ofMargin: $0) }
        let known = fitting.outcomes + calibrating.outcomes
        let baseRate = Double(known.count { $0 }) / Double(known.count)
        let measures = ScoreMeasures(predictions: predictions, outcomes: heldOut.outcomes, baseRate: baseRate)
        let model = TrainedModel(plan: plan, regression: regression, calibration: calibration, cuts: decileCuts(predictions))
        report["trained_on"] = JSONValue(known.count)
        report["base_rate"] = rounded(baseRate)
        report["held_out"] = measures.json
        guard measures.beatsBaseRate else {
            return unfit(
                "What is known of the contacts does not tell who does \(goal.event): on those held out, the model is not reliably "
                    + "better than always guessing \((baseRate * 1000).rounded() / 10) %.")
        }
        report["features"] = model.telling(fitting.matrix.deviations)
        return .trained(model, report: .object(report))
    }

    /// Every contact of the share, by id, in batches of a transaction each.
    private func observe(
        _ origins: [FeatureOrigin], _ goal: CompiledRule?, share: Int, _ take: (Observation) -> Void
    ) throws {
        var after: ContactID? = ContactID(UUID(high: 0, low: 0))
        while let start = after {
            var rows: [Observation] = []
            try inTransaction { db in
                try db.setLocalTimeout(seconds: 600)
                let batch = FeatureQuery.Batch(after: start, size: Self.batch, salt: salt, share: share)
                let (sql, values) = FeatureQuery.observe(origins, asOf: cutoff, isPast: true, goal: goal, batch)
                rows = try db.dynamic(sql, values)
            }
            rows.forEach(take)
            after = rows.count == Self.batch ? rows.last?.id : nil
        }
    }
}

/// What a score is the likelihood of.
struct ScoreGoal: Equatable {
    let event: String
    /// A rule over the event's properties.
    let condition: JSONValue?
    let horizonDays: Int

    /// Who did it after the one instant, and not after the other. A window holds both its ends, and an event at the
    /// cutoff is one that is known already.
    func rule(from: Instant, to: Instant) -> JSONValue {
        let first = Instant(microseconds: from.microseconds + 1)
        var leaf: JSONObject = [
            "event": .string(event), "within": ["between": [.string(first.description), .string(to.description)]],
        ]
        leaf["where"] = condition
        return ["version": 1, "match": .object(leaf)]
    }
}

struct GoalCount: RowDecodable {
    let contacts: Int
    let positives: Int
    static let none = GoalCount(contacts: 0, positives: 0)
    private init(contacts: Int, positives: Int) { (self.contacts, self.positives) = (contacts, positives) }
    init(_ row: borrowing Row) throws(PostgresError) {
        contacts = try row["contacts"]
        positives = try row["positives"]
    }
}
