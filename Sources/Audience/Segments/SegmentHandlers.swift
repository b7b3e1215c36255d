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
    if let name = call.query("name") {
        return try call.page(SegmentSQL.named, paging, at, id, paging.fetchLimit, likePattern(name))
    }
    return try call.page(SegmentSQL.page, paging, at, id, paging.fetchLimit)
}

func createSegment(_ call: Call) throws -> Response {
    let draft = try call.body(SegmentDraft.self)
    let segment = try namingTaken {
        try call.transaction { db in
            let rule = try RuleLibrary(db).parse(draft.rule)
            let id = try db.one(SegmentSQL.insert, draft.name, draft.description, rule.json, call.actor.user)
            try db.run(SegmentSQL.addReferences, id, Array(rule.dependencies.segments))
            try enqueueCalculation(id, db, call)
            try call.audit("segment.created", "segment", id.uuid, in: db)
            return try db.one(SegmentSQL.read, id)
        }
    }
    return .created(segment.json, at: "/api/segments/\(segment.id)").etag(version: segment.version)
}

func readSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    guard let segment = try call.read({ db in try db.first(SegmentSQL.read, id) }) else { throw Problem.notFound("segment") }
    return .json(segment.json).etag(version: segment.version)
}

func changeSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let change = try call.body(SegmentChange.self)
    let segment = try namingTaken {
        try call.transaction { db in
            guard let stored = try db.first(SegmentSQL.lock, id) else { throw Problem.notFound("segment") }
            try call.checkIfMatch(stored.version)
            let rule = try change.rule.map { try RuleLibrary(db).parse($0) }
            if let rule { try refer(id, rule, db) }
            let (hasDescription, description) = (change.description != nil, change.description ?? nil)
            try db.run(SegmentSQL.update, id, change.name, hasDescription, description, rule?.json)
            if rule != nil { try enqueueCalculation(id, db, call) }
            try call.audit("segment.changed", "segment", id.uuid, in: db)
            return try db.one(SegmentSQL.read, id)
        }
    }
    return .json(segment.json).etag(version: segment.version)
}

func deleteSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    try call.transaction { db in
        guard let stored = try db.first(SegmentSQL.lock, id) else { throw Problem.notFound("segment") }
        try call.checkIfMatch(stored.version)
        let users = try db.all(SegmentSQL.users, id)
        guard users.isEmpty else { throw Problem.conflict("segment_in_use", "It is used by \(users.prefix(10).joined(separator: ", ")).") }
        try db.run(SegmentSQL.delete, id)
        try call.audit("segment.deleted", "segment", id.uuid, in: db)
    }
    return .noContent
}

func previewRule(_ call: Call) throws -> Response {
    let request = try call.body(PreviewRequest.self)
    return try preview(call) { _ in request.rule }
}

func previewSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    return try preview(call) { db in
        guard let stored = try db.first(SegmentSQL.read, id) else { throw Problem.notFound("segment") }
        return stored.rule
    }
}

private func preview(_ call: Call, _ rule: (Connection) throws -> JSONValue) throws -> Response {
    try call.read(timeoutSeconds: 15) { db in
        let library = try RuleLibrary(db)
        let parsed = try library.parse(try rule(db))
        let compiled = RuleCompiler.compile(parsed, now: try db.one(SegmentSQL.now), workspaceZone: library.workspaceZone)
        let started = Instant.now()
        let (sql, values) = SegmentSQL.preview(compiled)
        let rows: [Preview] = try db.dynamic(sql, values)
        guard let found = rows.first else { throw PostgresError.noRow }
        return .json([
            "count": JSONValue(found.members), "exact": true, "as_of": .string(found.asOf.description),
            "reachable": ["sms": JSONValue(found.sms), "email": JSONValue(found.email)], "sample": found.sample,
            "took_ms": .real((Instant.now().seconds(since: started) * 10_000).rounded() / 10),
        ])
    }
}

func calculateSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let job = try call.transaction { db in
        guard try db.first(SegmentSQL.read, id) != nil else { throw Problem.notFound("segment") }
        return try enqueueCalculation(id, db, call)
    }
    return .accepted(job: job, kind: "calculate_segment")
}

func listMembers(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let paging = try call.paging(sorts: ["id"])
    return try call.read { db in
        guard try db.first(SegmentSQL.read, id) != nil else { throw Problem.notFound("segment") }
        let after = try paging.after(0, from: ContactID(UUID(high: 0, low: 0)))
        return try call.page(SegmentSQL.members, paging, id, after, paging.fetchLimit)
    }
}

func listHistory(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let paging = try call.paging(sorts: ["-occurred_at"])
    return try call.read { db in
        guard try db.first(SegmentSQL.read, id) != nil else { throw Problem.notFound("segment") }
        return try call.page(
            SegmentSQL.history, paging, id, try paging.after(0, from: TimestampText.infinity),
            try paging.after(1, from: lastContact), paging.fetchLimit)
    }
}

// MARK: Small things

@discardableResult
private func enqueueCalculation(_ id: SegmentID, _ db: Connection, _ call: Call) throws -> JobID {
    try db.enqueue("calculate_segment", payload: ["segment_id": .string(id.description)], key: id.description, by: call.actor.user)
}

/// Notes which segments a rule reads, unless that would close a circle.
private func refer(_ id: SegmentID, _ rule: Rule, _ db: Connection) throws {
    let referenced = Array(rule.dependencies.segments)
    if let names = try db.first(SegmentSQL.circle, id, referenced) {
        throw Problem.invalid("/rule/match", "cycle", "The rule reads itself, by way of \(names.joined(separator: " → ")).")
    }
    try db.run(SegmentSQL.dropReferences, id)
    try db.run(SegmentSQL.addReferences, id, referenced)
}

private func namingTaken<T>(_ work: () throws -> T) throws -> T {
    do { return try work() } catch let error as PostgresError where error.constraint == "segment_name_is_unique" {
        throw Problem.conflict("name_taken", "Another segment has this name.")
    }
}
