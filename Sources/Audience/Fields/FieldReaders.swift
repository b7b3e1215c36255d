// Which segments read a field, and what becomes of them when it changes.
internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary

private enum ReaderSQL {
    /// Inputs name attributes by their key on the top level.
    static let readers = Statement<FieldReader, String>(
        """
        SELECT s.id, segment_label(s) AS name, s.rule, segment_access(s) > 0 AS is_visible, s.archived_at IS NOT NULL AS is_archived
          FROM segment_inputs i
          JOIN segments s ON s.workspace_id = i.workspace_id AND s.id = i.segment_id
         WHERE i.workspace_id = current_workspace()
           AND i.input = split_part($1, '.', 1) || '.' || split_part($1, '.', 2)
         ORDER BY s.name, s.id
        """)
}

/// A segment that reads a field.
struct FieldReader: RowDecodable {
    let id: SegmentID
    /// For whoever asks; one that is not shared with them has none.
    let name: String
    let rule: JSONValue
    let isVisible: Bool
    let isArchived: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        name = try row["name"]
        rule = try row["rule"]
        isVisible = try row["is_visible"]
        isArchived = try row["is_archived"]
    }
}

struct FieldReaders {
    let segments: [FieldReader]
    /// Why a rule is none any more, by segment.
    private var problems: [SegmentID: String] = [:]

    private struct Trial: Error {}

    /// Those whose rule names the field itself, as the rules stand now.
    init(of key: String, _ db: Connection) throws {
        segments = try db.all(ReaderSQL.readers, key).filter { mentions($0.rule, key) }
    }

    /// Makes a change and looks whether the rules that read the field are still rules.
    /// - Parameter isTrial: the change is taken back then.
    static func after(_ db: Connection, _ key: String, isTrial: Bool, _ change: (Connection) throws -> Void) throws -> FieldReaders {
        var readers = try FieldReaders(of: key, db)
        do {
            try db.transaction { db in
                try change(db)
                for segment in readers.segments {
                    do { _ = try RuleLibrary.parse(segment.rule, db, isStored: true) } catch let faults as Faults {
                        readers.problems[segment.id] = faults.list.first.map { "\($0.pointer): \($0.detail)" }
                    }
                }
                if isTrial { throw Trial() }
            }
        } catch is Trial {}
        return readers
    }

    var json: JSONValue {
        .array(
            segments.map {
                [
                    "id": JSONValue($0.isVisible ? $0.id.description : nil), "name": .string($0.name),
                    "valid": .bool(problems[$0.id] == nil), "problem": JSONValue($0.isVisible ? problems[$0.id] : nil),
                ]
            })
    }

    /// One that is no rule any more fails its calculation, which says so, and keeps its members.
    func recalculate(_ db: Connection, by user: UserID?) throws {
        for segment in segments where !segment.isArchived {
            try db.enqueue("calculate_segment", payload: ["segment_id": .string(segment.id.description)], by: user)
        }
    }
}

/// Whether a rule reads a field of contacts: anywhere but in `where`, whose fields are an event's.
func mentions(_ json: JSONValue, _ key: String) -> Bool {
    switch json {
    case .array(let elements): elements.contains { mentions($0, key) }
    case .object(let object):
        object.contains { $0.key == "field" ? $0.value.string.map(normalizedNFC) == key : $0.key != "where" && mentions($0.value, key) }
    default: false
    }
}

/// Whether a rule asks what a field was, or whether it changed.
func asksForHistory(_ json: JSONValue, of key: String) -> Bool {
    switch json {
    case .array(let elements): elements.contains { asksForHistory($0, of: key) }
    case .object(let object):
        object["field"]?.string.map(normalizedNFC) == key && (object["was"] != nil || object["changed"] != nil)
            || object.contains { $0.key != "where" && asksForHistory($0.value, of: key) }
    default: false
    }
}

/// The rule with another name for a field.
func renamed(_ json: JSONValue, _ key: String, to name: String) -> JSONValue {
    switch json {
    case .array(let elements): return .array(elements.map { renamed($0, key, to: name) })
    case .object(let object):
        var changed = JSONObject()
        for (member, value) in object {
            let isField = member == "field" && value.string.map(normalizedNFC) == key
            changed[member] = isField ? .string(name) : member == "where" ? value : renamed(value, key, to: name)
        }
        return .object(changed)
    default: return json
    }
}
