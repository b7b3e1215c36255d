// One campaign in the hands of one sending thread.
internal import HTTPClient
internal import JSON
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary

/// A message with its text, claimed and not yet started.
struct ReadyMessage {
    let id: MessageID
    let createdAt: Instant
    let to: String
    let text: String
    let parts: Int
    /// What mail has besides its text.
    var email: RenderedEmail?
    /// Links in the text; they are kept when the message starts.
    var links: [NewLink] = []
}

/// A request under way, or one that has been answered.
struct Attempt {
    let message: MessageID
    let createdAt: Instant
    let number: Int
    let to: String
    /// What the sender was when the request was made of it: a refusal of its credentials says nothing of later ones.
    let senderVersion: Int
    /// What reads the answer: the one that made the request.
    let route: SenderRoute
    let lane: Lane
}

/// What a sending thread keeps of a campaign between claims. All messages in `ready` come from one claim.
final class Lane {
    let work: CampaignToSend
    let gate: SenderGate
    var ready: ArraySlice<ReadyMessage> = []
    var lease = UUID.v7()
    /// By our own clock, well before the lease ends by the database's: afterwards others may have the messages.
    var readyUntil = Instant(microseconds: 0)
    /// Nothing was due when we last looked.
    var nextClaim = Instant(microseconds: 0)
    /// Nothing of what we last looked at may be sent now: there may be much more of that kind.
    private(set) var lookedInVain = false
    var inFlight = 0
    /// How long to wait for the next look where nothing was due: what waits for the morning is not asked for four times a second.
    private(set) var restSeconds = 0.25
    /// Refusals in a row that say that the sender is not set up for this.
    var misconfigured = 0
    /// What it may cost is bounded. A campaign gets its first budget as a draft, so this holds for all that is claimed.
    var hasBudget = false
    /// The workspace had a monthly limit at the last claim; where one came since, nothing starts before the next.
    var hasMonthlyLimit = false
    var hasExperiment = false
    /// Nothing of its experiment was started yet, when it was last looked at.
    var beginsExperiment = false
    private var bodies: [String] = []
    private var templates: [TextTemplate] = []
    private var parts: [EmailParts] = []
    private var emails: [EmailTemplate] = []

    init(_ work: CampaignToSend, _ gate: SenderGate) {
        self.work = work
        self.gate = gate
    }

    /// The sender's rate let fewer go than were ready when we last started some, or nothing was started yet.
    var rateHolds = true

    /// Until when it waits for room for many messages.
    var gathersUntil: Instant?

    /// When messages were last claimed and started at once, some were not ready.
    var leavesSome = false

    /// Only the rate is to be asked before a message starts, and it held nothing back. What else bounds a campaign is a row that others
    /// hold, too: it is locked before the messages, in a transaction of its own.
    var isUnhindered: Bool { !rateHolds && !leavesSome && !lookedInVain && !hasBudget && !hasMonthlyLimit && !hasExperiment }

    /// - Parameter looked: how many messages the claim looked at, of which some may be ready.
    func noteLook(_ looked: Int, ready: Int, _ now: Instant) {
        lookedInVain = looked > 0 && ready == 0
        let isIdle = looked == 0 && inFlight == 0
        restSeconds = isIdle ? min(2, restSeconds * 2) : 0.25
        if looked == 0 { nextClaim = now + restSeconds }
    }

    /// Drafts change while tests of theirs are sent, so the texts come with every claim; they are parsed when they are new.
    /// - Parameter bodies: the campaign's own text, then those of its variants.
    /// - Returns: none where one of them does not parse. Nothing starts with one, but a later release may read it otherwise.
    func templates(of bodies: [String]) -> [TextTemplate] {
        if bodies != self.bodies || templates.isEmpty {
            self.bodies = bodies
            do { templates = try bodies.map { try TextTemplate($0) } } catch { templates = [] }
        }
        return templates
    }

    /// The same for mail.
    func emailTemplates(of parts: [EmailParts]) -> [EmailTemplate] {
        if parts != self.parts || emails.isEmpty {
            self.parts = parts
            do { emails = try parts.map { try EmailTemplate($0) } } catch { emails = [] }
        }
        return emails
    }
}

/// What is known of a sender: how to send through it, and when it may be tried again.
final class SenderGate {
    let id: SenderID
    private(set) var version = 0
    private(set) var rate = 1.0
    private(set) var channel = Channel.sms
    /// `nil` when the credentials do not open: another key sealed them.
    private(set) var route: SenderRoute?
    var notBefore = Instant(microseconds: 0)
    /// Requests of this thread under way, of all campaigns of the sender.
    var inFlight = 0
    private var failures = 0
    /// Answers that were lost, one after the other.
    private var lost = 0
    /// So many in a row say that the way to the provider is cut, as no bad message does.
    private static let mostLost = 10

    init(_ id: SenderID) { self.id = id }

    /// Opens the credentials when the sender is new or has changed.
    func update(_ row: SenderRow, _ workspace: WorkspaceID, _ key: SealingKey) {
        guard row.version != version else { return }
        version = row.version
        rate = row.rate
        channel = row.channel
        route = SenderRoute(row, workspace, key)
        failures = 0
        lost = 0
    }

    func succeeded() {
        failures = 0
        lost = 0
    }

    /// The provider said something: the way to it is there.
    func answered() { lost = 0 }

    /// Nobody can say what became of a message. Where that happens again and again everything else waits: it would be lost alike,
    /// and what was lost is never sent again.
    func lostAnswer(now: Instant) {
        lost += 1
        if isCut { _ = pause(seconds: nil, now: now) }
    }

    /// Only one message at a time leaves, to see whether its answer comes back.
    var isCut: Bool { lost >= Self.mostLost }

    /// Nothing goes through for a while: what the provider asks for, else 0.5 s doubling to 30 s, half of it by chance.
    /// - Returns: the pause in seconds.
    func pause(seconds asked: Double?, now: Instant) -> Double {
        let seconds = asked ?? min(30, 0.5 * Double(1 << min(failures, 6))) * Double.random(in: 0.5...1)
        // Many requests fail together; together they are one failure.
        if now >= notBefore { failures += 1 }
        notBefore = max(notBefore, now + seconds)
        return seconds
    }
}
