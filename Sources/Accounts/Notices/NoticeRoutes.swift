// What happened by itself and somebody should know of. Features write with the SQL function `notify_workspace`.
internal import PostgreSQL
internal import Vocabulary
public import Web

let noticeRoutes: [Route] = [
    .get(
        "/api/notices", listNotices, needs: .manageNotices,
        query: QueryParameter.paging + [QueryParameter("is_read", .boolean, "Only notices that somebody has read, or nobody has")],
        "One page of notices, newest first"),
    .post("/api/notices/{id}/read", readNotice, needs: .manageNotices, "Mark a notice as read, for everybody"),
]

private func listNotices(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(NoticeID.self)
    if let isRead = call.query("is_read") {
        return try call.page(NoticeSQL.pageRead, paging, at, id, paging.fetchLimit, isRead == "true")
    }
    return try call.page(NoticeSQL.page, paging, at, id, paging.fetchLimit)
}

/// The first reader stays the reader.
private func readNotice(_ call: Call) throws -> Response {
    let id: NoticeID = try call.pathID("id")
    try call.refuseIfMatch()
    return try call.transaction { db in
        guard let notice = try db.first(NoticeSQL.read, id, call.actor.user) else { throw Problem.notFound("notice") }
        return .json(notice)
    }
}
