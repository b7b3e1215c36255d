// Who may do what with a segment. The database decides (segment_access in migration 0063); here it becomes answers.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What somebody may do with a segment; each includes those before it.
enum SegmentPermission: String, SQLEncodable, CaseIterable {
    case view, use, edit
    /// As `segment_access` gives it, where 0 is nothing.
    var rank: Int { self == .view ? 1 : self == .use ? 2 : 3 }
}

extension Connection {
    /// A segment for somebody who wants to do this with it.
    /// - Throws: 404 when they may not even see it, 403 when they may see it and no more.
    func segment(_ id: SegmentID, for wanted: SegmentPermission) throws -> StoredSegment {
        try permitted(try first(SegmentSQL.read, id), wanted)
    }

    /// The same to change it, and nobody else changes it before this transaction ends.
    /// - Throws: besides, 409 for one that is archived, unless that is what is asked about.
    func lockSegment(_ id: SegmentID, evenArchived: Bool = false) throws -> StoredSegment {
        let segment = try permitted(try first(SegmentSQL.lock, id), .edit)
        if !evenArchived { try segment.refuseArchived() }
        return segment
    }

    private func permitted(_ segment: StoredSegment?, _ wanted: SegmentPermission) throws -> StoredSegment {
        guard let segment else { throw Problem.notFound("segment") }
        guard segment.access >= wanted.rank else {
            throw Problem.forbidden("The segment is shared with you to \(segment.access == 1 ? "view" : "use"), not to \(wanted.rawValue).")
        }
        return segment
    }
}

extension StoredSegment {
    /// - Throws: 409: it stays as it was put away.
    func refuseArchived() throws {
        if archivedAt != nil { throw Problem.conflict("segment_archived", "The segment is archived; unarchive it first.") }
    }
}

/// What rules may newly read of segments: those that the person may use and that are not archived.
enum SegmentReferences {
    /// - Parameters:
    ///   - json: a rule that somebody wrote.
    ///   - old: the rule as it is stored. Sent again as it is, it chooses nothing; in a changed rule what was read before may
    ///     have been archived since, but must be open to whoever changes it: another rule over it shows other members of it.
    /// - Throws: a fault for each segment that cannot be chosen, at its place; and then also whatever else is wrong with the
    ///   rule, so that all is told at once.
    static func check(_ json: JSONValue, besides old: JSONValue? = nil, _ db: Connection) throws {
        var faults = try faults(json, besides: old, at: "/rule", db)
        if faults.list.isEmpty { return }
        do { _ = try RuleLibrary.parse(json, db) } catch let others as Faults {
            let told = Set(faults.list.map(\.pointer))
            for fault in others.list where !told.contains(fault.pointer) { faults.add(fault.pointer, fault.code, fault.detail) }
        }
        throw faults
    }

    /// - Parameter pointer: where the rule stands.
    static func faults(_ json: JSONValue, besides old: JSONValue?, at pointer: String, _ db: Connection) throws -> Faults {
        var faults = Faults()
        if json == old { return faults }
        let before = Set(old.map { references(in: $0).map(\.id) } ?? [])
        for (id, place) in references(in: json, at: pointer) {
            // What is not there at all is the parser's to tell.
            switch try db.one(SharingSQL.fault, id) {
            case "segment_archived" where !before.contains(id):
                faults.add(place, "segment_archived", "The segment is archived; choose another, or unarchive it.")
            case "segment_not_usable":
                faults.add(place, "segment_not_usable", "The segment is shared with you to view, not to use.")
            case "not_found": faults.add(place, "unknown_segment", "There is no such segment.")
            default: break
            }
        }
        return faults
    }

    /// Every segment that a rule names, with its place.
    static func references(in json: JSONValue, at pointer: String = "") -> [(id: SegmentID, pointer: String)] {
        var found: [(SegmentID, String)] = []
        walk(json, pointer) { key, value, place in
            if key == "segment", let id = value.string.flatMap({ SegmentID($0) }) { found.append((id, place)) }
        }
        return found
    }

    /// Visits every member of every object.
    static func walk(_ json: JSONValue, _ pointer: String, _ visit: (String, JSONValue, String) -> Void) {
        switch json {
        case .array(let elements):
            for (index, element) in elements.enumerated() { walk(element, jsonPointer(pointer, index), visit) }
        case .object(let object):
            for (key, value) in object {
                visit(key, value, jsonPointer(pointer, key))
                walk(value, jsonPointer(pointer, key), visit)
            }
        default: break
        }
    }
}
