// Making, changing, pausing and ending recurring campaigns.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listRecurring(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (createdAt, id) = try paging.newestFirst(RecurringCampaignID.self)
    return try call.page(RecurringSQL.page, paging, createdAt, id, paging.fetchLimit, call.query("status"))
}

func createRecurring(_ call: Call) throws -> Response {
    let draft = try call.body(RecurringDraft.self)
    let id = RecurringCampaignID.new()
    return try call.transaction { db in
        let rule = draft.rule
        try rule.check(db)
        try Pattern.check(draft.pattern, sendFor: draft.sendFor, db)
        try db.run(
            RecurringSQL.insert, id, draft.name, draft.pattern, rule.every, rule.interval, rule.weekdays, rule.dayOfMonth, rule.at,
            rule.timeZone, rule.startsOn, rule.endsOn, rule.endsAfter, draft.sendFor, call.actor.user)
        guard let next = try db.one(RecurringSQL.next, id) else { throw rule.neverOccurs }
        let stored = try db.one(RecurringSQL.activate, id, next)
        try call.audit("recurring_campaign.created", "recurring_campaign", id.uuid, in: db)
        return .created(stored, at: "/api/recurring-campaigns/\(id)")
    }
}

func readRecurring(_ call: Call) throws -> Response {
    let id: RecurringCampaignID = try call.pathID("id")
    return .resource(try call.read { db in try db.one(RecurringSQL.read, id) })
}

func changeRecurring(_ call: Call) throws -> Response {
    let id: RecurringCampaignID = try call.pathID("id")
    let change = try call.body(RecurringChange.self)
    return try call.transaction { db in
        let recurring = try db.one(RecurringSQL.lock, id)
        try call.checkIfMatch(recurring.version)
        try recurring.require([.active, .paused], to: "be changed")
        let rule = change.rule(recurring.rule)
        try rule.check(db)
        let sendFor = change.clearsSendFor ? nil : change.sendFor ?? recurring.sendFor
        if let pattern = change.pattern ?? recurring.pattern, change.pattern != nil || sendFor != recurring.sendFor {
            try Pattern.check(pattern, sendFor: sendFor, db)
        }
        var stored = try db.one(
            RecurringSQL.change, id, change.name, change.pattern, rule.every, rule.interval, rule.weekdays, rule.dayOfMonth, rule.at,
            rule.timeZone, rule.startsOn, rule.endsOn, rule.endsAfter, change.clearsSendFor, change.sendFor)
        // What is due by a rule that stays is still to be settled.
        if rule != recurring.rule {
            // Also of what is paused: it could not be resumed.
            guard let next = try db.one(RecurringSQL.next, id) else { throw rule.neverOccurs }
            if recurring.status == .active { stored = try db.one(RecurringSQL.setNext, id, next) }
        }
        try call.audit("recurring_campaign.changed", "recurring_campaign", id.uuid, in: db)
        return .resource(stored)
    }
}

func deleteRecurring(_ call: Call) throws -> Response {
    let id: RecurringCampaignID = try call.pathID("id")
    return try call.transaction { db in
        try call.checkIfMatch(try db.one(RecurringSQL.lock, id).version)
        try db.run(RecurringSQL.delete, id)
        try call.audit("recurring_campaign.deleted", "recurring_campaign", id.uuid, in: db)
        return .noContent
    }
}

func listOccurrences(_ call: Call) throws -> Response {
    let id: RecurringCampaignID = try call.pathID("id")
    let paging = try call.paging(sorts: ["-occurs_at"])
    let before: TimestampText = try paging.after(0, from: .infinity)
    return try call.read { db in
        _ = try db.one(RecurringSQL.read, id)
        return call.page(try db.all(RecurringSQL.occurrences, id, before, paging.fetchLimit), paging)
    }
}

// MARK: States

func pauseRecurring(_ call: Call) throws -> Response {
    try move(call, "be paused", from: [.active], "recurring_campaign.paused") { id, db in try db.one(RecurringSQL.pause, id) }
}

func resumeRecurring(_ call: Call) throws -> Response {
    try move(call, "be resumed", from: [.paused], "recurring_campaign.resumed") { id, db in
        guard let next = try db.one(RecurringSQL.next, id) else {
            throw Problem.conflict("no_occurrence", "Its last occurrence has passed; change when it ends, or end it.")
        }
        return try db.one(RecurringSQL.activate, id, next)
    }
}

func endRecurring(_ call: Call) throws -> Response {
    try move(call, "be ended", from: [.active, .paused], "recurring_campaign.ended") { id, db in try db.one(RecurringSQL.end, id) }
}

private func move(
    _ call: Call, _ action: String, from allowed: [RecurringStatus], _ audited: String,
    _ transition: (RecurringCampaignID, Connection) throws -> Stored
) throws -> Response {
    let id: RecurringCampaignID = try call.pathID("id")
    return try call.transaction { db in
        try db.one(RecurringSQL.lock, id).require(allowed, to: action)
        let stored = try transition(id, db)
        try call.audit(audited, "recurring_campaign", id.uuid, in: db)
        return .resource(stored)
    }
}
