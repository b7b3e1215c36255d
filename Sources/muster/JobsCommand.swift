// The queue, seen and steered from outside.
import ArgumentParser
import JSON
import Jobs
import PostgreSQL
import Vocabulary

private enum JobsSQL {
    static let list = Statement<Cells, String?, WorkspaceID?, Int>(
        """
        SELECT id, workspace_id, kind, state, attempt || '/' || max_attempts, round(progress::numeric * 100) || ' %',
               rfc3339(created_at), coalesce(problem ->> 'code', '')
          FROM jobs
         WHERE ($1::text IS NULL OR state = $1) AND ($2::uuid IS NULL OR workspace_id = $2)
         ORDER BY created_at DESC, id DESC LIMIT $3
        """)
    static let counts = Statement<Cells>(
        """
        SELECT kind, state, count(*)::text,
               coalesce(round(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'queued' AND run_at <= now())))::text, '')
          FROM jobs GROUP BY kind, state ORDER BY kind, state
        """)
    static let show = Statement<JSONValue, JobID>(
        """
        SELECT jsonb_build_object('id', id, 'workspace_id', workspace_id, 'kind', kind, 'state', state, 'key', key,
                   'payload', payload, 'progress', progress, 'result', result, 'problem', problem, 'attempt', attempt,
                   'max_attempts', max_attempts, 'run_at', rfc3339(run_at), 'lease_until', rfc3339(lease_until),
                   'cancel_requested_at', rfc3339(cancel_requested_at), 'created_at', rfc3339(created_at),
                   'started_at', rfc3339(started_at), 'finished_at', rfc3339(finished_at))
          FROM jobs WHERE id = $1
        """)
    /// A failed job gets one more attempt; a waiting one runs now.
    static let retry = Statement<Int, JobID>(
        """
        UPDATE jobs SET state = 'queued', run_at = now(), finished_at = NULL, cancel_requested_at = NULL,
                        max_attempts = greatest(max_attempts, attempt + 1)
         WHERE id = $1 AND state IN ('queued', 'failed', 'cancelled')
        """)
    static let notify = Statement<Bool>("SELECT pg_notify('muster_jobs', '') IS NULL")
    static let workspace = Statement<WorkspaceID, JobID>("SELECT workspace_id FROM jobs WHERE id = $1")
}

struct Queue: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "Shows and steers the queue.",
        subcommands: [List.self, Counts.self, Show.self, Retry.self, Cancel.self], defaultSubcommand: Counts.self)

    enum State: String, ExpressibleByArgument, CaseIterable {
        case queued, running, succeeded, failed, cancelled
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists jobs, newest first.")
        @Option(help: "Only those in this state.") var state: State?
        @Option(help: "Only this workspace's.") var workspace: String?
        @Option(help: "At most so many.") var limit = 50

        func run() throws {
            let workspace: WorkspaceID? = try workspace.map { try parseID($0, "workspace") }
            let lines = try connectAsOwner().all(JobsSQL.list, state?.rawValue, workspace, limit)
            printTable(
                ["ID", "WORKSPACE", "KIND", "STATE", "ATTEMPT", "DONE", "CREATED", "PROBLEM"], lines.map(\.texts))
        }
    }

    struct Counts: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Counts jobs by kind and state.")
        func run() throws {
            printTable(["KIND", "STATE", "JOBS", "LATE BY SECONDS"], try connectAsOwner().all(JobsSQL.counts).map(\.texts))
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Prints one job as JSON.")
        @Argument(help: "The job's id.") var id: String
        func run() throws {
            guard let job = try connectAsOwner().first(JobsSQL.show, try parseID(id, "job")) else {
                throw CommandError("there is no job \(id)")
            }
            print(job.text)
        }
    }

    struct Retry: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Runs a failed, cancelled or waiting job now.")
        @Argument(help: "The job's id.") var id: String
        func run() throws {
            let db = try connectAsOwner()
            guard try db.run(JobsSQL.retry, try parseID(id, "job")) == 1 else {
                throw CommandError("there is no such job, or it is running or has succeeded")
            }
            _ = try db.one(JobsSQL.notify)
        }
    }

    struct Cancel: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Ends a waiting job, and asks a running one to stop.")
        @Argument(help: "The job's id.") var id: String
        func run() throws {
            let job: JobID = try parseID(id, "job")
            let db = try connectAsOwner()
            let cancelled = try db.transaction { db in
                guard let workspace = try db.first(JobsSQL.workspace, job) else { return false }
                try db.setWorkspace(workspace)
                return try db.cancelJob(job)
            }
            guard cancelled else { throw CommandError("there is no such job, or it has ended") }
        }
    }
}
