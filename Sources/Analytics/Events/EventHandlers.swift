internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

private enum EventSQL {
    /// Resolves, drops repeated ones, inserts and attributes, in one statement: no event is in without its conversions.
    /// Rows of events whose contact is unknown come back with `contact_id` NULL.
    static let record = Statement<RecordedEvent, JSONText>("""
        WITH sent AS MATERIALIZED (
                SELECT * FROM json_to_recordset($1::json)
                    AS e (n int, id uuid, external_id text, email text, phone text, name text, occurred_at timestamptz,
                          properties jsonb, dedupe_key text)),
             resolved AS MATERIALIZED (
                SELECT s.n, s.name, s.properties, s.dedupe_key, coalesce(s.occurred_at, now()) AS occurred_at,
                       coalesce(
                           (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = s.id),
                           (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.external_id = s.external_id),
                           (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.email = s.email),
                           (SELECT c.id FROM contacts c WHERE c.workspace_id = current_workspace() AND c.phone = s.phone)) AS contact_id
                  FROM sent s),
             keyed AS (
                INSERT INTO event_dedupe_keys (workspace_id, dedupe_key)
                SELECT DISTINCT current_workspace(), r.dedupe_key FROM resolved r
                 WHERE r.contact_id IS NOT NULL AND r.dedupe_key IS NOT NULL
                 ORDER BY r.dedupe_key
                ON CONFLICT DO NOTHING RETURNING dedupe_key),
             fresh AS MATERIALIZED (
                SELECT r.* FROM resolved r
                 WHERE r.contact_id IS NOT NULL
                   AND (r.dedupe_key IS NULL
                        OR (r.dedupe_key IN (SELECT k.dedupe_key FROM keyed k)
                            AND r.n = (SELECT min(o.n) FROM resolved o WHERE o.dedupe_key = r.dedupe_key AND o.contact_id IS NOT NULL)))),
             inserted AS (
                INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
                SELECT current_workspace(), f.contact_id, f.name, f.occurred_at, f.properties FROM fresh f
                RETURNING id)
        SELECT r.n, r.contact_id IS NOT NULL AS is_known, EXISTS (SELECT FROM fresh f WHERE f.n = r.n) AS is_new,
               r.contact_id, r.name, r.occurred_at
          FROM resolved r
         ORDER BY r.n
        """)

    static let attribute = Statement<Int, [UUID], [String], [Instant]>("""
        SELECT attribute_conversions($1, $2, $3)
        """)
}

private struct RecordedEvent: RowDecodable {
    let index: Int
    let isKnown: Bool
    let isNew: Bool
    let contact: UUID?
    let name: String
    let occurredAt: Instant
    init(_ row: borrowing Row) throws(PostgresError) {
        index = try row["n"]
        isKnown = try row["is_known"]
        isNew = try row["is_new"]
        contact = try row["contact_id"]
        name = try row["name"]
        occurredAt = try row["occurred_at"]
    }
}

/// Events of unknown contacts are rejected one by one; the others are in.
func recordEvents(_ call: Call) throws -> Response {
    let batch = try call.body(EventBatch.self)
    let rows = batch.events.enumerated().map { index, event -> JSONValue in
        [
            "n": JSONValue(index), "id": JSONValue(event.contact.id), "external_id": JSONValue(event.contact.externalID),
            "email": JSONValue(event.contact.email), "phone": JSONValue(event.contact.phone), "name": .string(event.name),
            "occurred_at": JSONValue(event.occurredAt?.description), "properties": .object(event.properties),
            "dedupe_key": JSONValue(event.dedupeKey),
        ]
    }
    let recorded = try call.transaction { db in
        let recorded = try db.all(EventSQL.record, JSONText(.array(rows)))
        let new = recorded.filter(\.isNew)
        if !new.isEmpty { _ = try db.one(EventSQL.attribute, new.compactMap(\.contact), new.map(\.name), new.map(\.occurredAt)) }
        return recorded
    }
    let unknown = recorded.filter { !$0.isKnown }
    if !batch.isBatch, !unknown.isEmpty { throw Problem.invalid("/contact", "unknown_contact", "There is no such contact.") }
    return .json(
        [
            "accepted": JSONValue(recorded.count { $0.isNew }), "duplicates": JSONValue(recorded.count { $0.isKnown && !$0.isNew }),
            "rejected": .array(unknown.map {
                ["pointer": .string("/events/\($0.index)/contact"), "code": "unknown_contact", "detail": "There is no such contact."]
            }),
        ], status: 202)
}
