// Work in the queue, as whoever asked for it sees it.
internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
public import Web

public let jobRoutes: [Route] = [
    .get("/api/jobs", listJobs, needs: .readAudience, query: QueryParameter.paging, "One page of jobs, newest first"),
    .get("/api/jobs/{id}", readJob, needs: .readAudience, "A job: how far it is, and what came of it"),
    .post("/api/jobs/{id}/cancel", cancelJob, needs: .writeAudience, "Ask a job to stop at its next safe place"),
]

private enum JobListSQL {
    static let page = Statement<PageRow, TimestampText, JobID, Int>("""
        SELECT json_build_object('id', id, 'kind', kind, 'state', state, 'progress', progress, 'result', result, 'problem', problem,
                                 'created_at', rfc3339(created_at), 'finished_at', rfc3339(finished_at)),
               created_at, id
          FROM jobs
         WHERE workspace_id = current_workspace() AND (created_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY created_at DESC, id DESC LIMIT $3
        """)
    static let read = Statement<JSONText, JobID>("""
        SELECT json_build_object('id', id, 'kind', kind, 'state', state, 'progress', progress, 'result', result, 'problem', problem,
                                 'created_at', rfc3339(created_at), 'finished_at', rfc3339(finished_at))
          FROM jobs WHERE workspace_id = current_workspace() AND id = $1
        """)
}

private func listJobs(_ call: Call) throws -> Response {
    let paging = try call.paging()
    return try call.page(
        JobListSQL.page, paging, try paging.after(0, from: TimestampText.infinity),
        try paging.after(1, from: JobID(UUID(high: .max, low: .max))), paging.fetchLimit)
}

private func readJob(_ call: Call) throws -> Response {
    let id: JobID = try call.pathID("id")
    guard let job = try call.read({ db in try db.first(JobListSQL.read, id) }) else { throw Problem.notFound("job") }
    return .json(job)
}

private func cancelJob(_ call: Call) throws -> Response {
    let id: JobID = try call.pathID("id")
    let job = try call.transaction { db in
        guard try db.first(JobListSQL.read, id) != nil else { throw Problem.notFound("job") }
        _ = try db.cancelJob(id)
        try call.audit("job.cancelled", "job", id.uuid, in: db)
        return try db.one(JobListSQL.read, id)
    }
    return .json(job)
}
