internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum SegmentVersionSQL {
    static let keep = Statement<Bool, SegmentID, String?>(
        """
        SELECT keep_segment_version($1, $2) IS NULL
        """)

    static let page = Statement<PageRow, SegmentID, Int, Int>(
        """
        SELECT json_build_object('version', v.version, 'name', v.name, 'description', v.description, 'rule', v.rule, 'note', v.note,
                                 'created_by', v.created_by, 'created_at', rfc3339(v.created_at)),
               v.version
          FROM segment_versions v
         WHERE v.workspace_id = current_workspace() AND v.segment_id = $1 AND v.version < $2
         ORDER BY v.version DESC
         LIMIT $3
        """)

    static let read = Statement<SegmentVersion, SegmentID, Int>(
        """
        SELECT json_build_object('version', v.version, 'name', v.name, 'description', v.description, 'rule', v.rule, 'note', v.note,
                                 'created_by', v.created_by, 'created_at', rfc3339(v.created_at)) AS json,
               v.name, v.description, v.rule
          FROM segment_versions v
         WHERE v.workspace_id = current_workspace() AND v.segment_id = $1 AND v.version = $2
        """)

    /// Whom one rule finds and another does not, at one instant, in one statement: ten of each, and how many. The second
    /// rule's parameters follow the first one's.
    static func difference(_ before: CompiledRule, _ after: CompiledRule) -> (sql: String, values: [SQLValue]) {
        (
            """
            WITH old AS MATERIALIZED (SELECT c.id FROM contacts c WHERE \(before.predicate)),
                 new AS MATERIALIZED (SELECT c.id FROM contacts c WHERE \(after.predicate(shiftedBy: before.values.count))),
                 moved AS MATERIALIZED (
                    SELECT n.id AS come, o.id AS gone FROM new n FULL JOIN old o ON o.id = n.id WHERE n.id IS NULL OR o.id IS NULL)
            SELECT (SELECT count(*) FROM old) AS before, (SELECT count(*) FROM new) AS after,
                   (SELECT count(*) FROM moved WHERE gone IS NULL) AS entering,
                   (SELECT count(*) FROM moved WHERE come IS NULL) AS leaving,
                   (SELECT coalesce(json_agg(contact_json(c) ORDER BY c.id), '[]') FROM contacts c
                     WHERE c.workspace_id = current_workspace()
                       AND c.id = ANY (ARRAY(SELECT come FROM moved WHERE gone IS NULL ORDER BY 1 LIMIT 10))) AS entering_sample,
                   (SELECT coalesce(json_agg(contact_json(c) ORDER BY c.id), '[]') FROM contacts c
                     WHERE c.workspace_id = current_workspace()
                       AND c.id = ANY (ARRAY(SELECT gone FROM moved WHERE come IS NULL ORDER BY 1 LIMIT 10))) AS leaving_sample
            """, before.values + after.values
        )
    }
}

/// What a segment was after a save.
struct SegmentVersion: RowDecodable {
    let json: JSONText
    let name: String
    let description: String?
    let rule: JSONValue
    init(_ row: borrowing Row) throws(PostgresError) {
        json = try row["json"]
        name = try row["name"]
        description = try row["description"]
        rule = try row["rule"]
    }
}

/// Who would enter and who would leave.
struct MovedRow: RowDecodable {
    let before: Int
    let after: Int
    let entering: Int
    let leaving: Int
    let enteringSample: JSONValue
    let leavingSample: JSONValue
    init(_ row: borrowing Row) throws(PostgresError) {
        before = try row["before"]
        after = try row["after"]
        entering = try row["entering"]
        leaving = try row["leaving"]
        enteringSample = try row["entering_sample"]
        leavingSample = try row["leaving_sample"]
    }
}

extension CompiledRule {
    /// The predicate with its parameters numbered from `count + 1`. All that follows a dollar sign in it is a number of
    /// a parameter: whatever a rule says is a value.
    func predicate(shiftedBy count: Int) -> String {
        guard count > 0 else { return predicate }
        var shifted = ""
        var rest = predicate.utf8[...]
        while let dollar = rest.firstIndex(of: UInt8(ascii: "$")) {
            let digits = rest[rest.index(after: dollar)...].prefix { (48...57).contains($0) }
            shifted += String(rest[...dollar])!
            if let number = Int(String(digits)!) { shifted += String(number + count) }
            rest = rest[digits.endIndex...]
        }
        return shifted + String(rest)!
    }
}
