internal import JSON
public import Web

public let recurringRoutes: [Route] = [
    .get(
        "/api/recurring-campaigns", listRecurring, needs: .readCampaigns,
        query: QueryParameter.paging + [
            QueryParameter("status", .string(oneOf: RecurringStatus.allCases.map(\.rawValue)), "Only those in this state")
        ], "One page of recurring campaigns, newest first"),
    .post(
        "/api/recurring-campaigns", createRecurring, needs: .writeCampaigns, body: RecurringDraft.schema,
        "Have a draft go out again and again, each time as a campaign of its own"),
    .get(
        "/api/recurring-campaigns/{id}", readRecurring, needs: .readCampaigns, "One recurring campaign, with its next five occurrences"),
    .patch(
        "/api/recurring-campaigns/{id}", changeRecurring, needs: .writeCampaigns, body: RecurringChange.schema,
        "Change what is to come; what went out stays as it is"),
    .delete(
        "/api/recurring-campaigns/{id}", deleteRecurring, needs: .writeCampaigns, "Delete it with its record; its campaigns stay"),
    .get(
        "/api/recurring-campaigns/{id}/occurrences", listOccurrences, needs: .readCampaigns, query: QueryParameter.paging,
        "One page of what became of its occurrences, newest first: the campaigns, and why there is none"),
    .post("/api/recurring-campaigns/{id}/pause", pauseRecurring, needs: .writeCampaigns, "Let occurrences pass"),
    .post(
        "/api/recurring-campaigns/{id}/resume", resumeRecurring, needs: .writeCampaigns,
        "Go on with the next occurrence; those that have passed are not made up for"),
    .post("/api/recurring-campaigns/{id}/end", endRecurring, needs: .writeCampaigns, "End it for good"),
]
