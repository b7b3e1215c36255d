// Work in the queue, as whoever asked for it sees it.
internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
public import Web

public let jobRoutes: [Route] = [
    .get(
        "/api/jobs", listJobs, needs: .readJobs,
        query: QueryParameter.paging + [
            QueryParameter("state", .string(oneOf: ["queued", "running", "succeeded", "failed", "cancelled"]), "Only jobs in this state")
        ], "One page of jobs, newest first"),
    .get("/api/jobs/{id}", readJob, needs: .readJobs, "A job: how far it is, and what came of it"),
    .post("/api/jobs/{id}/cancel", cancelJob, needs: .manageJobs, "Ask a job to stop at its next safe place"),
]

private enum JobListSQL {
    static let page = Statement<PageRow, TimestampText, JobID, Int>(
        """
        SELECT job_json(j), j.created_at, j.id FROM jobs j
         WHERE j.workspace_id = current_workspace() AND (j.created_at, j.id) < ($1::timestamptz, $2::uuid)
         ORDER BY j.created_at DESC, j.id DESC LIMIT $3
        """)
    static let pageInState = Statement<PageRow, TimestampText, JobID, Int, String>(
        """
        SELECT job_json(j), j.created_at, j.id FROM jobs j
         WHERE j.workspace_id = current_workspace() AND (j.created_at, j.id) < ($1::timestamptz, $2::uuid) AND j.state = $4
         ORDER BY j.created_at DESC, j.id DESC LIMIT $3
        """)
    /// No row for a job that is not there, and for one of a segment that is not shared with whoever asks.
    static let mayCancel = Statement<Bool, JobID>(
        """
        SELECT true FROM jobs j WHERE j.workspace_id = current_workspace() AND j.id = $1 AND NOT hides_job(j)
        """)
    static let read = Statement<JSONText, JobID>(
        """
        SELECT job_json(j) FROM jobs j WHERE j.workspace_id = current_workspace() AND j.id = $1
        """)
}

private func listJobs(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(JobID.self)
    if let state = call.query("state") {
        return try call.page(JobListSQL.pageInState, paging, at, id, paging.fetchLimit, state)
    }
    return try call.page(JobListSQL.page, paging, at, id, paging.fetchLimit)
}

private func readJob(_ call: Call) throws -> Response {
    let id: JobID = try call.pathID("id")
    guard let job = try call.read({ db in try db.first(JobListSQL.read, id) }) else { throw Problem.notFound("job") }
    return .json(job)
}

/// A running job stops at its next step, so the answer may still say `running`.
private func cancelJob(_ call: Call) throws -> Response {
    let id: JobID = try call.pathID("id")
    let job = try call.transaction { db in
        guard try db.first(JobListSQL.mayCancel, id) != nil else { throw Problem.notFound("job") }
        guard try db.cancelJob(id) else { throw Problem.conflict("job_ended", "The job has ended already.") }
        try call.audit("job.cancelled", "job", id.uuid, in: db)
        return try db.one(JobListSQL.read, id)
    }
    return .json(job)
}
