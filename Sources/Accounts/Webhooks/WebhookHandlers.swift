internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

private let mostWebhooks = 20

func listWebhooks(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(WebhookID.self)
    return try call.page(WebhookSQL.page, paging, at, id, paging.fetchLimit)
}

func listWebhookEventTypes(_ call: Call) throws -> Response {
    try call.authorizeOnly()
    return .json(WebhookEventType.json)
}

func createWebhook(_ call: Call) throws -> Response {
    let draft = try call.body(WebhookDraft.self)
    let (id, secret) = (WebhookID.new(), WebhookSecret.generate())
    let webhook = try call.transaction { db in
        try WebhookURL.check(draft.url, allowsPrivate: call.configuration.allowsPrivateWebhooks)
        // Locked, so that two who make the last one do not make two.
        _ = try db.one(WorkspaceSQL.lock)
        if try db.one(WebhookSQL.count) >= mostWebhooks {
            throw Problem.conflict("too_many_webhooks", "A workspace has at most \(mostWebhooks) webhooks.")
        }
        try db.run(
            WebhookSQL.insert, id, draft.url, draft.description, draft.eventTypes,
            secret.sealed(with: call.configuration.sealingKey, workspace: call.actor.workspace, webhook: id), call.actor.user)
        try call.audit("webhook.created", "webhook", id.uuid, in: db)
        return try db.one(WebhookSQL.read, id)
    }
    return Response.created(try shown(webhook, with: secret), at: "/api/webhooks/\(id)").etag(version: webhook.version).secret()
}

func readWebhook(_ call: Call) throws -> Response {
    let id: WebhookID = try call.pathID("id")
    guard let webhook = try call.read({ db in try db.first(WebhookSQL.read, id) }) else { throw Problem.notFound("webhook") }
    return .resource(webhook)
}

func changeWebhook(_ call: Call) throws -> Response {
    let change = try call.body(WebhookChange.self)
    return try withWebhook(call) { id, _, db in
        if let url = change.url { try WebhookURL.check(url, allowsPrivate: call.configuration.allowsPrivateWebhooks) }
        try db.run(WebhookSQL.change, id, change.url, change.description, change.eventTypes)
        try call.audit("webhook.changed", "webhook", id.uuid, in: db)
        return .resource(try db.one(WebhookSQL.read, id))
    }
}

/// Its deliveries are nobody's then; the worker gives up those that wait.
func deleteWebhook(_ call: Call) throws -> Response {
    try withWebhook(call) { id, _, db in
        try db.run(WebhookSQL.delete, id)
        try call.audit("webhook.deleted", "webhook", id.uuid, in: db)
        return .noContent
    }
}

func rotateWebhookSecret(_ call: Call) throws -> Response {
    let secret = WebhookSecret.generate()
    return try withWebhook(call) { id, _, db in
        try db.run(
            WebhookSQL.rotate, id, secret.sealed(with: call.configuration.sealingKey, workspace: call.actor.workspace, webhook: id))
        try call.audit("webhook.secret_rotated", "webhook", id.uuid, in: db)
        let webhook = try db.one(WebhookSQL.read, id)
        return Response.json(try shown(webhook, with: secret)).etag(version: webhook.version).secret()
    }
}

func enableWebhook(_ call: Call) throws -> Response {
    try withWebhook(call) { id, _, db in
        if try db.run(WebhookSQL.enable, id) == 1 { try call.audit("webhook.enabled", "webhook", id.uuid, in: db) }
        return .resource(try db.one(WebhookSQL.read, id))
    }
}

func disableWebhook(_ call: Call) throws -> Response {
    try withWebhook(call) { id, _, db in
        if try db.run(WebhookSQL.disable, id) == 1 { try call.audit("webhook.disabled", "webhook", id.uuid, in: db) }
        return .resource(try db.one(WebhookSQL.read, id))
    }
}

func testWebhook(_ call: Call) throws -> Response {
    try withWebhook(call) { id, webhook, db in
        if !webhook.isActive { throw Problem.webhookDisabled }
        let delivery = try db.one(WebhookDeliverySQL.test, id, WebhookEventType.test)
        try call.audit("webhook.tested", "webhook", id.uuid, in: db)
        return Response.json(try db.one(WebhookDeliverySQL.read, delivery), status: 202)
            .with("Location", "/api/webhook-deliveries/\(delivery)")
    }
}

extension Problem {
    static let webhookDisabled = Problem.conflict("webhook_disabled", "The webhook is disabled; enable it first.")
}

/// One webhook, locked, of the version that was asked for.
func withWebhook(_ call: Call, _ work: (WebhookID, LockedWebhook, Connection) throws -> Response) throws -> Response {
    let id: WebhookID = try call.pathID("id")
    return try call.transaction { db in
        guard let webhook = try db.first(WebhookSQL.lock, id) else { throw Problem.notFound("webhook") }
        try call.checkIfMatch(webhook.version)
        return try work(id, webhook, db)
    }
}

private func shown(_ webhook: Stored, with secret: WebhookSecret) throws -> JSONValue {
    var body = try JSONValue(parsing: webhook.item.bytes).object ?? [:]
    body["secret"] = .string(secret.text)
    return .object(body)
}
