internal import PostgreSQL
internal import Vocabulary

/// Members of several segments are told apart by a mask: bit `i` says that somebody is in the segment at place `i`. What
/// is asked of any segment, or any two, is a sum over masks, so one pass over the members answers it all.
enum ComparisonSQL {
    static let segments = Statement<ComparedSegment, [SegmentID]>(
        """
        SELECT s.id, segment_label(s) AS name, rfc3339(segment_as_of(s)) AS as_of
          FROM segments s
         WHERE s.workspace_id = current_workspace() AND s.id = ANY ($1) AND segment_access(s) > 0
         ORDER BY array_position($1, s.id)
        """)

    private static let members = """
        members AS MATERIALIZED (
            SELECT m.contact_id, bit_or(1 << (array_position($1, m.segment_id) - 1)) AS mask
              FROM segment_members m
             WHERE m.workspace_id = current_workspace() AND m.segment_id = ANY ($1)
             GROUP BY m.contact_id)
        """

    static let masks = Statement<MaskCount, [SegmentID]>(
        """
        WITH \(members)
        SELECT mask, count(*) AS members, 0::bigint AS sent, 0::bigint AS delivered, 0::bigint AS replied, 0::bigint AS clicked,
               0::bigint AS opted_out, 0::bigint AS converted
          FROM members GROUP BY mask
        """)

    /// Campaign messages handed over from $2 to $3 to those who are members now, and what came of them up to now. A
    /// response counts once for the message that it answers.
    static let outcomes = Statement<MaskCount, [SegmentID], Instant, Instant>(
        """
        WITH \(members),
             sent AS MATERIALIZED (
                SELECT g.campaign_id, g.contact_id, g.state
                  FROM messages g
                 WHERE g.workspace_id = current_workspace() AND g.kind = 'campaign' AND g.sent_at >= $2 AND g.sent_at < $3
                   AND g.created_at < $3),
             responses AS MATERIALIZED (
                SELECT r.campaign_id, r.contact_id, bool_or(r.kind = 'replied') AS replied, bool_or(r.kind = 'clicked') AS clicked,
                       bool_or(r.kind = 'opted_out') AS opted_out, bool_or(r.kind = 'converted') AS converted
                  FROM campaign_responses r
                 WHERE r.workspace_id = current_workspace() AND r.occurred_at >= $2
                 GROUP BY r.campaign_id, r.contact_id)
        SELECT m.mask, 0::bigint AS members, count(*) AS sent, count(*) FILTER (WHERE s.state = 'delivered') AS delivered,
               count(*) FILTER (WHERE r.replied) AS replied, count(*) FILTER (WHERE r.clicked) AS clicked,
               count(*) FILTER (WHERE r.opted_out) AS opted_out, count(*) FILTER (WHERE r.converted) AS converted
          FROM sent s
          JOIN members m ON m.contact_id = s.contact_id
          LEFT JOIN responses r ON r.campaign_id = s.campaign_id AND r.contact_id = s.contact_id
         GROUP BY m.mask
        """)
}

struct ComparedSegment: RowDecodable {
    let id: SegmentID
    let name: String
    let asOf: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        name = try row["name"]
        asOf = try row["as_of"]
    }
}

/// Of those who are in exactly the segments of `mask`.
struct MaskCount: RowDecodable {
    let mask: Int
    let members: Int
    let sent: Int
    /// delivered, replied, clicked, opted_out, converted.
    let outcomes: [String: Int]
    init(_ row: borrowing Row) throws(PostgresError) {
        mask = try row["mask"]
        members = try row["members"]
        sent = try row["sent"]
        outcomes = [
            "delivered": try row["delivered"], "replied": try row["replied"], "clicked": try row["clicked"],
            "opted_out": try row["opted_out"], "converted": try row["converted"],
        ]
    }
}
