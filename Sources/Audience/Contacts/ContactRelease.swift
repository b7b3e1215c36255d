// Contacts of somebody who left the workspace belong to nobody.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Vocabulary

private enum ReleaseSQL {
    /// Some contacts of `$1`, unless they are a member again.
    static let batch = Statement<Int, UserID, Int>(
        """
        WITH next AS MATERIALIZED (
                SELECT c.id FROM contacts c
                 WHERE c.workspace_id = current_workspace() AND c.assigned_to = $1
                   AND NOT EXISTS (SELECT FROM members m WHERE m.workspace_id = current_workspace() AND m.user_id = $1)
                 ORDER BY c.id LIMIT $2 FOR NO KEY UPDATE),
             released AS (
                UPDATE contacts c SET assigned_to = NULL, updated_at = now(), version = c.version + 1
                 WHERE c.workspace_id = current_workspace() AND c.id = ANY (ARRAY(SELECT n.id FROM next n)) AND c.assigned_to = $1
                RETURNING 1)
        SELECT count(*) FROM released
        """)
}

/// Put into the queue, with `user_id`, in the transaction that removes a member.
public let contactJobs: [JobHandler] = [
    JobHandler("release_contacts") { context in
        guard let user = context.payload["user_id"]?.string.flatMap({ UserID($0) }) else {
            throw JobFailure("bad_payload", "The job names nobody.")
        }
        var released = 0
        while true {
            if context.isStopping { throw JobSnooze(seconds: 0) }
            let batch = try context.transaction { db in try db.one(ReleaseSQL.batch, user, 1000) }
            released += batch
            if batch == 0 { break }
        }
        return ["user_id": .string(user.description), "contacts": JSONValue(released)]
    }
]
