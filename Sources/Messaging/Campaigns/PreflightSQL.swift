internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum PreflightSQL {
    private static let audience = CampaignSQL.audience(segment: "$1", channel: "$2")

    /// The same look at the segment that freezing takes, counted by reason; no reason: they would get it.
    static let waterfall = Statement<ReasonCount, SegmentID, Channel>("""
        SELECT r.reason, count(*) AS count FROM (\(audience)) r GROUP BY r.reason
        """)

    /// Some of those who would get it, by contact id behind `$3`. Ids end in random bits: those below `$4` of 65,536
    /// are a fair sample, the same one each time.
    static let recipients = Statement<Recipient, SegmentID, Channel, ContactID, Int, Int>("""
        SELECT c.id, \(TemplateSQL.contactFields("c")) AS contact
          FROM (\(audience)) r
          JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = r.contact_id
         WHERE r.reason IS NULL AND r.contact_id > $3
           AND ('x' || right(r.contact_id::text, 4))::bit(16)::int < $4
         ORDER BY r.contact_id
         LIMIT $5
        """)
}

struct Recipient: RowDecodable {
    let id: ContactID
    let contact: JSONValue
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        contact = try row["contact"]
    }
}
