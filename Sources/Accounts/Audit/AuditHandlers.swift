internal import PostgreSQL
internal import Vocabulary
internal import Web

func listAuditLog(_ call: Call) throws -> Response {
    let paging = try call.paging(sorts: ["-occurred_at"])
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: UUID(high: .max, low: .max))
    if let subject = call.query("subject_id").flatMap({ UUID($0) }) {
        return try call.page(AuditSQL.pageOfSubject, paging, at, id, paging.fetchLimit, subject)
    }
    return try call.page(AuditSQL.page, paging, at, id, paging.fetchLimit)
}
