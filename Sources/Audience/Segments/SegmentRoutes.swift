internal import JSON
public import Web

public let segmentRoutes: [Route] = [
    .get(
        "/api/segments", listSegments, needs: .readAudience,
        query: QueryParameter.paging + [
            QueryParameter("name", .string(min: 1, max: 200), "Part of the name"),
            QueryParameter("archived", .boolean, "Those that are archived, instead of those that are not"),
        ],
        "One page of segments, newest first"),
    .post(
        "/api/segments", createSegment, needs: .writeAudience, body: SegmentDraft.schema,
        "Save a segment; its membership is calculated in the background"),
    .post(
        "/api/segments/preview", previewRule, needs: .readAudience, limit: .heavy, body: PreviewRequest.schema,
        "Count who a rule finds, now, with a sample"),
    .get("/api/segments/{id}", readSegment, needs: .readAudience, "A segment"),
    .patch("/api/segments/{id}", changeSegment, needs: .writeAudience, body: SegmentChange.schema, "Change the members that are given"),
    .delete("/api/segments/{id}", deleteSegment, needs: .writeAudience, "Delete a segment that nothing uses"),
    .get(
        "/api/segments/{id}/preview", previewSegment, needs: .readAudience, limit: .heavy, query: PreviewRequest.query,
        "Count a saved rule, now"),
    .post(
        "/api/segments/{id}/calculate", calculateSegment, needs: .writeAudience, limit: .heavy,
        "Calculate the membership, in the background"),
    .get("/api/segments/{id}/contacts", listMembers, needs: .readAudience, query: QueryParameter.paging, "One page of members"),
    .get("/api/segments/{id}/history", listHistory, needs: .readAudience, query: QueryParameter.paging, "Entries and exits, newest first"),
]
