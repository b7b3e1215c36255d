// The log of what was delivered, and doing it again.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listWebhookDeliveries(_ call: Call) throws -> Response {
    let webhook: WebhookID = try call.pathID("id")
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(WebhookDeliveryID.self)
    return try call.read { db in
        guard try db.first(WebhookSQL.read, webhook) != nil else { throw Problem.notFound("webhook") }
        if let state = call.query("state") {
            return try call.page(WebhookDeliverySQL.pageInState, paging, webhook, at, id, paging.fetchLimit, state)
        }
        return try call.page(WebhookDeliverySQL.page, paging, webhook, at, id, paging.fetchLimit)
    }
}

func readWebhookDelivery(_ call: Call) throws -> Response {
    let id: WebhookDeliveryID = try call.pathID("id")
    return try call.read { db in
        guard let delivery = try db.first(WebhookDeliverySQL.readWhole, id) else { throw Problem.notFound("delivery") }
        return .json(delivery)
    }
}

/// The schedule begins anew, with the same event: receivers know it by its id.
func replayWebhookDelivery(_ call: Call) throws -> Response {
    let id: WebhookDeliveryID = try call.pathID("id")
    try call.refuseIfMatch()
    return try call.transaction { db in
        guard let isActive = try db.first(WebhookDeliverySQL.isActive, id) else { throw Problem.notFound("delivery") }
        if !isActive { throw Problem.webhookDisabled }
        guard try db.run(WebhookDeliverySQL.replay, id) == 1 else {
            throw Problem.conflict("delivery_under_way", "The delivery has not ended yet; it needs no replay.")
        }
        try call.audit("webhook.delivery_replayed", "webhook_delivery", id.uuid, in: db)
        return .json(try db.one(WebhookDeliverySQL.read, id), status: 202)
    }
}

/// The oldest first; what is beyond the most of one request is for the next.
func replayFailedDeliveries(_ call: Call) throws -> Response {
    let most = 10_000
    let request = try call.body(ReplayRequest.self)
    return try withWebhook(call) { id, webhook, db in
        if !webhook.isActive { throw Problem.webhookDisabled }
        let count = try db.run(WebhookDeliverySQL.replayFailed, id, request.since, most)
        try call.audit("webhook.deliveries_replayed", "webhook", id.uuid, details: ["count": .integer(Int64(count))], in: db)
        return .json(["replayed": .integer(Int64(count)), "has_more": .bool(count == most)], status: 202)
    }
}
