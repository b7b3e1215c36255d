// The texts of what was claimed.
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

/// Writes messages. What cannot be sent comes back with the reason for which it is skipped.
struct MessageWriter {
    typealias Dropped = (message: ClaimedMessage, reason: String)

    let workspace: WorkspaceID
    let configuration: Configuration
    /// `nil`: addresses stay as they are.
    let rewriter: LinkRewriter?
    private(set) var ready: [ReadyMessage] = []
    private(set) var dropped: [Dropped] = []

    init(_ workspace: WorkspaceID, _ configuration: Configuration, tracksLinks: Bool) {
        self.workspace = workspace
        self.configuration = configuration
        rewriter = tracksLinks ? LinkRewriter(publicURL: configuration.publicURL) : nil
    }

    /// - Parameter templates: the campaign's own, then those of its variants; none where they do not parse.
    mutating func write(_ claimed: Assignment, _ templates: [TextTemplate]) {
        for (message, variant) in claimed.messages {
            guard var text = message.body ?? (templates.isEmpty ? nil : templates[variant].text(for: message.contact ?? [:])) else {
                dropped.append((message, "template_failed"))
                continue
            }
            var links: [NewLink] = []
            // The text of a test was written before, and nobody is to be told who looks at it.
            if message.body == nil, let rewriter { (text, links) = rewriter.plain(text) }
            if text.isEmpty {
                dropped.append((message, "empty_text"))
            } else if text.unicodeScalars.count > longestText {
                dropped.append((message, "text_too_long"))
            } else {
                ready.append(
                    ReadyMessage(
                        id: message.id, createdAt: message.createdAt, to: message.to, text: text, parts: MessageSize(text).parts,
                        links: links))
            }
        }
    }

    /// The same for mail.
    mutating func write(_ claimed: Assignment, _ templates: [EmailTemplate], _ db: Connection) throws {
        let asked = claimed.messages.filter(\.message.isRequest).map(\.message.id)
        let requests = try asked.isEmpty ? [] : db.all(ConsentRequestSQL.ofMessages, asked)
        for (message, variant) in claimed.messages {
            if message.isRequest {
                write(message, requests.first { $0.message == message.id })
                continue
            }
            let url = unsubscribeURL(for: message)
            var email = templates.isEmpty ? nil : templates[variant].render(message.contact ?? [:], unsubscribeURL: url)
            var links: [NewLink] = []
            if let rewriter, let plain = email, !message.isTest { (email, links) = rewriter.email(plain) }
            guard let email, email.refusal == nil else {
                dropped.append((message, email?.refusal ?? "template_failed"))
                continue
            }
            // Whoever reads the ledger later must not be able to leave in somebody's name.
            let kept = email.text.replacing(url, with: "\(configuration.publicURL)/u/…")
            ready.append(
                ReadyMessage(
                    id: message.id, createdAt: message.createdAt, to: message.to, text: kept, parts: 1, email: email, links: links))
        }
    }

    /// A mail that asks for consent; `nil`: nobody waits for an answer any more.
    private mutating func write(_ message: ClaimedMessage, _ request: RequestOfMessage?) {
        guard let request, let text = message.body else { return dropped.append((message, "request_ended")) }
        let token = ConfirmationToken(workspace: workspace, request: request.request).text(key: configuration.sealingKey)
        let mail = ConsentRequestText.mail(
            text, token: token, publicURL: configuration.publicURL, unsubscribeURL: unsubscribeURL(for: message))
        ready.append(ReadyMessage(id: message.id, createdAt: message.createdAt, to: message.to, text: text, parts: 1, email: mail))
    }

    private func unsubscribeURL(for message: ClaimedMessage) -> String {
        let nobody = ContactID(UUID(high: 0, low: 0))
        // A test goes to somebody else than its contact: its link leaves for nobody.
        let contact = message.isTest ? nobody : message.contactID ?? nobody
        let token = PreferenceToken(workspace: workspace, contact: contact, channel: .email)
        return "\(configuration.publicURL)/u/\(token.text(key: configuration.sealingKey))"
    }
}
