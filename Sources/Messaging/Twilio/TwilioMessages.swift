// Asking Twilio what it knows of a message.
internal import HTTPClient
internal import JSON
public import Vocabulary

/// A message as Twilio's Messages resource shows it.
struct TwilioMessage {
    let sid: String
    /// `nil` until a messaging service has picked a number.
    let from: String?
    let to: String
    let body: String
    let status: String
    let errorCode: Int?
    let createdAt: Instant
    /// `nil` until it has left Twilio.
    let sentAt: Instant?
    /// `nil` until a messaging service has picked a number.
    let parts: Int?
    let isOutbound: Bool
    let messagingService: String?

    /// `nil` for what is no message.
    init?(_ json: JSONValue) {
        guard let sid = json["sid"]?.string, isMessageSID(sid), let status = json["status"]?.string, (1...32).contains(status.utf8.count),
            let createdAt = json["date_created"]?.string.flatMap(instant(rfc2822:))
        else { return nil }
        self.sid = sid
        from = json["from"]?.string
        to = json["to"]?.string ?? ""
        sentAt = json["date_sent"]?.string.flatMap(instant(rfc2822:))
        parts = json["num_segments"]?.string.flatMap { Int($0) }.flatMap { (1...1000).contains($0) ? $0 : nil }
        self.status = status
        self.createdAt = createdAt
        body = json["body"]?.string ?? ""
        errorCode = json["error_code"]?.integer ?? json["error_code"]?.string.flatMap { Int($0) }
        messagingService = json["messaging_service_sid"]?.string
        isOutbound = json["direction"]?.string?.hasPrefix("outbound") ?? false
    }
}

extension TwilioClient {
    /// Messages to a number, the latest first. Not by `DateSent`: what is queued has none yet.
    func messages(_ credentials: SenderCredentials, to: String) -> HTTPRequest {
        get("Messages.json?" + String(decoding: formEncoded([("To", to), ("PageSize", "\(Self.pageSize)")]), as: UTF8.self), credentials)
    }
    private static let pageSize = 200

    /// Messages of an account, the latest first: those of which the parameters, `From` or `To`, have these values.
    func messages(_ credentials: SenderCredentials, where filter: [(String, String)]) -> HTTPRequest {
        let query = formEncoded(filter + [("PageSize", "\(Self.longPageSize)")])
        return get("Messages.json?" + String(decoding: query, as: UTF8.self), credentials)
    }
    /// The most that Twilio gives at once.
    private static let longPageSize = 1000

    /// The page behind another; `nil` for an address that is not of the account's messages: credentials go nowhere else.
    func messages(_ credentials: SenderCredentials, next: String) -> HTTPRequest? {
        let start = "/2010-04-01/Accounts/\(credentials.accountSID)/"
        guard next.hasPrefix(start + "Messages.json?") else { return nil }
        return get(String(next.dropFirst(start.count)), credentials)
    }

    func message(_ credentials: SenderCredentials, sid: String) -> HTTPRequest { get("Messages/\(sid).json", credentials) }

    private func get(_ path: String, _ credentials: SenderCredentials) -> HTTPRequest {
        let (user, password) = credentials.basicAuth
        return HTTPRequest("GET", "\(baseURL)/2010-04-01/Accounts/\(credentials.accountSID)/\(path)", user: user, password: password)
    }

    /// A page of messages, the latest first.
    struct List {
        let messages: [TwilioMessage]
        /// Where those before them are; `nil`: there are none.
        let next: String?
        var isWhole: Bool { next == nil }
        let areAllUnderstood: Bool
    }

    /// - Returns: `nil` for any other answer.
    static func list(_ outcome: Result<HTTPResponse, HTTPFailure>) -> List? {
        guard let json = json(outcome), let items = json["messages"]?.array else { return nil }
        let messages = items.compactMap { TwilioMessage($0) }
        return List(messages: messages, next: json["next_page_uri"]?.string, areAllUnderstood: messages.count == items.count)
    }

    static func one(_ outcome: Result<HTTPResponse, HTTPFailure>) -> TwilioMessage? { json(outcome).flatMap { TwilioMessage($0) } }

    /// Whether asking the next thing makes sense at once.
    static func isAnswer(_ outcome: Result<HTTPResponse, HTTPFailure>) -> Bool {
        guard case .success(let response) = outcome else { return false }
        return response.status < 500 && ![401, 403, 408, 429].contains(response.status)
    }

    private static func json(_ outcome: Result<HTTPResponse, HTTPFailure>) -> JSONValue? {
        guard case .success(let response) = outcome, response.status == 200 else { return nil }
        do { return try JSONValue(parsing: response.body) } catch { return nil }
    }
}

private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/// `Sat, 21 Nov 2026 17:24:03 +0000` (RFC 2822, section 3.3), the form in which Twilio writes times.
func instant(rfc2822 text: String) -> Instant? {
    let parts = text.split(separator: " ")
    guard parts.count == 6, let month = months.firstIndex(of: String(parts[2])), parts[1].count <= 2, parts[5].count == 5 else {
        return nil
    }
    func two(_ number: some StringProtocol) -> String { number.count == 1 ? "0" + number : String(number) }
    return Instant(rfc3339: "\(parts[3])-\(two("\(month + 1)"))-\(two(parts[1]))T\(parts[4])\(parts[5].prefix(3)):\(parts[5].suffix(2))")
}

/// The same the other way round, in UTC.
public func rfc2822(_ instant: Instant) -> String {
    let text = instant.description
    let days = Int((Double(instant.microseconds) / 86_400_000_000).rounded(.down))
    let name = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][((days % 7) + 7) % 7]
    let digits = Array(text.utf8)
    func part(_ range: Range<Int>) -> String { String(decoding: digits[range], as: UTF8.self) }
    return "\(name), \(part(8..<10)) \(months[Int(part(5..<7))! - 1]) \(part(0..<4)) \(part(11..<19)) +0000"
}
