// Who a rule finds, now: counted, taken from a count that still holds, or estimated.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// How a rule is counted.
enum CountMode: String {
    case exact, estimate
}

struct PreviewRequest: BodyDecodable {
    let rule: JSONValue
    let mode: CountMode
    /// Count again, even where a count that was made before still holds.
    let isFresh: Bool
    /// A past instant to ask about; `nil`: now.
    let asOf: Instant?
    static let schema: Schema = .object([
        .required("rule", .described(.any, "The rule language, version 1, or its flat form", example: exampleRule), "Who is counted"),
        .optional("mode", .string(oneOf: ["exact", "estimate"]), "exact when absent; estimate tells its error"),
        .optional("as_of", .string(format: "date-time"), "A past instant to ask about, as far as history reaches; now when absent"),
        .optional("fresh", .boolean, "Count again although a count that was made before still holds; false when absent"),
    ])
    init(_ body: JSONObject) throws {
        rule = body["rule"]!
        mode = body.optionalString("mode").flatMap(CountMode.init(rawValue:)) ?? .exact
        isFresh = body.bool("fresh")
        asOf = body.optionalString("as_of").flatMap { Instant(rfc3339: $0) }
        if let asOf, asOf > .now() {
            throw Fault(pointer: "/as_of", code: "out_of_range", detail: "A rule is asked about the past or the present.")
        }
        if asOf != nil, mode == .estimate {
            throw Fault(pointer: "/mode", code: "not_here", detail: "The past is counted exactly; leave `mode` out.")
        }
    }

    static let query: [QueryParameter] = [
        QueryParameter("mode", .string(oneOf: ["exact", "estimate"]), "exact when absent; estimate tells its error")
    ]
}

func previewRule(_ call: Call) throws -> Response {
    let request = try call.body(PreviewRequest.self)
    return try preview(call, request.mode, isFresh: request.isFresh, asOf: request.asOf) { db in
        try SegmentReferences.check(request.rule, db)
        return request.rule
    }
}

func previewSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let mode = call.query("mode").flatMap(CountMode.init(rawValue:)) ?? .exact
    return try preview(call, mode, isStored: true) { db in try db.segment(id, for: .view).rule }
}

/// - Parameters:
///   - isStored: the rule is a segment's.
///   - rule: read in the open transaction; it says who may ask.
func preview(
    _ call: Call, _ mode: CountMode = .exact, isFresh: Bool = false, asOf: Instant? = nil, isStored: Bool = false,
    _ rule: (Connection) throws -> JSONValue
) throws -> Response {
    try withinPreviewTime { try answer(call, mode, isFresh: isFresh, asOf: asOf, isStored: isStored, rule) }
}

private func answer(
    _ call: Call, _ mode: CountMode, isFresh: Bool, asOf: Instant?, isStored: Bool, _ rule: (Connection) throws -> JSONValue
) throws -> Response {
    try call.read(timeoutSeconds: previewSeconds) { db in
        let started = Instant.now()
        // Before anything is read: what commits from here on makes the count an old one.
        let snapshot = try db.one(CountSQL.snapshot)
        let (rule, scope) = try RuleLibrary.read(try rule(db), db, isStored: isStored)
        if let asOf {
            _ = try db.one(SegmentSQL.planByValues)
            var answer = try PastPreview.answer(rule, scope, asOf: asOf, db).object ?? [:]
            answer["took_ms"] = milliseconds(from: started, to: .now())
            return .json(.object(answer))
        }
        let key = "\(mode.rawValue) \(rule.json.text)"
        let counting = Instant.now()
        let kept = isFresh ? nil : try db.first(CountSQL.stillHolds, key)
        let count: RuleCount
        var counted: Instant?
        if let kept {
            count = kept
        } else {
            _ = try db.one(SegmentSQL.planByValues)
            let places = mode == .estimate ? try db.first(CountSQL.places) ?? 0 : 0
            count =
                try places > Estimate.smallest
                ? Estimate.count(rule, scope, places: places, db)
                : exactly(RuleCompiler.compile(rule, scope), db) { counted = .now() }
            try db.run(CountSQL.keep, key, count.answer, count.asOf, snapshot, rule.dependencies.secondsOfCount)
            try db.run(CountSQL.forget)
        }
        // Without the reach and the sample, where those were looked for.
        let end = counted ?? .now()
        var answer = count.answer.object ?? [:]
        let sample = answer.removeValue(forKey: "sample_ids").map { JSONObject(dictionaryLiteral: ("ids", $0)).strings("ids") } ?? []
        answer["as_of"] = .string(count.asOf.description)
        answer["cached"] = .bool(kept != nil)
        answer["sample"] = .array(sample.isEmpty ? [] : try db.all(CountSQL.contacts, sample.compactMap { ContactID($0) }))
        answer["count_ms"] = milliseconds(from: counting, to: end)
        answer["took_ms"] = milliseconds(from: started, to: .now())
        return .json(.object(answer))
    }
}

private func exactly(_ rule: CompiledRule, _ db: Connection, counted: () -> Void) throws -> RuleCount {
    let count: [Int] = try db.dynamic(SegmentSQL.count(rule), rule.values)
    counted()
    let reachable: [Reachable] = count == [0] ? [] : try db.dynamic(SegmentSQL.reachable(rule), rule.values)
    let sample: [ContactID] = count == [0] ? [] : try db.dynamic(SegmentSQL.sample(rule), rule.values)
    return RuleCount(
        asOf: rule.asOf,
        answer: [
            "count": JSONValue(count[0]), "exact": true,
            "reachable": ["sms": JSONValue(reachable.first?.sms ?? 0), "email": JSONValue(reachable.first?.email ?? 0)],
            "sample_ids": .array(sample.map { .string($0.description) }),
        ])
}

func milliseconds(from start: Instant, to end: Instant) -> JSONValue {
    .real(Double(end.microseconds - start.microseconds) / 1000)
}
