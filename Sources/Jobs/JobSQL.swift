internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum JobSQL {
    /// A key that an open job of that kind has already gives that job's id instead of a second job. It is looked for
    /// first: an INSERT that meets it would wait until the transaction that the job is in has ended. No row: another
    /// transaction made one at this moment, which the next statement sees.
    static let enqueue = Statement<JobID, String, JSONValue, String?, Instant?, Int, UserID?>(
        """
        WITH open AS MATERIALIZED (
            SELECT id FROM jobs
             WHERE workspace_id = current_workspace() AND kind = $1 AND key = $3 AND state IN ('queued', 'running')
             LIMIT 1),
        made AS (
            INSERT INTO jobs (workspace_id, kind, payload, key, run_at, max_attempts, created_by)
            SELECT current_workspace(), $1::text, $2::jsonb, $3::text, coalesce($4::timestamptz, now()), $5::int, $6::uuid
             WHERE NOT EXISTS (SELECT FROM open)
            ON CONFLICT (workspace_id, kind, key) WHERE state IN ('queued', 'running') DO NOTHING
            RETURNING id)
        SELECT id FROM made UNION ALL SELECT id FROM open
        """)

    /// Which line is longer now; nothing for a payload: some line.
    static let notify = Statement<Bool>("SELECT pg_notify('muster_jobs', current_workspace()::text) IS NULL")

    static let lines = Statement<LineOfJobs, [String]>(
        "SELECT workspace_id, run_at, extract(epoch FROM run_at - now())::float8 AS seconds FROM lines_of_jobs($1)")

    /// - Parameters: workspace, kinds, how many of each at once, lease in seconds, and the place behind which to look.
    static let claim = Statement<ClaimedJob, WorkspaceID, [String], [Int], Double, Instant, JobID>(
        """
        SELECT workspace_id, id, kind, payload, attempt, max_attempts, run_at, lease_token FROM claim_jobs($1, $2, $3, $4, $5, $6)
         ORDER BY run_at, id
        """)

    /// Seconds until the first job may run that is not due yet.
    static let nextInLine = Statement<Double?, WorkspaceID, [String]>("SELECT extract(epoch FROM next_in_line($1, $2) - now())::float8")

    /// Zero rows: the lease is lost, and with it the right to write.
    static let holdLease = Statement<Bool, JobID, UUID, Double>(
        """
        UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => $3)
         WHERE workspace_id = current_workspace() AND id = $1 AND lease_token = $2 AND state = 'running'
        RETURNING cancel_requested_at IS NOT NULL
        """)

    static let progress = Statement<Bool, JobID, UUID, Double, Double, JSONValue?>(
        """
        UPDATE jobs SET progress = $3, lease_until = clock_timestamp() + make_interval(secs => $4), result = coalesce($5, result)
         WHERE workspace_id = current_workspace() AND id = $1 AND lease_token = $2 AND state = 'running'
        RETURNING cancel_requested_at IS NOT NULL
        """)

    /// Those whose leases still hold.
    static let succeed = Statement<Int, [JobID], [UUID], [JSONValue]>(
        """
        UPDATE jobs j SET state = 'succeeded', progress = 1, result = e.result, problem = NULL, finished_at = now(),
                          lease_token = NULL, lease_until = NULL
          FROM unnest($1::uuid[], $2::uuid[], $3::jsonb[]) AS e (id, lease_token, result)
         WHERE j.workspace_id = current_workspace() AND j.id = e.id AND j.lease_token = e.lease_token AND j.state = 'running'
        """)

    static let end = Statement<Int, JobID, UUID, String, JSONValue>(
        """
        UPDATE jobs SET state = $3, problem = $4, finished_at = now(), lease_token = NULL, lease_until = NULL
         WHERE workspace_id = current_workspace() AND id = $1 AND lease_token = $2 AND state = 'running'
        """)

    static let retry = Statement<Int, JobID, UUID, Double, JSONValue?, Int>(
        """
        UPDATE jobs SET state = 'queued', run_at = now() + make_interval(secs => $3), problem = $4,
                        attempt = attempt - $5, lease_token = NULL, lease_until = NULL
         WHERE workspace_id = current_workspace() AND id = $1 AND lease_token = $2 AND state = 'running'
        """)

    /// A waiting job ends at once; a running one is asked to.
    static let cancel = Statement<Int, JobID>(
        """
        UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()),
                        state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
                        finished_at = CASE state WHEN 'queued' THEN now() END
         WHERE workspace_id = current_workspace() AND id = $1 AND state IN ('queued', 'running')
        """)

    /// In batches, so that no lock is held for long. Maintenance sees every workspace.
    static let purge = Statement<Int>(
        """
        DELETE FROM jobs j USING (
            SELECT workspace_id, id FROM jobs WHERE finished_at < now() - interval '30 days' LIMIT 5000) old
         WHERE j.workspace_id = old.workspace_id AND j.id = old.id
        """)

    static let rescue = Statement<Int>("SELECT rescue_jobs()")
}

/// A job that this process holds the lease of.
struct ClaimedJob: RowDecodable {
    let workspace: WorkspaceID
    let id: JobID
    let kind: String
    let payload: JSONValue
    let attempt: Int
    let maximumAttempts: Int
    let runAt: Instant
    let lease: UUID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        id = try row["id"]
        kind = try row["kind"]
        payload = try row["payload"]
        attempt = try row["attempt"]
        maximumAttempts = try row["max_attempts"]
        runAt = try row["run_at"]
        lease = try row["lease_token"]
    }
}
