// Campaigns that start by themselves.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

/// When a campaign is to start: at an instant, or at one time of every contact's own clock.
struct CampaignSchedule: BodyDecodable {
    let at: Instant
    let local: LocalMinute?
    /// What becomes of those for whom the local time has passed when the audience is frozen: send or skip.
    let late: String

    static let schema = Schema.object([
        .optional("at", .string(format: "date-time"), "In the future, a year ahead at most"),
        .optional("at_local", .string(min: 16, max: 16), "Instead: what each contact's clock is to show, like 2026-12-24T09:00"),
        .optional(
            "late", .string(oneOf: ["send", "skip"]),
            "With at_local: whether those for whom it has just passed get it at once (up to 6 hours late) or never; send when absent"),
    ])

    init(_ body: JSONObject) throws {
        let instant = body.optionalString("at").flatMap { Instant(rfc3339: $0) }
        late = body.optionalString("late") ?? "send"
        local = try body.optionalString("at_local").map { text in
            guard let minute = LocalMinute(text) else {
                throw Fault(pointer: "/at_local", code: "bad_format", detail: "Expected a time without a zone, like 2026-12-24T09:00.")
            }
            return minute
        }
        guard (instant == nil) != (local == nil) else {
            throw Fault(pointer: "/at", code: "one_of_two", detail: "Exactly one of at and at_local is wanted.")
        }
        at = instant ?? max(local!.freezing, .now())
    }

    /// When it is to begin for the last.
    private var last: Instant { local?.last ?? at }

    /// - Parameter end: when the campaign's time is over.
    func check(end: Instant?) throws {
        let pointer = local == nil ? "/at" : "/at_local"
        let ahead = last.seconds(since: .now())
        if ahead <= 0 { throw Fault(pointer: pointer, code: "out_of_range", detail: "This has passed; `start` starts it now.") }
        if ahead > 366 * 86_400 { throw Fault(pointer: pointer, code: "out_of_range", detail: "At most a year ahead.") }
        if let end, end <= last {
            throw Fault(
                pointer: "/send_until", code: "out_of_range", detail: "The campaign's time is over before this has come everywhere.")
        }
    }
}

/// draft → scheduled, or to another instant. What would keep it from starting is told now, not then.
func scheduleCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let schedule = try call.body(CampaignSchedule.self)
    return try call.transaction { db in
        let campaign = try db.one(CampaignSQL.lock, id)
        guard campaign.status == .draft || campaign.status == .scheduled else {
            throw campaign.wrongState(for: "be scheduled", from: [.draft, .scheduled])
        }
        try Pattern.refuse(id, to: "be scheduled", db)
        try schedule.check(end: campaign.sendUntil)
        try Readiness(campaign, at: schedule.at, db).faults.check()
        let stored = try db.one(ScheduleSQL.schedule, id, schedule.at, schedule.local?.text, schedule.local.map { _ in schedule.late })
        try call.audit(
            "campaign.scheduled", "campaign", id.uuid, details: ["at": .string(schedule.local?.text ?? schedule.at.description)], in: db)
        return .resource(stored)
    }
}

/// scheduled → draft.
func unscheduleCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    return try call.transaction { db in
        let campaign = try db.one(CampaignSQL.lock, id)
        guard campaign.status == .scheduled else { throw campaign.wrongState(for: "be unscheduled", from: [.scheduled]) }
        let stored = try db.one(ScheduleSQL.unschedule, id, nil)
        try call.audit("campaign.unscheduled", "campaign", id.uuid, in: db)
        return .resource(stored)
    }
}

public let scheduleLoops: [WorkerLoop] = [
    WorkerLoop("schedule") { context in
        return {
            let db = context.db
            for due in try db.all(ScheduleSQL.due) where !context.isStopping {
                try alone("campaign not started", due.campaign.description) {
                    try DueCampaign.start(due.campaign, in: due.workspace, db)
                } orElse: {
                    try DueCampaign.giveUp(due.campaign, in: due.workspace, db)
                }
            }
            for due in try db.all(DueOccurrenceSQL.due) where !context.isStopping {
                try alone("occurrence not started", due.recurring.description) {
                    try DueOccurrence.settle(due.recurring, in: due.workspace, db)
                } orElse: {
                    try DueOccurrence.giveUp(due.recurring, in: due.workspace, db)
                }
            }
            for due in try db.all(MonthlyLimitSQL.due) where !context.isStopping {
                try alone("campaign not resumed", due.campaign.description) {
                    try MonthlyLimit.resume(due.campaign, in: due.workspace, db)
                }
            }
            return 1
        }
    }
]

/// One of several whose time has come: what fails for this one alone, and is told in the journal, keeps no other from its time.
/// - Parameters:
///   - failure: what to tell, of which `subject`.
///   - giveUp: what is done about it then.
func alone(_ failure: String, _ subject: String, _ work: () throws -> Void, orElse giveUp: () throws -> Void = {}) throws {
    do { try work() } catch let error as PostgresError where !error.isTransient {
        Log.error(failure, [("id", .string(subject)), ("error", .string(error.description))])
        do { try giveUp() } catch let error as PostgresError where !error.isTransient {
            Log.error("\(failure), nor given up", [("id", .string(subject)), ("error", .string(error.description))])
        }
    }
}

struct DueCampaign: RowDecodable {
    let workspace: WorkspaceID
    let campaign: CampaignID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        campaign = try row["campaign_id"]
    }

    /// Later than this a campaign does not start: what was meant for the morning is not sent in the night because
    /// nothing ran in between.
    static let mostLateSeconds = 6 * 3600.0

    /// scheduled → freezing; or → draft, with the reason, when it can no longer start. One of several workers does it.
    static func start(_ id: CampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            // Whoever else is at it settles it.
            guard let late = try db.first(ScheduleSQL.lockDue, id) else { return }
            let campaign = try db.one(CampaignSQL.find, id)
            let fault =
                late > mostLateSeconds
                ? "missed_its_time" : try Readiness(campaign, at: db.one(ScheduleSQL.now), db).faults.list.first.map(reason)
            if let fault {
                _ = try db.one(ScheduleSQL.unschedule, id, fault)
                try db.run(ScheduleSQL.audit, "campaign.unscheduled", id)
                Log.warning("campaign not started", [("campaign", .string(id.description)), ("reason", .string(fault))])
                return
            }
            try begin(campaign, db)
        }
    }

    /// As freezing says it.
    static func reason(of fault: Fault) -> String { fault.code == "not_found" ? "segment_missing" : fault.code }

    /// draft or scheduled → freezing, for a campaign that is ready.
    static func begin(_ campaign: Campaign, _ db: Connection) throws {
        let id = campaign.id
        guard try db.first(CampaignSQL.start, id) != nil, let segment = campaign.segment else { return }
        try db.enqueueCalculation(of: segment)
        try db.enqueue(freezeCampaign.kind, payload: ["campaign_id": .string(id.description)], key: id.description)
        try db.run(ScheduleSQL.audit, "campaign.started", id)
    }
}

extension DueCampaign {
    /// scheduled → draft: what went wrong is in the journal under the campaign's id.
    static func giveUp(_ id: CampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            _ = try db.first(ScheduleSQL.unschedule, id, "internal_error")
        }
    }
}

enum ScheduleSQL {
    /// A worker's own clock may be off.
    static let now = Statement<Instant>("SELECT now()")

    static let due = Statement<DueCampaign>("SELECT workspace_id, campaign_id FROM campaigns_due()")

    /// By how many seconds it is late; by local time, for the last clocks on earth.
    static let lockDue = Statement<Double, CampaignID>(
        """
        SELECT extract(epoch FROM now() - coalesce(scheduled_local AT TIME ZONE 'UTC' + interval '12 hours', scheduled_at))::float8
          FROM campaigns
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'scheduled' AND scheduled_at <= now()
           FOR UPDATE SKIP LOCKED
        """)

    /// Nobody did it: the actor stays empty, the reason is in the campaign.
    static let audit = Statement<Int, String, CampaignID>(
        """
        INSERT INTO audit_log (workspace_id, action, subject_type, subject_id, details)
        VALUES (current_workspace(), $1, 'campaign', $2, '{"by": "schedule"}')
        """)

    static let schedule = Statement<Stored, CampaignID, Instant, String?, String?>(
        """
        UPDATE campaigns AS c
           SET status = 'scheduled', scheduled_at = $2, scheduled_local = $3::text::timestamp, late = $4,
               status_reason = NULL, version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status IN ('draft', 'scheduled')
        RETURNING \(CampaignSQL.item), c.version
        """)

    static let unschedule = Statement<Stored, CampaignID, String?>(
        """
        UPDATE campaigns AS c
           SET status = 'draft', scheduled_at = NULL, scheduled_local = NULL, late = NULL,
               status_reason = $2, version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'scheduled'
        RETURNING \(CampaignSQL.item), c.version
        """)
}
