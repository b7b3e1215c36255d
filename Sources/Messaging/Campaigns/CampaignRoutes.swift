internal import JSON
public import Web

public let campaignRoutes: [Route] = [
    .get("/api/campaigns", listCampaigns, needs: .readCampaigns, query: campaignFilters, "One page of campaigns, newest first"),
    .post("/api/campaigns", createCampaign, needs: .writeCampaigns, body: CampaignDraft.schema, "Draft a campaign"),
    .get("/api/campaigns/{id}", readCampaign, needs: .readCampaigns, "One campaign, with its counts"),
    .patch("/api/campaigns/{id}", changeCampaign, needs: .writeCampaigns, body: CampaignChange.schema, "Change a draft"),
    .delete("/api/campaigns/{id}", deleteCampaign, needs: .writeCampaigns, "Delete a draft"),
    .post(
        "/api/campaigns/{id}/preflight", preflightCampaign, needs: .readCampaigns, limit: .heavy,
        "Who would get it and who not and why, parts, encoding, time, and what keeps it from starting"),
    .post(
        "/api/campaigns/{id}/copy", copyCampaign, needs: .writeCampaigns, body: CampaignCopyDraft.schema,
        "Draft a campaign with everything that this one has, whatever became of it"),
    .post("/api/campaigns/{id}/start", startCampaign, needs: .writeCampaigns, "Freeze the audience, then send"),
    .post(
        "/api/campaigns/{id}/schedule", scheduleCampaign, needs: .writeCampaigns, body: CampaignSchedule.schema,
        "Have it start at an instant, or reach everybody at one time of their own clock; again for another one"),
    .post("/api/campaigns/{id}/unschedule", unscheduleCampaign, needs: .writeCampaigns, "Make a scheduled campaign a draft again"),
    .post("/api/campaigns/{id}/pause", pauseCampaign, needs: .writeCampaigns, "Stop sending within a second"),
    .post("/api/campaigns/{id}/resume", resumeCampaign, needs: .writeCampaigns, "Go on where it stopped"),
    .post("/api/campaigns/{id}/cancel", cancelCampaign, needs: .writeCampaigns, "Stop for good; what was sent stays in the ledger"),
    .post(
        "/api/campaigns/{id}/winner", chooseWinner, needs: .writeCampaigns, limit: .heavy, body: WinnerChoice.schema,
        "Choose the variant that the rest of the audience gets; once"),
    .post(
        "/api/campaigns/{id}/test", testCampaign, needs: .writeCampaigns, body: CampaignTest.schema,
        "Send it to one number or address, outside the audience and the counts"),
    .get(
        "/api/campaigns/{id}/messages", listCampaignMessages, needs: .readCampaigns, query: messageFilters,
        "One page of the campaign's messages, skipped ones included"),
    .get("/api/messages", listMessages, needs: .readCampaigns, query: contactFilter, "One page of messages, newest first"),
    .get(
        "/api/messages/{id}", readMessage, needs: .readCampaigns,
        "One message with its text, its receipts, its former attempts, and in words why it stands where it stands"),
    .post(
        "/api/messages/{id}/settle", settleMessage, needs: .writeCampaigns, body: MessageVerdict.schema,
        "Say what became of a message that nobody could tell of"),
    .post("/api/messages/{id}/retry", retryMessage, needs: .writeCampaigns, "Try a failed message again, as a new attempt"),
    .post(
        "/api/campaigns/{id}/retry", retryCampaign, needs: .writeCampaigns, limit: .heavy, body: CampaignRetry.schema,
        "Try failed messages again, at most 10,000 at once; a campaign that had finished sends again"),
]

private let campaignFilters =
    QueryParameter.paging + [
        QueryParameter("status", .string(oneOf: CampaignStatus.allCases.map(\.rawValue)), "Only campaigns in this state")
    ]

private let contactFilter = QueryParameter.paging + [QueryParameter("contact_id", .string(format: "uuid"), "Only those to this contact")]

private let messageFilters =
    QueryParameter.paging + [
        QueryParameter("state", .string(oneOf: MessageState.allCases.map(\.rawValue)), "Only messages in this state")
    ]
