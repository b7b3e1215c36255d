internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

/// Callbacks are small forms; 64 KiB is many times the largest.
private let bodyLimit = 65_536

/// Callbacks that come at the same time share a transaction: each by itself costs PostgreSQL more than all that we do with it.
let statusReceipts = GroupCommit<WorkspaceID, StatusReceipt>(most: 64, patience: 6) { error in
    guard let error = error as? PostgresError else { return false }
    return switch error {
    case .cannotConnect: true
    // The database is slow, full or not up: trying again at once would make everybody wait once more, and it busier.
    case .statement(let state, _): [.lockNotAvailable, .queryCanceled, .diskFull, .tooManyConnections, .cannotConnectNow].contains(state)
    default: false
    }
}

/// What a callback says of a message.
struct StatusReceipt: Sendable {
    let sender: SenderID
    let message: MessageID?
    let attempt: Int?
    let sid: String
    let status: String
    let errorCode: Int?
    let body: String
}

func receiveStatus(_ call: Call) throws -> Response {
    let (sender, workspace, form) = try verified(call)
    guard let sid = form["MessageSid"] ?? form["SmsSid"], let status = form["MessageStatus"] ?? form["SmsStatus"],
        sid.utf8.count <= 64, status.utf8.count <= 32
    else { throw Problem.badRequest("bad_callback", "MessageSid and MessageStatus are missing.") }
    // Duplicates are stored too: merging by rank makes them harmless, and looking for them would cost more.
    let receipt = StatusReceipt(
        sender: sender, message: form.messageID, attempt: form.attempt, sid: sid, status: status,
        errorCode: form["ErrorCode"].flatMap { Int32($0) }.map { Int($0) }, body: form.body)
    try statusReceipts.store(receipt, of: workspace) { receipts in
        _ = try call.db.pair(
            DeliverySQL.setWorkspaceAndPlanOnce, (workspace), DeliverySQL.insertReceipts,
            (
                receipts.map(\.sender), receipts.map(\.message), receipts.map(\.attempt), receipts.map(\.sid), receipts.map(\.status),
                receipts.map(\.errorCode), receipts.map(\.body)
            ))
    }
    crashPoint("after_receipt")
    return .noContent
}

func receiveInbound(_ call: Call) throws -> Response {
    let (sender, workspace, form) = try verified(call)
    guard let sid = form["MessageSid"] ?? form["SmsSid"], let from = form["From"], let to = form["To"], sid.utf8.count <= 64,
        from.utf8.count <= 64, to.utf8.count <= 64
    else { throw Problem.badRequest("bad_callback", "MessageSid, From and To are missing.") }
    let body = form["Body"] ?? ""
    let intent = inboundIntent(of: body, providerType: form["OptOutType"])
    let (_, outcome) = try call.db.pair(
        DeliverySQL.setWorkspace, (workspace), DeliverySQL.receiveInbound,
        (sender, sid, bareNumber(from), bareNumber(to), String(body.prefix(2000)), intent.rawValue, isYes(body, intent)))
    crashPoint("after_inbound")
    let (hasReturned, hasConfirmed) = (outcome.first == "returned", outcome.first == "confirmed")
    var reply: String?
    if intent == .help || hasReturned || hasConfirmed {
        let (_, settings) = try call.db.pair(DeliverySQL.setWorkspace, (workspace), ReplySettings.read, ())
        reply = settings.first?.reply(
            to: intent, body, hasReturned: hasReturned, hasConfirmed: hasConfirmed, isAnswered: form["OptOutType"] != nil)
    }
    return .text(twiML(reply), contentType: "text/xml; charset=utf-8")
}

/// Opt-outs span SMS and RCS of a sender, whose addresses differ by a prefix.
func bareNumber(_ address: String) -> String {
    address.hasPrefix("rcs:+") ? String(address.dropFirst(4)) : address
}

/// A callback's form. Values are for us to read; the signature covered the bytes.
struct CallbackForm {
    let body: String
    let messageID: MessageID?
    /// Which attempt at the message it tells of; nothing in callbacks of what was sent before there was a number in them.
    let attempt: Int?
    private let pairs: [(name: [UInt8], value: [UInt8])]

    init(_ body: [UInt8], messageID: MessageID?, attempt: Int?) {
        // Valid UTF-8 without U+0000, whatever came: it is stored as text.
        self.body = String(decoding: body.contains(0) ? body.filter { $0 != 0 } : body, as: UTF8.self)
        self.messageID = messageID
        self.attempt = attempt
        pairs = formBytes(body)
    }

    /// `nil` when it is absent or empty.
    subscript(_ name: String) -> String? {
        guard let value = pairs.first(where: { $0.name.elementsEqual(name.utf8) })?.value, !value.isEmpty else { return nil }
        return String(decoding: value.contains(0) ? value.filter { $0 != 0 } : value, as: UTF8.self)
    }
}

/// The sender of a callback whose signature holds.
/// - Throws: 403 without detail for everything else, unknown senders too: who probes learns nothing.
private func verified(_ call: Call) throws -> (SenderID, WorkspaceID, CallbackForm) {
    let refused = Problem.forbidden("The signature does not hold.")
    // Shared-key signing names a key that we were never given; only tokens count here.
    guard let id = SenderID(call.pathText("sender_id")), let signature = call.request.header("x-twilio-signature"),
        (1...128).contains(signature.utf8.count), call.request.header("x-twilio-webhooks-signature-settings") == nil
    else { throw refused }
    let isPost = call.request.method == "POST"
    let body = isPost ? try call.rawBody(limit: bodyLimit) : []
    let request = TwilioSignature(
        url: call.configuration.publicURL + call.request.rawURI, isPost: isPost,
        contentType: call.request.header("content-type") ?? "", body: body)
    guard let sender = try SenderCache.shared.sender(id, call) else { throw refused }
    if !request.isValid(signature, tokens: sender.tokens) {
        // A token that was changed a moment ago: Twilio does not come back after a 403. Once a second, so that forgers
        // cost no look-up each.
        guard let fresh = try SenderCache.shared.sender(id, freshness: 1, call), fresh.tokens != sender.tokens,
            request.isValid(signature, tokens: fresh.tokens)
        else { throw refused }
    }
    let form = isPost ? body : Array(call.request.rawQuery.utf8)
    return (
        id, sender.workspace,
        CallbackForm(
            form, messageID: call.query("m").flatMap { MessageID($0) }, attempt: call.query("a").flatMap { Int32($0) }.map { Int($0) })
    )
}
