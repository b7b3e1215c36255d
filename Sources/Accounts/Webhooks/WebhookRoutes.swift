internal import JSON
internal import Web

let webhookRoutes: [Route] = [
    .get("/api/webhook-event-types", listWebhookEventTypes, needs: .manageWebhooks, "What a webhook can hear of"),
    .get("/api/webhooks", listWebhooks, needs: .manageWebhooks, query: QueryParameter.paging, "One page of webhooks, newest first"),
    .post(
        "/api/webhooks", createWebhook, needs: .manageWebhooks, body: WebhookDraft.schema,
        "Make a webhook; its secret, which signs as Standard Webhooks says, is in this answer only"),
    .get("/api/webhooks/{id}", readWebhook, needs: .manageWebhooks, "A webhook"),
    .patch("/api/webhooks/{id}", changeWebhook, needs: .manageWebhooks, body: WebhookChange.schema, "Change the members that are given"),
    .delete("/api/webhooks/{id}", deleteWebhook, needs: .manageWebhooks, "Delete a webhook with its log"),
    .post(
        "/api/webhooks/{id}/rotate-secret", rotateWebhookSecret, needs: .manageWebhooks,
        "A new secret, in this answer only; the one before signs beside it for 24 hours"),
    .post("/api/webhooks/{id}/test", testWebhook, needs: .manageWebhooks, "Deliver an event webhook.test to it"),
    .post("/api/webhooks/{id}/enable", enableWebhook, needs: .manageWebhooks, "Deliver to it again, from now on"),
    .post("/api/webhooks/{id}/disable", disableWebhook, needs: .manageWebhooks, "Deliver nothing to it; what waits has failed"),
    .get(
        "/api/webhooks/{id}/deliveries", listWebhookDeliveries, needs: .manageWebhooks,
        query: QueryParameter.paging + [
            QueryParameter("state", .string(oneOf: ["pending", "delivering", "delivered", "failed"]), "Only deliveries in this state")
        ], "One page of its deliveries of the last 30 days, newest first"),
    .post(
        "/api/webhooks/{id}/replay", replayFailedDeliveries, needs: .manageWebhooks, limit: .heavy, body: ReplayRequest.schema,
        "Deliver again what failed since a time, 10,000 at most"),
    .get("/api/webhook-deliveries/{id}", readWebhookDelivery, needs: .manageWebhooks, "A delivery with its attempts and its body"),
    .post(
        "/api/webhook-deliveries/{id}/replay", replayWebhookDelivery, needs: .manageWebhooks,
        "Deliver again; the event keeps its id"),
]
