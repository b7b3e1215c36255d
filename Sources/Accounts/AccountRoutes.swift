internal import JSON
public import Web

/// Everything about people, workspaces and who may what; and jobs and notices, which belong to no other area.
public let accountRoutes: [Route] =
    signInRoutes + workspaceRoutes + memberRoutes + invitationRoutes + apiKeyRoutes + settingsRoutes + auditRoutes
    + jobRoutes + noticeRoutes + webhookRoutes

private let signInRoutes: [Route] = [
    .post(
        "/auth/sign-up", signUp, needs: .anyone, limit: .signIn, body: SignUpDraft.schema,
        "Make a user with a first workspace, and sign in"),
    .post(
        "/auth/sign-in", signIn, needs: .anyone, limit: .signIn, body: SignInRequest.schema,
        "Begin a session; the token comes in the answer and as a cookie"),
    .post("/auth/sign-out", signOut, needs: .signedIn, body: SignOutRequest.schema, "End this session, or all of the person's"),
    .get("/auth/user", currentUser, needs: .signedIn, "Who is signed in, and their workspaces"),
    .post(
        "/auth/invitations/accept", acceptInvitation, needs: .signedIn, limit: .signIn, body: InvitationToken.schema,
        "Join the workspace that sent the invitation"),
]

private let workspaceRoutes: [Route] = [
    .get("/api/workspaces", listWorkspaces, needs: .signedIn, query: QueryParameter.paging, "The person's workspaces, oldest first"),
    .post("/api/workspaces", createWorkspace, needs: .signedIn, body: WorkspaceDraft.schema, "Make a workspace and own it"),
    .get("/api/workspaces/{id}", readWorkspace, needs: .signedIn, "One of the person's workspaces"),
    .patch(
        "/api/workspaces/{id}", changeWorkspace, needs: .signedIn, body: WorkspaceChange.schema,
        "Change the members that are given; for owners and admins of that workspace"),
]

private let memberRoutes: [Route] = [
    .get("/api/members", listMembers, needs: .readMembers, query: QueryParameter.paging, "One page of members, newest first"),
    .patch(
        "/api/members/{user_id}", changeMember, needs: .manageMembers, body: MemberChange.schema,
        "Change a member's role; never above one's own"),
    .delete(
        "/api/members/{user_id}", removeMember, needs: .manageMembers,
        "Remove a member, and revoke the keys and invitations that they made"),
]

private let invitationRoutes: [Route] = [
    .get(
        "/api/invitations", listInvitations, needs: .manageMembers, query: QueryParameter.paging,
        "One page of invitations, newest first"),
    .post(
        "/api/invitations", createInvitation, needs: .manageMembers, body: InvitationDraft.schema,
        "Invite an address; the token is in this answer only. An older open invitation of the address ends"),
    .delete("/api/invitations/{id}", revokeInvitation, needs: .manageMembers, "Revoke an open invitation"),
]

private let apiKeyRoutes: [Route] = [
    .get("/api/api-keys", listAPIKeys, needs: .manageKeys, query: QueryParameter.paging, "One page of API keys, newest first"),
    .post("/api/api-keys", createAPIKey, needs: .manageKeys, body: APIKeyDraft.schema, "Make an API key; its token is in this answer only"),
    .delete("/api/api-keys/{id}", revokeAPIKey, needs: .manageKeys, "Revoke an API key, for good and at once"),
]

private let settingsRoutes: [Route] = [
    .get("/api/settings", readSettings, needs: .readSettings, "The workspace's settings"),
    .patch("/api/settings", changeSettings, needs: .manageSettings, body: SettingsChange.schema, "Change the settings that are given"),
]

private let auditRoutes: [Route] = [
    .get(
        "/api/audit-log", listAuditLog, needs: .readAudit,
        query: QueryParameter.paging + [QueryParameter("subject_id", .string(max: 36, format: "uuid"), "Only what happened to this")],
        "Who changed what, newest first")
]
