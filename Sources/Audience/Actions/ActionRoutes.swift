internal import JSON
public import Web

public let segmentActionRoutes: [Route] = [
    .post(
        "/api/segments/{id}/actions/assign", assignMembers, needs: .writeAudience, limit: .heavy, body: AssignDraft.schema,
        "Give the members of a segment to one person of the team, or to several in turn"),
    .post(
        "/api/segments/{id}/actions/tag", tagMembers, needs: .writeAudience, limit: .heavy, body: TagDraft.schema,
        "Add tags to the members of a segment, and take tags off them"),
    .post(
        "/api/segments/{id}/actions/field", setFieldOfMembers, needs: .writeAudience, limit: .heavy, body: SetFieldDraft.schema,
        "Give a field of the members of a segment one value"),
    .post(
        "/api/segments/{id}/actions/list", listMembersOfSegment, needs: .writeAudience, limit: .heavy, body: ToListDraft.schema,
        "Add the members of a segment to a list"),
    .post(
        "/api/segments/{id}/actions/message", draftMessage, needs: .writeCampaigns, limit: .heavy, body: MessageDraft.schema,
        "Draft a campaign to a segment; its text is written there"),
    .post(
        "/api/segments/{id}/actions/export", exportMembers, needs: .readAudience, limit: .heavy, body: ExportDraft.schema,
        "Write the members of a segment into a file, kept for a day"),
    .get(
        "/api/segments/{id}/actions", listActions, needs: .readAudience, query: QueryParameter.paging,
        "One page of what was done to a segment, newest first"),
    .get(
        "/api/segment-actions/{id}", readAction, needs: .readAudience,
        "What was done to a segment: how far it is, and what came of it"),
    .post(
        "/api/segment-actions/{id}/undo", undoAction, needs: .writeAudience, limit: .heavy,
        "Restore what an action changed, where nobody changed it since"),
    .get("/api/segment-actions/{id}/download", downloadExport, needs: .readAudience, limit: .heavy, "The file of an export"),
]
