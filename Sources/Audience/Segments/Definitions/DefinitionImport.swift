// Definitions as files: in. All of a file or nothing of it, and every fault at once.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// One definition, or several under `segments`, as they were exported.
struct DefinitionFile: BodyDecodable {
    let definitions: [(definition: SegmentDefinition, pointer: String)]

    private static let members: [Member] = [
        .required("name", .string(min: 1, max: 200), "A segment with this name is changed, otherwise one is made"),
        .optional("description", .nullable(.string(max: 2000)), "For people"),
        .required("rule", .any, "The rule, with segments, lists and campaigns by name"),
    ]
    static let schema: Schema = .object(
        members.map { .optional($0.name, $0.schema, $0.description) } + [
            .optional("segments", .array(.object(members), min: 1, max: 200), "Several definitions, in any order"),
            .optional("left_out", .any, "What an export could not tell; not read"),
        ])

    init(_ body: JSONObject) throws {
        if let several = body["segments"]?.array {
            for key in ["name", "description", "rule"] where body[key] != nil {
                throw Fault(pointer: "/\(key)", code: "one_of_these", detail: "Give one definition, or several in `segments`.")
            }
            definitions = several.enumerated().map { (Self.definition($1.object ?? [:]), "/segments/\($0)") }
        } else {
            var faults = Faults()
            for key in ["name", "rule"] where body[key] == nil { faults.add("/\(key)", "required", "`\(key)` is required.") }
            try faults.check()
            definitions = [(Self.definition(body), "")]
        }
        var faults = Faults()
        for (index, (definition, pointer)) in definitions.enumerated() {
            if definition.name.isEmpty { faults.add(pointer + "/name", "empty", "The name is blank.") }
            if definitions[..<index].contains(where: { $0.definition.name == definition.name }) {
                faults.add(pointer + "/name", "repeated", "The name is in the file already.")
            }
        }
        try faults.check()
    }

    private static func definition(_ body: JSONObject) -> SegmentDefinition {
        SegmentDefinition(
            name: storedText(body.string("name")) ?? "", description: body.optionalString("description").flatMap(storedText),
            rule: body["rule"] ?? .null)
    }
}

/// What a dry run would have answered, thrown so that nothing of it stays.
private struct DryRun: Error { let outcomes: [JSONValue] }

func importDefinitions(_ call: Call) throws -> Response {
    let file = try call.body(DefinitionFile.self)
    let isDry = call.query("dry_run") == "true"
    let outcomes: [JSONValue] = try withFreeSegmentName {
        try call.transaction { db in
            do {
                return try db.transaction { db in
                    var taken = try DefinitionImport(file, db)
                    let outcomes = try taken.run(call, db, isDry: isDry)
                    if isDry { throw DryRun(outcomes: outcomes) }
                    return outcomes
                }
            } catch let dry as DryRun { return dry.outcomes }
        }
    }
    return .json(["dry_run": .bool(isDry), "segments": .array(outcomes)])
}

/// One file on its way in.
private struct DefinitionImport {
    private let items: [(definition: SegmentDefinition, pointer: String)]
    /// What each was before, where its name was there.
    private let existing: [String: DefinedSegment]
    /// New segments have their ids before they are there, so that rules can name them.
    private let ids: [SegmentID]
    private let things: [String: NamedThing]
    private var faults = Faults()

    init(_ file: DefinitionFile, _ db: Connection) throws {
        items = file.definitions
        existing = Dictionary(
            try db.all(DefinitionSQL.lockNamed, items.map(\.definition.name)).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first }
        )
        let known = existing
        ids = items.map { known[$0.definition.name]?.id ?? SegmentID.new() }
        var mentioned: [ReferenceKind: Set<String>] = [:]
        for item in items {
            _ = SegmentDefinition.mapReferences(item.definition.rule, at: "") { kind, name, _ in
                if !name.unicodeScalars.contains("\0") { mentioned[kind, default: []].insert(name) }
                return .null
            }
        }
        func names(_ kind: ReferenceKind) -> [String] { Array(mentioned[kind] ?? []) }
        things = Dictionary(
            try db.all(DefinitionSQL.named, names(.segment), names(.list), names(.campaign)).map { ("\($0.kind) \($0.name)", $0) },
            uniquingKeysWith: { first, _ in first })
    }

    /// - Returns: what became of each, in the order of the file.
    /// - Throws: all faults of all definitions; then nothing is to stay.
    mutating func run(_ call: Call, _ db: Connection, isDry: Bool) throws -> [JSONValue] {
        for item in items { checkTarget(item) }
        let reads = items.map { item in
            var read: [Int] = []
            _ = SegmentDefinition.mapReferences(item.definition.rule, at: "") { kind, name, _ in
                if kind == .segment, let index = items.firstIndex(where: { $0.definition.name == name }) { read.append(index) }
                return .null
            }
            return read
        }
        let (order, circle) = DefinitionOrder.sorted(reads)
        if let circle {
            let names = circle.map { items[$0].definition.name }.joined(separator: " → ")
            let (reader, read) = (items[circle[0]], items[circle[1]].definition.name)
            var place = reader.pointer + "/rule/match"
            _ = SegmentDefinition.mapReferences(reader.definition.rule, at: reader.pointer + "/rule") { kind, name, pointer in
                if kind == .segment, name == read { place = pointer }
                return .null
            }
            faults.add(place, "cycle", "The rule reads itself, by way of \(names).")
        }
        try faults.check()
        var outcomes: [JSONValue] = Array(repeating: .null, count: items.count)
        for index in order { outcomes[index] = try take(index, call, db, isDry: isDry) }
        try faults.check()
        return outcomes
    }

    private mutating func checkTarget(_ item: (definition: SegmentDefinition, pointer: String)) {
        guard let target = existing[item.definition.name] else { return }
        let place = item.pointer + "/name"
        if target.access == 0 {
            faults.add(place, "name_taken", "Another segment has this name.")
        } else if target.access < SegmentPermission.edit.rank {
            faults.add(place, "segment_not_editable", "The segment of this name is not shared with you to edit.")
        } else if target.isArchived {
            faults.add(place, "segment_archived", "The segment of this name is archived; unarchive or rename it.")
        }
    }

    private mutating func take(_ index: Int, _ call: Call, _ db: Connection, isDry: Bool) throws -> JSONValue {
        let (definition, pointer) = items[index]
        let before = existing[definition.name]
        let rule = try resolved(definition.rule, before, pointer + "/rule", db)
        let isNew = before == nil
        let isSame = rule.map { $0.json == before?.rule && definition.description == before?.description } ?? false
        if isNew {
            // Also when the rule is wrong, so that those that read this one are not told that it is missing.
            let stored = rule?.json ?? ["version": 1, "timezone": "workspace", "match": ["all": []]]
            try db.run(DefinitionSQL.insert, ids[index], definition.name, definition.description, stored, call.actor.user)
        }
        guard let rule else { return .null }
        if !isSame {
            do { try refer(ids[index], rule, db, at: pointer + "/rule") } catch let problem as Problem {
                for fault in problem.faults { faults.add(fault.pointer, fault.code, fault.detail) }
                return .null
            }
            if !isNew { try db.run(SegmentSQL.update, ids[index], nil, true, definition.description, rule.json) }
            _ = try db.one(SegmentVersionSQL.keep, ids[index], "Imported")
            try enqueueCalculation(ids[index], db, call)
            try call.audit(isNew ? "segment.created" : "segment.changed", "segment", ids[index].uuid, details: ["by": "import"], in: db)
        }
        var outcome: JSONObject = [
            "name": .string(definition.name), "outcome": isNew ? "created" : isSame ? "unchanged" : "updated",
            "id": isNew && isDry ? .null : .string(ids[index].description),
        ]
        if let before, !isSame { outcome["changes"] = .array(RuleDifference.between(before.rule, rule.json).map(\.json)) }
        return .object(outcome)
    }

    /// The rule with ids, understood; `nil` after noting what is wrong with it.
    private mutating func resolved(_ json: JSONValue, _ before: DefinedSegment?, _ pointer: String, _ db: Connection) throws -> Rule? {
        var unknown: Set<String> = []
        let nobody = UUID(high: 0, low: 0).description
        let rule = SegmentDefinition.mapReferences(json, at: pointer) { kind, name, place in
            if kind == .segment, let index = items.firstIndex(where: { $0.definition.name == name }) {
                return .string(ids[index].description)
            }
            let thing = things["\(kind.rawValue) \(name)"]
            if let thing, thing.matches == 1 { return .string(thing.id.description) }
            let detail = thing == nil ? "There is no \(kind.rawValue) of this name here." : "Several campaigns have this name here."
            faults.add(place, thing == nil ? "unknown_\(kind.rawValue)" : "ambiguous_name", detail)
            unknown.insert(place)
            return .string(nobody)
        }
        func note(_ found: Faults) {
            // What was told by name is not told again by an id that nobody knows.
            for fault in found.list where !unknown.contains(fault.pointer) { faults.add(fault.pointer, fault.code, fault.detail) }
        }
        note(try SegmentReferences.faults(rule, besides: before?.rule, at: pointer, db))
        do {
            let parsed = try RuleLibrary.parse(rule, db, at: pointer)
            return faults.list.isEmpty ? parsed : nil
        } catch let found as Faults {
            note(found)
            return nil
        }
    }
}
