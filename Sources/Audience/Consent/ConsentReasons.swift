// Why people leave, counted.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

private enum ReasonSQL {
    /// Every reason, those that nobody gave too; `null` is an opt-out without one.
    static let counts = Statement<JSONText, Instant, Instant, [String]>(
        """
        WITH given AS (
            SELECT e.reason, count(*) AS n FROM consent_events e
             WHERE e.workspace_id = current_workspace() AND e.state = 'opted_out' AND e.purpose = 'marketing'
               AND e.occurred_at >= $1 AND e.occurred_at < $2
             GROUP BY e.reason)
        SELECT json_build_object(
            'from', rfc3339($1), 'to', rfc3339($2),
            'items', json_agg(json_build_object('reason', r.reason, 'count', coalesce(g.n, 0)) ORDER BY r.place))
          FROM unnest($3::text[] || NULL::text) WITH ORDINALITY r (reason, place)
          LEFT JOIN given g ON g.reason IS NOT DISTINCT FROM r.reason
        """)
}

/// The first instant that can be written.
private let earliest = Instant(rfc3339: "0001-01-01T00:00:00Z")!

func countOptOutReasons(_ call: Call) throws -> Response {
    let to = call.query("to").flatMap { Instant(rfc3339: $0) } ?? call.now
    let from = call.query("from").flatMap { Instant(rfc3339: $0) } ?? max(to - 30 * 86_400, earliest)
    guard from < to else { throw Problem.invalid("/from", "out_of_range", "`from` lies before `to`.") }
    return .json(try call.read { db in try db.one(ReasonSQL.counts, from, to, ConsentDraft.reasons) })
}
