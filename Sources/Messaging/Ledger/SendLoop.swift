// The sending thread: claim, render, lease parts, commit `started`, send, settle. One connection to PostgreSQL, many
// requests under way at once.
internal import HTTPClient
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

public let sendingLoops: [WorkerLoop] = [
    WorkerLoop("send", threads: \.sendingThreads) { context in
        let loop = SendLoop(context.db, context.configuration, isStopping: { context.isStopping })
        return { try loop.round() }
    },
    WorkerLoop("rescue-messages") { context in
        return {
            let rescued = try context.db.one(LedgerSQL.rescue, 1000, nil)
            if rescued.released + rescued.lost > 0 {
                Log.warning("messages rescued", [("released", .integer(rescued.released)), ("unknown", .integer(rescued.lost))])
            }
            return rescued.released + rescued.lost >= 1000 ? 0 : 5
        }
    },
]

/// Owned by its thread. A crash anywhere leaves rows whose leases end; an error leaves this object able to go on.
final class SendLoop {
    static let connections = 64
    /// Messages that are started and not settled at most, and so the most that a crash can leave unknown of a thread: one for
    /// each connection, and a batch of answers on its way into the ledger.
    static let window = 128
    private static let claimLimit = 100
    private static let leaseSeconds = 60.0
    /// How often paused, resumed and new campaigns are noticed.
    private static let refreshSeconds = 0.25
    /// How long a campaign rests whose statements fail by themselves.
    private static let refusedSeconds = 5.0

    private let db: Connection
    private let configuration: Configuration
    private let providers: Providers
    private let http = HTTPMultiClient(connections: SendLoop.connections)
    private let isStopping: () -> Bool
    private var lanes: [Lane] = []
    private var turns = Turns()
    private var gates: [SenderID: SenderGate] = [:]
    private var refreshAt = Instant(microseconds: 0)
    private var attempts: [Int: Attempt] = [:]
    private var nextTag = 0
    private var settlement = Settlement()
    /// Messages that a lost commit may have started although their requests never left.
    private var recalls: [(workspace: WorkspaceID, lease: UUID, messages: [ReadyMessage])] = []

    init(_ db: Connection, _ configuration: Configuration, isStopping: @escaping () -> Bool) {
        self.db = db
        self.configuration = configuration
        self.isStopping = isStopping
        providers = Providers(configuration)
    }

    /// Works until nothing is due or under way. Requests that are under way are always waited for and settled.
    /// - Returns: seconds until the next look.
    func round() throws -> Double {
        try recall()
        var isBusy = true
        while isBusy || http.inFlight > 0 || !settlement.isEmpty {
            isBusy = false
            if !isStopping() {
                try refresh()
                for lane in turns.order(lanes) where room > 0 {
                    guard try advanceAlone(lane) else { continue }
                    isBusy = true
                    turns.took(lane)
                }
            }
            collect(waitMilliseconds: isBusy && room > 0 ? 0 : 20)
            if settlement.isDue(inFlight: http.inFlight, now: .now()) { try settlement.commit(db) }
        }
        if isStopping() {
            for lane in lanes where !lane.ready.isEmpty { putBack(lane) }
            try recall()
        }
        return pauseSeconds()
    }

    /// How many more may be started now.
    private var room: Int { min(Self.connections - http.inFlight, Self.window - http.inFlight - settlement.count) }

    private func pauseSeconds() -> Double {
        let now = Instant.now()
        let next = lanes.filter { !$0.ready.isEmpty }.map { $0.gate.notBefore.seconds(since: now) }.min() ?? Self.refreshSeconds
        return min(Self.refreshSeconds, max(0.005, next))
    }

    // MARK: What there is to do

    private func refresh() throws {
        let now = Instant.now()
        guard now >= refreshAt else { return }
        refreshAt = now + Self.refreshSeconds
        let works = try db.all(LedgerSQL.campaignsToSend)
        let known = Set(works)
        for lane in lanes where !known.contains(lane.work) && !lane.ready.isEmpty { putBack(lane) }
        lanes.removeAll { !known.contains($0.work) }
        turns.forget(except: lanes)
        for work in works where !lanes.contains(where: { $0.work == work }) {
            let gate = gates[work.sender] ?? SenderGate(work.sender)
            gates[work.sender] = gate
            lanes.append(Lane(work, gate))
        }
        gates = gates.filter { gate in
            lanes.contains { $0.work.sender == gate.key } || attempts.values.contains { $0.lane.work.sender == gate.key }
        }
        try recall()
    }

    /// A campaign that the database refuses waits by itself: nobody else stands behind it.
    private func advanceAlone(_ lane: Lane) throws -> Bool {
        do {
            return try advance(lane)
        } catch let error as PostgresError where !error.isTransient {
            lane.nextClaim = .now() + Self.refusedSeconds
            Log.error(
                "campaign cannot be sent",
                [
                    ("campaign", .string(lane.work.campaign.description)), ("error", .string(error.description)),
                ])
            return false
        }
    }

    /// One step of a campaign. Returns whether it did anything.
    private func advance(_ lane: Lane) throws -> Bool {
        let now = Instant.now()
        if now > lane.readyUntil, !lane.ready.isEmpty { putBack(lane) }
        if lane.ready.isEmpty {
            guard now >= lane.nextClaim, now >= lane.gate.notBefore else { return false }
            let looked = try claim(lane, now)
            if lane.ready.isEmpty { return looked > 0 }
        }
        guard now >= lane.gate.notBefore else { return false }
        return try start(lane, now)
    }

    // MARK: Claim

    /// - Returns: how many messages it looked at; those that are not ready then wait for their hour, or were left out.
    private func claim(_ lane: Lane, _ now: Instant) throws -> Int {
        lane.lease = UUID.v7()
        lane.readyUntil = now + Self.leaseSeconds / 2
        var ready: [ReadyMessage] = []
        var looked = 0
        try db.inWorkspace(lane.work.workspace, beginning: LedgerSQL.beginClaiming) { db in
            guard let text = try db.first(LedgerSQL.campaign, lane.work.campaign),
                let sender = try db.first(SenderSQL.forSending, lane.work.sender)
            else { return }
            lane.gate.update(sender, lane.work.workspace, configuration.sealingKey)
            guard lane.gate.route != nil else { return try suspend(lane, "credentials_unreadable", db) }
            let variants = text.hasExperiment ? try db.all(ExperimentSQL.texts, lane.work.campaign) : []
            let templates = lane.gate.channel == .sms ? lane.templates(of: [text.body] + variants.map(\.body)) : []
            let parts = lane.gate.channel == .email ? try [db.one(EmailSQL.parts, lane.work.campaign)] + variants : []
            let emails = lane.emailTemplates(of: parts)
            if templates.isEmpty, emails.isEmpty { try pause(lane, "template_failed", db) }
            if let own = parts.first, trimmed(own.postalAddress ?? "").isEmpty { try pause(lane, "postal_address_missing", db) }
            lane.beginsExperiment = text.beginsExperiment
            lane.hasBudget = text.hasBudget
            lane.hasMonthlyLimit = text.hasMonthlyLimit
            // As many as the rate lets go before the lease would become old. Leaving out and putting off take none of it.
            let limit = lane.lookedInVain ? Self.claimLimit : max(1, min(Self.claimLimit, Int(lane.gate.rate * 4)))
            let claimed = try db.all(
                LedgerSQL.claim, lane.work.campaign, limit, lane.lease, Self.leaseSeconds,
                templates.contains { !$0.variables.isEmpty } || emails.contains(where: \.readsContact))
            looked = claimed.count
            let assignment = try Assignment(of: claimed.filter { !$0.isSkipped }, lane.work.campaign, text, db)
            var writer = MessageWriter(lane.work.workspace, configuration, tracksLinks: text.tracksLinks)
            if lane.gate.channel == .email { try writer.write(assignment, emails, db) } else { writer.write(assignment, templates) }
            ready = writer.ready
            try drop(writer.dropped, lane, db)
            if looked == 0, lane.inFlight == 0 { try finish(lane, db) }
        }
        crashPoint("after_claim")
        lane.ready = ready[...]
        lane.lookedInVain = looked > 0 && ready.isEmpty
        lane.rest(looked == 0 && lane.inFlight == 0)
        if looked == 0 { lane.nextClaim = now + lane.restSeconds }
        return looked
    }

    private func drop(_ dropped: [MessageWriter.Dropped], _ lane: Lane, _ db: Connection) throws {
        if dropped.isEmpty { return }
        try db.run(
            LedgerSQL.giveBack, lane.lease, dropped.map(\.message.id), dropped.map(\.message.createdAt),
            dropped.map { Optional($0.reason) })
    }

    private func finish(_ lane: Lane, _ db: Connection) throws {
        if try Self.finish(lane.work.campaign, db) > 0 {
            Log.notice("campaign finished", [("campaign", .string(lane.work.campaign.description))])
        }
    }

    /// sending → finished, when nothing is left. Somebody may be making ended messages pending again: the row is held first,
    /// so that the statement that looks is newer than what they did.
    static func finish(_ campaign: CampaignID, _ db: Connection) throws -> Int {
        guard try db.first(CampaignSQL.lock, campaign) != nil else { return 0 }
        return try db.run(LedgerSQL.finish, campaign)
    }

    private func suspend(_ lane: Lane, _ reason: String, _ db: Connection) throws {
        try db.run(SenderSQL.suspend, lane.work.sender, reason, lane.gate.version)
        try db.run(LedgerSQL.pauseCampaignsOfSender, lane.work.sender, "sender_suspended")
    }

    /// Nothing of a campaign is skipped for what somebody may mend: a text that does not parse any more, an address that is
    /// gone. Then it is sending no longer, and only tests are claimed, also those of a draft.
    private func pause(_ lane: Lane, _ reason: String, _ db: Connection) throws {
        guard try db.run(LedgerSQL.pauseCampaign, lane.work.campaign, reason) > 0 else { return }
        try Notice.campaignPaused(lane.work.campaign, reason, db)
    }

    // MARK: Start

    private func start(_ lane: Lane, _ now: Instant) throws -> Bool {
        let mostAtOnce = lane.gate.isCut ? 1 : lane.gate.route?.mostAtOnce ?? 1
        let most = min(room, turns.share(of: lane, among: lanes), mostAtOnce - lane.gate.inFlight)
        let wanted = Array(lane.ready.prefix(max(0, most)))
        if wanted.isEmpty { return false }
        var started: [StartedMessage] = []
        var granted = 0
        var waitSeconds = 0.0
        var pause: ((CampaignID, Connection) throws -> Void)?
        do {
            try db.inWorkspace(lane.work.workspace, beginning: LedgerSQL.beginStarting) { db in
                let funds = try lane.hasBudget ? Funds(of: lane.work.campaign, for: wanted[...], db) : nil
                let payable = wanted.prefix(funds?.count ?? wanted.count)
                guard !payable.isEmpty else { return pause = funds?.shortage?.pause }
                let allowance = try lane.hasMonthlyLimit ? Allowance(on: lane.gate.channel, for: payable, db) : nil
                let allowed = payable.prefix(allowance?.count ?? payable.count)
                guard !allowed.isEmpty else { return pause = allowance?.shortage?.pause }
                let lease = try db.one(LedgerSQL.lease, lane.work.sender, allowed.map(\.parts), nil)
                granted = lease.granted
                waitSeconds = lease.waitSeconds
                guard granted > 0 else { return }
                let going = wanted.prefix(granted)
                _ = try db.one(FrequencyCaps.lock, lane.work.campaign, going.map(\.id), going.map(\.createdAt))
                started = try db.all(
                    LedgerSQL.start, lane.work.campaign, lane.lease, going.map(\.id), going.map(\.createdAt),
                    going.map(\.text), going.map(\.parts), Self.leaseSeconds, allowance != nil)
                let mails = going.filter { mail in mail.email != nil && started.contains { $0.id == mail.id && $0.state == "started" } }
                if !mails.isEmpty {
                    try db.run(
                        EmailSQL.keepSubjects, mails.map(\.id), mails.map(\.createdAt), mails.map { $0.email?.subject ?? "" })
                }
                try funds?.spend(on: started, db)
                try allowance?.spend(on: started, db)
                if lane.beginsExperiment {
                    try db.run(ExperimentSQL.begin, lane.work.campaign, going.map(\.id), going.map(\.createdAt))
                }
                try keepLinks(of: going, started, lane, db)
            }
        } catch {
            // Whether that committed is unknown, that no request left is certain.
            putBack(lane)
            throw error
        }
        if let pause {
            putBack(lane)
            try db.inWorkspace(lane.work.workspace) { db in try pause(lane.work.campaign, db) }
            return true
        }
        crashPoint("after_start")
        lane.ready = lane.ready.dropFirst(granted)
        // Small waits are gathered, so that a fast sender does not make a transaction of every message; long ones are
        // cut, so that a rate that was raised is noticed.
        if granted < wanted.count { lane.gate.notBefore = max(lane.gate.notBefore, now + min(5, max(0.04, waitSeconds))) }
        submit(started, wanted.prefix(granted), lane)
        return granted > 0
    }

    /// In the transaction that starts the messages: a link that is sent is known, one that is not was never there.
    private func keepLinks(of messages: ArraySlice<ReadyMessage>, _ started: [StartedMessage], _ lane: Lane, _ db: Connection) throws {
        let ids = Set(started.filter { $0.state == "started" }.map(\.id))
        let links = messages.filter { ids.contains($0.id) }.flatMap { message in message.links.map { (message, $0) } }
        guard !links.isEmpty else { return }
        try db.run(
            LinkSQL.insert, lane.work.campaign, links.map(\.1.key), links.map(\.1.madeAt), links.map(\.1.kind), links.map(\.1.url),
            links.map(\.0.id), links.map(\.0.createdAt))
    }

    private func submit(_ started: [StartedMessage], _ messages: ArraySlice<ReadyMessage>, _ lane: Lane) {
        let byID = Dictionary(uniqueKeysWithValues: messages.map { ($0.id, $0) })
        for row in started where row.state == "started" {
            guard let message = byID[row.id] else { continue }
            guard let route = lane.gate.route,
                let request = route.request(message, attempt: row.attempt, sender: lane.work.sender, providers)
            else {
                // The credentials were changed this moment, to some that do not open; the next claim says so.
                recalls.append((lane.work.workspace, lane.lease, [message]))
                continue
            }
            nextTag += 1
            attempts[nextTag] = Attempt(
                message: message.id, createdAt: message.createdAt, number: row.attempt, to: message.to,
                senderVersion: lane.gate.version, route: route, lane: lane)
            lane.inFlight += 1
            lane.gate.inFlight += 1
            switch request {
            case .http(let request): http.submit(request, tag: nextTag)
            case .mail(let mail): http.submit(mail, tag: nextTag)
            }
        }
        crashPoint("after_submit")
    }

    // MARK: Answers

    private func collect(waitMilliseconds: Int) {
        guard http.inFlight > 0 else { return }
        let now = Instant.now()
        for (tag, result) in http.wait(timeoutMilliseconds: waitMilliseconds) {
            guard let attempt = attempts.removeValue(forKey: tag) else { continue }
            attempt.lane.inFlight -= 1
            attempt.lane.gate.inFlight -= 1
            settlement.add(attempt, attempt.route.classify(result, of: attempt, providers), now: now)
        }
        if !settlement.isEmpty { crashPoint("after_answer") }
    }

    private func putBack(_ lane: Lane) {
        recalls.append((lane.work.workspace, lane.lease, Array(lane.ready)))
        lane.ready = []
    }

    /// Takes back what was never sent. Runs again until it has run once; what the database refuses is left to the end
    /// of its lease.
    private func recall() throws {
        while let next = recalls.last {
            do {
                _ = try db.inWorkspace(next.workspace) { db in
                    try db.run(
                        LedgerSQL.giveBack, next.lease, next.messages.map(\.id), next.messages.map(\.createdAt),
                        next.messages.map { _ in nil })
                }
            } catch let error as PostgresError where !error.isTransient {
                Log.error(
                    "messages not given back", [("workspace", .string(next.workspace.description)), ("error", .string(error.description))])
            }
            recalls.removeLast()
        }
    }
}
