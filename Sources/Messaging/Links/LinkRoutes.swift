internal import JSON
public import Web

/// What recipients' programs ask for: no sign-in, whatever query they add. nginx limits each address.
public let linkRoutes: [Route] = [
    .get(
        "/l/{key}", followLink, needs: .anyone, limit: .unlimited, openQuery: true,
        "A short link of a message: leads to its address for a year"),
    .get("/o/{key}", openPixel, needs: .anyone, limit: .unlimited, openQuery: true, "The picture that tells that an e-mail was opened"),
]

/// What people ask of what came in.
public let linkHitRoutes: [Route] = [
    .get(
        "/api/links/hits", listLinkHits, needs: .readCampaigns,
        query: QueryParameter.paging + [QueryParameter("campaign_id", .string(format: "uuid"), "Only of this campaign")],
        "Every request for a link or a pixel, newest first, machines with the reason why they are taken for one"),
    .post("/api/links/hits/{id}/count", countLinkHit, needs: .writeCampaigns, "Let a hit count, whatever was thought of it"),
    .post("/api/links/hits/{id}/discount", discountLinkHit, needs: .writeCampaigns, "Let a hit not count, as if a machine had made it"),
]
