internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listSegmentVersions(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let paging = try call.paging(sorts: ["-version"])
    return try call.read { db in
        _ = try db.segment(id, for: .view)
        return try call.page(SegmentVersionSQL.page, paging, id, try paging.after(0, from: Int(Int32.max)), paging.fetchLimit)
    }
}

func readSegmentVersion(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    return try call.read { db in
        _ = try db.segment(id, for: .view)
        return .json(try version(call, of: id, db).json)
    }
}

/// What it was becomes what it is, as a new version: nothing of the history is lost.
func restoreSegmentVersion(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let segment = try withFreeSegmentName {
        try call.transaction { db in
            let stored = try db.lockSegment(id)
            try call.checkIfMatch(stored.version)
            let version = try version(call, of: id, db)
            try SegmentReferences.check(version.rule, besides: stored.rule, db)
            let rule = try RuleLibrary.parse(version.rule, db, isStored: true)
            try refer(id, rule, db)
            try db.run(SegmentSQL.update, id, version.name, true, version.description, rule.json)
            _ = try db.one(SegmentVersionSQL.keep, id, "Restored from version \(call.pathText("version"))")
            try enqueueCalculation(id, db, call)
            try call.audit("segment.restored", "segment", id.uuid, details: ["version": .string(call.pathText("version"))], in: db)
            return try db.one(SegmentSQL.read, id)
        }
    }
    return .json(segment.json).etag(version: segment.version)
}

private func version(_ call: Call, of id: SegmentID, _ db: Connection) throws -> SegmentVersion {
    guard let number = Int32(call.pathText("version")), let version = try db.first(SegmentVersionSQL.read, id, Int(number)) else {
        throw Problem.notFound("version")
    }
    return version
}

/// What is compared: the segment with a rule or with a version of it, or two versions.
struct DifferenceRequest: BodyDecodable {
    let rule: JSONValue?
    let version: Int?
    let from: Int?
    let to: Int?

    private static let number = Schema.integer(1...2_147_483_647)
    static let schema: Schema = .object([
        .optional("rule", .any, "The segment as it is, and with this rule instead"),
        .optional("version", number, "The segment as it is, and as it was in this version"),
        .optional("from", number, "This version, and the one in `to`"),
        .optional("to", number, "With `from`"),
    ])
    init(_ body: JSONObject) throws {
        rule = body["rule"]
        version = body.optionalInteger("version")
        from = body.optionalInteger("from")
        to = body.optionalInteger("to")
        let ways = [rule != nil, version != nil, from != nil || to != nil].filter { $0 }.count
        if ways != 1 { throw Fault(pointer: "", code: "one_of_these", detail: "Give either rule, or version, or from and to.") }
        if from != nil, to == nil { throw Fault(pointer: "/to", code: "required", detail: "`from` needs `to`.") }
        if to != nil, from == nil { throw Fault(pointer: "/from", code: "required", detail: "`to` needs `from`.") }
    }
}

/// What differs between two definitions, and who would enter and leave: before anything is saved.
func differSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let request = try call.body(DifferenceRequest.self)
    return try call.read(timeoutSeconds: 15) { db in
        let started = Instant.now()
        let stored = try db.segment(id, for: .view)
        func version(_ number: Int, _ pointer: String) throws -> JSONValue {
            guard let version = try db.first(SegmentVersionSQL.read, id, number) else {
                throw Fault(pointer: pointer, code: "not_found", detail: "The segment has no such version.")
            }
            return version.rule
        }
        let (old, new, newPlace): (JSONValue, JSONValue, String)
        if let rule = request.rule {
            try SegmentReferences.check(rule, besides: stored.rule, db)
            (old, new, newPlace) = (stored.rule, try RuleLibrary.parse(rule, db).json, "/rule")
        } else if let number = request.version {
            (old, new, newPlace) = (stored.rule, try version(number, "/version"), "/version")
        } else {
            (old, new, newPlace) = (try version(request.from ?? 0, "/from"), try version(request.to ?? 0, "/to"), "/to")
        }
        let (oldRule, scope) = try RuleLibrary.read(old, db, at: request.from == nil ? "/stored" : "/from", isStored: true)
        let before = RuleCompiler.compile(oldRule, scope)
        let after = RuleCompiler.compile(try RuleLibrary.read(new, db, at: newPlace, isStored: true).rule, scope)
        _ = try db.one(SegmentSQL.planByValues)
        let (sql, values) = SegmentVersionSQL.difference(before, after)
        let rows: [MovedRow] = try db.dynamic(sql, values)
        guard let moved = rows.first else { throw PostgresError.noRow }
        return .json([
            "changes": .array(RuleDifference.between(old, new).map(\.json)),
            "count": ["before": JSONValue(moved.before), "after": JSONValue(moved.after)],
            "entering": ["count": JSONValue(moved.entering), "sample": moved.enteringSample],
            "leaving": ["count": JSONValue(moved.leaving), "sample": moved.leavingSample],
            "as_of": .string(before.asOf.description), "took_ms": milliseconds(from: started, to: .now()),
        ])
    }
}
