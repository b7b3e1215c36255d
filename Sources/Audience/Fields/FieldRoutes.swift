internal import JSON
public import Web

public let fieldRoutes: [Route] = [
    .get(
        "/api/fields", pageOfFields, needs: .readAudience, query: QueryParameter.paging,
        "One page of fields: those that every contact has, then attributes by key"),
    .get("/api/fields/{key}", readField, needs: .readAudience, "A field"),
    .get(
        "/api/fields/{key}/values", suggestValues, needs: .readAudience,
        query: [
            QueryParameter("prefix", .string(max: 200), "How they begin, in any case"),
            QueryParameter("limit", .integer(1...100), "How many; 20 when absent"),
        ], "Values of a field to choose from while typing, the most frequent first"),
    .put(
        "/api/fields/{key}", declareField, needs: .writeAudience, query: dryRun, body: FieldDraft.schema,
        "Declare an attribute's type; it wins over what its values look like"),
    .delete(
        "/api/fields/{key}", undeclareField, needs: .writeAudience,
        "Take a declaration back; values that were seen decide again"),
    .post(
        "/api/fields/{key}/rename", renameField, needs: .writeAudience, limit: .heavy, query: dryRun, body: RenameDraft.schema,
        "Rename an attribute of all contacts, and in the rules that read it"),
]

private let dryRun = [QueryParameter("dry_run", .boolean, "Only tell which segments it touches")]
