internal import JSON
public import Web

public let contactRoutes: [Route] = [
    .get(
        "/api/contacts", listContacts, needs: .readAudience,
        query: QueryParameter.paging + [
            QueryParameter("q", .string(min: 2, max: 100), "Part of a name, e-mail address, phone number or external id"),
            QueryParameter("email", .string(max: 254), "Exactly this address"),
            QueryParameter("phone", .string(max: 40), "Exactly this number, in E.164"),
            QueryParameter("external_id", .string(max: 255), "Exactly this id"),
            QueryParameter("status", .string(max: 255), "Exactly this status"),
            QueryParameter("tag", .string(max: 100), "Those with this tag"),
        ], "One page of contacts, newest first"),
    .post("/api/contacts", createContact, needs: .writeAudience, body: ContactDraft.schema, "Add a contact"),
    .get(
        "/api/contacts/export", exportContacts, needs: .readAudience, limit: .heavy,
        query: [QueryParameter("format", .string(oneOf: ["csv", "jsonl"]), "csv when absent")],
        "All contacts as CSV or JSON Lines, streamed"),
    .get("/api/contacts/{id}", readContact, needs: .readAudience, "A contact"),
    .patch(
        "/api/contacts/{id}", changeContact, needs: .writeAudience, body: ContactDraft.schema,
        "Change the members that are given"),
    .get(
        "/api/contacts/{id}/events", listContactEvents, needs: .readAudience,
        query: QueryParameter.paging + [QueryParameter("name", .string(min: 1, max: 255), "Those of this name")],
        "What happened to a contact, newest first: events, and segment.entered and segment.exited"),
    .post(
        "/api/contacts/{id}/erase", eraseContact, needs: .writeAudience,
        "Delete a contact for good: of its addresses only a keyed hash stays, so that an import cannot bring it back"),
    .delete("/api/contacts/{id}", deleteContact, needs: .writeAudience, "Delete a contact with its memberships"),
]
