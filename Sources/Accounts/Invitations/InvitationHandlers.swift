internal import JSON
internal import PostgreSQL
internal import Secrets
internal import Vocabulary
internal import Web

func listInvitations(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(InvitationID.self)
    return try call.page(InvitationSQL.page, paging, at, id, paging.fetchLimit)
}

func createInvitation(_ call: Call) throws -> Response {
    let draft = try call.body(InvitationDraft.self)
    let token = APIKeyFormat.generate(.invitation)
    let (id, invitation) = try call.transaction { db in
        guard call.actor.givableRoles.contains(draft.role) else { throw Problem.forbidden("Nobody gives a role above their own.") }
        if try db.one(InvitationSQL.isMember, draft.email) { throw alreadyMember }
        try db.run(InvitationSQL.supersede, draft.email)
        let id = try db.one(
            InvitationSQL.insert, draft.email, draft.role.rawValue, Hash.sha256(Array(token.utf8)), call.actor.user)
        try call.audit("invitation.created", "invitation", id.uuid, details: ["role": .string(draft.role.rawValue)], in: db)
        return (id, try db.one(InvitationSQL.read, id))
    }
    var body = invitation.object ?? [:]
    body["token"] = .string(token)
    return Response.created(.object(body), at: "/api/invitations/\(id)").secret()
}

func revokeInvitation(_ call: Call) throws -> Response {
    let id: InvitationID = try call.pathID("id")
    try call.refuseIfMatch()
    try call.transaction { db in
        guard try db.run(InvitationSQL.revoke, id) == 1 else { throw Problem.notFound("open invitation") }
        try call.audit("invitation.revoked", "invitation", id.uuid, in: db)
    }
    return .noContent
}

func acceptInvitation(_ call: Call) throws -> Response {
    let person = try call.signedInUser()
    let token = try call.body(InvitationToken.self).token
    guard APIKeyFormat.kind(of: token) == .invitation else { throw Problem.notFound("open invitation") }
    let workspace = try call.db.transaction { db in
        let acceptance = try db.one(InvitationSQL.accept, Hash.sha256(Array(token.utf8)), person.id, call.requestID)
        guard acceptance.outcome == "ok", let workspace = acceptance.workspace,
            let role = try db.one(WorkspaceSQL.memberRole, person.id, workspace)
        else { throw refusal(acceptance.outcome) }
        try db.setWorkspace(workspace)
        return try db.one(WorkspaceSQL.read, role)
    }
    return .resource(workspace)
}

private func refusal(_ outcome: String) -> Problem {
    switch outcome {
    case "another_address":
        Problem(403, "invitation_for_another", "Not allowed", "The invitation is for another address than the one signed in.")
    case "already_member": alreadyMember
    default: .notFound("open invitation")
    }
}

private let alreadyMember = Problem.conflict("already_member", "The person is a member already; change the role instead.")
