internal import JSON
public import Web

public let listRoutes: [Route] = [
    .get("/api/lists", pageOfLists, needs: .readAudience, query: QueryParameter.paging, "One page of lists, newest first"),
    .post("/api/lists", createList, needs: .writeAudience, body: ListDraft.schema, "Make an empty list"),
    .get("/api/lists/{id}", readList, needs: .readAudience, "A list with its size"),
    .patch("/api/lists/{id}", renameList, needs: .writeAudience, body: ListDraft.schema, "Rename a list"),
    .delete("/api/lists/{id}", deleteList, needs: .writeAudience, "Delete a list; its contacts stay"),
    .get(
        "/api/lists/{id}/contacts", pageOfMembers, needs: .readAudience, query: QueryParameter.paging,
        "One page of a list's contacts, by id"),
    .post("/api/lists/{id}/add", addMembers, needs: .writeAudience, body: ListMembers.schema, "Add contacts to a list"),
    .post("/api/lists/{id}/remove", removeMembers, needs: .writeAudience, body: ListMembers.schema, "Take contacts off a list"),
]
