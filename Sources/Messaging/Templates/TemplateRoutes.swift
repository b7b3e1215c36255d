public import Web
internal import JSON

public let templateRoutes: [Route] = [
    .get("/api/templates", listTemplates, needs: .readCampaigns, query: QueryParameter.paging, "One page of templates, newest first"),
    .post("/api/templates", createTemplate, needs: .writeCampaigns, body: TemplateDraft.schema, "Save a template"),
    .get("/api/templates/{id}", readTemplate, needs: .readCampaigns, "One template"),
    .patch("/api/templates/{id}", changeTemplate, needs: .writeCampaigns, body: TemplateChange.schema, "Change a template"),
    .delete("/api/templates/{id}", deleteTemplate, needs: .writeCampaigns, "Delete a template"),
    .get(
        "/api/templates/{id}/versions", listTemplateVersions, needs: .readCampaigns, query: QueryParameter.paging,
        "What the template was after each save, newest first"),
    .get("/api/templates/{id}/versions/{version}", readTemplateVersion, needs: .readCampaigns, "The template as it was in a version"),
    .post(
        "/api/templates/{id}/versions/{version}/restore", restoreTemplateVersion, needs: .writeCampaigns,
        "Make the template say again what it said in a version; that is a new version"),
    .post(
        "/api/templates/preview", previewText, needs: .readCampaigns, body: TextPreview.schema,
        "Render a text for a contact, with its parts, before it is saved"),
    .post(
        "/api/templates/{id}/preview", previewTemplate, needs: .readCampaigns, body: TemplatePreview.schema,
        "Render a template for a contact, with its parts"),
]
