// What SendGrid's event webhook tells, element by element. Source: SendGrid's "Event Webhook reference".
internal import JSON
internal import Secrets
internal import Vocabulary

/// One event that is about a message of ours.
struct SendGridEvent {
    /// What an event means beside the state of its message; migration 0087 says what each does.
    enum Effect: String {
        case none, hard, complaint, opened, clicked
        case optOut = "opt_out"
    }
    /// Made of SendGrid's id of the event, so that a repeated one is found: duplicates are common.
    let receipt: UUID
    let message: MessageID
    /// The sender that the message left from: one webhook serves all senders of an account.
    let sender: SenderID?
    /// `nil` where the event names none: then it is that of its message.
    let sid: String?
    let name: String
    /// What it makes of the message, in the words of the ledger; `nil`: nothing.
    let status: String?
    let code: Int?
    let effect: Effect
    let address: String?
    let url: String?
    let at: Instant
    let body: String

    /// - Returns: `nil` for what is no event of a message of ours; the rest of the batch does not suffer.
    init?(_ json: JSONValue, now: Instant, publicURL: String) {
        guard case .object(var event) = json, let name = event["event"]?.string, (1...32).contains(name.utf8.count),
            name.utf8.allSatisfy({ (97...122).contains($0) || $0 == UInt8(ascii: "_") }),
            let message = event[SendGridClient.messageArgument]?.string.flatMap({ MessageID($0) })
        else { return nil }
        // Whoever follows our link to leave, or to confirm, is not engaged, and the link has a token, which nobody should read.
        let isOurs = ["/u/", "/c/"].contains { event["url"]?.string?.hasPrefix(publicURL + $0) == true }
        if isOurs { event.removeValue(forKey: "url") }
        let text = JSONValue.object(event).text
        body = text.prefixed(16_384)
        self.name = name
        self.message = message
        sender = event[SendGridClient.senderArgument]?.string.flatMap { SenderID($0) }
        sid = event["sg_message_id"]?.string.flatMap(sendGridID)
        address = event["email"]?.string.flatMap { EmailAddress($0) }?.description
        url = event["url"]?.string.map { $0.prefixed(2000) }
        let seconds = event["timestamp"]?.real ?? 0
        // A clock that goes ahead must not make a future.
        at = seconds > 0 && seconds < 1e11 ? min(now, Instant(microseconds: Int64(seconds * 1e6))) : now
        let id = event["sg_event_id"]?.string.flatMap { (1...100).contains($0.utf8.count) ? $0 : nil } ?? text
        let hash = Hash.sha256(Array("\(message)/\(id)".utf8))
        func half(_ start: Int) -> UInt64 { hash[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        // Version 8: made by a rule of our own (RFC 9562, section 5.8).
        receipt = UUID(high: half(0) & ~0xF000 | 0x8000, low: half(8) & ~(3 << 62) | 2 << 62)
        let meaning = Self.meaning(of: name, event)
        (status, code) = (meaning.status, meaning.code)
        effect = isOurs ? .none : meaning.effect
    }

    private static func meaning(of name: String, _ event: JSONObject) -> (status: String?, code: Int?, effect: Effect) {
        let told = event["status"]?.string.flatMap { EmailError.code(enhanced: $0) }
        let reason = event["reason"]?.string?.lowercased() ?? ""
        switch name {
        case "processed", "deferred": return ("sending", nil, .none)
        case "delivered": return ("delivered", nil, .none)
        case "bounce":
            let isHard = event["type"]?.string == "bounce" || event["bounce_classification"]?.string == "Invalid Address"
            return ("undelivered", told ?? 50_000, isHard ? .hard : .none)
        // SendGrid itself keeps those from whom it heard before.
        case "dropped":
            if reason.contains("unsubscribed") { return ("failed", EmailError.leftBefore, .optOut) }
            if reason.contains("spam report") { return ("failed", EmailError.leftBefore, .complaint) }
            // Not "Invalid SMTPAPI header": that is nobody's address.
            if reason.contains("bounced address") || reason == "invalid" { return ("failed", told ?? 50_101, .hard) }
            if reason.contains("quota") { return ("failed", EmailError.quota, .none) }
            if reason.contains("spam content") { return ("failed", 50_700, .none) }
            return ("failed", EmailError.keptBack, .none)
        case "spamreport": return (nil, nil, .complaint)
        // Leaving one of SendGrid's groups is leaving us: it knows no better what they meant.
        case "unsubscribe", "group_unsubscribe": return (nil, nil, .optOut)
        // Software that looks at mail before people do is no engagement.
        case "open": return (nil, nil, event["sg_machine_open"]?.bool == true ? .none : .opened)
        case "click": return (nil, nil, .clicked)
        default: return (nil, nil, .none)
        }
    }
}

extension String {
    /// At most so many scalars of it.
    fileprivate func prefixed(_ count: Int) -> String {
        String(String.UnicodeScalarView(unicodeScalars.filter { $0 != "\0" }.prefix(count)))
    }
}
