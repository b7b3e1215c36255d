// Another name for an attribute: for the values of all contacts and the rules that read it, at one instant.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

struct RenameDraft: BodyDecodable {
    let to: String
    static let schema: Schema = .object([.required("to", .string(min: 1, max: 620), "The new key: attributes.KEY")])
    init(_ body: JSONObject) throws { to = body.string("to") }
}

private enum RenameSQL {
    /// Texts that are still to be sent, or to be used again, and name the attribute as a variable. `$1` is its key
    /// without `attributes.`, as a regular expression.
    static let texts = Statement<String, String>(
        """
        WITH named AS (SELECT '\\{\\{\\s*(attributes\\.)?' || $1 || '\\s*(\\||\\}\\})' AS pattern)
        SELECT 'template ' || t.name FROM templates t CROSS JOIN named n
         WHERE t.workspace_id = current_workspace() AND concat_ws(' ', t.subject, t.body, t.html) ~ n.pattern
        UNION ALL
        SELECT 'campaign ' || c.name FROM campaigns c CROSS JOIN named n
         WHERE c.workspace_id = current_workspace() AND c.status NOT IN ('finished', 'cancelled')
           AND (concat_ws(' ', c.subject, c.preheader, c.body, c.html) ~ n.pattern
                OR EXISTS (SELECT FROM campaign_variants v
                            WHERE v.workspace_id = current_workspace() AND v.campaign_id = c.id
                              AND concat_ws(' ', v.subject, v.preheader, v.body, v.html) ~ n.pattern))
        """)
    /// The next contacts that have the attribute, after `$1`: renamed. Nobody else's change of them is lost: the row is
    /// read as it is when it is changed.
    static let batch = Statement<RenamedBatch, ContactID, [String], [String], Int>(
        """
        WITH next AS MATERIALIZED (
                SELECT c.id FROM contacts c
                 WHERE c.workspace_id = current_workspace() AND c.id > $1 AND c.attributes #> $2::text[] IS NOT NULL
                 ORDER BY c.id LIMIT $4 FOR NO KEY UPDATE),
             moved AS (
                UPDATE contacts c
                   SET attributes = put_attribute(put_attribute(c.attributes, $2::text[], NULL), $3::text[], c.attributes #> $2::text[]),
                       updated_at = now(), version = c.version + 1
                  FROM next n
                 WHERE c.workspace_id = current_workspace() AND c.id = n.id AND c.attributes #> $2::text[] IS NOT NULL
                   AND put_attribute(put_attribute(c.attributes, $2::text[], NULL), $3::text[], c.attributes #> $2::text[]) IS NOT NULL
                RETURNING 1)
        SELECT (SELECT n.id FROM next n ORDER BY n.id DESC LIMIT 1) AS last, (SELECT count(*) FROM moved) AS moved,
               (SELECT count(*) FROM next) AS found
        """)
    static let forget = Statement<Int, String>(
        """
        DELETE FROM fields WHERE workspace_id = current_workspace() AND key = $1
        """)
    static let field = Statement<Int, String, String>(
        """
        UPDATE fields SET key = $2, updated_at = now(), version = version + 1 WHERE workspace_id = current_workspace() AND key = $1
        """)
    static let forgetStatistics = Statement<Int, [String]>(
        """
        DELETE FROM field_statistics WHERE workspace_id = current_workspace() AND key = ANY ($1)
        """)
    static let forgetValues = Statement<Int, [String]>(
        """
        DELETE FROM field_values WHERE workspace_id = current_workspace() AND key = ANY ($1)
        """)
    static let rule = Statement<Int, SegmentID, JSONValue>(
        """
        UPDATE segments SET rule = $2, version = version + 1, updated_at = now() WHERE workspace_id = current_workspace() AND id = $1
        """)
}

private struct RenamedBatch: RowDecodable {
    let last: ContactID?
    let moved: Int
    let found: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        last = try row["last"]
        moved = try row["moved"]
        found = try row["found"]
    }
}

/// Refused while a text to be sent names the attribute, or a rule asks for its history: neither can follow.
func renameField(_ call: Call) throws -> Response {
    let key = try attributeKey(call.pathText("key"))
    let to = try attributeKey(try call.body(RenameDraft.self).to, at: "/to")
    if to == key || to.hasPrefix(key + ".") || key.hasPrefix(to + ".") {
        throw Problem.invalid("/to", "bad_key", "The new key is another one, neither inside the old one nor around it.")
    }
    return try call.transaction { db in
        guard let version = try db.first(FieldSQL.lock, key) else { throw Problem.notFound("field") }
        try call.checkIfMatch(version)
        if try db.first(FieldSQL.lock, to) != nil { throw Problem.conflict("field_exists", "There is a field `\(to)` already.") }
        let readers = try FieldReaders(of: key, db)
        try checkUse(of: key, readers, db)
        if call.query("dry_run") == "true" { return .json(["segments_affected": readers.json]) }
        let payload: JSONValue = ["from": .string(key), "to": .string(to)]
        let job = try db.enqueue("rename_field", payload: payload, key: key, by: call.actor.user)
        try call.audit("field.rename_started", "field", nil, details: payload, in: db)
        return .accepted(job: job, kind: "rename_field", ["segments_affected": readers.json])
    }
}

private func checkUse(of key: String, _ readers: FieldReaders, _ db: Connection) throws {
    let name = String(key.dropFirst("attributes.".count))
    var pattern = ""
    for scalar in name.unicodeScalars {
        if scalar.isASCII, !scalar.properties.isAlphabetic, scalar.properties.numericType == nil { pattern += "\\" }
        pattern.unicodeScalars.append(scalar)
    }
    let users =
        try db.all(RenameSQL.texts, pattern)
        + readers.segments.filter { asksForHistory($0.rule, of: key) }.map { "segment \($0.name), which asks for its history" }
    guard users.isEmpty else { throw Problem.conflict("field_in_use", "It is used by \(users.prefix(10).joined(separator: ", ")).") }
}

public let fieldJobs: [JobHandler] = [
    JobHandler("rename_field") { context in
        guard let from = context.payload["from"]?.string, let to = context.payload["to"]?.string else {
            throw JobFailure("bad_payload", "The job names no field.")
        }
        return try rename(from, to, context)
    }
]

/// One transaction: nobody ever sees the values under one name and a rule under the other, and a worker that dies has
/// done nothing. Others' changes of these contacts wait meanwhile.
private func rename(_ from: String, _ to: String, _ context: JobContext) throws -> JSONValue {
    func path(_ key: String) -> [String] { key.split(separator: ".").dropFirst().map(String.init) }
    let result = try context.transaction { db -> JSONValue in
        guard try db.first(FieldSQL.lock, from) != nil else { throw JobFailure("not_found", "The field is gone.") }
        let readers = try FieldReaders(of: from, db)
        // No calculation may look at the contacts by the old rule once they have the new name.
        for segment in readers.segments.map(\.id).sorted() { _ = try db.one(SegmentSQL.lockCalculation, segment) }
        do { try checkUse(of: from, readers, db) } catch let problem as Problem {
            // Names are for whoever may see them: asking again tells them.
            throw JobFailure(problem.code, "Meanwhile a text or a rule uses it that cannot follow.")
        }
        var after = ContactID(UUID(high: 0, low: 0))
        var (moved, refused) = (0, 0)
        while true {
            if context.isStopping { throw JobSnooze(seconds: 0) }
            let batch = try db.one(RenameSQL.batch, after, path(from), path(to), 5000)
            guard let last = batch.last else { break }
            (after, moved, refused) = (last, moved + batch.moved, refused + batch.found - batch.moved)
        }
        guard refused == 0 else {
            throw JobFailure("field_in_the_way", "\(refused) contacts have a value where `\(to)` needs an object.")
        }
        // Some contact may have brought the new name meanwhile.
        try db.run(RenameSQL.forget, to)
        try db.run(RenameSQL.field, from, to)
        try db.run(RenameSQL.forgetStatistics, [from, to])
        try db.run(RenameSQL.forgetValues, [from, to])
        // As they stand now: somebody may have changed a rule meanwhile, or saved one that reads the field.
        for segment in try FieldReaders(of: from, db).segments {
            guard let stored = try db.first(SegmentSQL.lock, segment.id) else { continue }
            let rule = try RuleLibrary.parse(renamed(stored.rule, from, to: to), db, isStored: true)
            try db.run(RenameSQL.rule, segment.id, rule.json)
            try db.run(SegmentSQL.dropInputs, segment.id)
            try db.run(SegmentSQL.addInputs, segment.id, rule.dependencies.inputs)
            _ = try db.one(SegmentVersionSQL.keep, segment.id, "The field \(from) is now called \(to).")
        }
        crashPoint("before_rename_commit")
        return ["from": .string(from), "to": .string(to), "contacts": JSONValue(moved), "segments": JSONValue(readers.segments.count)]
    }
    try context.refreshStatistics(of: ["contacts"], afterWriting: result["contacts"]?.integer ?? 0)
    return result
}
