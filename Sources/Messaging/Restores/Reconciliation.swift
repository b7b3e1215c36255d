// After a restore to an earlier instant: what was sent since is found at the providers, and what cannot be told is not sent.
internal import Glibc
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary

/// Runs while sending is held, and lets it go on in the end. May be killed anywhere and run again: each step is a transaction
/// that finds out by itself what is left to do.
struct Reconciliation {
    /// `status_reason` of campaigns, and `skip_reason` of messages and occurrences.
    static let reason = "restored"
    /// Clocks, and how long a request may take.
    private static let marginSeconds = 3600.0
    /// Numbers that one transaction looks at.
    private static let batch = 2000

    private let db: Connection
    private let configuration: Configuration
    private let history: ProviderHistory

    /// - Parameter pause: waits so many seconds before a provider that did not answer is asked again.
    init(_ db: Connection, _ configuration: Configuration, pause: @escaping (UInt32) -> Void = { _ = sleep($0) }) {
        self.db = db
        self.configuration = configuration
        history = ProviderHistory(configuration, pause: pause)
    }

    /// - Returns: what was found, counted. Nothing where sending is not held.
    func run() throws -> [(String, Int)] {
        guard try db.one(RestoreSQL.isHeld) else { return [("held", 0)] }
        var tally = Tally()
        // Before anything is written down that was sent later.
        let since = try db.one(RestoreSQL.begin) + -Self.marginSeconds
        try rescue(&tally)
        for workspace in try db.all(RestoreSQL.workspaces) {
            try stop(in: workspace, &tally)
            for sender in try inWorkspace(workspace, { db in try db.all(RestoreSQL.senders) }) {
                try settle(sender, in: workspace, since: since, &tally)
            }
        }
        _ = try db.one(RestoreSQL.release)
        guard try !db.one(RestoreSQL.isHeld) else { throw NotReleased() }
        return tally.counts
    }

    struct NotReleased: Error, CustomStringConvertible { let description = "the server is in recovery, or is being restored again" }

    private func inWorkspace<T>(_ workspace: WorkspaceID, _ work: (Connection) throws -> T) throws -> T {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            return try work(db)
        }
    }

    /// What somebody had in hand at the restored instant is in nobody's any more.
    private func rescue(_ tally: inout Tally) throws {
        while true {
            let rescued = try db.one(LedgerSQL.rescue, 10_000, .now() + 86_400)
            tally.unknown += rescued.lost
            if rescued.released + rescued.lost == 0 { return }
        }
    }

    /// What would start by itself, and may have done so already.
    private func stop(in workspace: WorkspaceID, _ tally: inout Tally) throws {
        try inWorkspace(workspace) { db in
            for campaign in try db.all(RestoreSQL.scheduled) {
                _ = try db.one(ScheduleSQL.unschedule, campaign, Self.reason)
                try db.run(ScheduleSQL.audit, "campaign.unscheduled", campaign)
                try Notice.campaignRestored(
                    campaign, "A campaign is a draft again: its time came while the server was restored, and it may have been sent.", db)
                tally.unscheduled += 1
            }
            for campaign in try db.all(RestoreSQL.freezing) {
                _ = try db.one(CampaignSQL.cancel, campaign, Self.reason)
                try db.run(ScheduleSQL.audit, "campaign.cancelled", campaign)
                try Notice.campaignRestored(
                    campaign, "A campaign was cancelled: it was starting when the server was restored, and it may have been sent.", db)
                tally.cancelled += 1
            }
            for recurring in try db.all(RestoreSQL.recurring) { tally.occurrences += try DueOccurrence.skipRestored(recurring, db) }
            tally.singles += try db.run(RestoreSQL.skipSingles)
        }
    }

    /// A sender's messages that wait: those that its provider has are moved on, those that may be among what it has are not sent.
    /// Of a sender that cannot be asked the campaigns wait for a person.
    private func settle(_ sender: SenderRow, in workspace: WorkspaceID, since: Instant, _ tally: inout Tally) throws {
        let hasWaiting = try inWorkspace(workspace) { db in try db.one(RestoreSQL.hasWaiting, sender.id) }
        guard case .twilio(let credentials, let origin)? = SenderRoute(sender, workspace, configuration.sealingKey),
            let replies = try history.received(credentials, origin, since: since),
            let shown = try hasWaiting ? history.sent(credentials, origin, since: since) : []
        else {
            try inWorkspace(workspace) { db in
                for campaign in try db.all(RestoreSQL.pause, sender.id) {
                    try Notice.campaignPaused(campaign, Self.reason, db)
                    tally.paused += 1
                }
            }
            return
        }
        try take(replies, to: sender.id, in: workspace, &tally)
        tally.senders += 1
        tally.shown += shown.count
        let byNumber = Dictionary(grouping: shown) { bareNumber($0.to) }
        let numbers = byNumber.keys.sorted()
        for start in stride(from: 0, to: numbers.count, by: Self.batch) {
            let some = Array(numbers[start..<min(start + Self.batch, numbers.count)])
            try inWorkspace(workspace) { db in
                try settle(some, byNumber, of: sender.id, workspace, &tally, db)
                crashPoint("before_restore_commit")
            }
        }
    }

    /// What people wrote that this database does not know: who has said no since is not written to.
    private func take(_ replies: [TwilioMessage], to sender: SenderID, in workspace: WorkspaceID, _ tally: inout Tally) throws {
        for reply in replies {
            guard let from = reply.from else { continue }
            let intent = inboundIntent(of: reply.body)
            let outcome = try inWorkspace(workspace) { db in
                try db.one(
                    DeliverySQL.receiveInbound, sender, reply.sid, bareNumber(from), bareNumber(reply.to), String(reply.body.prefix(2000)),
                    intent.rawValue, isYes(reply.body, intent))
            }
            if outcome != "repeated" { tally.replies += 1 }
        }
    }

    private func settle(
        _ numbers: [String], _ shown: [String: [TwilioMessage]], of sender: SenderID, _ workspace: WorkspaceID, _ tally: inout Tally,
        _ db: Connection
    ) throws {
        let waiting = try db.all(RestoreSQL.waiting, sender, numbers)
        let known = Set(try db.all(RestoreSQL.known, numbers.flatMap { shown[$0] ?? [] }.map(\.sid)))
        let unknown = Dictionary(grouping: try db.all(RestoreSQL.unknown, sender, numbers), by: \.to)
        let texts = try WaitingTexts(waiting, workspace, configuration, db)
        let byID = Dictionary(uniqueKeysWithValues: waiting.map { ($0.message.id, $0) })
        var found: [CampaignID: [(message: ClaimedMessage, told: TwilioMessage)]] = [:]
        var inDoubt: [ClaimedMessage] = []
        for (number, messages) in Dictionary(grouping: waiting, by: { $0.message.to }) {
            let sighting = Sighting(
                waiting: messages.map { Sighting.Waiting(id: $0.message.id, text: texts[$0.message.id]) },
                shown: (shown[number] ?? []).filter { !known.contains($0.sid) },
                unknown: (unknown[number] ?? []).map { texts.comparable($0.text) }, isOf: texts.isOf)
            for (id, told) in sighting.found {
                guard let own = byID[id] else { continue }
                found[own.campaign, default: []].append((own.message, told))
            }
            inDoubt += sighting.inDoubt.compactMap { byID[$0]?.message }
        }
        for (campaign, messages) in found { tally.found += try move(messages, of: campaign, sender, db) }
        tally.inDoubt += try db.run(RestoreSQL.skip, inDoubt.map(\.id), inDoubt.map(\.createdAt))
    }

    /// pending → started → sent, and what the provider says by now as a receipt. They cost and count as they did the first time.
    private func move(
        _ messages: [(message: ClaimedMessage, told: TwilioMessage)], of campaign: CampaignID, _ sender: SenderID, _ db: Connection
    ) throws -> Int {
        guard let text = try db.first(LedgerSQL.campaign, campaign) else { return 0 }
        let ready = messages.map { message, told in
            ReadyMessage(
                id: message.id, createdAt: message.createdAt, to: message.to, text: told.body,
                parts: told.parts ?? MessageSize(told.body).parts)
        }
        let (ids, times) = (ready.map(\.id), ready.map(\.createdAt))
        let funds = try text.hasBudget ? Funds(of: campaign, for: ready[...], db) : nil
        let allowance = try text.hasMonthlyLimit ? Allowance(on: .sms, for: ready[...], db) : nil
        let started = try db.all(
            RestoreSQL.start, ids, times, ready.map(\.text), ready.map(\.parts), messages.map(\.told.createdAt))
        try funds?.spend(on: started, db)
        try allowance?.spend(on: started, db)
        if text.beginsExperiment { try db.run(ExperimentSQL.begin, campaign, ids, times) }
        try db.run(RestoreSQL.send, ids, times, messages.map(\.told.sid))
        let attempts = Dictionary(uniqueKeysWithValues: started.map { ($0.id, $0.attempt) })
        for (message, told) in messages {
            let code = told.errorCode.flatMap { Int32(exactly: $0) }.map { Int($0) }
            try db.run(
                DeliverySQL.insertReceipt, sender, message.id, attempts[message.id], told.sid, told.status, code,
                "MessageSid=\(told.sid)&MessageStatus=\(told.status)&Source=restore")
        }
        return started.count
    }
}

/// What a reconciliation found.
private struct Tally {
    var senders = 0
    var shown = 0
    var replies = 0
    var found = 0
    var inDoubt = 0
    var unknown = 0
    var paused = 0
    var unscheduled = 0
    var cancelled = 0
    var occurrences = 0
    var singles = 0

    var counts: [(String, Int)] {
        [
            ("senders_asked", senders), ("messages_shown", shown), ("replies_taken", replies), ("found", found),
            ("skipped_in_doubt", inDoubt),
            ("unknown", unknown), ("campaigns_paused", paused), ("campaigns_unscheduled", unscheduled),
            ("campaigns_cancelled", cancelled), ("occurrences_skipped", occurrences), ("tests_and_requests_skipped", singles),
        ]
    }
}
