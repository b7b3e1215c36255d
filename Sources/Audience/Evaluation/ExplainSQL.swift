internal import PostgreSQL
internal import Vocabulary

enum ExplainSQL {
    /// Which of these whoever asks may not see.
    static let hidden = Statement<SegmentID, [SegmentID]>(
        """
        SELECT s.id FROM segments s
         WHERE s.workspace_id = current_workspace() AND s.id = ANY ($1::uuid[]) AND segment_access(s) = 0
        """)
    /// How a segment stands with a contact. `waits`: a change of the contact is still to be looked at.
    static let standing = Statement<SegmentStanding, SegmentID, ContactID>(
        """
        SELECT s.state, s.problem, s.schedule, s.archived_at IS NOT NULL AS is_archived,
               segment_as_of(s) AS as_of, s.next_refresh_at, m.entered_at,
               EXISTS (SELECT FROM dirty_contacts d
                        WHERE d.workspace_id = current_workspace() AND d.contact_id = $2) AS waits
          FROM segments s
          LEFT JOIN segment_members m
            ON m.workspace_id = current_workspace() AND m.segment_id = s.id AND m.contact_id = $2
         WHERE s.workspace_id = current_workspace() AND s.id = $1
        """)
}

/// What the stored membership says of one contact, and how old it is.
struct SegmentStanding: RowDecodable {
    let state: String
    let problem: String?
    let schedule: String
    let isArchived: Bool
    /// `nil` before the first calculation.
    let asOf: Instant?
    let nextRefresh: Instant?
    let enteredAt: Instant?
    let waits: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        state = try row["state"]
        problem = try row["problem"]
        schedule = try row["schedule"]
        isArchived = try row["is_archived"]
        asOf = try row["as_of"]
        nextRefresh = try row["next_refresh_at"]
        enteredAt = try row["entered_at"]
        waits = try row["waits"]
    }

    /// Why the membership and the rule do not agree, when they do not.
    var reasonOfDifference: String {
        let age = asOf.map { "The membership is of \($0)" } ?? "The membership was never calculated"
        if isArchived { return age + "; the segment is archived, and keeps the members that it had." }
        switch (state, schedule) {
        case ("stale", _): return age + "; the rule was saved since, and its calculation is under way."
        case ("failed", _): return age + "; the last calculation failed: \(problem ?? "")"
        case (_, "manual"): return age + "; it is calculated when somebody asks for it, and every night."
        case (_, "live"):
            return age
                + (waits
                    ? "; a change of the contact waits to be looked at."
                    : "; time has changed the answer since, which is noticed within a minute.")
        default: return age + "; the next calculation is at \(nextRefresh?.description ?? "an unknown time")."
        }
    }
}
