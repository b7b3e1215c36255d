internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Each event of a batch is in or rejected by itself; the answer says which and why. What is in is in with its
/// conversions, in one transaction.
func recordEvents(_ call: Call) throws -> Response {
    var batch = try EventBatch(try call.json(), now: call.now)
    let recorded = try call.transaction { db in
        let rows = batch.events.map { $0.event.row($0.index) }
        let recorded = rows.isEmpty ? [] : try db.all(EventSQL.record, JSONText(.array(rows)))
        let new = recorded.filter(\.isNew)
        if !new.isEmpty {
            _ = try db.one(EventSQL.attribute, new.compactMap(\.contact), new.map(\.name), new.map(\.occurredAt))
        }
        return recorded
    }
    for event in recorded where event.contact == nil { batch.reject(event.index) }
    if !batch.isBatch, let rejected = batch.rejected.first { throw Problem.validation(rejected.faults) }
    return .json(
        [
            "accepted": JSONValue(recorded.count { $0.isNew }),
            "duplicates": JSONValue(recorded.count { $0.contact != nil && !$0.isNew }), "rejected": batch.rejections,
        ], status: 202)
}

/// What became of an event. `contact` is `nil` when nobody is that.
struct RecordedEvent: RowDecodable {
    let index: Int
    let isNew: Bool
    let contact: ContactID?
    let name: String
    let occurredAt: Instant
    init(_ row: borrowing Row) throws(PostgresError) {
        index = try row["n"]
        isNew = try row["is_new"]
        contact = try row["contact_id"]
        name = try row["name"]
        occurredAt = try row["occurred_at"]
    }
}

enum EventSQL {
    /// Resolves contacts, drops what is repeated and inserts the rest, in one statement. Of equal keys in a batch the
    /// first counts; against a batch at the same moment, whoever commits first. Keys are taken in their order, so that
    /// two batches never wait for each other in a circle.
    static let record = Statement<RecordedEvent, JSONText>(
        """
        WITH told AS MATERIALIZED (
                SELECT e.n, e.name, e.occurred_at, e.properties, e.dedupe_key,
                       CASE WHEN e.id IS NOT NULL THEN
                                (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = e.id)
                            WHEN e.external_id IS NOT NULL THEN
                                (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.external_id = e.external_id)
                            WHEN e.email IS NOT NULL THEN
                                (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.email = e.email)
                            WHEN e.phone IS NOT NULL THEN
                                (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.phone = e.phone)
                       END AS contact_id
                  FROM json_to_recordset($1::json)
                    AS e (n int, id uuid, external_id text, email text, phone text, name text, occurred_at timestamptz,
                          properties jsonb, dedupe_key text)),
             known AS MATERIALIZED (
                SELECT t.*, row_number() OVER (PARTITION BY t.dedupe_key ORDER BY t.n) AS nth
                  FROM told t WHERE t.contact_id IS NOT NULL),
             taken AS (
                INSERT INTO event_dedupe_keys (workspace_id, dedupe_key)
                SELECT current_workspace(), k.dedupe_key FROM known k
                 WHERE k.dedupe_key IS NOT NULL AND k.nth = 1
                 ORDER BY k.dedupe_key
                ON CONFLICT DO NOTHING RETURNING dedupe_key),
             fresh AS MATERIALIZED (
                SELECT k.* FROM known k LEFT JOIN taken t ON t.dedupe_key = k.dedupe_key
                 WHERE k.dedupe_key IS NULL OR k.nth = 1 AND t.dedupe_key IS NOT NULL),
             inserted AS (
                INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
                SELECT current_workspace(), f.contact_id, f.name, f.occurred_at, f.properties FROM fresh f)
        SELECT t.n, f.n IS NOT NULL AS is_new, t.contact_id, t.name, t.occurred_at
          FROM told t LEFT JOIN fresh f ON f.n = t.n
         ORDER BY t.n
        """)

    static let attribute = Statement<Int, [ContactID], [String], [Instant]>(
        """
        SELECT attribute_conversions($1, $2, $3)
        """)
}
