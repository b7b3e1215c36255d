internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listWorkspaces(_ call: Call) throws -> Response {
    let person = try call.signedInUser()
    let paging = try call.paging(sorts: ["created_at"])
    let at = try paging.after(0, from: TimestampText.minusInfinity)
    let id = try paging.after(1, from: WorkspaceID(UUID(high: 0, low: 0)))
    return call.page(try call.db.all(WorkspaceSQL.page, person.id, at, id, paging.fetchLimit), paging)
}

func createWorkspace(_ call: Call) throws -> Response {
    let person = try call.signedInUser()
    let draft = try call.body(WorkspaceDraft.self)
    let (id, workspace) = try call.db.transaction { db in
        try checkTimezone(draft.timezone, db)
        let id = try db.one(WorkspaceSQL.create, person.id, draft.name, draft.timezone, draft.country)
        try auditCreation(of: id, by: person.id, call, db)
        return (id, try db.one(WorkspaceSQL.read, Role.owner.rawValue))
    }
    return .created(workspace.item, at: "/api/workspaces/\(id)").etag(version: workspace.version)
}

func readWorkspace(_ call: Call) throws -> Response {
    .resource(try inOwnWorkspace(call) { db, _, role in try db.one(WorkspaceSQL.read, role.rawValue) })
}

func changeWorkspace(_ call: Call) throws -> Response {
    let change = try call.body(WorkspaceChange.self)
    let workspace = try inOwnWorkspace(call) { db, person, role in
        guard Permission.manageSettings.roles.contains(role) else { throw Problem.forbidden("This needs the role owner or admin.") }
        try call.checkIfMatch(try db.one(WorkspaceSQL.lock))
        try checkTimezone(change.timezone, db)
        try db.run(WorkspaceSQL.change, change.name, change.timezone, change.country != nil, change.country ?? nil, [:])
        try db.run(WorkspaceSQL.audit, person, "workspace.changed", [:], call.requestID)
        return try db.one(WorkspaceSQL.read, role.rawValue)
    }
    return .resource(workspace)
}

/// One transaction in the workspace that the path names, when the person is a member of it.
private func inOwnWorkspace<T>(_ call: Call, _ work: (Connection, UserID, Role) throws -> T) throws -> T {
    let person = try call.signedInUser()
    let id: WorkspaceID = try call.pathID("id")
    return try call.db.transaction { db in
        guard let role = try db.one(WorkspaceSQL.memberRole, person.id, id).flatMap(Role.init(rawValue:)) else {
            throw Problem.notFound("workspace")
        }
        try db.setWorkspace(id)
        return try work(db, person.id, role)
    }
}

/// Leaves the transaction in the new workspace.
func auditCreation(of workspace: WorkspaceID, by user: UserID, _ call: Call, _ db: Connection) throws {
    try db.setWorkspace(workspace)
    try db.run(WorkspaceSQL.audit, user, "workspace.created", [:], call.requestID)
}
