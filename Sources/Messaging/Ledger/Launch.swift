// Starting messages: all that is asked in the transaction that says that their requests leave.
internal import PostgreSQL
internal import Vocabulary

/// What came of starting messages of a campaign.
struct Launch {
    /// Those that the sender's rate let go; some of them may have been skipped, or not be started any more.
    private(set) var going: [ReadyMessage] = []
    private(set) var started: [StartedMessage] = []
    /// How long until the sender's rate lets the next one go.
    private(set) var waitSeconds = 0.0
    /// What the campaign pauses for, instead of starting any.
    private(set) var pause: ((CampaignID, Connection) throws -> Void)?

    /// Works in a transaction that began with `LedgerSQL.beginStarting`.
    /// - Parameters:
    ///   - wanted: of one claim.
    ///   - areHeld: this transaction looked at them and holds them; else they are claimed.
    init(_ wanted: [ReadyMessage], of lane: Lane, areHeld: Bool, _ db: Connection) throws {
        let funds = try lane.hasBudget ? Funds(of: lane.work.campaign, for: wanted[...], db) : nil
        let payable = wanted.prefix(funds?.count ?? wanted.count)
        guard !payable.isEmpty else {
            pause = funds?.shortage?.pause
            return
        }
        let allowance = try lane.hasMonthlyLimit ? Allowance(on: lane.gate.channel, for: payable, db) : nil
        let allowed = payable.prefix(allowance?.count ?? payable.count)
        guard !allowed.isEmpty else {
            pause = allowance?.shortage?.pause
            return
        }
        let lease = try db.one(LedgerSQL.lease, lane.work.sender, allowed.map(\.parts), nil)
        waitSeconds = lease.waitSeconds
        guard lease.granted > 0 else { return }
        going = Array(wanted.prefix(lease.granted))
        _ = try db.one(FrequencyCaps.lock, lane.work.campaign, going.map(\.id), going.map(\.createdAt))
        started = try db.all(
            areHeld ? LedgerSQL.startHeld : LedgerSQL.start, lane.work.campaign, lane.lease, going.map(\.id), going.map(\.createdAt),
            going.map(\.text), going.map(\.parts), SendLoop.leaseSeconds, allowance != nil)
        try funds?.spend(on: started, db)
        try allowance?.spend(on: started, db)
        if lane.beginsExperiment {
            try db.run(ExperimentSQL.begin, lane.work.campaign, going.map(\.id), going.map(\.createdAt))
        }
        try keepWhatLeaves(of: lane, db)
    }

    /// A link that is sent is known, one that is not was never there; the same of the subjects of mail.
    private func keepWhatLeaves(of lane: Lane, _ db: Connection) throws {
        let ids = Set(started.filter { $0.state == "started" }.map(\.id))
        let leaving = going.filter { ids.contains($0.id) }
        let mails = leaving.filter { $0.email != nil }
        if !mails.isEmpty {
            try db.run(EmailSQL.keepSubjects, mails.map(\.id), mails.map(\.createdAt), mails.map { $0.email?.subject ?? "" })
        }
        let links = leaving.flatMap { message in message.links.map { (message, $0) } }
        guard !links.isEmpty else { return }
        try db.run(
            LinkSQL.insert, lane.work.campaign, links.map(\.1.key), links.map(\.1.madeAt), links.map(\.1.kind), links.map(\.1.url),
            links.map(\.0.id), links.map(\.0.createdAt))
    }
}
