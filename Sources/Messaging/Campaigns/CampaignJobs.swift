// The long halves of start and cancel.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

public let messagingJobs: [JobHandler] = [freezeCampaign, closeCampaign]

/// freezing → sending: the audience becomes rows of the ledger, once, in one transaction. Until it commits nobody sees
/// any of them, and a second run finds the campaign in another state.
let freezeCampaign = JobHandler("freeze_campaign") { job in
    let id = try campaignID(job)
    // It may have been sent after the instant to which the server was restored.
    if try job.transaction({ db in try db.one(RestoreSQL.isHeld) }) { throw JobSnooze(seconds: 10) }
    try awaitSegment(job, id)
    var frozen = 0
    let result: JSONValue = try job.transaction { db in
        let campaign = try db.one(CampaignSQL.find, id)
        guard campaign.status == .freezing, let segment = campaign.segment, let sender = campaign.sender else {
            return ["status": .string(campaign.status.rawValue)]
        }
        _ = try db.one(CampaignSQL.planSetWise)
        frozen = try db.run(CampaignSQL.insertAudience, id, segment, sender, campaign.channel)
        try db.run(Holdout.countArms, id)
        // Whoever suspends the sender comes before this, and is seen, or after it, and pauses the campaign.
        let senderIsActive = try db.one(SenderSQL.lockStatus, sender) == "active"
        // Cancelled meanwhile: the rows go with this transaction.
        guard try db.run(CampaignSQL.freeze, id) == 1 else { throw JobSnooze(seconds: 0) }
        if !senderIsActive { try Pause.campaign(id, "sender_suspended", db) }
        let skipped = try db.all(CampaignSQL.reasons, id)
        crashPoint("before_freeze_commit")
        return [
            "frozen": .integer(Int64(frozen)), "recipients": .integer(Int64(frozen - skipped.reduce(0) { $0 + $1.count })),
            "skipped": .object(counted(skipped)),
        ]
    }
    try job.refreshStatistics(of: ["messages"], afterWriting: frozen)
    return result
}

/// Waits, without holding a thread, until the segment has been calculated since the start was asked for.
private func awaitSegment(_ job: JobContext, _ id: CampaignID) throws {
    let waitSeconds: Double? = try job.transaction { db in
        let campaign = try db.one(CampaignSQL.find, id)
        guard campaign.status == .freezing, let segment = campaign.segment, let asked = campaign.startRequestedAt else { return nil }
        guard let state = try db.first(CampaignSQL.segment, segment) else {
            return try giveUp(db, id, "segment_missing")
        }
        // Put away since the start was asked for: nobody keeps its members right any more.
        if state.fault == "segment_archived" { return try giveUp(db, id, "segment_archived") }
        let isFresh = state.calculatedAt.map { $0 >= asked } ?? false
        if state.state == "ready", isFresh { return nil }
        let isBeingCalculated = try db.one(CampaignSQL.isBeingCalculated, segment.description)
        // A failure from before the start says nothing while the calculation that was asked for is still to come.
        if state.state == "failed", !isBeingCalculated { return try giveUp(db, id, "segment_failed") }
        // The calculation that was asked for may have joined one that had begun before: then it takes another.
        if !isBeingCalculated { try db.enqueueCalculation(of: segment) }
        return Instant.now().seconds(since: asked) < 10 ? 0.2 : 2
    }
    if let waitSeconds { throw JobSnooze(seconds: waitSeconds) }
}

/// A campaign whose audience cannot be known ends here; nothing was sent.
private func giveUp(_ db: Connection, _ id: CampaignID, _ reason: String) throws -> Double? {
    try db.run(CampaignSQL.cancel, id, reason)
    return nil
}

/// What a cancelled campaign has not sent becomes skipped, in batches; what is in a worker's hands is waited for.
let closeCampaign = JobHandler("close_campaign") { job in
    let id = try campaignID(job)
    var skipped = 0
    while true {
        let count = try job.transaction { db in try db.run(LedgerSQL.skipCancelled, id, 5000) }
        skipped += count
        if count == 0 { break }
        if job.isStopping { throw JobSnooze(seconds: 0) }
    }
    if try job.transaction({ db in try db.one(LedgerSQL.isOpen, id) }) { throw JobSnooze(seconds: 1) }
    return ["skipped": .integer(Int64(skipped))]
}

private func campaignID(_ job: JobContext) throws -> CampaignID {
    guard let text = job.payload["campaign_id"]?.string, let id = CampaignID(text) else {
        throw JobFailure("bad_payload", "The job names no campaign.")
    }
    return id
}

func counted(_ reasons: [ReasonCount]) -> JSONObject {
    var object = JSONObject()
    for reason in reasons { object[reason.reason ?? "none"] = .integer(Int64(reason.count)) }
    return object
}

extension Connection {
    /// Segments belong to the audience, which calculates them in a job of this kind.
    func enqueueCalculation(of segment: SegmentID) throws {
        let id = segment.description
        try enqueue("calculate_segment", payload: ["segment_id": .string(id)], key: id)
    }
}
