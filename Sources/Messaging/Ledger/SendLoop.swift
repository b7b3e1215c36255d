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
    static let leaseSeconds = 60.0
    /// How many messages are worth a transaction that claims and starts: one of a few costs a multiple of what one of many does.
    private static let leastAtOnce = 16
    /// How long to wait until so many may start.
    private static let gatherSeconds = 0.02
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
                    // Who comes after it would take the room that it waits for.
                    if gathers(lane) { break }
                    let before = nextTag
                    guard try advanceAlone(lane) else { continue }
                    isBusy = true
                    turns.took(lane, nextTag - before)
                }
            }
            collect(waitMilliseconds: isBusy && room > 0 ? 0 : 20)
            if settlement.isDue(inFlight: http.inFlight, now: .steady()) { try settlement.commit(db) }
        }
        if isStopping() {
            for lane in lanes where !lane.ready.isEmpty { putBack(lane) }
            try recall()
        }
        return pauseSeconds()
    }

    /// How many more may be started now.
    private var room: Int { min(Self.connections - http.inFlight, Self.window - http.inFlight - settlement.count) }

    /// Whether a campaign waits a moment until many of its messages may start together.
    private func gathers(_ lane: Lane) -> Bool {
        let now = Instant.steady()
        let couldStart = min(most(of: lane, in: .max) + lane.gate.inFlight, Int(lane.gate.rate / 20))
        // Who has nothing to look for, or may not now, waits for no room.
        guard lane.isUnhindered, lane.ready.isEmpty, now >= lane.nextClaim, now >= lane.gate.notBefore, room < Self.leastAtOnce,
            couldStart >= Self.leastAtOnce
        else {
            lane.gathersUntil = nil
            return false
        }
        if lane.gathersUntil == nil { lane.gathersUntil = now + Self.gatherSeconds }
        return lane.gathersUntil.map { now < $0 } ?? false
    }

    private func pauseSeconds() -> Double {
        let now = Instant.steady()
        let waiting = lanes.filter { !$0.ready.isEmpty || $0.gate.notBefore > now && $0.nextClaim <= now }
        let next = waiting.map { $0.gate.notBefore.seconds(since: now) }.min() ?? Self.refreshSeconds
        return min(Self.refreshSeconds, max(0.005, next))
    }

    // MARK: What there is to do

    private func refresh() throws {
        let now = Instant.steady()
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
            lane.nextClaim = .steady() + Self.refusedSeconds
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
        let now = Instant.steady()
        if now > lane.readyUntil, !lane.ready.isEmpty { putBack(lane) }
        guard now >= lane.gate.notBefore else { return false }
        if lane.ready.isEmpty {
            guard now >= lane.nextClaim else { return false }
            // A twentieth of a second's: what the rate then does not let go was looked at in vain.
            let atOnce = min(most(of: lane, in: room), Int(lane.gate.rate / 20))
            if lane.isUnhindered, atOnce >= Self.leastAtOnce { return try claimAndStart(lane, atMost: atOnce, now) }
            let looked = try claim(lane, now)
            if lane.ready.isEmpty { return looked > 0 }
        }
        return try start(lane, now)
    }

    /// How many messages of a campaign may be started in so much room, but for the sender's rate.
    private func most(of lane: Lane, in room: Int) -> Int {
        let mostAtOnce = lane.gate.isCut ? 1 : lane.gate.route?.mostAtOnce ?? 1
        return max(0, min(room, turns.share(of: lane, among: lanes), mostAtOnce - lane.gate.inFlight, threads(for: lane)))
    }

    /// How many mails of a campaign would find a thread that hands them to their relay. Half of the threads at most are one
    /// workspace's, so that its relays may hang without holding up the mail of others; and a mail that had to wait for a
    /// thread could be given up as lost before it leaves.
    private func threads(for lane: Lane) -> Int {
        guard lane.gate.route?.isRelay == true else { return .max }
        let mails = attempts.values.filter { $0.route.isRelay }
        let own = mails.count { $0.lane.work.workspace == lane.work.workspace }
        return min(HTTPMultiClient.mailsAtOnce - mails.count, HTTPMultiClient.mailsAtOnce / 2 - own)
    }

    // MARK: Claim

    /// - Returns: how many messages it looked at; those that are not ready then wait for their hour, or were left out.
    private func claim(_ lane: Lane, _ now: Instant) throws -> Int {
        // As many as the rate lets go before the lease would become old. Leaving out and putting off take none of it here.
        let limit = lane.lookedInVain ? Self.claimLimit : max(1, min(Self.claimLimit, Int(lane.gate.rate * 4)))
        lane.lease = UUID.v7()
        lane.readyUntil = now + Self.leaseSeconds / 2
        let batch = try db.inWorkspace(lane.work.workspace, beginning: LedgerSQL.beginClaiming) { db in
            try take(lane, atMost: limit, areStarted: false, db)
        }
        crashPoint("after_claim")
        lane.ready = batch.ready[...]
        lane.noteLook(batch.looked, ready: batch.ready.count, now)
        lane.leavesSome = false
        return batch.looked
    }

    /// Claims messages and writes their texts.
    /// - Parameter areStarted: the transaction goes on to start what is ready: everything is held, and nothing written yet.
    private func take(
        _ lane: Lane, atMost limit: Int, areStarted: Bool, _ db: Connection
    ) throws -> (ready: [ReadyMessage], looked: Int) {
        guard let text = try db.first(LedgerSQL.campaign, lane.work.campaign),
            let sender = try db.first(SenderSQL.forSending, lane.work.sender)
        else { return ([], 0) }
        lane.gate.update(sender, lane.work.workspace, configuration.sealingKey)
        guard lane.gate.route != nil else {
            try suspend(lane, "credentials_unreadable", db)
            return ([], 0)
        }
        let variants = text.hasExperiment ? try db.all(ExperimentSQL.texts, lane.work.campaign) : []
        let templates = lane.gate.channel == .sms ? lane.templates(of: [text.body] + variants.map(\.body)) : []
        let parts = lane.gate.channel == .email ? try [db.one(EmailSQL.parts, lane.work.campaign)] + variants : []
        let emails = lane.emailTemplates(of: parts)
        // Nothing of a campaign is skipped for what somebody may mend: a text that does not parse any more, an address that is
        // gone. Then it is sending no longer, and only tests are claimed, also those of a draft.
        if templates.isEmpty, emails.isEmpty { try Pause.campaign(lane.work.campaign, "template_failed", db) }
        if let own = parts.first, trimmed(own.postalAddress ?? "").isEmpty {
            try Pause.campaign(lane.work.campaign, "postal_address_missing", db)
        }
        lane.hasExperiment = text.hasExperiment
        lane.beginsExperiment = text.beginsExperiment
        lane.hasBudget = text.hasBudget
        lane.hasMonthlyLimit = text.hasMonthlyLimit
        let readsContact = templates.contains { !$0.variables.isEmpty } || emails.contains(where: \.readsContact)
        let claimed =
            try areStarted
            ? db.all(LedgerSQL.hold, lane.work.campaign, limit, readsContact)
            : db.all(LedgerSQL.claim, lane.work.campaign, limit, lane.lease, Self.leaseSeconds, readsContact)
        let assignment = try Assignment(
            of: claimed.filter { !$0.isSkipped }, texts: variants.count + 1, lane.work.campaign, text, db)
        var writer = MessageWriter(lane.work.workspace, configuration, tracksLinks: text.tracksLinks)
        if lane.gate.channel == .email { try writer.write(assignment, emails, db) } else { writer.write(assignment, templates) }
        // What is not to leave is left to a claim, which asks for every reason in its order.
        if !areStarted { try drop(writer.dropped, lane, db) }
        if claimed.isEmpty, lane.inFlight == 0 { try finish(lane, db) }
        return (writer.ready, claimed.count)
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
        try Pause.campaigns(ofSuspended: lane.work.sender, db)
    }

    // MARK: Start

    private func start(_ lane: Lane, _ now: Instant) throws -> Bool {
        let wanted = Array(lane.ready.prefix(most(of: lane, in: room)))
        if wanted.isEmpty { return false }
        let launch: Launch
        do {
            launch = try db.inWorkspace(lane.work.workspace, beginning: LedgerSQL.beginStarting) { db in
                try Launch(wanted, of: lane, areHeld: false, db)
            }
        } catch {
            // Whether that committed is unknown, that no request left is certain.
            putBack(lane)
            throw error
        }
        if launch.pause != nil { putBack(lane) }
        lane.ready = lane.ready.dropFirst(launch.going.count)
        return try send(launch, of: wanted.count, lane, now)
    }

    /// Where nothing holds a campaign back, no message is written twice before its request leaves. What then does not start
    /// after all still waits as it did.
    private func claimAndStart(_ lane: Lane, atMost limit: Int, _ now: Instant) throws -> Bool {
        lane.lease = UUID.v7()
        var batch: (ready: [ReadyMessage], looked: Int) = ([], 0)
        var launch: Launch?
        do {
            try db.inWorkspace(lane.work.workspace, beginning: LedgerSQL.beginStarting) { db in
                batch = try take(lane, atMost: limit, areStarted: true, db)
                crashPoint("after_claim")
                if !batch.ready.isEmpty { launch = try Launch(batch.ready, of: lane, areHeld: true, db) }
            }
        } catch {
            recalls.append((lane.work.workspace, lane.lease, batch.ready))
            // What is refused here may go the other way.
            lane.rateHolds = true
            throw error
        }
        lane.noteLook(batch.looked, ready: batch.ready.count, now)
        lane.leavesSome = batch.ready.count < batch.looked
        guard let launch else { return batch.looked > 0 }
        return try send(launch, of: batch.ready.count, lane, now)
    }

    /// After the commit.
    private func send(_ launch: Launch, of wanted: Int, _ lane: Lane, _ now: Instant) throws -> Bool {
        if let pause = launch.pause {
            try db.inWorkspace(lane.work.workspace) { db in try pause(lane.work.campaign, db) }
            return true
        }
        crashPoint("after_start")
        // Small waits are gathered, so that a fast sender does not make a transaction of every message; long ones are
        // cut, so that a rate that was raised is noticed.
        lane.rateHolds = launch.going.count < wanted
        if lane.rateHolds { lane.gate.notBefore = max(lane.gate.notBefore, now + min(5, max(0.04, launch.waitSeconds))) }
        submit(launch.started, launch.going, lane)
        return !launch.going.isEmpty
    }

    private func submit(_ started: [StartedMessage], _ messages: [ReadyMessage], _ lane: Lane) {
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
        let now = Instant.steady()
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
                try db.inWorkspace(next.workspace) { db in
                    // Its commit may be on its way still.
                    try db.run(LedgerSQL.awaitOthers, next.messages.map(\.id), next.messages.map(\.createdAt))
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
