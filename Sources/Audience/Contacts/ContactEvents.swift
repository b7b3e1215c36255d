// What happened to a contact: the events that were sent, and entries into and exits from segments.
internal import PostgreSQL
internal import Vocabulary
internal import Web

private enum ContactEventSQL {
    static let exists = Statement<Bool, ContactID>(
        """
        SELECT EXISTS (SELECT FROM contacts WHERE workspace_id = current_workspace() AND id = $1)
        """)

    /// `$2`: of this name only, unless NULL. History of segments is kept once, in its own table; an entry's id is made of
    /// it. Segments that are gone, or hidden from whoever asks, tell nothing.
    static let page = Statement<PageRow, ContactID, String?, TimestampText, EventID, Int>(
        """
        WITH happened AS (
                SELECT e.id, e.name, e.occurred_at, e.properties FROM events e
                 WHERE e.workspace_id = current_workspace() AND e.contact_id = $1 AND ($2::text IS NULL OR e.name = $2)
                   AND e.name NOT LIKE 'segment.%' AND e.occurred_at <= $3::timestamptz
                UNION ALL
                SELECT md5(h.segment_id || h.change || h.contact_id || extract(epoch FROM h.occurred_at))::uuid,
                       'segment.' || h.change, h.occurred_at, jsonb_build_object('segment_id', h.segment_id, 'segment', s.name)
                  FROM segment_changes h JOIN segments s ON s.workspace_id = h.workspace_id AND s.id = h.segment_id
                 WHERE h.workspace_id = current_workspace() AND h.contact_id = $1 AND ($2::text IS NULL OR 'segment.' || h.change = $2)
                   AND h.occurred_at <= $3::timestamptz AND segment_access(s) > 0),
             listed AS MATERIALIZED (
                SELECT * FROM happened WHERE (occurred_at, id) < ($3::timestamptz, $4) ORDER BY occurred_at DESC, id DESC LIMIT $5)
        SELECT json_build_object('id', id, 'name', name, 'occurred_at', rfc3339(occurred_at), 'properties', properties), occurred_at, id
          FROM listed ORDER BY occurred_at DESC, id DESC
        """)
}

func listContactEvents(_ call: Call) throws -> Response {
    let contact: ContactID = try call.pathID("id")
    let paging = try call.paging(sorts: ["-occurred_at"])
    return try call.read { db in
        guard try db.one(ContactEventSQL.exists, contact) else { throw Problem.notFound("contact") }
        return try call.page(
            ContactEventSQL.page, paging, contact, call.query("name"), try paging.after(0, from: TimestampText.infinity),
            try paging.after(1, from: EventID(UUID(high: .max, low: .max))), paging.fetchLimit)
    }
}
