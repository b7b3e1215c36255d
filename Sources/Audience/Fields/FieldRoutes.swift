internal import JSON
public import Web

public let fieldRoutes: [Route] = [
    .get(
        "/api/fields", pageOfFields, needs: .readAudience, query: QueryParameter.paging,
        "One page of fields: those that every contact has, then attributes by key"),
    .get("/api/fields/{key}", readField, needs: .readAudience, "A field"),
    .put(
        "/api/fields/{key}", declareField, needs: .writeAudience, body: FieldDraft.schema,
        "Declare an attribute's type; it wins over what its values look like"),
    .delete(
        "/api/fields/{key}", undeclareField, needs: .writeAudience,
        "Take a declaration back; values that were seen decide again"),
]
