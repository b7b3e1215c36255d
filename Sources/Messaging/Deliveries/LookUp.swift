// Messages of which nobody tells us any more are asked for: those whose answer was lost, and those that were handed over
// and never heard of again.
//
// What the provider says becomes a receipt, like a callback's, and is merged by rank like one. Twilio has no key of ours
// to ask by, so a lost message is recognised (`Trace`); what is not certain stays unknown.
internal import HTTPClient
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary

public let lookUpLoops: [WorkerLoop] = [
    WorkerLoop("look-ups") { context in
        let lookUp = LookUp(context.db, context.configuration)
        return {
            var isBusy = false
            for workspace in try context.db.all(LookUpSQL.workspacesDue) where !context.isStopping {
                if try lookUp.round(workspace, isStopping: { context.isStopping }) == LookUp.batch { isBusy = true }
            }
            return isBusy ? 0 : 1
        }
    }
]

/// Owned by its thread.
final class LookUp {
    /// Of one workspace before the next has its turn: each takes a request.
    static let batch = 20
    /// A sender whose provider does not answer is left alone for so long.
    private static let restSeconds = 60.0

    private let db: Connection
    private let client: TwilioClient
    private let key: SealingKey
    private let http = HTTPClient()
    private var resting: [SenderID: Instant] = [:]

    init(_ db: Connection, _ configuration: Configuration) {
        self.db = db
        client = TwilioClient(baseURL: configuration.twilioURL)
        key = configuration.sealingKey
    }

    /// Asks for the messages of a workspace that are due. When each is asked for again is committed before: a worker that
    /// dies, or a provider that does not answer, delays and loses nothing.
    /// - Returns: how many were due.
    func round(_ workspace: WorkspaceID, isStopping: () -> Bool = { false }) throws -> Int {
        resting = resting.filter { $0.value > .steady() }
        let due = try db.inWorkspace(workspace) { db in
            try db.run(LookUpSQL.forgetSettled, Self.batch)
            return try db.all(LookUpSQL.take, Self.batch)
        }
        crashPoint("after_look_up_planned")
        var credentials: [SenderID: SenderCredentials?] = [:]
        for message in due where !isStopping() {
            guard resting[message.sender] == nil else {
                // Nobody was asked: it does not count as one of the few looks that a silent message gets.
                _ = try db.inWorkspace(workspace) { db in try db.run(LookUpSQL.postpone, message.id) }
                continue
            }
            if credentials[message.sender] == nil {
                let row = try db.inWorkspace(workspace) { db in try db.first(SenderSQL.forSending, message.sender) }
                credentials[message.sender] = row.map {
                    SenderCredentials(opening: $0.sealedCredentials, with: key, workspace: workspace, sender: message.sender)
                }
            }
            guard let opened = credentials[message.sender] ?? nil, opened.accountSID == message.account else { continue }
            do {
                if try !ask(for: message, opened, workspace) { resting[message.sender] = .steady() + Self.restSeconds }
            } catch let error as PostgresError where error.sqlState != nil && !error.isTransient {
                Log.error("message not looked up", [("message", .string(message.id.description)), ("error", .string(error.description))])
            }
        }
        return due.count
    }

    /// - Returns: whether the provider answered.
    private func ask(for message: SilentMessage, _ credentials: SenderCredentials, _ workspace: WorkspaceID) throws -> Bool {
        if let sid = message.sid {
            let outcome = http.send(client.message(credentials, sid: sid))
            if let told = TwilioClient.one(outcome), told.sid == sid, told.status != message.providerStatus {
                _ = try db.inWorkspace(workspace) { db in try store(told, of: message, db) }
            }
            return TwilioClient.isAnswer(outcome)
        }
        let outcome = http.send(client.messages(credentials, to: message.to))
        guard let list = TwilioClient.list(outcome) else { return TwilioClient.isAnswer(outcome) }
        try db.inWorkspace(workspace) { db in
            crashPoint("before_look_up_commit")
            // Two that look for messages to the same number must not both take the one that the provider has.
            _ = try db.one(LookUpSQL.alone)
            let sids = list.messages.map(\.sid)
            let known = try db.one(LookUpSQL.known, message.id, message.createdAt, message.to, sids)
            // Somebody has told by now.
            guard known.isUnknown else { return }
            let trace = Trace(
                message, list, taken: Set(known.taken), others: known.othersUnknown, areOthersUnderWay: known.othersUnderWay > 0)
            switch trace.finding {
            case .found(let told): try store(told, of: message, db)
            case .uncertain: try db.run(LookUpSQL.uncertain, message.id)
            case .none: try db.run(LookUpSQL.missed, message.id, message.createdAt, message.attempt)
            }
        }
        return true
    }

    @discardableResult
    private func store(_ told: TwilioMessage, of message: SilentMessage, _ db: Connection) throws -> Int {
        let body = "MessageSid=\(told.sid)&MessageStatus=\(told.status)&Source=look_up"
        let code = told.errorCode.flatMap { Int32(exactly: $0) }.map { Int($0) }
        return try db.run(DeliverySQL.insertReceipt, message.sender, message.id, message.attempt, told.sid, told.status, code, body)
    }
}

/// A message that is asked for.
struct SilentMessage: RowDecodable {
    let id: MessageID
    let createdAt: Instant
    let sender: SenderID
    let account: String
    let from: String?
    let to: String
    let body: String
    /// `nil` where it is not known whether the provider took it.
    let sid: String?
    let providerStatus: String?
    let startedAt: Instant
    let attempt: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        createdAt = try row["created_at"]
        sender = try row["sender_id"]
        account = try row["account_sid"]
        from = try row["from_number"]
        to = try row["to_address"]
        body = try row["body"]
        sid = try row["sid"]
        providerStatus = try row["provider_status"]
        startedAt = try row["started_at"]
        attempt = try row["attempt"]
    }
}
