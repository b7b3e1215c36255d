// What a provider has taken since an instant.
internal import HTTPClient
internal import Runtime
internal import Secrets
internal import Vocabulary

/// Pages through Twilio's list of messages, which has the latest first.
struct ProviderHistory {
    struct Silent: Error, CustomStringConvertible {
        let description = "the provider does not answer; nothing is sent until this has run to its end"
    }
    private static let tries = 5
    private static let mostPages = 10_000

    private let client: TwilioClient
    /// A page of a thousand messages is more than an answer to a single one.
    private let http = HTTPClient(limits: HTTPLimits(totalSeconds: 60, responseBytes: 16 << 20))
    private let pause: (UInt32) -> Void

    init(_ configuration: Configuration, pause: @escaping (UInt32) -> Void) {
        client = TwilioClient(baseURL: configuration.twilioURL)
        self.pause = pause
    }

    /// - Returns: what was sent from a number since then; from a messaging service, which has many, what the account sent. `nil`:
    ///   the provider does not tell it, or not so that all of it is understood.
    /// - Throws: when it does not answer.
    func sent(_ credentials: SenderCredentials, _ origin: TwilioClient.Origin, since: Instant) throws -> [TwilioMessage]? {
        var filter: [(String, String)] = []
        if case .number(let number) = origin { filter = [("From", number)] }
        return try messages(credentials, filter, since)?.filter(\.isOutbound)
    }

    /// What people wrote to a number or a messaging service since then, the first first.
    func received(_ credentials: SenderCredentials, _ origin: TwilioClient.Origin, since: Instant) throws -> [TwilioMessage]? {
        let all =
            switch origin {
            case .number(let number): try messages(credentials, [("To", number)], since)
            // Which service a text came in by need not be told: of two, the wrong one then honours a STOP as well.
            case .messagingService(let sid):
                try messages(credentials, [], since)?.filter { $0.messagingService == nil || $0.messagingService == sid }
            }
        return all?.filter { !$0.isOutbound }.sorted { $0.createdAt < $1.createdAt }
    }

    private func messages(
        _ credentials: SenderCredentials, _ filter: [(String, String)], _ since: Instant
    ) throws -> [TwilioMessage]? {
        var request: HTTPRequest? = client.messages(credentials, where: filter)
        var found: [String: TwilioMessage] = [:]
        for _ in 0..<Self.mostPages {
            guard let page = request else { return nil }
            guard let list = try list(page), list.areAllUnderstood else { return nil }
            for message in list.messages where message.createdAt >= since { found[message.sid] = message }
            // The order is that of sending, which for what is queued has not come: a page of old ones is the end.
            guard let next = list.next, list.messages.contains(where: { ($0.sentAt ?? $0.createdAt) >= since }) else {
                return Array(found.values)
            }
            request = client.messages(credentials, next: next)
        }
        return nil
    }

    /// - Returns: `nil` when it refuses.
    private func list(_ request: HTTPRequest) throws -> TwilioClient.List? {
        for attempt in 0..<Self.tries {
            if attempt > 0 { pause(1 << UInt32(attempt - 1)) }
            let outcome = http.send(request)
            if let list = TwilioClient.list(outcome) { return list }
            if case .success(let response) = outcome, (400..<500).contains(response.status), ![408, 429].contains(response.status) {
                Log.warning("history not told", [("status", .integer(response.status))])
                return nil
            }
        }
        throw Silent()
    }
}
