// The delivering thread: lease what is due of each webhook in its turn, sign, send, settle. At least once: whatever dies
// meanwhile, a lease ends and the delivery is made again with the same webhook-id.
internal import HTTPClient
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary

public let webhookLoops: [WorkerLoop] = [
    WorkerLoop("webhooks") { context in
        let loop = WebhookLoop(context.db, context.configuration) { context.isStopping }
        return { try loop.round() }
    }
]

/// Owned by its thread.
final class WebhookLoop {
    /// Requests under way at most; of webhooks that fail half as many, so that those that hang leave room.
    private static let connections = 128
    /// Of one webhook, and of one that has failed lately.
    private static let perWebhook = (usually: 4, failing: 1)
    private static let answerSeconds = 15.0
    /// Of the answer only the beginning is kept, and little more is read.
    private static let answerBytes = 4096
    private static let leaseSeconds = 60.0
    private static let lookSeconds = 0.25
    private static let rescueSeconds = 5.0
    private static let giveUpSeconds = 60.0

    private let db: Connection
    private let key: SealingKey
    private let isStopping: () -> Bool
    private let http: HTTPMultiClient
    private var underWay: [Int: Attempt] = [:]
    private var nextTag = 0
    /// What came of attempts and is not in the database yet.
    private var unsettled: [(attempt: Attempt, outcome: WebhookOutcome)] = []
    private var lookAt = Instant(microseconds: 0)
    private var rescueAt = Instant(microseconds: 0)
    private var giveUpAt = Instant(microseconds: 0)

    private struct Attempt {
        let workspace: WorkspaceID
        let webhook: WebhookID
        let isFailing: Bool
        let delivery: ClaimedDelivery
        let lease: UUID
        /// By the steady clock.
        let startedAt: Instant
        var milliseconds = 0
    }

    init(_ db: Connection, _ configuration: Configuration, isStopping: @escaping () -> Bool) {
        self.db = db
        self.isStopping = isStopping
        key = configuration.sealingKey
        let limits = HTTPLimits(
            connectSeconds: 10, totalSeconds: Self.answerSeconds, responseBytes: Self.answerBytes, cutsOff: true,
            addresses: configuration.allowsPrivateWebhooks ? .any : .publicOnly)
        http = HTTPMultiClient(connections: Self.connections, limits: limits)
    }

    /// - Returns: seconds until the next look. When the worker stops, those under way are waited for and settled.
    func round() throws -> Double {
        if !isStopping() {
            try takeCare()
            try begin()
        }
        repeat {
            collect()
            try settle()
        } while isStopping() && http.inFlight > 0
        return http.inFlight > 0 ? 0 : Self.lookSeconds
    }

    // MARK: What is due

    /// What the dead held, and what nobody wants any more.
    private func takeCare() throws {
        let now = Instant.steady()
        if now >= rescueAt {
            rescueAt = now + Self.rescueSeconds
            let rescued = try db.one(WebhookDeliverySQL.rescue, WebhookSchedule.attempts)
            if rescued > 0 { Log.warning("webhook deliveries rescued", [("count", .integer(rescued))]) }
        }
        if now >= giveUpAt {
            let isAll = try db.one(WebhookDeliverySQL.giveUp) < 1000
            giveUpAt = isAll ? now + Self.giveUpSeconds : now
        }
    }

    /// Each webhook in a random order, those that work first, as many of each as it may have at once.
    private func begin() throws {
        guard Instant.steady() >= lookAt else { return }
        lookAt = .steady() + Self.lookSeconds
        let due = try db.all(WebhookDeliverySQL.due).shuffled()
        for webhook in due.filter({ !$0.isFailing }) + due.filter(\.isFailing) where !isStopping() {
            do {
                try claim(webhook)
            } catch let error as PostgresError where error.sqlState != nil && !error.isTransient {
                Log.error(
                    "webhook deliveries not claimed",
                    [("webhook", .string(webhook.webhook.description)), ("error", .string(error.description))])
            }
        }
    }

    private func claim(_ due: DueWebhook) throws {
        let own = underWay.values.count { $0.webhook == due.webhook }
        let failing = underWay.values.count { $0.isFailing }
        let room = due.isFailing ? Self.connections / 2 - failing : Self.connections - underWay.count
        let wanted = min((due.isFailing ? Self.perWebhook.failing : Self.perWebhook.usually) - own, room)
        guard wanted > 0 else { return }
        let lease = UUID.v7()
        let claimed = try db.inWorkspace(due.workspace) { db -> (WebhookTarget, [ClaimedDelivery])? in
            guard let target = try db.first(WebhookDeliverySQL.target, due.webhook) else { return nil }
            return (target, try db.all(WebhookDeliverySQL.claim, due.webhook, wanted, lease, Self.leaseSeconds))
        }
        guard let (target, deliveries) = claimed else { return }
        let secrets = ([target.sealedSecret] + (target.previousSealedSecret.map { [$0] } ?? [])).compactMap {
            WebhookSecret(opening: $0, with: key, workspace: due.workspace, webhook: due.webhook)
        }
        for delivery in deliveries {
            let attempt = Attempt(
                workspace: due.workspace, webhook: due.webhook, isFailing: due.isFailing, delivery: delivery, lease: lease,
                startedAt: .steady())
            guard !secrets.isEmpty else {
                unsettled.append((attempt, WebhookOutcome(.failure(HTTPFailure(.notSent, "the secret was sealed with another key")))))
                continue
            }
            let body = Array(delivery.body.utf8)
            let headers = WebhookSignature.headers(
                id: delivery.event.description, timestamp: Instant.now().microseconds / 1_000_000, body: body, secrets: secrets)
            underWay[nextTag] = attempt
            http.submit(
                HTTPRequest("POST", target.url, headers: [("Content-Type", "application/json")] + headers, body: body), tag: nextTag)
            nextTag += 1
        }
    }

    // MARK: What came of it

    private func collect() {
        for (tag, result) in http.wait(timeoutMilliseconds: 50) {
            guard var attempt = underWay.removeValue(forKey: tag) else { continue }
            attempt.milliseconds = Int(Instant.steady().seconds(since: attempt.startedAt) * 1000)
            unsettled.append((attempt, WebhookOutcome(result)))
            // There is room, and perhaps more for whoever answered.
            lookAt = .steady()
        }
    }

    /// One transaction each. A database that is away is asked again; what it refuses is left to the end of its lease.
    private func settle() throws {
        while let (attempt, outcome) = unsettled.last {
            do {
                try db.inWorkspace(attempt.workspace) { db in try settle(attempt, outcome, db) }
            } catch let error as PostgresError where error.sqlState != nil && !error.isTransient {
                Log.error(
                    "webhook delivery not settled",
                    [("delivery", .string(attempt.delivery.id.description)), ("error", .string(error.description))])
            }
            unsettled.removeLast()
        }
    }

    private func settle(_ attempt: Attempt, _ outcome: WebhookOutcome, _ db: Connection) throws {
        let delivery = attempt.delivery
        var entry: JSONObject = ["milliseconds": .integer(Int64(attempt.milliseconds))]
        entry["status"] = outcome.status.map { .integer(Int64($0)) } ?? .null
        entry["error"] = outcome.error.map { .string($0) } ?? .null
        entry["answer"] = outcome.answer.map { .string($0) } ?? .null
        var (isGone, rest, pause): (Bool, Double?, Double?) = (false, nil, nil)
        switch outcome.verdict {
        case .delivered:
            try db.run(WebhookDeliverySQL.delivered, delivery.id, delivery.createdAt, attempt.lease, .object(entry))
            return
        case .gone: isGone = true
        case .failed(let wanted):
            rest = wanted
            pause = WebhookSchedule.pause(after: delivery.step, retryAfter: wanted, chance: .random(in: 0..<1))
        }
        guard
            let isLost = try db.first(
                WebhookDeliverySQL.failed, delivery.id, delivery.createdAt, attempt.lease, .object(entry), pause, rest)
        else { return }
        if isGone || isLost { _ = try db.one(WebhookDeliverySQL.disable, attempt.webhook, isGone ? "gone" : "failing") }
    }
}

extension Connection {
    fileprivate func inWorkspace<T>(_ workspace: WorkspaceID, _ work: (Connection) throws -> T) throws -> T {
        try transaction { db in
            try db.setWorkspace(workspace)
            return try work(db)
        }
    }
}
