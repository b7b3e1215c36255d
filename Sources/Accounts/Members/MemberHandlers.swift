internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listMembers(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(UserID.self)
    return try call.page(MemberSQL.page, paging, at, id, paging.fetchLimit)
}

func changeMember(_ call: Call) throws -> Response {
    let user: UserID = try call.pathID("user_id")
    let change = try call.body(MemberChange.self)
    let member = try call.transaction { db in
        let before = try lockForChange(user, becoming: change.role, call, db)
        try db.run(MemberSQL.setRole, user, change.role.rawValue)
        try withdraw(from: user, allBut: change.role, db)
        try call.audit(
            "member.changed", "user", user.uuid,
            details: ["from": .string(before.rawValue), "to": .string(change.role.rawValue)], in: db)
        return try db.one(MemberSQL.read, user)
    }
    return .resource(member)
}

func removeMember(_ call: Call) throws -> Response {
    let user: UserID = try call.pathID("user_id")
    try call.transaction { db in
        let before = try lockForChange(user, becoming: nil, call, db)
        try db.run(MemberSQL.remove, user)
        try withdraw(from: user, allBut: nil, db)
        // Contacts that belong to them may be many.
        try db.enqueue("release_contacts", payload: ["user_id": .string(user.description)])
        try call.audit("member.removed", "user", user.uuid, details: ["role": .string(before.rawValue)], in: db)
    }
    return .noContent
}

/// Locks the member and checks that the caller may do this to them.
/// - Parameter becoming: the new role; `nil` when they are to leave.
private func lockForChange(_ user: UserID, becoming new: Role?, _ call: Call, _ db: Connection) throws -> Role {
    let owners = try db.all(MemberSQL.lockOwners)
    guard let member = try db.first(MemberSQL.lock, user), let role = Role(rawValue: member.role) else {
        throw Problem.notFound("member")
    }
    try call.checkIfMatch(member.version)
    let givable = call.actor.givableRoles
    guard givable.contains(role), new.map(givable.contains) ?? true else {
        throw Problem.forbidden("Nobody gives or takes a role above their own.")
    }
    if owners == [user], new != .owner { throw Problem.conflict("last_owner", "A workspace keeps at least one owner.") }
    return role
}

/// What somebody handed out does not outlive their right to hand it out.
private func withdraw(from user: UserID, allBut role: Role?, _ db: Connection) throws {
    try db.run(MemberSQL.revokeKeysBeyond, user, role.map { Permission.manageKeys.roles.contains($0) ? $0.scopes : [] } ?? [])
    try db.run(MemberSQL.revokeInvitationsBeyond, user, role?.givable.map(\.rawValue) ?? [])
}
