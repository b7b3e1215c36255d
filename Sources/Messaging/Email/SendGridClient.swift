// Handing mail to SendGrid: the request, and what its answer means. Source: SendGrid's "Mail Send" and "Errors".
public import HTTPClient
internal import JSON
public import Vocabulary

/// Where mail comes from.
public struct EmailOrigin: Sendable, Hashable {
    public let address: String
    public let name: String?
    public let replyTo: String?
    public init(address: String, name: String?, replyTo: String?) {
        self.address = address
        self.name = name
        self.replyTo = replyTo
    }
    /// What stands behind the @.
    var domain: String { String(address.split(separator: "@").last ?? "") }
}

/// Builds requests for SendGrid's v3 API and reads their answers. No I/O: the send loop has that.
public struct SendGridClient: Sendable {
    /// `https://api.sendgrid.com`, `https://api.eu.sendgrid.com` for accounts there, or the sandbox.
    public let baseURL: String
    public init(baseURL: String) { self.baseURL = baseURL }

    /// Our ids among the custom arguments, which come back at the top level of every event. Ids only: SendGrid keeps them
    /// for long and does not treat them as personal.
    static let messageArgument = "muster_message_id"
    static let senderArgument = "muster_sender_id"

    func send(_ email: RenderedEmail, to: String, message: MessageID, sender: SenderID, _ origin: EmailOrigin, apiKey: String)
        -> HTTPRequest
    {
        var from: JSONObject = ["email": .string(origin.address)]
        if let name = origin.name { from["name"] = .string(name) }
        var body: JSONObject = [
            "personalizations": [
                [
                    "to": [["email": .string(to)]],
                    "custom_args": [
                        Self.messageArgument: .string(message.description), Self.senderArgument: .string(sender.description),
                    ],
                ]
            ],
            "from": .object(from), "subject": .string(email.subject),
            "content": .array(
                [["type": "text/plain", "value": .string(email.text)]]
                    + (email.html.map { [["type": "text/html", "value": .string($0)]] } ?? [])),
            // RFC 8058: mailboxes show a button that leaves without a page.
            "headers": ["List-Unsubscribe": .string("<\(email.unsubscribeURL)>"), "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"],
            "tracking_settings": .object(tracking(email)),
        ]
        if let replyTo = origin.replyTo { body["reply_to"] = ["email": .string(replyTo)] }
        return HTTPRequest(
            "POST", "\(baseURL)/v3/mail/send", headers: [("Authorization", "Bearer \(apiKey)"), ("Content-Type", "application/json")],
            body: Array(JSONValue.object(body).text.utf8))
    }

    /// Its own links to leave would compete with ours, and ours in the text is not to be followed; and where our links and
    /// pixel tell, it would tell everything twice. Else HTML is as the account is set, but for the link to leave.
    private func tracking(_ email: RenderedEmail) -> JSONObject {
        var settings: JSONObject = ["subscription_tracking": ["enable": false], "click_tracking": ["enable_text": false]]
        if email.isTracked {
            settings["click_tracking"] = ["enable": false, "enable_text": false]
            settings["open_tracking"] = ["enable": false]
        }
        return settings
    }

    /// What an answer means. Only what was provably not processed may be tried again.
    public func classify(_ outcome: Result<HTTPResponse, HTTPFailure>) -> SendOutcome {
        switch outcome {
        case .failure(let failure):
            return failure.kind == .notSent ? .retryLater(afterSeconds: nil) : .unknown(reason: "no_answer")
        case .success(let response):
            switch response.status {
            case 202:
                guard let sid = response.header("x-message-id").flatMap(sendGridID) else { return .unknown(reason: "unreadable_answer") }
                return .sent(sid: sid, status: "queued", parts: nil)
            case 429:
                return .retryLater(afterSeconds: response.header("x-ratelimit-reset").flatMap { Self.seconds(until: $0) })
            // The key is no key, or may not send; the account may have been closed.
            case 401, 403: return .authenticationFailed
            case 408: return .unknown(reason: "status_408")
            case 400 where Self.blamesRecipient(response): return .rejected(code: 50_103, class: .hard)
            case 400...499: return .rejected(code: response.status, class: EmailError.of(response.status).errorClass)
            // 200 is a sandbox that sends nothing.
            default: return .unknown(reason: "status_\(response.status)")
            }
        }
    }

    /// Whether the address is what was wrong with a request.
    private static func blamesRecipient(_ response: HTTPResponse) -> Bool {
        let answer: JSONValue?
        do { answer = try JSONValue(parsing: response.body) } catch { answer = nil }
        let fields = answer?["errors"]?.array?.compactMap { $0["field"]?.string } ?? []
        return fields.contains { $0.hasPrefix("personalizations") && $0.contains(".to") }
    }

    /// The header is an instant in seconds of Unix time.
    private static func seconds(until reset: String) -> Double? {
        guard let instant = Double(reset), instant.isFinite else { return nil }
        return min(300, max(0.5, instant - Double(Instant.now().microseconds) / 1e6))
    }
}

/// The id that all events of a message share: what stands before the first dot.
func sendGridID(_ text: String) -> String? {
    let id = text.prefix { $0 != "." }
    return (1...100).contains(id.utf8.count) && id.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? String(id) : nil
}
