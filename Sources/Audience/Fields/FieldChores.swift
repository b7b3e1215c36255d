// What fields look like, looked at anew every night.
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

private enum ProfileSQL {
    static let workspaces = Statement<WorkspaceID>("SELECT active_workspaces()")
    static let profile = Statement<Int, Int>("SELECT profile_fields($1)")
}

public let fieldChores: [Chore] = [
    Chore("profile-fields", "Look at the values of fields: missing, distinct, most frequent") { db in
        var counts = (workspaces: 0, fields: 0, failed: 0)
        for workspace in try db.all(ProfileSQL.workspaces) {
            do {
                counts.fields += try db.transaction(timeoutSeconds: 600) { db in
                    try db.setWorkspace(workspace)
                    // With more contacts, so many drawn at random: enough for values that one in a thousand has.
                    return try db.one(ProfileSQL.profile, 20_000)
                }
                counts.workspaces += 1
            } catch let error as PostgresError where !error.isTransient {
                counts.failed += 1
                Log.error("fields not profiled", [("workspace", .string(workspace.description)), ("error", .string(error.description))])
            }
        }
        return [("workspaces", counts.workspaces), ("fields", counts.fields), ("failed", counts.failed)]
    }
]
