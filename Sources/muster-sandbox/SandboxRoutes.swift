// The provider's face (Twilio's Messages resource) and the sandbox's own.
import Glibc
import HTTPClient
import JSON
import Messaging
import Secrets
import Vocabulary
import Web

let sandboxRoutes: [Route] = [
    .post(
        "/sandbox/2010-04-01/Accounts/{account}/Messages.json", createMessage, needs: .anyone, limit: .unlimited, openQuery: true,
        "Twilio: create a message"),
    .get(
        "/sandbox/2010-04-01/Accounts/{account}/Messages.json", listMessages, needs: .anyone, limit: .unlimited, openQuery: true,
        "Twilio: list messages"),
    .get(
        "/sandbox/2010-04-01/Accounts/{account}/Messages/{file}", readMessage, needs: .anyone, limit: .unlimited, openQuery: true,
        "Twilio: one message"),
    .post("/sandbox/v3/mail/send", sendMail, needs: .anyone, limit: .unlimited, openQuery: true, "SendGrid: send a mail"),
    .post(
        "/sandbox/mail-keys", registerMailKey, needs: .anyone, limit: .unlimited, body: MailKeyBody.schema,
        "Make a key of SendGrid's known, and where its signed events go; answers with what verifies them"),
    .post("/sandbox/mail-server", openMailServer, needs: .anyone, limit: .unlimited, "An SMTP relay; answers with its port of loopback"),
    .post(
        "/sandbox/mail-events", playMailEvent, needs: .anyone, limit: .unlimited, body: MailEventBody.schema,
        "Something happens to the last mail to an address: open, click, spamreport, unsubscribe, bounce …"),
    .get(
        "/sandbox/ledger", readLedger, needs: .anyone, limit: .unlimited,
        query: [QueryParameter("since", .string(format: "date-time"), "Accepted at or after")], "All that was received"),
    .delete("/sandbox/ledger", resetLedger, needs: .anyone, limit: .unlimited, "Forget all that was received"),
    .post(
        "/sandbox/faults", setFaults, needs: .anyone, limit: .unlimited, body: FaultBody.schema,
        "The plan of what goes wrong; {} for nothing"),
    .post("/sandbox/accounts", registerAccount, needs: .anyone, limit: .unlimited, body: AccountBody.schema, "Make an account known"),
    .post(
        "/sandbox/inbound", playReply, needs: .anyone, limit: .unlimited, body: ReplyBody.schema, "A person replies to one of our numbers"),
]

// MARK: Twilio

private func createMessage(_ call: Call) throws -> Response {
    let account = call.pathText("account")
    guard authorized(call, account) else { return twilioError(401, 20003, "Authenticate") }
    let form = Dictionary(
        formPairs(String(decoding: try call.rawBody(limit: 65_536), as: UTF8.self)).map { ($0.name, $0.value) },
        uniquingKeysWith: { a, _ in a })
    let to = form["To"] ?? ""
    let plan = Ledger.shared.plan
    if plan.delayMilliseconds > 0 { usleep(UInt32(plan.delayMilliseconds) * 1000) }
    func hits(_ share: Double, _ kind: String) -> Bool { FaultPlan.hits(share, to, kind) }
    // Kinds that may pass at the next try depend on the try as well.
    let attempt = "\(Ledger.shared.nextNumber())"
    if FaultPlan.hits(plan.tooMany, to + attempt, "429") { return twilioError(429, 20429, "Too Many Requests") }
    if hits(plan.timeoutBefore, "before") { return hang() }
    if hits(plan.serverError, "500") { return twilioError(500, 20500, "Internal Server Error") }
    guard E164(to) != nil else { return twilioError(400, 21211, "Invalid 'To' Phone Number") }
    guard let body = form["Body"], !body.isEmpty else { return twilioError(400, 21602, "Message body is required.") }
    if body.utf16.count > 1600 { return twilioError(400, 21617, "The concatenated message body exceeds the 1600 character limit") }
    if hits(plan.reject, "reject") { return twilioError(400, plan.rejectCode, "Refused by the plan") }
    let message = SandboxMessage(
        sid: "SM" + hexEncode(Random.bytes(16)), account: account, to: to,
        from: form["From"] ?? form["MessagingServiceSid"] ?? "", body: body, parts: MessageSize(body).parts,
        callbackURL: form["StatusCallback"], acceptedAt: .now(), status: "queued")
    Ledger.shared.add(message)
    Callbacks.shared.plan(message, plan)
    if plan.callbackBeforeAnswer { usleep(UInt32(plan.callbackDelayMilliseconds * 4 + 50) * 1000) }
    if hits(plan.timeoutAfter, "after") { return hang() }
    if hits(plan.badAnswer, "bad") { return .text("<html>busy</html>", contentType: "text/html", status: 201) }
    if hits(plan.badSID, "sid") { return .json(["sid": "SM", "status": "queued", "num_segments": "1"], status: 201) }
    if hits(plan.reset, "reset") {
        return .stream(contentType: "application/json") { _ in throw Problem.badRequest("reset", "cut off by the plan") }
    }
    return .json(resource(message), status: 201)
}

/// Longer than any client waits.
func hang() -> Response {
    usleep(15_000_000)
    return twilioError(504, 20504, "Too late")
}

private func authorized(_ call: Call, _ account: String) -> Bool {
    guard let header = call.request.header("authorization"), header.hasPrefix("Basic "),
        let bytes = base64Decode(header.dropFirst(6))
    else { return false }
    let pair = String(decoding: bytes, as: UTF8.self).split(separator: ":", maxSplits: 1).map(String.init)
    return pair.count == 2 && Ledger.shared.accepts(account: account, user: pair[0], password: pair[1])
}

private func twilioError(_ status: Int, _ code: Int, _ message: String) -> Response {
    .json(
        [
            "code": JSONValue(code), "message": .string(message), "more_info": .string("https://www.twilio.com/docs/errors/\(code)"),
            "status": JSONValue(status),
        ],
        status: status)
}

private func resource(_ message: SandboxMessage) -> JSONValue {
    [
        "sid": .string(message.sid), "account_sid": .string(message.account), "status": .string(message.status),
        "to": .string(message.to), "from": .string(message.from), "body": .string(message.body),
        "num_segments": .string(String(message.parts)), "num_media": "0",
        "direction": message.status == "received" ? "inbound" : "outbound-api",
        "date_created": .string(rfc2822(message.acceptedAt)), "error_code": JSONValue(message.errorCode), "error_message": .null,
        "price": .null, "price_unit": "USD",
        "api_version": "2010-04-01",
        "uri": .string("/2010-04-01/Accounts/\(message.account)/Messages/\(message.sid).json"),
    ]
}

/// The latest first; `PageToken` names the last message of the page before.
private func listMessages(_ call: Call) throws -> Response {
    let account = call.pathText("account")
    guard authorized(call, account) else { return twilioError(401, 20003, "Authenticate") }
    let size = min(1000, max(1, call.query("PageSize").flatMap { Int($0) } ?? 50))
    let (to, from) = (call.query("To"), call.query("From"))
    var found = Ledger.shared.conversation(account: account, from: from, to: to)[...]
    if let token = call.query("PageToken"), let place = found.firstIndex(where: { "PA" + $0.sid == token }) { found = found[..<place] }
    let page = found.suffix(size).reversed()
    var next = JSONValue.null
    if found.count > size, let last = page.last {
        let pairs = [("To", to), ("From", from), ("PageSize", "\(size)"), ("Page", "1"), ("PageToken", "PA" + last.sid)]
        let query = formEncoded(pairs.compactMap { name, value in value.map { (name, $0) } })
        next = .string("/2010-04-01/Accounts/\(account)/Messages.json?" + String(decoding: query, as: UTF8.self))
    }
    return .json(["messages": .array(page.map(resource)), "next_page_uri": next])
}

private func readMessage(_ call: Call) throws -> Response {
    let account = call.pathText("account")
    guard authorized(call, account) else { return twilioError(401, 20003, "Authenticate") }
    let file = call.pathText("file")
    guard file.hasSuffix(".json"), let message = Ledger.shared.message(String(file.dropLast(5))), message.account == account else {
        return twilioError(404, 20404, "The requested resource was not found")
    }
    return .json(resource(message))
}

// MARK: The sandbox's own

private func readLedger(_ call: Call) throws -> Response {
    let since = call.query("since").flatMap { Instant(rfc3339: $0) }
    let messages = Ledger.shared.messages(since: since)
    return .stream(contentType: "application/json") { writer in
        try writer.write("{\"messages\":[")
        for start in stride(from: 0, to: messages.count, by: 500) {
            var bytes: [UInt8] = []
            for index in start..<min(start + 500, messages.count) {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                messages[index].ledgerLine.write(into: &bytes)
            }
            try writer.write(bytes)
        }
        try writer.write("]}")
    }
}

private func resetLedger(_ call: Call) throws -> Response {
    Ledger.shared.reset()
    return .noContent
}

struct FaultBody: BodyDecodable {
    let plan: FaultPlan
    static let schema: Schema = .object(FaultPlan.members)
    init(_ body: JSONObject) { plan = FaultPlan(body) }
}

private func setFaults(_ call: Call) throws -> Response {
    Ledger.shared.plan = try call.body(FaultBody.self).plan
    return .noContent
}

struct AccountBody: BodyDecodable {
    let account: String
    let token: String
    let keySID: String?
    let keySecret: String?
    static let schema: Schema = .object([
        .required("account_sid", .string(min: 1, max: 64), "AC…"), .required("auth_token", .string(min: 1, max: 128), "Signs callbacks"),
        .optional("api_key_sid", .nullable(.string(max: 64)), "SK…"), .optional("api_key_secret", .nullable(.string(max: 128)), "May send"),
    ])
    init(_ body: JSONObject) {
        account = body.string("account_sid")
        token = body.string("auth_token")
        keySID = body.optionalString("api_key_sid")
        keySecret = body.optionalString("api_key_secret")
    }
}

private func registerAccount(_ call: Call) throws -> Response {
    let body = try call.body(AccountBody.self)
    Ledger.shared.register(account: body.account, token: body.token, keySID: body.keySID, keySecret: body.keySecret)
    return .noContent
}

struct ReplyBody: BodyDecodable {
    let from: String
    let to: String
    let text: String
    static let schema: Schema = .object([
        .required("from", .string(max: 20, format: "e164"), "The person"), .required("to", .string(min: 1, max: 64), "Our number"),
        .required("body", .string(max: 1600), "What they write"),
    ])
    init(_ body: JSONObject) {
        from = body.string("from")
        to = body.string("to")
        text = body.string("body")
    }
}

/// The reply as Twilio would deliver it: to the inbound URL that belongs to the status callbacks of that number.
private func playReply(_ call: Call) throws -> Response {
    let reply = try call.body(ReplyBody.self)
    guard let (account, url) = Ledger.shared.inboundURL(reply.to), let token = Ledger.shared.token(account) else {
        throw Problem.conflict("number_unknown", "Nothing was sent from this number yet, so nobody knows where its replies go.")
    }
    let sid = "SM" + hexEncode(Random.bytes(16))
    let form: [(name: String, value: String)] = [
        ("ToCountry", "US"), ("SmsMessageSid", sid), ("NumMedia", "0"), ("SmsSid", sid), ("SmsStatus", "received"),
        ("Body", reply.text), ("To", reply.to), ("NumSegments", "1"), ("MessageSid", sid), ("AccountSid", account),
        ("From", reply.from), ("ApiVersion", "2010-04-01"),
    ]
    Ledger.shared.add(
        reply: SandboxMessage(
            sid: sid, account: account, to: reply.to, from: reply.from, body: reply.text, parts: 1, callbackURL: nil, acceptedAt: .now(),
            status: "received"))
    switch HTTPClient().send(signedForm(url, form, token)) {
    case .success(let answer): return .json(["sid": .string(sid), "answer": JSONValue(answer.status)])
    case .failure(let failure): throw Problem(502, "callback_failed", "No answer", failure.detail)
    }
}
