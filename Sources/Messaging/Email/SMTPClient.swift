// Handing mail to a relay: the message, and what the server's reply means.
internal import HTTPClient
internal import Vocabulary

/// Builds transfers over SMTP and reads their outcomes. No I/O: the send loop has that.
struct SMTPClient: Sendable {
    /// What we call ourselves in EHLO.
    let name: String
    /// Hosts of the operator's own network that may be used, and without TLS.
    let privateHosts: Set<String>

    /// Messages of one sender on their way to its relay at once, of each sending thread: relays turn away who opens many connections, and one that
    /// hangs must leave threads for others (`MailThreads`).
    static let mostAtOnce = 2
    /// A recipient that is put off so often is given up.
    static let mostAttempts = 5

    func send(_ email: RenderedEmail, to: String, message: MessageID, _ origin: EmailOrigin, _ relay: SMTPCredentials) -> MailRequest {
        let mime = MIMEMessage(from: origin, to: to, id: Self.id(of: message, origin), date: .now(), email: email)
        return MailRequest(
            url: "\(relay.security == .tls ? "smtps" : "smtp")://\(relay.host):\(relay.port)/\(name)",
            requiresTLS: relay.security != .none, user: relay.username, password: relay.password, from: origin.address, to: to,
            message: mime.bytes, allowsPrivateAddress: privateHosts.contains(relay.host.lowercased()))
    }

    /// What the message is called, by us and by whoever reports on it.
    static func id(of message: MessageID, _ origin: EmailOrigin) -> String { "\(message)@\(origin.domain)" }

    /// What a reply means. RFC 5321 and the enhanced codes of RFC 3463. Until the end of the message has been said nothing
    /// was sent; when it has been said and no reply came, nobody knows.
    /// - Parameter attempt: how often the message was tried, this time included.
    func classify(_ outcome: Result<HTTPResponse, HTTPFailure>, sid: String, attempt: Int) -> SendOutcome {
        switch outcome {
        case .failure(let failure): return failure.kind == .notSent ? .retryLater(afterSeconds: nil) : .unknown(reason: "no_answer")
        case .success(let response):
            let reply = response.status
            let code = Self.enhancedCode(response.body) ?? reply
            switch response.mailPhase {
            case .message where (200...299).contains(reply): return .sent(sid: sid, status: "sent", parts: nil)
            case .refused: return .authenticationFailed
            case .authentication: return reply >= 500 ? .authenticationFailed : .retryLater(afterSeconds: nil)
            case .session: return .retryLater(afterSeconds: nil)
            case .sender, .recipient, .data, .message: break
            case nil: return .unknown(reason: "unreadable_answer")
            }
            if reply == 530 || reply == 535 { return .authenticationFailed }
            // The server is closing, or takes nothing from us now.
            if reply == 421 || reply < 500 && response.mailPhase == .sender { return .retryLater(afterSeconds: nil) }
            if response.mailPhase == .sender { return .rejected(code: code, class: .configuration) }
            // This recipient or this message is put off; the others need not wait.
            if reply < 500 {
                return attempt < Self.mostAttempts
                    ? .deferred(afterSeconds: 60 * Double(1 << attempt)) : .rejected(code: code, class: .soft)
            }
            if code == 554, response.mailPhase != .recipient { return .rejected(code: code, class: .content) }
            return .rejected(code: code, class: EmailError.of(code).errorClass)
        }
    }

    /// The enhanced code behind the reply's own: `550 5.1.1 no such user`.
    private static func enhancedCode(_ reply: [UInt8]) -> Int? {
        let text = String(decoding: reply.dropFirst(4).prefix { $0 != 13 && $0 != 10 }, as: UTF8.self)
        return text.split(separator: " ").first.flatMap { EmailError.code(enhanced: $0) }
    }
}
