// What the sandbox received: the other side's ledger, to be compared with ours.
import JSON
import Synchronization
import Vocabulary

struct SandboxMessage: Sendable {
    let sid: String
    let account: String
    let to: String
    let from: String
    let body: String
    let parts: Int
    let callbackURL: String?
    let acceptedAt: Instant
    var status: String
    /// Of mail only.
    var mail: SandboxMail?
    var errorCode: Int?
    /// Callbacks sent: the status, and what we answered (0: nothing).
    var callbacks: [(status: String, answer: Int)] = []

    var ledgerLine: JSONValue {
        [
            "sid": .string(sid), "channel": .string(mail == nil ? "sms" : "email"), "subject": JSONValue(mail?.subject),
            "html": JSONValue(mail?.html), "headers": .object(mail?.headers ?? [:]), "to": .string(to), "from": .string(from),
            "body": .string(body), "parts": JSONValue(parts),
            "status": .string(status), "error_code": JSONValue(errorCode), "accepted_at": .string(acceptedAt.description),
            "callbacks": .array(callbacks.map { ["status": .string($0.status), "answer": JSONValue($0.answer)] }),
        ]
    }
}

/// All state of the sandbox, in memory: one process has it, and a new one starts empty.
final class Ledger: Sendable {
    private struct State {
        var messages: [SandboxMessage] = []
        /// What people wrote to us; told with the messages, and no part of what we sent.
        var replies: [SandboxMessage] = []
        var bySID: [String: Int] = [:]
        var tokens: [String: String] = [:]
        var passwords: [String: Set<String>] = [:]
        var inboundURLs: [String: (account: String, url: String)] = [:]
        var plan = FaultPlan()
        /// Of SendGrid: which keys are known, and where each one's events go.
        var mailKeys: [String: String?] = [:]
        var count = 0
    }
    static let shared = Ledger()
    private let state = Mutex(State())

    var plan: FaultPlan {
        get { state.withLock { $0.plan } }
        set { state.withLock { $0.plan = newValue } }
    }

    func add(_ message: SandboxMessage) {
        state.withLock { state in
            state.bySID[message.sid] = state.messages.count
            state.messages.append(message)
            if let url = message.callbackURL, let question = url.firstIndex(of: "?") ?? Optional(url.endIndex),
                url[..<question].hasSuffix("/status")
            {
                state.inboundURLs[message.from] = (message.account, String(url[..<question].dropLast(6)) + "inbound")
            }
        }
    }

    func add(reply: SandboxMessage) { state.withLock { $0.replies.append(reply) } }

    /// Of an account, both ways, the first first.
    func conversation(account: String, from: String?, to: String?) -> [SandboxMessage] {
        state.withLock { state in
            (state.messages + state.replies).filter {
                $0.account == account && (from == nil || $0.from == from) && (to == nil || $0.to == to)
            }.sorted { $0.acceptedAt < $1.acceptedAt }
        }
    }

    func message(_ sid: String) -> SandboxMessage? { state.withLock { state in state.bySID[sid].map { state.messages[$0] } } }

    func update(_ sid: String, _ change: (inout SandboxMessage) -> Void) {
        state.withLock { state in
            guard let index = state.bySID[sid] else { return }
            change(&state.messages[index])
        }
    }

    func messages(since: Instant?, account: String? = nil, to: String? = nil) -> [SandboxMessage] {
        state.withLock { state in
            state.messages.filter { message in
                (since.map { message.acceptedAt >= $0 } ?? true) && (account.map { message.account == $0 } ?? true)
                    && (to.map { message.to == $0 } ?? true)
            }
        }
    }

    func reset() {
        state.withLock { state in
            state.messages = []
            state.replies = []
            state.bySID = [:]
        }
    }

    // MARK: Accounts

    /// Makes an account known: its token signs callbacks, its keys may send.
    func register(account: String, token: String, keySID: String?, keySecret: String?) {
        state.withLock { state in
            state.tokens[account] = token
            state.passwords[account, default: []].insert("\(account):\(token)")
            if let keySID, let keySecret { state.passwords[account, default: []].insert("\(keySID):\(keySecret)") }
        }
    }

    /// Whether these credentials may send for an account. One that nobody registered takes everybody, and learns the
    /// token that its callbacks are signed with from whoever sends with it.
    func accepts(account: String, user: String, password: String) -> Bool {
        state.withLock { state in
            if let known = state.passwords[account] { return known.contains("\(user):\(password)") }
            if user == account { state.tokens[account] = password }
            return true
        }
    }

    /// Makes a key of SendGrid's known, and where its events go.
    func register(mailKey: String, eventsURL: String?) { state.withLock { $0.mailKeys[mailKey] = .some(eventsURL) } }

    /// Whether mail may be sent with this key. While nobody registered any, with each.
    func accepts(mailKey: String) -> Bool { state.withLock { $0.mailKeys.isEmpty || $0.mailKeys.keys.contains(mailKey) } }
    func eventsURL(_ mailKey: String) -> String? { state.withLock { $0.mailKeys[mailKey] ?? nil } }

    func token(_ account: String) -> String? { state.withLock { $0.tokens[account] } }
    func inboundURL(_ number: String) -> (account: String, url: String)? { state.withLock { $0.inboundURLs[number] } }
    func nextNumber() -> Int {
        state.withLock { state in
            state.count += 1
            return state.count
        }
    }
}

/// What goes wrong, and how often. Shares are of numbers: the same number always has the same fate.
struct FaultPlan: Sendable {
    var delayMilliseconds = 0
    /// Hangs without taking the message; hangs after having taken it.
    var timeoutBefore = 0.0
    var timeoutAfter = 0.0
    var tooMany = 0.0
    var serverError = 0.0
    /// Takes the message and answers with something that is no JSON.
    var badAnswer = 0.0
    /// Takes the message and names none that could be its own.
    var badSID = 0.0
    /// Takes the message and cuts the connection.
    var reset = 0.0
    var reject = 0.0
    var rejectCode = 21211
    var undelivered = 0.0
    var undeliveredCode = 30003
    var failed = 0.0
    var failedCode = 30007
    /// Of mail: comes back for now; arrives and is complained of.
    var blocked = 0.0
    var complaint = 0.0
    /// Callbacks beyond the first of each, in reverse order, never sent, or sent before the answer.
    var duplicates = 0
    var reorder = false
    var dropCallbacks = 0.0
    var callbackBeforeAnswer = false
    var callbackDelayMilliseconds = 50

    static let members: [Member] = [
        .optional("delay_ms", .integer(0...60_000), "Before every answer"),
        .optional("timeout_before", .number, "Share that hangs and is not taken"),
        .optional("timeout_after", .number, "Share that is taken and hangs"),
        .optional("too_many", .number, "Share answered with 429"),
        .optional("server_error", .number, "Share answered with 500"),
        .optional("bad_answer", .number, "Share that is taken and answered with no JSON"),
        .optional("bad_sid", .number, "Share that is taken and answered with an id that is none"),
        .optional("reset", .number, "Share that is taken and cut off"),
        .optional("reject", .number, "Share refused with 400"),
        .optional("reject_code", .integer(10_000...99_999), "The code of a refusal"),
        .optional("undelivered", .number, "Share that ends undelivered"),
        .optional("undelivered_code", .integer(10_000...99_999), "Its error code"),
        .optional("failed", .number, "Share that ends failed"),
        .optional("failed_code", .integer(10_000...99_999), "Its error code"),
        .optional("blocked", .number, "Share of mail that comes back for now"),
        .optional("complaint", .number, "Share of mail that somebody complains of"),
        .optional("duplicates", .integer(0...10), "How often each callback is repeated"),
        .optional("reorder", .boolean, "Callbacks come in reverse order"),
        .optional("drop_callbacks", .number, "Share without any callback"),
        .optional("callback_before_answer", .boolean, "The first callbacks come before the answer"),
        .optional("callback_delay_ms", .integer(0...60_000), "Between the callbacks of a message"),
    ]

    init() {}
    init(_ body: JSONObject) {
        func share(_ key: String) -> Double { min(1, max(0, body[key]?.real ?? 0)) }
        delayMilliseconds = body.optionalInteger("delay_ms") ?? 0
        timeoutBefore = share("timeout_before")
        timeoutAfter = share("timeout_after")
        tooMany = share("too_many")
        serverError = share("server_error")
        badAnswer = share("bad_answer")
        badSID = share("bad_sid")
        reset = share("reset")
        reject = share("reject")
        rejectCode = body.optionalInteger("reject_code") ?? 21211
        undelivered = share("undelivered")
        undeliveredCode = body.optionalInteger("undelivered_code") ?? 30003
        failed = share("failed")
        failedCode = body.optionalInteger("failed_code") ?? 30007
        blocked = share("blocked")
        complaint = share("complaint")
        duplicates = body.optionalInteger("duplicates") ?? 0
        reorder = body.bool("reorder")
        dropCallbacks = share("drop_callbacks")
        callbackBeforeAnswer = body.bool("callback_before_answer")
        callbackDelayMilliseconds = body.optionalInteger("callback_delay_ms") ?? 50
    }

    /// Whether a number is in a share; kinds are independent of each other.
    static func hits(_ share: Double, _ number: String, _ kind: String) -> Bool {
        guard share > 0 else { return false }
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in (kind + number).utf8 { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
        hash ^= hash >> 33
        hash = hash &* 0xFF51_AFD7_ED55_8CCD
        hash ^= hash >> 33
        return Double(hash % 1_000_000) / 1_000_000 < share
    }
}
