internal import JSON
internal import PostgreSQL
internal import Secrets
internal import Vocabulary
internal import Web

/// Callbacks are small forms; 64 KiB is many times the largest.
private let bodyLimit = 65_536

func receiveStatus(_ call: Call) throws -> Response {
    let (sender, workspace, form) = try verified(call)
    guard let sid = form["MessageSid"] ?? form["SmsSid"], let status = form["MessageStatus"] ?? form["SmsStatus"],
        sid.utf8.count <= 64, status.utf8.count <= 32
    else { throw Problem.badRequest("bad_callback", "MessageSid and MessageStatus are missing.") }
    // Duplicates are stored too: merging by rank makes them harmless, and looking for them would cost more.
    _ = try call.db.pair(
        DeliverySQL.setWorkspace, (workspace), DeliverySQL.insertReceipt,
        (sender, form.messageID, sid, status, form["ErrorCode"].flatMap { Int($0) }, form.body))
    return .noContent
}

func receiveInbound(_ call: Call) throws -> Response {
    let (sender, workspace, form) = try verified(call)
    guard let sid = form["MessageSid"] ?? form["SmsSid"], let from = form["From"], let to = form["To"], sid.utf8.count <= 64,
        from.utf8.count <= 64, to.utf8.count <= 64
    else { throw Problem.badRequest("bad_callback", "MessageSid, From and To are missing.") }
    let body = form["Body"] ?? ""
    let intent = inboundIntent(of: body, providerType: form["OptOutType"])
    _ = try call.db.pair(
        DeliverySQL.setWorkspace, (workspace), DeliverySQL.receiveInbound,
        (sender, sid, from, to, String(body.prefix(2000)), intent.rawValue))
    // No reply of ours: Twilio answers STOP and HELP itself.
    return .text("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>", contentType: "text/xml; charset=utf-8")
}

/// A callback's form. Values are for us to read; the signature covered the bytes.
struct CallbackForm {
    let body: String
    let messageID: MessageID?
    private let pairs: [(name: [UInt8], value: [UInt8])]

    init(_ body: [UInt8], messageID: MessageID?) {
        // Valid UTF-8 without U+0000, whatever came: it is stored as text.
        self.body = String(decoding: body.filter { $0 != 0 }, as: UTF8.self)
        self.messageID = messageID
        pairs = formBytes(body)
    }
    subscript(_ name: String) -> String? {
        let name = Array(name.utf8)
        guard let value = pairs.first(where: { $0.name == name })?.value, !value.isEmpty else { return nil }
        return String(decoding: value.filter { $0 != 0 }, as: UTF8.self)
    }
}

/// The sender of a callback whose signature holds.
/// - Throws: 403 without detail for everything else, unknown senders too: who probes learns nothing.
private func verified(_ call: Call) throws -> (SenderID, WorkspaceID, CallbackForm) {
    let refused = Problem.forbidden("The signature does not hold.")
    guard let id = SenderID(call.pathText("sender_id")), let signature = call.request.header("x-twilio-signature"),
        (1...128).contains(signature.utf8.count)
    else { throw refused }
    let body = try call.rawBody(limit: bodyLimit)
    guard let sender = try SenderCache.shared.sender(id, call) else { throw refused }
    let request = TwilioSignature(
        url: call.configuration.publicURL + call.request.rawURI, isPost: true,
        contentType: call.request.header("content-type") ?? "", body: body)
    // Shared-key signing names a key that we were never given; only tokens count here.
    guard call.request.header("x-twilio-webhooks-signature-settings") == nil,
        request.isValid(signature, tokens: sender.tokens)
    else { throw refused }
    return (id, sender.workspace, CallbackForm(body, messageID: call.query("m").flatMap { MessageID($0) }))
}
