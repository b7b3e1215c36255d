// Requests that we make of others, and what came of them.

public struct HTTPRequest: Sendable {
    public var method: String
    public var url: String
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
    /// HTTP Basic authentication (RFC 7617).
    public var user: String?
    public var password: String?
    /// Connects to this socket instead of the URL's host.
    public var unixSocket: String?

    public init(
        _ method: String, _ url: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        user: String? = nil, password: String? = nil, unixSocket: String? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.user = user
        self.password = password
        self.unixSocket = unixSocket
    }

    /// Why this request must not leave: a line break would start a header of somebody else's choosing.
    var refusal: HTTPFailure? {
        let texts = [method] + headers.flatMap { [$0.name, $0.value] }
        guard texts.contains(where: { $0.utf8.contains { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F } }) else { return nil }
        return HTTPFailure(.notSent, "a control character in the method or a header")
    }
}

public struct HTTPResponse: Sendable {
    public let status: Int
    public let headers: [(name: String, value: String)]
    public let body: [UInt8]
    /// Of mail: what the reply was to. Then `status` is the reply's code, and `body` its lines.
    public var mailPhase: MailPhase?
    public func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }
    public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// No answer. What matters is whether the other side may have acted.
public struct HTTPFailure: Error, Sendable {
    public enum Kind: Sendable {
        /// No byte of the request left: name look-up, connection or TLS failed. Safe to repeat.
        case notSent
        /// Bytes may have left. Repeating may do it twice.
        case unknown
    }
    public let kind: Kind
    public let detail: String
    public init(_ kind: Kind, _ detail: String) {
        self.kind = kind
        self.detail = detail
    }
}
