internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
internal import Web

private let lastSegment = SegmentID(UUID(high: .max, low: .max))

func listSegments(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: lastSegment)
    let isArchived = call.query("archived") == "true"
    if let name = call.query("name") {
        return try call.page(SegmentSQL.named, paging, at, id, paging.fetchLimit, isArchived, likePattern(name))
    }
    return try call.page(SegmentSQL.page, paging, at, id, paging.fetchLimit, isArchived)
}

func createSegment(_ call: Call) throws -> Response {
    let draft = try call.body(SegmentDraft.self)
    let segment = try withFreeSegmentName {
        try call.transaction { db in
            let written = try draft.writtenRule(db)
            try SegmentReferences.check(written, db)
            let rule = try RuleLibrary.parse(written, db)
            let id = try db.one(SegmentSQL.insert, draft.name, draft.description, rule.json, call.actor.user)
            try refer(id, rule, db)
            if let schedule = draft.schedule { try set(schedule, of: id, db) }
            try enqueueCalculation(id, db, call)
            _ = try db.one(SegmentVersionSQL.keep, id, draft.note)
            try call.audit("segment.created", "segment", id.uuid, in: db)
            return try db.one(SegmentSQL.read, id)
        }
    }
    return .created(segment.json, at: "/api/segments/\(segment.id)").etag(version: segment.version)
}

func readSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let segment = try call.read { db in try db.segment(id, for: .view) }
    return .json(segment.json).etag(version: segment.version)
}

func changeSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let change = try call.body(SegmentChange.self)
    let segment = try withFreeSegmentName {
        try call.transaction { db in
            let stored = try db.lockSegment(id)
            try call.checkIfMatch(stored.version)
            if let rule = change.rule { try SegmentReferences.check(rule, besides: stored.rule, db) }
            let rule = try change.rule.map { try RuleLibrary.parse($0, db) }
            if let rule { try refer(id, rule, db) }
            let (hasDescription, description) = (change.description != nil, change.description ?? nil)
            try db.run(SegmentSQL.update, id, change.name, hasDescription, description, rule?.json)
            let becameLive = try change.schedule.map { try set($0, of: id, db) } ?? false
            if rule != nil || becameLive { try enqueueCalculation(id, db, call) }
            _ = try db.one(SegmentVersionSQL.keep, id, change.note)
            try call.audit("segment.changed", "segment", id.uuid, in: db)
            return try db.one(SegmentSQL.read, id)
        }
    }
    return .json(segment.json).etag(version: segment.version)
}

func deleteSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    try call.transaction { db in
        let stored = try db.lockSegment(id, evenArchived: true)
        try call.checkIfMatch(stored.version)
        let users = try db.all(SegmentSQL.users, id)
        guard users.isEmpty else {
            let way = stored.archivedAt == nil ? " Archive it instead." : ""
            throw Problem.conflict("segment_in_use", "It is used by \(users.prefix(10).joined(separator: ", ")).\(way)")
        }
        try db.run(SegmentSQL.delete, id)
        try db.enqueue("forget_members", payload: ["segment_id": .string(id.description)])
        try call.audit("segment.deleted", "segment", id.uuid, in: db)
    }
    return .noContent
}

func calculateSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let job = try call.transaction { db in
        try db.segment(id, for: .use).refuseArchived()
        return try enqueueCalculation(id, db, call)
    }
    return .accepted(job: job, kind: "calculate_segment")
}

func listMembers(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let paging = try call.paging(sorts: ["id"])
    return try call.read { db in
        _ = try db.segment(id, for: .view)
        let after = try paging.after(0, from: ContactID(UUID(high: 0, low: 0)))
        return try call.page(SegmentSQL.members, paging, id, after, paging.fetchLimit)
    }
}

func listHistory(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let paging = try call.paging(sorts: ["-occurred_at"])
    return try call.read { db in
        _ = try db.segment(id, for: .view)
        return try call.page(
            SegmentSQL.history, paging, id, try paging.after(0, from: TimestampText.infinity),
            try paging.after(1, from: lastContact), try paging.after(2, from: ""), paging.fetchLimit)
    }
}

// MARK: Small things

/// Without a key: a job that runs already may have looked before the change that asks for this one.
@discardableResult
func enqueueCalculation(_ id: SegmentID, _ db: Connection, _ call: Call) throws -> JobID {
    try db.enqueue("calculate_segment", payload: ["segment_id": .string(id.description)], by: call.actor.user)
}

/// Notes what a rule reads, unless that would close a circle.
func refer(_ id: SegmentID, _ rule: Rule, _ db: Connection, at pointer: String = "/rule") throws {
    let (segments, lists) = (Array(rule.dependencies.segments), Array(rule.dependencies.lists))
    if !segments.isEmpty {
        _ = try db.one(SegmentSQL.lockReferences)
        if let circle = try db.first(SegmentSQL.circle, id, segments) {
            let place = SegmentReferences.references(in: rule.json, at: pointer).first { $0.id == circle.first }?.pointer
            throw Problem.invalid(
                place ?? pointer + "/match", "cycle", "The rule reads itself, by way of \(circle.names.joined(separator: " → ")).")
        }
    }
    try db.run(SegmentSQL.dropReferences, id)
    try db.run(SegmentSQL.addReferences, id, segments)
    try db.run(SegmentSQL.dropListReferences, id)
    try db.run(SegmentSQL.addListReferences, id, lists)
    try db.run(SegmentSQL.dropInputs, id)
    try db.run(SegmentSQL.addInputs, id, rule.dependencies.inputs)
    try db.run(SegmentSQL.setReadsTime, id, rule.dependencies.readsTime)
}

/// - Returns: whether the segment became live by it.
@discardableResult
private func set(_ schedule: SegmentSchedule, of id: SegmentID, _ db: Connection) throws -> Bool {
    try db.one(SegmentSQL.setSchedule, id, schedule.kind.rawValue, schedule.minutes, schedule.at)
}

func withFreeSegmentName<T>(_ work: () throws -> T) throws -> T {
    do { return try work() } catch let error as PostgresError where error.constraint == "segment_name_is_unique" {
        throw Problem.conflict("name_taken", "Another segment has this name.")
    }
}
