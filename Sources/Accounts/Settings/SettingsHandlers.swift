internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func readSettings(_ call: Call) throws -> Response {
    .resource(try call.read { db in try db.one(SettingsSQL.read) })
}

func changeSettings(_ call: Call) throws -> Response {
    let change = try call.body(SettingsChange.self)
    let (workspace, country) = (change.workspace, change.workspace.country)
    let settings = try call.transaction { db in
        if change.settings["monthly_limits"] != nil { _ = try db.one(SettingsSQL.holdStarts) }
        try call.checkIfMatch(try db.one(WorkspaceSQL.lock))
        try checkTimezone(workspace.timezone, db)
        try db.run(
            WorkspaceSQL.change, workspace.name, workspace.timezone, country != nil, country ?? nil, .object(change.settings))
        try call.audit(
            "settings.changed", "workspace", call.actor.workspace.uuid, details: .object(change.settings), in: db)
        return try db.one(SettingsSQL.read)
    }
    return .resource(settings)
}
