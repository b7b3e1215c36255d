internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum PreflightSQL {
    /// The same look at the segment that freezing takes, and what the hours and caps of now would make of it.
    private static let audience = Forecast.audience(
        Holdout.audience(campaign: "$1::uuid", segment: "$2", channel: "$3"), campaign: "$1::uuid", channel: "$3::text")

    /// Counted by reason, with some of each; no reason: they would get it, `later` of them when their quiet hours are over, the
    /// last at `last_opens_at`.
    static let waterfall = Statement<WaterfallStep, CampaignID, SegmentID, Channel>(
        """
        WITH judged AS MATERIALIZED (SELECT r.contact_id, r.reason, r.opens_at FROM (\(audience)) r),
             counted AS (
                 SELECT j.reason, count(*) AS count, count(j.opens_at) AS later, max(j.opens_at) AS last_opens_at
                   FROM judged j GROUP BY j.reason)
        SELECT n.reason, n.count, n.later, n.last_opens_at,
               CASE WHEN n.reason IS NOT NULL THEN (
                   SELECT jsonb_agg(jsonb_build_object('id', s.contact_id, 'name', (
                              SELECT coalesce(c.name, nullif(concat_ws(' ', c.first_name, c.last_name), '')) FROM contacts c
                               WHERE c.workspace_id = current_workspace() AND c.id = s.contact_id)))
                     FROM (SELECT j.contact_id FROM judged j WHERE j.reason = n.reason LIMIT 5) s) END AS sample
          FROM counted n
        """)

    /// Opens a cursor over those who would get it. Ids end in random bits: those below `$4` of 65,536 are a fair sample,
    /// the same one each time. One look at the segment, however many rows are fetched.
    static let openRecipients = Statement<Int, CampaignID, SegmentID, Channel, Int>(
        """
        DECLARE recipients NO SCROLL CURSOR FOR
        SELECT c.id, \(TemplateSQL.contactFields("c")) AS contact,
               CASE $3 WHEN 'sms' THEN country_of_number(r.address) END AS country,
               \(Experiment.share(of: "c.id", campaign: "$1::uuid")) AS text
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
    /// Of the number; `nil` for an e-mail address.
    let country: String?
    /// Which of the campaign's texts: 0 its own, then those of its variants.
    let text: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        contact = try row["contact"]
        country = try row["country"]
        text = try row["text"]
    }
}
