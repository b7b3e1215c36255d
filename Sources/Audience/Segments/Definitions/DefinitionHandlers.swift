// Definitions as files: out, for review in git and for other workspaces.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func exportDefinition(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    return try call.read { db in
        _ = try db.segment(id, for: .view)
        let segments = try db.all(DefinitionSQL.chosen, [id])
        guard let definition = try definitions(of: segments, db).first else { throw Problem.notFound("segment") }
        return try file(definition.get().json, named: fileName(segments[0].name))
    }
}

/// Of those named, each or none. Of all, those that can be told; `left_out` says which cannot, and why.
func exportDefinitions(_ call: Call) throws -> Response {
    return try call.read { db in
        let ids = try call.query("ids").map { try segmentIDs($0, 1...200) }
        let segments = try db.all(DefinitionSQL.chosen, ids)
        if segments.count > 1000 { throw Problem.invalid("/ids", "too_many", "At most 1000 segments at once; name them in `ids`.") }
        if let ids { try checkFound(ids, segments.map(\.id)) }
        var leftOut: [JSONValue] = []
        var told: [JSONValue] = []
        var results = try definitions(of: segments, db)
        if ids == nil { leaveOutReaders(of: &results, segments) }
        for (segment, definition) in zip(segments, results) {
            switch definition {
            case .success(let definition): told.append(definition.json)
            case .failure(let problem) where ids == nil:
                leftOut.append(["name": .string(segment.name), "reason": JSONValue(problem.detail)])
            case .failure(let problem): throw problem
            }
        }
        var json: JSONObject = ["segments": .array(told)]
        if !leftOut.isEmpty { json["left_out"] = .array(leftOut) }
        return file(.object(json), named: "segments")
    }
}

/// What reads a segment that cannot be told cannot be read anywhere else either.
private func leaveOutReaders(of results: inout [Result<SegmentDefinition, Problem>], _ segments: [DefinedSegment]) {
    var missing: Set<String> = []
    for (segment, result) in zip(segments, results) { if case .failure = result { missing.insert(segment.name) } }
    var isMore = !missing.isEmpty
    while isMore {
        isMore = false
        for (index, segment) in segments.enumerated() {
            guard case .success(let definition) = results[index] else { continue }
            var read: String?
            _ = SegmentDefinition.mapReferences(definition.rule, at: "") { kind, name, _ in
                if kind == .segment, missing.contains(name) { read = name }
                return .null
            }
            guard let read else { continue }
            results[index] = .failure(.conflict("no_portable_name", "The rule of \(segment.name) reads \(read), which is left out."))
            missing.insert(segment.name)
            isMore = true
        }
    }
}

/// Ids of segments, separated by commas, each once.
/// - Throws: a fault of the query parameter `ids`.
func segmentIDs(_ text: String, _ count: ClosedRange<Int>) throws -> [SegmentID] {
    var ids: [SegmentID] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let id = SegmentID(part) else {
            throw Problem.invalid("/ids", "bad_format", "Expected ids of segments, separated by commas.")
        }
        if !ids.contains(id) { ids.append(id) }
    }
    if ids.count < count.lowerBound { throw Problem.invalid("/ids", "too_few", "At least \(count.lowerBound) different segments.") }
    if ids.count > count.upperBound { throw Problem.invalid("/ids", "too_many", "At most \(count.upperBound) segments.") }
    return ids
}

/// - Throws: a fault for each that is not there for whoever asks.
func checkFound(_ wanted: [SegmentID], _ found: [SegmentID]) throws {
    var faults = Faults()
    for id in wanted where !found.contains(id) { faults.add("/ids", "not_found", "There is no segment \(id) here.") }
    try faults.check()
}

/// One for each; a 409 where something has no name that another workspace could find it by.
private func definitions(of segments: [DefinedSegment], _ db: Connection) throws -> [Result<SegmentDefinition, Problem>] {
    var mentioned: [ReferenceKind: Set<UUID>] = [:]
    for segment in segments {
        _ = SegmentDefinition.mapReferences(segment.rule, at: "") { kind, text, _ in
            if let id = UUID(text) { mentioned[kind, default: []].insert(id) }
            return .null
        }
    }
    func ids(_ kind: ReferenceKind) -> [UUID] { Array(mentioned[kind] ?? []) }
    let names = Dictionary(
        try db.all(DefinitionSQL.names, ids(.segment), ids(.list), ids(.campaign)).map { ("\($0.kind) \($0.id)", $0) },
        uniquingKeysWith: { first, _ in first })
    func definition(of segment: DefinedSegment) throws(Problem) -> SegmentDefinition {
        var problem: Problem?
        let rule = SegmentDefinition.mapReferences(segment.rule, at: "") { kind, text, _ in
            guard let thing = names["\(kind.rawValue) \(UUID(text) ?? UUID(high: 0, low: 0))"] else {
                problem = .conflict(
                    "no_portable_name", "The rule of \(segment.name) reads a \(kind.rawValue) that is gone or not shared with you.")
                return .null
            }
            if thing.matches > 1 || (kind == .campaign && thing.name == "*") {
                problem = .conflict(
                    "no_portable_name",
                    "The rule of \(segment.name) reads the campaign \(thing.name), whose name does not tell it from others; rename it.")
            }
            return .string(thing.name)
        }
        if let problem { throw problem }
        return SegmentDefinition(name: segment.name, description: segment.description, rule: rule)
    }
    return segments.map { segment in Result { () throws(Problem) in try definition(of: segment) } }
}

private func file(_ json: JSONValue, named name: String) -> Response {
    .bytes(SegmentDefinition.text(json), contentType: "application/json")
        .with("Content-Disposition", "attachment; filename=\"\(name).json\"")
}

/// Letters and digits of ASCII, the rest as hyphens: a name for every file system.
private func fileName(_ name: String) -> String {
    let parts = name.lowercased().utf8.split { !((97...122).contains($0) || (48...57).contains($0)) }
    let joined = parts.map { String($0)! }.joined(separator: "-").prefix(80)
    return joined.isEmpty ? "segment" : String(joined)
}
