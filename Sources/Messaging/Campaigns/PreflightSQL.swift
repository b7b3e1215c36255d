internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum PreflightSQL {
    private static let audience = Holdout.audience(campaign: "$1::uuid", segment: "$2", channel: "$3")

    /// The same look at the segment that freezing takes, counted by reason; no reason: they would get it.
    static let waterfall = Statement<ReasonCount, CampaignID, SegmentID, Channel>(
        """
        SELECT r.reason, count(*) AS count FROM (\(audience)) r GROUP BY r.reason
        """)

    /// Opens a cursor over those who would get it. Ids end in random bits: those below `$4` of 65,536 are a fair sample,
    /// the same one each time. One look at the segment, however many rows are fetched.
    static let openRecipients = Statement<Int, CampaignID, SegmentID, Channel, Int>(
        """
        DECLARE recipients NO SCROLL CURSOR FOR
        SELECT c.id, \(TemplateSQL.contactFields("c")) AS contact
          FROM (\(audience)) r
          JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = r.contact_id
         WHERE r.reason IS NULL AND ('x' || right(r.contact_id::text, 4))::bit(16)::int < $4
        """)

    static let nextRecipients = Statement<Recipient>("FETCH 1000 FROM recipients")
    static let closeRecipients = Statement<Int>("CLOSE recipients")
}

struct Recipient: RowDecodable {
    let id: ContactID
    let contact: JSONValue
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        contact = try row["contact"]
    }
}
