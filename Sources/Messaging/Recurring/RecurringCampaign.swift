internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Where a recurring campaign stands; docs/states.md draws the arrows, the database enforces them.
enum RecurringStatus: String, Sendable, CaseIterable {
    case active, paused, ended
}
extension RecurringStatus: SQLEncodable, SQLDecodable {}

/// A recurring campaign as handlers decide about it.
struct RecurringCampaign: RowDecodable {
    /// `nil`: what has ended, and whose pattern is gone.
    let pattern: CampaignID?
    let status: RecurringStatus
    let version: Int
    let sendFor: Int?
    let rule: RecurrenceRule
    init(_ row: borrowing Row) throws(PostgresError) {
        pattern = try row["campaign_id"]
        status = try row["status"]
        version = try row["version"]
        sendFor = try row["send_for_seconds"]
        rule = try RecurrenceRule(row)
    }

    func require(_ allowed: [RecurringStatus], to action: String) throws {
        guard !allowed.contains(status) else { return }
        let states = allowed.map { "`\($0.rawValue)`" }.joined(separator: " or ")
        throw Problem.conflict(
            "wrong_state", "The recurring campaign is `\(status.rawValue)`; only one that is \(states) can \(action).")
    }
}

/// The draft that occurrences are copies of.
enum Pattern {
    /// Holds it, so that nobody starts it meanwhile. What would keep it from starting is told now, not at the first occurrence.
    /// - Parameter sendFor: seconds after which an occurrence ends, instead of at the draft's `send_until`.
    static func check(_ id: CampaignID, sendFor: Int?, _ db: Connection) throws {
        guard let campaign = try db.first(CampaignSQL.lock, id) else {
            throw Fault(pointer: "/campaign_id", code: "not_found", detail: "There is no such campaign here.")
        }
        guard campaign.status == .draft else {
            throw Fault(
                pointer: "/campaign_id", code: "not_a_draft",
                detail: "The campaign is `\(campaign.status.rawValue)`; copy it, and name the copy.")
        }
        var faults = Faults()
        let now = Instant.now()
        for fault in try Readiness(campaign, at: now, until: sendFor.map { now + Double($0) }, db).faults.list {
            faults.add("/campaign_id", fault.code, "\(fault.pointer): \(fault.detail)")
        }
        try faults.check()
    }

    /// - Throws: a conflict while something recurs from the campaign, whose row the transaction holds.
    static func refuse(_ id: CampaignID, to action: String, _ db: Connection) throws {
        guard let name = try db.first(RecurringSQL.nameOfPattern, id) else { return }
        throw Problem.conflict(
            "pattern_in_use", "`\(name)` recurs from this draft, which cannot \(action) meanwhile; end that first, or take a copy.")
    }
}
