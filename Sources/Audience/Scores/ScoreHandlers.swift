internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listScoreModels(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(ScoreModelID.self)
    return try call.page(ScoreSQL.page, paging, at, id, paging.fetchLimit)
}

/// Each is trained every night on up to all contacts.
private let mostModels = 20

func createScoreModel(_ call: Call) throws -> Response {
    let draft = try call.body(ScoreModelDraft.self)
    return try namingTaken {
        try call.transaction { db in
            try check(draft.goal, db)
            _ = try db.one(ScoreSQL.lockNames)
            if try db.one(ScoreSQL.count) >= mostModels {
                throw Problem.conflict("too_many_score_models", "A workspace has at most \(mostModels) score models.")
            }
            let id = try db.one(
                ScoreSQL.insert, draft.name, draft.key, draft.goal.event, draft.goal.condition, draft.goal.horizonDays, call.actor.user)
            _ = try enqueueTraining(id, db, call)
            try call.audit("score_model.created", "score_model", id.uuid, in: db)
            return .created(try db.one(ScoreSQL.read, id), at: "/api/score-models/\(id)")
        }
    }
}

func readScoreModel(_ call: Call) throws -> Response {
    let id: ScoreModelID = try call.pathID("id")
    guard let model = try call.read({ db in try db.first(ScoreSQL.read, id) }) else { throw Problem.notFound("score model") }
    return .resource(model)
}

func changeScoreModel(_ call: Call) throws -> Response {
    let id: ScoreModelID = try call.pathID("id")
    let change = try call.body(ScoreModelChange.self)
    return try namingTaken {
        try call.transaction { db in
            let stored = try locked(id, call, db)
            let goal = change.goal(instead: stored.goal)
            try check(goal, db)
            try db.run(ScoreSQL.update, id, change.name, goal.event, goal.condition, goal.horizonDays)
            if goal != stored.goal {
                try db.run(ScoreSQL.forget, id)
                _ = try enqueueTraining(id, db, call)
            }
            try call.audit("score_model.changed", "score_model", id.uuid, in: db)
            return .resource(try db.one(ScoreSQL.read, id))
        }
    }
}

func deleteScoreModel(_ call: Call) throws -> Response {
    let id: ScoreModelID = try call.pathID("id")
    try call.transaction { db in
        let stored = try locked(id, call, db)
        try refuseReaders(of: ["scores." + stored.key], "score_model_in_use", db)
        try db.run(ScoreSQL.delete, id)
        try call.audit("score_model.deleted", "score_model", id.uuid, in: db)
    }
    return .noContent
}

func trainScoreModel(_ call: Call) throws -> Response {
    let id: ScoreModelID = try call.pathID("id")
    return try call.transaction { db in
        guard try db.first(ScoreSQL.stored, id) != nil else { throw Problem.notFound("score model") }
        return .accepted(job: try enqueueTraining(id, db, call), kind: "train_score_model")
    }
}

func readRFM(_ call: Call) throws -> Response { .resource(try call.read { db in try db.one(RFMSQL.read) }) }

func setRFM(_ call: Call) throws -> Response {
    let draft = try call.body(RFMDraft.self)
    return try call.transaction { db in
        try call.checkIfMatch(try db.first(RFMSQL.lock)?.version ?? 0)
        try db.run(RFMSQL.set, draft.event, draft.valueProperty, draft.windowDays)
        try db.enqueue("calculate_rfm", by: call.actor.user)
        try call.audit("rfm.changed", "rfm", nil, in: db)
        return .resource(try db.one(RFMSQL.read))
    }
}

/// The groups themselves go in the background.
func deleteRFM(_ call: Call) throws -> Response {
    try call.transaction { db in
        guard let settings = try db.first(RFMSQL.lock) else { throw Problem.notFound("definition of a purchase") }
        try call.checkIfMatch(settings.version)
        try refuseReaders(of: RuleContext.rfm.keys.sorted(), "rfm_in_use", db)
        try db.run(RFMSQL.delete)
        try db.enqueue("calculate_rfm", by: call.actor.user)
        try call.audit("rfm.deleted", "rfm", nil, in: db)
    }
    return .noContent
}

private func refuseReaders(of fields: [String], _ code: String, _ db: Connection) throws {
    let readers = try db.all(ScoreSQL.readers, fields)
    guard readers.isEmpty else {
        throw Problem.conflict(code, "It is read by segment \(readers.prefix(10).joined(separator: ", segment ")).")
    }
}

func calculateRFM(_ call: Call) throws -> Response {
    try call.transaction { db in
        guard try db.first(RFMSQL.lock) != nil else {
            throw Problem.conflict("rfm_not_set", "Nobody has said yet what counts as a purchase: PUT /api/rfm does.")
        }
        return .accepted(job: try enqueueRFM(db, call), kind: "calculate_rfm")
    }
}

/// - Throws: every fault of the condition, where it stands in the body.
private func check(_ goal: ScoreGoal, _ db: Connection) throws {
    let now = Instant.now()
    do {
        _ = try RuleLibrary.parse(goal.rule(from: now - 86_400, to: now), db, at: "")
    } catch let faults as Faults {
        var own = Faults()
        for fault in faults.list {
            own.add(fault.pointer.hasPrefix("/match/") ? String(fault.pointer.dropFirst(6)) : fault.pointer, fault.code, fault.detail)
        }
        throw own
    }
}

/// One training of a model at a time; a second request gives the job of the first.
private func enqueueTraining(_ id: ScoreModelID, _ db: Connection, _ call: Call) throws -> JobID {
    try db.enqueue("train_score_model", payload: ["model_id": .string(id.description)], key: id.description, by: call.actor.user)
}

/// One calculation of the same settings at a time. Other settings, or none, ask for one of their own: whatever runs may
/// have read them before.
private func enqueueRFM(_ db: Connection, _ call: Call) throws -> JobID { try db.enqueue("calculate_rfm", key: "rfm", by: call.actor.user) }

private func locked(_ id: ScoreModelID, _ call: Call, _ db: Connection) throws -> StoredScoreModel {
    guard let stored = try db.first(ScoreSQL.lock, id) else { throw Problem.notFound("score model") }
    try call.checkIfMatch(stored.version)
    return stored
}

private func namingTaken<T>(_ work: () throws -> T) throws -> T {
    do { return try work() } catch let error as PostgresError where error.constraint == "score_model_name_is_unique" {
        throw Problem.conflict("name_taken", "Another score model has this name.")
    }
}
