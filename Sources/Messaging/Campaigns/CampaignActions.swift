// What moves a campaign from state to state, and a test send.
internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// draft → freezing. The segment is calculated anew and the audience frozen by jobs; then it sends.
func startCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    return try call.transaction { db in
        let campaign = try db.one(CampaignSQL.lock, id)
        guard campaign.status == .draft || campaign.status == .scheduled else {
            throw campaign.wrongState(for: "start", from: [.draft, .scheduled])
        }
        try Pattern.refuse(id, to: "start", db)
        let readiness = try Readiness(campaign, db)
        try readiness.faults.check()
        try db.run(LocalSchedule.forget, id)
        guard let stored = try db.first(CampaignSQL.start, id), let segment = campaign.segment else { throw Problem.notFound() }
        try db.enqueueCalculation(of: segment)
        try db.enqueue(
            freezeCampaign.kind, payload: ["campaign_id": .string(id.description)], key: id.description, by: call.actor.user)
        try call.audit("campaign.started", "campaign", id.uuid, in: db)
        return .resource(stored)
    }
}

/// sending → paused; and what is paused until the new month waits for a person instead.
func pauseCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    return try call.transaction { db in
        let campaign = try db.one(CampaignSQL.lock, id)
        guard let stored = try db.first(CampaignSQL.pause, id) ?? db.first(MonthlyLimitSQL.holdBack, id) else {
            throw campaign.wrongState(for: "pause", from: [.sending])
        }
        try call.audit("campaign.paused", "campaign", id.uuid, in: db)
        return .resource(stored)
    }
}

func resumeCampaign(_ call: Call) throws -> Response {
    try move(call, CampaignSQL.resume, "resume", from: [.paused], "campaign.resumed") { db, campaign in
        guard let sender = campaign.sender, try db.one(SenderSQL.lockStatus, sender) == "active" else {
            throw Problem.conflict("sender_suspended", "The campaign's sender is suspended; give it working credentials first.")
        }
        try Budget.checkResume(campaign, db)
        try MonthlyLimit.checkResume(campaign, db)
        try db.run(StopRuleSQL.remember, campaign.id)
    }
}

func cancelCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let allowed: [CampaignStatus] = [.scheduled, .freezing, .sending, .paused]
    return try call.transaction { db in
        guard let stored = try db.first(CampaignSQL.cancel, id, nil) else {
            throw try db.one(CampaignSQL.find, id).wrongState(for: "be cancelled", from: allowed)
        }
        try db.enqueue(
            closeCampaign.kind, payload: ["campaign_id": .string(id.description)], key: id.description, by: call.actor.user)
        try call.audit("campaign.cancelled", "campaign", id.uuid, in: db)
        return .resource(stored)
    }
}

/// One arrow of the drawing: an UPDATE that names the states it may leave, and 409 with the state it found.
private func move(
    _ call: Call, _ transition: Statement<Stored, CampaignID>, _ action: String, from allowed: [CampaignStatus],
    _ audited: String, check: (Connection, Campaign) throws -> Void = { _, _ in }
) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    return try call.transaction { db in
        let campaign = try db.one(CampaignSQL.lock, id)
        guard allowed.contains(campaign.status) else { throw campaign.wrongState(for: action, from: allowed) }
        try check(db, campaign)
        let stored = try db.one(transition, id)
        try call.audit(audited, "campaign", id.uuid, in: db)
        return .resource(stored)
    }
}

func testCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let test = try call.body(CampaignTest.self)
    return try call.transaction { db in
        // The text shows the contact to whoever gets the test.
        if test.contact != nil { try call.require(.readAudience) }
        // Nobody changes the variants between looking at one and naming it.
        let campaign = try db.one(test.variant == nil ? CampaignSQL.find : CampaignSQL.lock, id)
        var faults = Faults()
        let variant = try test.variant.flatMap { try db.first(ExperimentSQL.variant, id, $0) }
        if test.variant != nil, variant == nil { faults.add("/variant", "not_found", "The campaign has no variant of this name.") }
        let body = variant?.parts.body ?? campaign.body
        if body.isEmpty { faults.add("/body", "required", "The campaign has no text yet.") }
        let sender = try campaign.sender.flatMap { try db.first(SenderSQL.forSending, $0) }
        if sender == nil { faults.add("/sender_id", "required", "The campaign has no sender yet.") }
        if let sender, sender.channel != campaign.channel {
            faults.add("/sender_id", "wrong_channel", "The sender is not one of this channel.")
        }
        let mail = try campaign.channel == .email ? variant?.parts ?? db.one(EmailSQL.parts, id) : nil
        if let mail, mail.subject == nil { faults.add("/subject", "required", "The campaign has no subject yet.") }
        let to = test.address(on: campaign.channel, &faults)
        try faults.check()
        let contact = try test.contact.map { try db.one(TemplateSQL.contact, $0) } ?? [:]
        let text = try mail.map { try EmailTemplate($0).render(contact, unsubscribeURL: "") }?.text ?? TextTemplate(body).render(contact)
        guard !text.isEmpty else { throw Problem.invalid("/body", "empty_text", "Nothing is left of the text for this contact.") }
        let message = MessageID.new()
        let row = try db.one(
            CampaignSQL.insertTest, message, id, test.contact, campaign.sender!, campaign.channel, to, text,
            campaign.channel == .sms ? MessageSize(text).parts : 1)
        // Mail is written when it is sent.
        if mail != nil, let variant { try db.run(ExperimentSQL.testVariant, message, id, variant.place) }
        try call.audit("campaign.tested", "campaign", id.uuid, in: db)
        return .json(row.item, status: 202).with("Location", "/api/messages/\(message)")
    }
}
