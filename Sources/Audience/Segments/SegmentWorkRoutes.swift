internal import JSON
public import Web

/// Working with segments that are there: their past, their copies, and who may see them.
public let segmentWorkRoutes: [Route] = [
    .get(
        "/api/segments/{id}/versions", listSegmentVersions, needs: .readAudience, query: QueryParameter.paging,
        "What the segment was after each save, newest first"),
    .get("/api/segments/{id}/versions/{version}", readSegmentVersion, needs: .readAudience, "The segment as it was in a version"),
    .post(
        "/api/segments/{id}/versions/{version}/restore", restoreSegmentVersion, needs: .writeAudience,
        "Make the segment again what it was in a version; that is a new version"),
    .post(
        "/api/segments/{id}/diff", differSegment, needs: .readAudience, limit: .heavy, body: DifferenceRequest.schema,
        "What differs between two definitions, and who would enter and leave: before anything is saved"),
    .post("/api/segments/{id}/copy", copySegment, needs: .writeAudience, body: SegmentCopy.schema, "A segment with the same rule"),
    .post(
        "/api/segments/{id}/archive", archiveSegment, needs: .writeAudience,
        "Put the segment away: hidden, not calculated, and nothing new may use it"),
    .post("/api/segments/{id}/unarchive", unarchiveSegment, needs: .writeAudience, "Take the segment out again, and calculate it"),
    .get(
        "/api/segments/{id}/definition", exportDefinition, needs: .readAudience,
        "The definition as a file: references by name, for review in git"),
    .get(
        "/api/segments/definitions", exportDefinitions, needs: .readAudience,
        query: [QueryParameter("ids", .string(max: 7400), "Which, up to 200, separated by commas; all that are not archived when absent")],
        "Several definitions as one file"),
    .post(
        "/api/segments/import", importDefinitions, needs: .writeAudience, limit: .heavy,
        query: [QueryParameter("dry_run", .boolean, "Only tell what would become of each")], body: DefinitionFile.schema,
        "Take definitions as they were exported: new names are made, known ones changed; all of them or none"),
    .get("/api/segment-templates", listSegmentTemplates, needs: .readAudience, "Rules for common questions, made for this workspace"),
    .post(
        "/api/segment-templates/{template}/preview", previewSegmentTemplate, needs: .readAudience, limit: .heavy,
        body: TemplatePreview.schema,
        "Count who a template finds, now, with a sample"),
    .get(
        "/api/segments/recommendations", recommendSegments, needs: .readAudience, limit: .heavy,
        "Segments worth having, found in the workspace's own data, each with its reason"),
    .get(
        "/api/segments/compare", compareSegments, needs: .readAudience, limit: .heavy,
        query: [
            QueryParameter("ids", .string(max: 400), "Two to five segments, separated by commas"),
            QueryParameter(
                "range", .string(oneOf: ["7d", "30d", "90d", "1y"]), "Which messages count, by when they were sent; 30d when absent"),
        ], "Segments side by side: sizes, overlaps, and what came of messages to their members"),
    .get(
        "/api/segments/{id}/trend", segmentTrend, needs: .readAudience,
        query: [
            QueryParameter("range", .string(oneOf: ["7d", "30d", "90d"]), "How far back; 30d when absent"),
            QueryParameter("group", .string(oneOf: ["day", "week"]), "Steps by the workspace's clock; day when absent"),
        ], "Size, entries and exits over time"),
    .get(
        "/api/segments/{id}/alerts", listAlerts, needs: .readAudience, query: QueryParameter.paging, "Alerts about the size, newest first"),
    .post(
        "/api/segments/{id}/alerts", createAlert, needs: .writeAudience, body: AlertDraft.schema,
        "Tell when the size passes a number, or moves by a share within a day"),
    .patch(
        "/api/segments/{id}/alerts/{alert_id}", changeAlert, needs: .writeAudience, body: AlertChange.schema, "Change when an alert fires"),
    .delete("/api/segments/{id}/alerts/{alert_id}", deleteAlert, needs: .writeAudience, "Delete an alert; what it told stays"),
    .get(
        "/api/segments/notifications", listSegmentNotifications, needs: .readAudience, query: QueryParameter.paging,
        "What alerts told, newest first"),
    .get("/api/segments/{id}/shares", listShares, needs: .readAudience, query: QueryParameter.paging, "With whom the segment is shared"),
    .put(
        "/api/segments/{id}/shares", setSharing, needs: .writeAudience, body: SharingDraft.schema, "Open the segment to all, or restrict it"
    ),
    .put(
        "/api/segments/{id}/shares/{user_id}", shareSegment, needs: .writeAudience, body: ShareDraft.schema,
        "Share the segment with a member, or change what they may"),
    .delete("/api/segments/{id}/shares/{user_id}", unshareSegment, needs: .writeAudience, "Share the segment with a member no longer"),
]
