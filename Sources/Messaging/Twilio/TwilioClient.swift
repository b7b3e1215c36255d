// Making messages at Twilio: the request, and what its answer means.
public import HTTPClient
internal import JSON
public import Vocabulary

/// Builds requests for Twilio's Messages resource and reads their answers. No I/O: the send loop has that.
public struct TwilioClient: Sendable {
    /// `https://api.twilio.com`, or the sandbox.
    public let baseURL: String
    public init(baseURL: String) { self.baseURL = baseURL }

    /// Where a message leaves from.
    public enum Origin: Sendable, Hashable {
        case number(String)
        case messagingService(String)
    }

    /// Behind a URL that Twilio calls. By default it calls once and takes a 5xx for an answer; this asks for three more
    /// tries, and is neither sent nor signed. Source: Twilio's "Webhook connection overrides".
    static let retries = "#rc=3&rp=ct,rt,5xx&rt=4000"

    /// Where Twilio tells what becomes of an attempt at a message.
    public static func statusCallback(publicURL: String, sender: SenderID, message: MessageID, attempt: Int) -> String {
        "\(publicURL)/webhooks/twilio/\(sender)/status?m=\(message)&a=\(attempt)\(retries)"
    }

    /// - Parameter statusCallback: our URL, with our message id in its query: a callback settles the message even
    ///   where the answer to this request was lost.
    public func createMessage(
        _ credentials: SenderCredentials, from origin: Origin, to: String, body: String, statusCallback: String
    ) -> HTTPRequest {
        var form: [(String, String)] = [("To", to), ("Body", body), ("StatusCallback", statusCallback)]
        switch origin {
        case .number(let number): form.append(("From", number))
        case .messagingService(let sid): form.append(("MessagingServiceSid", sid))
        }
        let (user, password) = credentials.basicAuth
        return HTTPRequest(
            "POST", "\(baseURL)/2010-04-01/Accounts/\(credentials.accountSID)/Messages.json",
            headers: [("Content-Type", "application/x-www-form-urlencoded")], body: formEncoded(form), user: user,
            password: password)
    }

    /// What an answer means. Only what was provably not processed may be tried again.
    public func classify(_ outcome: Result<HTTPResponse, HTTPFailure>) -> SendOutcome {
        switch outcome {
        case .failure(let failure):
            return failure.kind == .notSent ? .retryLater(afterSeconds: nil) : .unknown(reason: "no_answer")
        case .success(let response): return classify(response)
        }
    }

    private func classify(_ response: HTTPResponse) -> SendOutcome {
        let answer: JSONValue?
        do { answer = try JSONValue(parsing: response.body) } catch { answer = nil }
        switch response.status {
        case 200...299:
            guard let sid = answer?["sid"]?.string, isMessageSID(sid) else { return .unknown(reason: "unreadable_answer") }
            // "0" with a messaging service until it has picked a number.
            let parts = answer?["num_segments"]?.string.flatMap { Int($0) }.flatMap { (1...1000).contains($0) ? $0 : nil }
            return .sent(sid: sid, status: answer?["status"]?.string.flatMap(plainWord) ?? "queued", parts: parts)
        case 429:
            return .retryLater(afterSeconds: response.header("retry-after").flatMap { Double($0) }.flatMap { $0 >= 0 ? min($0, 300) : nil })
        // A time-out on the way says nothing of what Twilio did.
        case 408: return .unknown(reason: "status_408")
        case 400...499:
            // Both forms of Twilio's errors have the code on top: its own, and RFC 9457.
            let code = (answer?["code"]?.integer ?? answer?["code"]?.string.flatMap { Int($0) }).flatMap { Int32(exactly: $0) }.map {
                Int($0)
            }
            let isKnown = code.map { TwilioError.of($0).errorClass != .account && TwilioError.isKnown($0) } ?? false
            if response.status == 401 || response.status == 403 && !isKnown || code == 20003 { return .authenticationFailed }
            guard let code else { return .rejected(code: response.status, class: .bug) }
            if code == 20429 || code == 21611 { return .retryLater(afterSeconds: nil) }
            return .rejected(code: code, class: TwilioError.of(code).errorClass)
        default: return .unknown(reason: "status_\(response.status)")
        }
    }
}

/// A status as Twilio writes them; `nil` for anything else that an answer may hold.
private func plainWord(_ text: String) -> String? {
    (1...32).contains(text.utf8.count) && text.utf8.allSatisfy { (97...122).contains($0) || $0 == UInt8(ascii: "_") } ? text : nil
}

/// `SM` or `MM` and 32 hex digits.
func isMessageSID(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return bytes.count == 34 && (text.hasPrefix("SM") || text.hasPrefix("MM"))
        && bytes[2...].allSatisfy { (48...57).contains($0) || (97...102).contains($0) || (65...70).contains($0) }
}

/// `application/x-www-form-urlencoded` (WHATWG URL, section 5.2).
public func formEncoded(_ pairs: [(String, String)]) -> [UInt8] {
    var bytes: [UInt8] = []
    let digits = Array("0123456789ABCDEF".utf8)
    func append(_ text: String) {
        for byte in text.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, 42, 45, 46, 95: bytes.append(byte)
            case 32: bytes.append(UInt8(ascii: "+"))
            default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
    }
    for (index, pair) in pairs.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: "&")) }
        append(pair.0)
        bytes.append(UInt8(ascii: "="))
        append(pair.1)
    }
    return bytes
}
