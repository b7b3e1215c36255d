internal import PostgreSQL
internal import Vocabulary

enum RecommendationSQL {
    /// How many contacts there are, as the counter of ordinals knows; those deleted since are counted too.
    static let total = Statement<Int>(
        """
        SELECT coalesce((SELECT last_ordinal FROM contact_ordinals WHERE workspace_id = current_workspace()), 0)
        """)

    /// At most $1 contacts, evenly spread over all of them: ordinals are dense, and an index leads to each.
    static let sample = Statement<ContactID, Int, Int>(
        """
        SELECT c.id
          FROM (SELECT DISTINCT 1 + (i * $2::bigint) / least($1::bigint, $2::bigint) AS ordinal
                  FROM generate_series(0::bigint, least($1::bigint, $2::bigint) - 1) i) o
          JOIN contacts c ON c.workspace_id = current_workspace() AND c.ordinal = o.ordinal
        """)

    /// Of text fields, values that 5 to 60 % of the sample have, the three most frequent of each field; how many of those
    /// were written to since $2, and how many of these answered: replied, clicked or converted. The row without a field is
    /// the whole sample.
    static let values = Statement<ValueRow, [ContactID], Instant>(
        """
        WITH sample AS MATERIALIZED (
                SELECT c.id, c.status, c.country, c.attributes,
                       EXISTS (SELECT FROM messages m WHERE m.workspace_id = current_workspace() AND m.contact_id = c.id
                                  AND m.created_at >= $2 AND m.kind = 'campaign' AND m.sent_at IS NOT NULL) AS was_sent
                  FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = ANY ($1::uuid[])),
             answered AS MATERIALIZED (
                SELECT DISTINCT r.contact_id FROM campaign_responses r
                 WHERE r.workspace_id = current_workspace() AND r.occurred_at >= $2 AND r.kind IN ('replied', 'clicked', 'converted')),
             people AS MATERIALIZED (
                SELECT s.*, s.was_sent AND a.contact_id IS NOT NULL AS did_answer
                  FROM sample s LEFT JOIN answered a ON a.contact_id = s.id),
             texts AS (
                SELECT p.id, p.was_sent, p.did_answer, 'attributes.' || e.key AS field, e.value
                  FROM people p CROSS JOIN LATERAL jsonb_each_text(p.attributes) e
                  JOIN fields f ON f.workspace_id = current_workspace() AND f.key = 'attributes.' || e.key AND f.type = 'text'
                UNION ALL
                SELECT id, was_sent, did_answer, 'status', status FROM people
                UNION ALL
                SELECT id, was_sent, did_answer, 'country', country FROM people),
             counted AS (
                SELECT t.field, lower(t.value) AS folded, min(t.value) AS value, count(*) AS people,
                       count(*) FILTER (WHERE t.was_sent) AS sent, count(*) FILTER (WHERE t.did_answer) AS answered,
                       row_number() OVER (PARTITION BY t.field ORDER BY count(*) DESC, lower(t.value)) AS place
                  FROM texts t WHERE t.value <> '' AND length(t.value) <= 200
                 GROUP BY t.field, lower(t.value))
        SELECT NULL AS field, NULL AS value, count(*) AS people, count(*) FILTER (WHERE was_sent) AS sent,
               count(*) FILTER (WHERE did_answer) AS answered
          FROM people
        UNION ALL
        SELECT c.field, c.value, c.people, c.sent, c.answered
          FROM counted c
         WHERE c.place <= 3 AND c.people BETWEEN 0.05 * cardinality($1::uuid[]) AND 0.6 * cardinality($1::uuid[])
        """)

    static func count(_ rule: CompiledRule) -> String { "SELECT count(*) FROM contacts c WHERE \(rule.predicate)" }
}

struct ValueRow: RowDecodable {
    let field: String?
    let value: String?
    let people: Int
    let sent: Int
    let answered: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        field = try row["field"]
        value = try row["value"]
        people = try row["people"]
        sent = try row["sent"]
        answered = try row["answered"]
    }
}
