// SendGrid's face: mail is taken, and signed events tell what became of it.
import Glibc
import HTTPClient
import JSON
import Secrets
import Vocabulary
import Web

/// What a mail has that a text has not.
struct SandboxMail: Sendable {
    let subject: String
    let html: String?
    let headers: JSONObject
    let arguments: JSONObject
    let eventsURL: String?

    /// Signs events, for as long as this process lives.
    static let key = SigningKey()

    /// The events of a mail by the plan.
    func events(_ to: String, _ faults: FaultPlan) -> [String] {
        func hits(_ share: Double, _ kind: String) -> Bool { FaultPlan.hits(share, to, kind) }
        if hits(faults.failed, "failed") { return ["dropped"] }
        if hits(faults.undelivered, "undelivered") { return ["processed", "bounce"] }
        if hits(faults.blocked, "blocked") { return ["processed", "blocked"] }
        return ["processed", "delivered"] + (hits(faults.complaint, "complaint") ? ["spamreport"] : [])
    }

    /// An event, which the mail takes on.
    /// - Parameter event: as SendGrid names it; `blocked` is a bounce of that type.
    func request(_ sid: String, event: String) -> HTTPRequest? {
        guard let eventsURL, let message = Ledger.shared.message(sid) else { return nil }
        let states = [
            "processed": "sending", "delivered": "delivered", "bounce": "undelivered", "blocked": "undelivered", "dropped": "failed",
        ]
        if let state = states[event], !["delivered", "undelivered", "failed"].contains(message.status) {
            Ledger.shared.update(sid) { $0.status = state }
        }
        let seconds = Instant.now().microseconds / 1_000_000
        var json: JSONObject = [
            "email": .string(message.to), "timestamp": .integer(seconds), "event": .string(event == "blocked" ? "bounce" : event),
            // The same event again has the same id: that is how repeats are told apart.
            "sg_event_id": .string(base64URLEncode(Array("\(event)-\(sid)".utf8))), "sg_message_id": .string(sid + ".recvd-sandbox-0"),
            "smtp-id": .string("<\(sid)@sandbox>"),
        ]
        for (name, value) in arguments { json[name] = value }
        switch event {
        case "bounce":
            json["type"] = "bounce"
            json["status"] = "5.1.1"
            json["reason"] = "550 5.1.1 no such user"
            json["bounce_classification"] = "Invalid Address"
        case "blocked":
            json["type"] = "blocked"
            json["status"] = "4.2.2"
            json["reason"] = "452 4.2.2 mailbox full"
        case "dropped": json["reason"] = "Bounced Address"
        case "click": json["url"] = "https://shop.example/"
        default: break
        }
        // Beside one that says nothing to anybody, as they come from a shared account.
        let batch: JSONValue = [.object(json), ["event": "processed", "email": "someone@else.example"]]
        let body = Array((batch.text + "\r\n").utf8)
        let timestamp = String(seconds)
        guard let signature = Self.key.signature(of: Array(timestamp.utf8) + body) else { return nil }
        return HTTPRequest(
            "POST", eventsURL,
            headers: [
                ("Content-Type", "application/json"), ("X-Twilio-Email-Event-Webhook-Signature", base64Encode(signature)),
                ("X-Twilio-Email-Event-Webhook-Timestamp", timestamp),
            ], body: body)
    }
}

func sendMail(_ call: Call) throws -> Response {
    guard let header = call.request.header("authorization"), header.hasPrefix("Bearer "),
        Ledger.shared.accepts(mailKey: String(header.dropFirst(7)))
    else { return sendGridError(401, "The provided authorization grant is invalid, expired, or revoked", nil) }
    let body = try JSONValue(parsing: try call.rawBody())
    let people = body["personalizations"]?.array ?? []
    let recipients = people.first?["to"]?.array ?? []
    guard people.count == 1, recipients.count == 1, let to = recipients[0]["email"]?.string else {
        return sendGridError(400, "The to array is required for all personalization objects.", "personalizations.0.to")
    }
    guard let from = body["from"]?["email"]?.string, EmailAddress(from) != nil else {
        return sendGridError(400, "The from email does not contain a valid address.", "from.email")
    }
    guard let subject = body["subject"]?.string, !subject.isEmpty else {
        return sendGridError(400, "The subject is required.", "subject")
    }
    let content = body["content"]?.array ?? []
    let types = content.compactMap { $0["type"]?.string }
    guard let text = content.first?["value"]?.string, !text.isEmpty, types == ["text/plain"] || types == ["text/plain", "text/html"] else {
        return sendGridError(400, "If present, text/plain must be first, followed by text/html.", "content")
    }
    let plan = Ledger.shared.plan
    if plan.delayMilliseconds > 0 { usleep(UInt32(plan.delayMilliseconds) * 1000) }
    func hits(_ share: Double, _ kind: String) -> Bool { FaultPlan.hits(share, to, kind) }
    if FaultPlan.hits(plan.tooMany, to + "\(Ledger.shared.nextNumber())", "429") { return sendGridError(429, "too many requests", nil) }
    if hits(plan.timeoutBefore, "before") { return hang() }
    if hits(plan.serverError, "500") { return sendGridError(500, "internal error", nil) }
    if EmailAddress(to) == nil || hits(plan.reject, "reject") {
        return sendGridError(400, "Does not contain a valid address.", "personalizations.0.to.0.email")
    }
    let key = String(header.dropFirst(7))
    let mail = SandboxMail(
        subject: subject, html: content.count > 1 ? content[1]["value"]?.string : nil, headers: body["headers"]?.object ?? [:],
        arguments: people[0]["custom_args"]?.object ?? [:], eventsURL: Ledger.shared.eventsURL(key))
    let message = SandboxMessage(
        sid: base64URLEncode(Random.bytes(16)), account: key, to: to, from: from, body: text, parts: 1, callbackURL: nil,
        acceptedAt: .now(), status: "queued", mail: mail)
    Ledger.shared.add(message)
    Callbacks.shared.plan(message, plan)
    if plan.callbackBeforeAnswer { usleep(UInt32(plan.callbackDelayMilliseconds * 4 + 50) * 1000) }
    if hits(plan.timeoutAfter, "after") { return hang() }
    if hits(plan.badAnswer, "bad") { return .text("", contentType: "text/plain", status: 202) }
    if hits(plan.reset, "reset") {
        return .stream(contentType: "text/plain") { _ in throw Problem.badRequest("reset", "cut off by the plan") }
    }
    return .text("", contentType: "text/plain", status: 202).with("X-Message-Id", message.sid)
}

private func sendGridError(_ status: Int, _ message: String, _ field: String?) -> Response {
    .json(["errors": [["message": .string(message), "field": JSONValue(field), "help": .null]]], status: status)
}

struct MailKeyBody: BodyDecodable {
    let key: String
    let eventsURL: String?
    static let schema: Schema = .object([
        .required("api_key", .string(min: 1, max: 200), "SG.…"),
        .optional("events_url", .string(max: 500, format: "uri"), "Where its events go; nowhere when absent"),
    ])
    init(_ body: JSONObject) {
        key = body.string("api_key")
        eventsURL = body.optionalString("events_url")
    }
}

func registerMailKey(_ call: Call) throws -> Response {
    let body = try call.body(MailKeyBody.self)
    Ledger.shared.register(mailKey: body.key, eventsURL: body.eventsURL)
    return .json(["public_key": .string(base64Encode(SandboxMail.key.publicKey))])
}

struct MailEventBody: BodyDecodable {
    let to: String
    let event: String
    static let schema: Schema = .object([
        .required("to", .string(max: 254, format: "email"), "The person"),
        .required("event", .string(min: 1, max: 32), "As SendGrid names it"),
    ])
    init(_ body: JSONObject) {
        to = body.string("to")
        event = body.string("event")
    }
}

/// An event of a person, at once.
func playMailEvent(_ call: Call) throws -> Response {
    let played = try call.body(MailEventBody.self)
    guard let message = Ledger.shared.messages(since: nil, account: nil, to: played.to).last(where: { $0.mail != nil }),
        let request = message.mail?.request(message.sid, event: played.event)
    else { throw Problem.conflict("number_unknown", "No mail was sent to this address, or nobody knows where its events go.") }
    switch HTTPClient().send(request) {
    case .success(let answer): return .json(["sid": .string(message.sid), "answer": JSONValue(answer.status)])
    case .failure(let failure): throw Problem(502, "callback_failed", "No answer", failure.detail)
    }
}
