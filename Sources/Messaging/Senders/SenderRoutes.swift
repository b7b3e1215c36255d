public import Web
internal import JSON

public let senderRoutes: [Route] = [
    .get("/api/senders", listSenders, needs: .readCampaigns, query: QueryParameter.paging, "One page of senders, newest first"),
    .post("/api/senders", createSender, needs: .manageSettings, body: SenderDraft.schema, "Add a number or service to send from"),
    .get("/api/senders/{id}", readSender, needs: .readCampaigns, "One sender, without its credentials"),
    .patch("/api/senders/{id}", changeSender, needs: .manageSettings, body: SenderChange.schema, "Change a sender"),
    .delete("/api/senders/{id}", deleteSender, needs: .manageSettings, "Delete a sender that no campaign uses"),
]
