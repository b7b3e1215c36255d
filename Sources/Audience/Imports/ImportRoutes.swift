internal import JSON
public import Web

public let importRoutes: [Route] = [
    .post(
        "/api/contacts/import", startImport, needs: .writeAudience, limit: .heavy,
        query: [
            QueryParameter("mapping", .string(max: 65_536), "JSON: {\"Column\": \"field\" | \"attributes.key\" | null}"),
            QueryParameter("default_country", .string(min: 2, max: 2), "For phone numbers in national form"),
            QueryParameter("consent", .string(max: 20), "Channels that everybody in the file has opted in to: sms,email"),
            QueryParameter("list_id", .string(format: "uuid"), "A list that everybody in the file is added to"),
        ], "Import contacts from CSV (text/csv, or multipart/form-data with `file` and `mapping`)"),
    .get("/api/imports", listImports, needs: .readAudience, query: QueryParameter.paging, "One page of imports, newest first"),
    .get("/api/imports/{id}", readImport, needs: .readAudience, "An import"),
    .get("/api/imports/{id}/errors", downloadErrors, needs: .readAudience, "The rows that were rejected, as CSV"),
]
