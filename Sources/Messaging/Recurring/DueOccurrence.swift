// What the worker does when the time of a recurring campaign has come.
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

struct DueRecurrence: RowDecodable {
    let workspace: WorkspaceID
    let recurring: RecurringCampaignID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        recurring = try row["recurring_id"]
    }
}

/// A recurring campaign at the occurrence whose time has come, its row held.
struct DueOccurrence: RowDecodable {
    let pattern: CampaignID
    let at: Instant
    /// By how many seconds it is late.
    let late: Double
    /// What the campaign is to be called.
    let name: String
    let sendUntil: Instant?
    let createdBy: UserID?
    init(_ row: borrowing Row) throws(PostgresError) {
        pattern = try row["campaign_id"]
        at = try row["next_at"]
        late = try row["late"]
        name = try row["name"]
        sendUntil = try row["send_until"]
        createdBy = try row["created_by"]
    }

    /// Missed occurrences that one transaction records: after a long silence there may be many.
    private static let most = 100

    /// Starts the campaign of the occurrence, or records why not, and moves on to the next, all in one transaction: whoever dies
    /// leaves nothing behind, and whoever comes second finds that it was done. One of several workers does it.
    static func settle(_ id: RecurringCampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            guard let due = try db.first(DueOccurrenceSQL.lock, id) else { return }
            guard due.late <= DueCampaign.mostLateSeconds else {
                try db.run(DueOccurrenceSQL.record, id, due.at, nil, "missed_its_time")
                let others = try db.all(DueOccurrenceSQL.skipMissed, id, due.at, DueCampaign.mostLateSeconds, most - 1)
                try tell(id, "missed_its_time", 1 + others.count, db)
                return try moveOn(id, after: others.max() ?? due.at, db)
            }
            if let reason = try due.start(of: id, db) {
                try db.run(DueOccurrenceSQL.record, id, due.at, nil, reason)
                try tell(id, reason, 1, db)
            }
            crashPoint("before_occurrence_commit")
            try moveOn(id, after: due.at, db)
        }
    }

    /// Records as skipped what the database refused; what went wrong is in the journal under its id. Where the rule itself cannot be
    /// read any more, as when its time zone is gone, it is paused.
    static func giveUp(_ id: RecurringCampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        do { try skip(id, in: workspace, db) } catch let error as PostgresError where !error.isTransient {
            try db.transaction { db in
                try db.setWorkspace(workspace)
                guard try db.run(DueOccurrenceSQL.halt, id) > 0 else { return }
                Log.warning("recurring campaign paused", [("recurring_campaign", .string(id.description))])
                _ = try db.one(
                    DueOccurrenceSQL.tell, id, "internal_error", 1,
                    "A recurring campaign was paused: its next occurrence cannot be worked out. Look at its rule and time zone.")
            }
        }
    }

    private static func skip(_ id: RecurringCampaignID, in workspace: WorkspaceID, _ db: Connection) throws {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            guard let due = try db.first(DueOccurrenceSQL.lock, id) else { return }
            if try db.run(DueOccurrenceSQL.skipUnlessRecorded, id, due.at, "internal_error") > 0 {
                try tell(id, "internal_error", 1, db)
            }
            try moveOn(id, after: due.at, db)
        }
    }

    /// Skips all that were due while the server was restored to an earlier time: they may have gone out.
    /// - Returns: how many.
    static func skipRestored(_ id: RecurringCampaignID, _ db: Connection) throws -> Int {
        var count = 0
        while let due = try db.first(DueOccurrenceSQL.lock, id) {
            count += try db.run(DueOccurrenceSQL.skipUnlessRecorded, id, due.at, Reconciliation.reason)
            try moveOn(id, after: due.at, db)
        }
        if count > 0 { try tell(id, Reconciliation.reason, count, db) }
        return count
    }

    /// - Returns: why it cannot start, with nothing left of it; `nil`: it has started.
    private func start(of id: RecurringCampaignID, _ db: Connection) throws -> String? {
        // Whoever changes it is waited for, so that the copy is of one piece.
        _ = try db.one(CampaignSQL.lock, pattern)
        let copy = CampaignID.new()
        try CampaignCopy.make(of: pattern, as: copy, named: name, by: createdBy, db)
        if let sendUntil { try db.run(DueOccurrenceSQL.setEnd, copy, sendUntil) }
        let campaign = try db.one(CampaignSQL.find, copy)
        if let fault = try Readiness(campaign, at: db.one(ScheduleSQL.now), db).faults.list.first {
            try db.run(CampaignSQL.delete, copy)
            return DueCampaign.reason(of: fault)
        }
        try DueCampaign.begin(campaign, db)
        try db.run(DueOccurrenceSQL.record, id, at, copy, nil)
        return nil
    }

    private static func moveOn(_ id: RecurringCampaignID, after last: Instant, _ db: Connection) throws {
        let next = try db.first(DueOccurrenceSQL.following, id, last)
        try db.run(DueOccurrenceSQL.moveOn, id, next)
        if next == nil { try db.run(DueOccurrenceSQL.auditEnd, id) }
    }

    private static func tell(_ id: RecurringCampaignID, _ reason: String, _ count: Int, _ db: Connection) throws {
        Log.warning("occurrence skipped", [("recurring_campaign", .string(id.description)), ("reason", .string(reason))])
        let whose = count == 1 ? "An occurrence of a recurring campaign was" : "\(count) occurrences of a recurring campaign were"
        let why =
            switch reason {
            case Reconciliation.reason: "due while the server was restored to an earlier time"
            case "missed_its_time": "more than 6 hours late"
            default: reason
            }
        _ = try db.one(DueOccurrenceSQL.tell, id, reason, count, "\(whose) skipped: \(why).")
    }
}

enum DueOccurrenceSQL {
    static let due = Statement<DueRecurrence>("SELECT workspace_id, recurring_id FROM recurring_campaigns_due()")

    /// Whoever else is at it settles it.
    static let lock = Statement<DueOccurrence, RecurringCampaignID>(
        """
        SELECT r.campaign_id, r.next_at, extract(epoch FROM now() - r.next_at)::float8 AS late, r.created_by,
               r.name || ' · ' || to_char(r.next_at AT TIME ZONE r.time_zone, 'YYYY-MM-DD') AS name,
               r.next_at + make_interval(secs => r.send_for_seconds) AS send_until
          FROM recurring_campaigns r
         WHERE r.workspace_id = current_workspace() AND r.id = $1 AND r.status = 'active' AND r.next_at <= now()
           FOR UPDATE SKIP LOCKED
        """)

    static let record = Statement<Int, RecurringCampaignID, Instant, CampaignID?, String?>(
        """
        INSERT INTO recurring_occurrences (workspace_id, recurring_id, occurs_at, campaign_id, skip_reason)
        VALUES (current_workspace(), $1, $2, $3, $4)
        """)

    static let skipUnlessRecorded = Statement<Int, RecurringCampaignID, Instant, String>(
        """
        INSERT INTO recurring_occurrences (workspace_id, recurring_id, occurs_at, skip_reason)
        VALUES (current_workspace(), $1, $2, $3)
        ON CONFLICT DO NOTHING
        """)

    /// - Parameters: recurring campaign, after which occurrence, seconds that are too late, how many.
    static let skipMissed = Statement<Instant, RecurringCampaignID, Instant, Double, Int>(
        """
        INSERT INTO recurring_occurrences (workspace_id, recurring_id, occurs_at, skip_reason)
        SELECT current_workspace(), r.id, o.moment, 'missed_its_time'
          FROM recurring_campaigns r CROSS JOIN occurrences_after(r, $2, $4) AS o (moment)
         WHERE r.workspace_id = current_workspace() AND r.id = $1 AND o.moment < now() - make_interval(secs => $3)
        RETURNING occurs_at
        """)

    static let following = Statement<Instant, RecurringCampaignID, Instant>(
        """
        SELECT o.moment FROM recurring_campaigns r CROSS JOIN occurrences_after(r, $2, 1) AS o (moment)
         WHERE r.workspace_id = current_workspace() AND r.id = $1
        """)

    static let moveOn = Statement<Int, RecurringCampaignID, Instant?>(
        """
        UPDATE recurring_campaigns
           SET next_at = $2, status = CASE WHEN $2::timestamptz IS NULL THEN 'ended' ELSE status END,
               ended_at = CASE WHEN $2::timestamptz IS NULL THEN now() END, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'active'
        """)

    /// Reads nothing of the rule.
    static let halt = Statement<Int, RecurringCampaignID>(
        """
        UPDATE recurring_campaigns
           SET status = 'paused', next_at = NULL, paused_at = now(), version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'active' AND next_at <= now()
        """)

    static let setEnd = Statement<Int, CampaignID, Instant>(
        """
        UPDATE campaigns SET send_until = $2 WHERE workspace_id = current_workspace() AND id = $1 AND status = 'draft'
        """)

    static let tell = Statement<Bool, RecurringCampaignID, String, Int, String>(
        """
        SELECT notify_workspace('recurring_campaign.skipped', jsonb_build_object('recurring_id', $1::uuid, 'reason', $2::text,
                   'occurrences', $3::int), $4) IS NOT NULL
        """)

    /// Nobody did it: the actor stays empty.
    static let auditEnd = Statement<Int, RecurringCampaignID>(
        """
        INSERT INTO audit_log (workspace_id, action, subject_type, subject_id, details)
        VALUES (current_workspace(), 'recurring_campaign.ended', 'recurring_campaign', $1, '{"by": "schedule"}')
        """)
}
