internal import JSON
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary
internal import Web

/// nginx takes no more (`client_max_body_size`).
private let bodyLimit = 1_048_576

/// As many events are committed at once: fewer than what a statement has time for.
private let sliceSize = 100

/// A batch of events, signed by SendGrid. Element by element: one that says nothing to us costs the others nothing. No limit
/// of age: SendGrid tries again for a day, with the first time-stamp for all that is known, and repeats change nothing.
func receiveSendGridEvents(_ call: Call) throws -> Response {
    let (id, sender, body) = try verified(call)
    guard let elements = SendGridEvent.elements(of: body) else {
        Log.warning("events not readable", [("sender", .string(id.description)), ("bytes", .integer(body.count))])
        throw Problem.badRequest("bad_callback", "The body is no array of events in JSON.")
    }
    // In one order, so that two batches about the same people do not wait for each other in a circle.
    let events = elements.compactMap { SendGridEvent($0, now: call.now, publicURL: call.configuration.publicURL) }
        .sorted { ($0.address ?? "", $0.at) < ($1.address ?? "", $1.at) }
    for start in stride(from: 0, to: events.count, by: sliceSize) {
        try receive(events[start..<min(events.count, start + sliceSize)], id, sender.workspace, call.db)
    }
    crashPoint("after_mail_events")
    return .noContent
}

/// Commits some events; one by one where the database refuses them together, so that one that it refuses alone costs the
/// others nothing. What was committed before an error is repeated by SendGrid and changes nothing then.
private func receive(_ events: ArraySlice<SendGridEvent>, _ id: SenderID, _ workspace: WorkspaceID, _ db: Connection) throws {
    do {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            _ = try db.all(EmailSQL.lockEvents, events.map(\.receipt))
            _ = try db.all(
                EmailSQL.receiveEvents, events.map(\.receipt), events.map { $0.sender ?? id }, events.map { $0.message },
                events.map(\.sid), events.map(\.name), events.map(\.status), events.map(\.code), events.map(\.effect.rawValue),
                events.map(\.url), events.map(\.at), events.map(\.body))
        }
    } catch let error as PostgresError where !error.isTransient {
        if events.count > 1 {
            for index in events.indices { try receive(events[index...index], id, workspace, db) }
        } else if let event = events.first {
            Log.error(
                "mail event not stored", [("message", .string(event.message.description)), ("error", .string(error.description))])
        }
    }
}

/// The sender of a batch whose signature holds, and the batch.
/// - Throws: 403 without detail for everything else, unknown senders and such without a key too: who probes learns nothing.
private func verified(_ call: Call) throws -> (SenderID, SenderCache.Sender, [UInt8]) {
    let refused = Problem.forbidden("The signature does not hold.")
    guard let id = SenderID(call.pathText("sender_id")),
        let signature = call.request.header("x-twilio-email-event-webhook-signature"), (1...256).contains(signature.utf8.count),
        let timestamp = call.request.header("x-twilio-email-event-webhook-timestamp"), (1...32).contains(timestamp.utf8.count)
    else { throw refused }
    let body = try call.rawBody(limit: bodyLimit)
    let request = SendGridSignature(timestamp: timestamp, body: body)
    guard let sender = try SenderCache.shared.sender(id, call) else { throw refused }
    if !request.isValid(signature, key: sender.webhookKey) {
        // A key that was changed a moment ago.
        guard let fresh = try SenderCache.shared.sender(id, freshness: 1, call), fresh.webhookKey != sender.webhookKey,
            request.isValid(signature, key: fresh.webhookKey)
        else { throw refused }
    }
    return (id, sender, body)
}

/// How SendGrid signs: ECDSA over the time-stamp and the raw body, nothing between them.
struct SendGridSignature {
    private let signed: [UInt8]
    init(timestamp: String, body: [UInt8]) { signed = Array(timestamp.utf8) + body }

    /// - Parameters:
    ///   - signature: base 64 of DER.
    ///   - key: base 64 of DER, as the console shows it.
    func isValid(_ signature: String, key: String?) -> Bool {
        guard let key = key.flatMap({ base64Decode($0) }).flatMap(VerifyingKey.init(der:)), let signature = base64Decode(signature) else {
            return false
        }
        return key.isValid(signature, for: signed)
    }
}
