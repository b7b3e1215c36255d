// What a person decides of messages that have ended, or of which nobody can tell.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What somebody found at the provider about a message whose answer was lost.
struct MessageVerdict: BodyDecodable {
    let isSent: Bool
    let sid: String?

    static let schema = Schema.object([
        .required("outcome", .string(oneOf: ["sent", "not_sent"]), "What the provider's own log shows"),
        .optional("sid", .nullable(.string(min: 1, max: 200)), "The provider's id of it; needed where it was sent"),
    ])

    init(_ body: JSONObject) {
        isSent = body.string("outcome") == "sent"
        sid = body.optionalString("sid")
    }

    func check() throws {
        if isSent, sid == nil { throw Problem.invalid("/sid", "required", "Name the provider's id of the message.") }
        if !isSent, sid != nil { throw Problem.invalid("/sid", "not_expected", "What was not sent has no id at the provider.") }
    }
}

/// unknown → sent | failed, where no callback and no look-up could tell.
func settleMessage(_ call: Call) throws -> Response {
    let id: MessageID = try call.pathID("id")
    let verdict = try call.body(MessageVerdict.self)
    return try call.transaction { db in
        let message = try db.one(ByHandSQL.lock, id)
        guard message.state == "unknown" else {
            throw Problem.conflict("wrong_state", "The message is `\(message.state)`; only one that is `unknown` can be settled by hand.")
        }
        try verdict.check()
        if let sid = verdict.sid {
            guard try !db.one(ByHandSQL.isTaken, sid) else {
                throw Problem.invalid("/sid", "taken", "That is the id of another message.")
            }
            _ = try db.one(ByHandSQL.sent, id, sid, call.now)
        } else {
            guard try db.run(ByHandSQL.notSent, id, message.createdAt) > 0 else {
                throw Problem.conflict("provider_has_told", "The provider has told of it meanwhile; look again in a moment.")
            }
        }
        try call.audit(
            "message.settled", "message", id.uuid, details: ["outcome": .string(verdict.isSent ? "sent" : "not_sent")], in: db)
        return try shown(id, db)
    }
}

/// failed | undelivered → pending, for one message.
func retryMessage(_ call: Call) throws -> Response {
    let id: MessageID = try call.pathID("id")
    return try call.transaction { db in
        let message = try db.one(ByHandSQL.lock, id)
        guard message.isOfCampaign, ["failed", "undelivered"].contains(message.state) else {
            throw Problem.conflict(
                "wrong_state",
                "The message is `\(message.state)`; only one of a campaign's audience that failed or was not delivered can be retried.")
        }
        try retried(message.campaign, db) { try db.one(ByHandSQL.retry, message.campaign, id, ["failed", "undelivered"], nil, 1) }
        try call.audit("message.retried", "message", id.uuid, in: db)
        return try shown(id, db)
    }
}

/// Which messages of a campaign are to be tried again.
struct CampaignRetry: BodyDecodable {
    /// In one request: it is one transaction.
    static let most = 10_000
    let states: [String]
    let codes: [Int]?

    static let schema = Schema.object([
        .optional(
            "states", .array(.string(oneOf: ["failed", "undelivered"]), min: 1, max: 2), "Only messages that ended so; both when absent"),
        .optional("error_codes", .array(.integer(0...999_999), min: 1, max: 50), "Only messages that ended with one of these codes"),
    ])

    init(_ body: JSONObject) throws {
        states = body["states"]?.array?.compactMap(\.string) ?? ["failed", "undelivered"]
        codes = body["error_codes"]?.array?.compactMap { $0.integer.map { Int($0) } }
    }
}

/// The same for many, the oldest first.
func retryCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    let wanted = try call.body(CampaignRetry.self)
    return try call.transaction(timeoutSeconds: 60) { db in
        let count = try retried(id, db) { try db.one(ByHandSQL.retry, id, nil, wanted.states, wanted.codes, CampaignRetry.most) }
        try call.audit("campaign.retried", "campaign", id.uuid, details: ["messages": .integer(Int64(count))], in: db)
        return .json(["retried": .integer(Int64(count)), "has_more": .bool(count == CampaignRetry.most)])
    }
}

/// Sends again what had finished, if there is anything to send; a paused campaign goes on when somebody resumes it.
@discardableResult
private func retried(_ id: CampaignID, _ db: Connection, _ retry: () throws -> Int) throws -> Int {
    let campaign = try db.one(CampaignSQL.lock, id)
    guard [.sending, .paused, .finished].contains(campaign.status) else {
        throw campaign.wrongState(for: "retry messages", from: [.sending, .paused, .finished])
    }
    let count = try retry()
    guard count > 0, campaign.status == .finished else { return count }
    guard let sender = campaign.sender, try db.one(SenderSQL.lockStatus, sender) == "active" else {
        throw Problem.conflict("sender_suspended", "The campaign's sender is suspended; give it working credentials first.")
    }
    // Fields may have gone since: what is written anew must not have holes, in the campaign's own texts and in its variants'.
    var faults = Faults()
    let texts = ["body", "subject", "preheader", "html"]
    for fault in try Readiness(campaign, db).faults.list where texts.contains(String(fault.pointer.split(separator: "/").last ?? "")) {
        faults.add(fault.pointer, fault.code, fault.detail)
    }
    try faults.check()
    try db.run(ByHandSQL.reopen, id)
    return count
}

private func shown(_ id: MessageID, _ db: Connection) throws -> Response { try messageResponse(try db.one(MessageSQL.read, id)) }

enum ByHandSQL {
    static let lock = Statement<MessageAtHand, MessageID>(
        """
        SELECT created_at, campaign_id, kind, state FROM messages WHERE workspace_id = current_workspace() AND id = $1 FOR UPDATE
        """)

    /// Whether another message, or a former attempt, has this id of the provider's.
    static let isTaken = Statement<Bool, String>(
        """
        SELECT EXISTS (SELECT FROM messages m WHERE m.workspace_id = current_workspace() AND m.sid = $1)
            OR EXISTS (SELECT FROM former_attempts f WHERE f.workspace_id = current_workspace() AND f.sid = $1)
        """)

    static let sent = Statement<String, MessageID, String, Instant>("SELECT apply_status($1, $2, 'sent', NULL, $3)")

    static let notSent = Statement<Int, MessageID, Instant>(
        """
        UPDATE messages
           SET state = 'failed', provider_status = 'declared_unsent', provider_rank = 4, settled_at = now(), unknown_reason = NULL
         WHERE workspace_id = current_workspace() AND id = $1 AND created_at = $2 AND state = 'unknown'
           AND NOT EXISTS (SELECT FROM receipts r
                            WHERE r.workspace_id = current_workspace() AND r.message_id = $1 AND r.due_at IS NOT NULL)
        """)

    static let retry = Statement<Int, CampaignID, MessageID?, [String], [Int]?, Int>("SELECT retry_messages($1, $2, $3, $4, $5)")

    static let reopen = Statement<Int, CampaignID>(
        """
        UPDATE campaigns
           SET status = 'sending', finished_at = NULL, status_reason = NULL, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'finished'
        """)
}

struct MessageAtHand: RowDecodable {
    let createdAt: Instant
    let campaign: CampaignID
    let isOfCampaign: Bool
    let state: String
    init(_ row: borrowing Row) throws(PostgresError) {
        createdAt = try row["created_at"]
        campaign = try row["campaign_id"]
        isOfCampaign = try row["kind"] == "campaign"
        state = try row["state"]
    }
}
