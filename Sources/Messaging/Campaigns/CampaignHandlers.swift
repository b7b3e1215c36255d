// Drafts: making, reading, changing, deleting.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listCampaigns(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (createdAt, id) = try paging.newestFirst(CampaignID.self)
    guard let status = call.query("status") else {
        return try call.page(CampaignSQL.page, paging, createdAt, id, paging.fetchLimit)
    }
    return try call.page(CampaignSQL.pageInStatus, paging, createdAt, id, paging.fetchLimit, status)
}

func createCampaign(_ call: Call) throws -> Response {
    let draft = try call.body(CampaignDraft.self)
    let id = CampaignID.new()
    return try call.transaction { db in
        try db.one(CampaignSQL.references, draft.segment, draft.sender).check()
        let inserted = try db.one(
            CampaignSQL.insert, id, draft.name, draft.channel, draft.segment, draft.sender, draft.body, draft.goalEvent,
            draft.attributionSeconds, call.actor.user)
        let planned = try draft.plan.store(in: id, inserted, db)
        var stored = try draft.template.store(in: id, draft.email.store(in: id, planned, db), draft.channel, db)
        if let tracks = draft.tracksLinks { stored = try db.one(LinkSQL.track, id, tracks) }
        stored = try draft.experiment.store(in: id, stored, draft.channel, db)
        try call.audit("campaign.created", "campaign", id.uuid, in: db)
        return .created(try draft.timing.stored(in: stored, id, db), at: "/api/campaigns/\(id)")
    }
}

func readCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    return .resource(try call.read { db in try db.one(CampaignSQL.read, id) })
}

func changeCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let change = try call.body(CampaignChange.self)
    return try call.transaction { db in
        let campaign = try db.one(CampaignSQL.lock, id)
        try call.checkIfMatch(campaign.version)
        if campaign.status == .paused, change.isOnlyBudget {
            return .resource(try Budget.change(of: campaign, to: change.plan, call, db))
        }
        guard campaign.status == .draft else { throw campaign.wrongState(for: "be changed", from: [.draft]) }
        try db.one(CampaignSQL.references, change.segment, change.sender).check()
        try change.email.check(campaign.channel, body: change.body)
        let changed = try db.one(
            CampaignSQL.change, id, change.name, change.segment, change.sender, change.body, change.goalEvent,
            change.clearsGoal, change.attributionSeconds)
        let planned = try change.plan.store(in: id, changed, db)
        var stored = try change.template.store(in: id, change.email.store(in: id, planned, db), campaign.channel, db)
        if let tracks = change.tracksLinks { stored = try db.one(LinkSQL.track, id, tracks) }
        stored = try change.experiment.store(in: id, stored, campaign.channel, db)
        try call.audit("campaign.changed", "campaign", id.uuid, in: db)
        return .resource(try change.timing.stored(in: stored, id, db))
    }
}

func deleteCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    return try call.transaction { db in
        let campaign = try db.one(CampaignSQL.lock, id)
        try call.checkIfMatch(campaign.version)
        guard campaign.status == .draft else { throw campaign.wrongState(for: "be deleted", from: [.draft]) }
        try Pattern.refuse(id, to: "be deleted", db)
        try db.run(CampaignSQL.delete, id)
        try call.audit("campaign.deleted", "campaign", id.uuid, in: db)
        return .noContent
    }
}

// MARK: Messages

func listCampaignMessages(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let paging = try call.paging(sorts: ["contact_id"])
    let after = try paging.after(0, from: ContactID(UUID(high: 0, low: 0)))
    return try call.read { db in
        _ = try db.one(CampaignSQL.find, id)
        guard let state = call.query("state") else {
            return call.page(try explained(db.all(MessageSQL.page, id, after, paging.fetchLimit)), paging)
        }
        return call.page(try explained(db.all(MessageSQL.pageInState, id, after, paging.fetchLimit, state)), paging)
    }
}

func listMessages(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let last = try paging.after(0, from: MessageID(UUID(high: .max, low: .max)))
    guard let text = call.query("contact_id") else {
        return try call.read { db in call.page(try explained(db.all(MessageSQL.newest, last, paging.fetchLimit)), paging) }
    }
    guard let contact = ContactID(text) else { throw Problem.invalid("/contact_id", "bad_format", "Expected a UUID.") }
    return try call.read { db in call.page(try explained(db.all(MessageSQL.newestOfContact, last, paging.fetchLimit, contact)), paging) }
}

func readMessage(_ call: Call) throws -> Response {
    let id: MessageID = try call.pathID("id")
    return try messageResponse(try call.read { db in try db.one(MessageSQL.read, id) })
}

/// A message as `MessageSQL.read` gives it, explained.
func messageResponse(_ text: JSONText) throws -> Response { .json(try explained(text)) }

private func explained(_ text: JSONText) throws -> JSONValue {
    var message = try JSONValue(parsing: text.bytes, limits: .trusted).object ?? [:]
    message["explanation"] = .string(MessageWords.explanation(of: .object(message)))
    return .object(message)
}

private func explained(_ rows: [PageRow]) throws -> [PageRow] {
    try rows.map { PageRow(item: JSONText(try explained($0.item)), key: $0.key) }
}
