// What became of requests, on its way into the ledger.
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

/// Outcomes that are not committed yet. They stay here until a commit has said yes: settling twice changes nothing.
struct Settlement {
    private struct Entry {
        let attempt: Attempt
        let outcome: SendOutcome
        /// Seconds before another attempt, where there will be one.
        let wait: Double
    }
    /// Refusals in a row after which a campaign pauses: its sender is not set up for it, and every further message
    /// would fail alike.
    private static let misconfiguredLimit = 10
    private static let batch = 50
    private static let longestSeconds = 0.02

    private var entries: [Entry] = []
    private var oldest = Instant(microseconds: 0)
    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    /// A full batch, the last answers, or some that have waited long enough.
    func isDue(inFlight: Int, now: Instant) -> Bool {
        !entries.isEmpty && (entries.count >= Self.batch || inFlight == 0 || now.seconds(since: oldest) >= Self.longestSeconds)
    }

    mutating func add(_ attempt: Attempt, _ outcome: SendOutcome, now: Instant) {
        if entries.isEmpty { oldest = now }
        let lane = attempt.lane
        var wait = 0.0
        switch outcome {
        case .sent:
            lane.gate.succeeded()
            lane.misconfigured = 0
        case .retryLater(let seconds): wait = lane.gate.pause(seconds: seconds, now: now)
        case .deferred(let seconds): wait = seconds
        case .rejected(_, .transient): wait = lane.gate.pause(seconds: nil, now: now)
        case .rejected(_, .configuration): lane.misconfigured += 1
        case .unknown: lane.gate.lostAnswer(now: now)
        case .rejected, .authenticationFailed: break
        }
        if case .unknown = outcome {} else { lane.gate.answered() }
        entries.append(Entry(attempt: attempt, outcome: outcome, wait: wait))
    }

    /// One transaction per workspace. What is committed is gone from here; an error leaves the rest for the next time.
    mutating func commit(_ db: Connection) throws {
        while let workspace = entries.first?.attempt.lane.work.workspace {
            let mine = entries.filter { $0.attempt.lane.work.workspace == workspace }
            crashPoint("before_settle")
            do {
                try Settlement.commit(mine, in: workspace, db)
            } catch let error as PostgresError where !error.isTransient {
                Log.error("outcomes not settled", [("workspace", .string(workspace.description)), ("error", .string(error.description))])
                try Settlement.commitEach(mine, in: workspace, db)
            }
            crashPoint("after_settle")
            entries.removeAll { $0.attempt.lane.work.workspace == workspace }
        }
    }

    private static func commit(_ entries: [Entry], in workspace: WorkspaceID, _ db: Connection) throws {
        try db.inWorkspace(workspace) { db in
            try settle(entries, db)
            try draw(consequencesOf: entries, db)
        }
    }

    /// One by one, so that an outcome that the database refuses holds up no other. Its message stays started until the
    /// lease ends, and is unknown then: a callback settles it.
    private static func commitEach(_ entries: [Entry], in workspace: WorkspaceID, _ db: Connection) throws {
        for entry in entries {
            do {
                try commit([entry], in: workspace, db)
            } catch let error as PostgresError where !error.isTransient {
                Log.error(
                    "outcome not settled",
                    [
                        ("message", .string(entry.attempt.message.description)), ("error", .string(error.description)),
                    ])
            }
        }
    }

    private static func settle(_ entries: [Entry], _ db: Connection) throws {
        var states: [String] = []
        var sids: [String?] = []
        var statuses: [String?] = []
        var codes: [Int?] = []
        var reasons: [String?] = []
        var parts: [Int?] = []
        for entry in entries {
            var (state, sid, status, code, reason): (String, String?, String?, Int?, String?) = ("pending", nil, nil, nil, nil)
            var count: Int?
            switch entry.outcome {
            case .sent(let id, let first, let counted): (state, sid, status, count) = ("sent", id, first, counted)
            // The account or the connection is at fault, not the message: it waits.
            case .rejected(_, .account), .rejected(_, .transient), .retryLater, .deferred, .authenticationFailed: break
            case .rejected(let number, _): (state, code) = ("failed", number)
            case .unknown(let why): (state, reason) = ("unknown", why)
            }
            states.append(state)
            sids.append(sid)
            statuses.append(status)
            codes.append(code)
            reasons.append(reason)
            parts.append(count)
        }
        try db.run(
            LedgerSQL.settle, entries.map(\.attempt.message), entries.map(\.attempt.createdAt), entries.map(\.attempt.number),
            states, sids, statuses, codes, entries.map { Optional($0.wait) }, reasons, parts)
    }

    /// What a refusal says beyond its own message: of the address, of the sender, of the campaign.
    private static func draw(consequencesOf entries: [Entry], _ db: Connection) throws {
        var suspended: Set<SenderID> = []
        for entry in entries {
            let lane = entry.attempt.lane
            switch entry.outcome {
            case .rejected(let code, .optOut): _ = try db.one(DeliverySQL.optOut, lane.gate.channel, entry.attempt.to, code)
            case .rejected(_, .hard):
                let reason = lane.gate.channel == .sms ? "invalid" : "bounce"
                _ = try db.one(LedgerSQL.suppress, lane.gate.channel, entry.attempt.to, reason)
            case .rejected(let code, .soft) where lane.gate.channel == .email:
                try Consequences.holdMail(to: entry.attempt.to, code, db)
            case .authenticationFailed, .rejected(_, .account):
                guard suspended.insert(lane.work.sender).inserted else { continue }
                let reason = entry.outcome == .authenticationFailed ? "authentication_failed" : "account_suspended"
                if try db.run(SenderSQL.suspend, lane.work.sender, reason, entry.attempt.senderVersion) > 0 {
                    try Pause.campaigns(ofSuspended: lane.work.sender, db)
                    Log.error("sender suspended", [("sender", .string(lane.work.sender.description)), ("reason", .string(reason))])
                }
            case .rejected(_, .configuration) where lane.misconfigured >= misconfiguredLimit:
                lane.misconfigured = 0
                try Pause.campaign(lane.work.campaign, "sender_misconfigured", db)
            default: break
            }
        }
    }
}
