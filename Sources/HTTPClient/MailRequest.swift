// Mail over SMTP (RFC 5321): what is handed over, and how far it came.

/// A message for one recipient, for a server that relays it.
public struct MailRequest: Sendable {
    /// `smtp://host:port/name` or `smtps://…`; the name is what we call ourselves in EHLO.
    public var url: String
    /// Nothing is said without TLS (RFC 3207).
    public var requiresTLS: Bool
    public var user: String?
    public var password: String?
    public var from: String
    public var to: String
    /// With CR LF at the ends of its lines; lines that begin with a dot are taken care of.
    public var message: [UInt8]
    /// Whether the server may be in our own network. Checked of the address that is connected to, whatever a name resolves to.
    public var allowsPrivateAddress: Bool

    public init(
        url: String, requiresTLS: Bool, user: String? = nil, password: String? = nil, from: String, to: String, message: [UInt8],
        allowsPrivateAddress: Bool
    ) {
        self.url = url
        self.requiresTLS = requiresTLS
        self.user = user
        self.password = password
        self.from = from
        self.to = to
        self.message = message
        self.allowsPrivateAddress = allowsPrivateAddress
    }

    /// Why this must not leave: a line break would be another command.
    var refusal: HTTPFailure? {
        guard [from, to, url].contains(where: { $0.utf8.contains { $0 <= 0x20 || $0 == 0x7F || $0 == 0x3C || $0 == 0x3E } }) else {
            return nil
        }
        return HTTPFailure(.notSent, "a control character or a bracket in an address")
    }
}

/// What a server's reply was to.
public enum MailPhase: Sendable, Hashable {
    /// We did not go on: an address of our own network (550), no TLS (530), no way to sign in that both know (535).
    case refused
    /// The greeting and everything up to signing in.
    case session
    case authentication
    /// MAIL, RCPT, DATA.
    case sender, recipient, data
    /// The end of the message.
    case message
}

/// The conversation of one transfer, as libcurl shows it line by line.
struct MailConversation {
    private var command = ""
    private var isReplyOver = true
    /// libcurl takes leave of a connection that it does not keep; what it hears then is about nothing.
    private var isOver = false
    private(set) var code = 0
    private(set) var reply: [UInt8] = []
    /// How many bytes of the message libcurl has taken, and how many have left, with the dots that it adds.
    var taken = 0
    var left = 0
    let total: Int
    /// From here on the end may have been said.
    var isWhole: Bool { taken == total && left >= total }
    var isAddressRefused = false

    init(total: Int) { self.total = total }

    /// Only the first word of what we say is looked at: what follows may be a password.
    mutating func say(_ line: UnsafeRawBufferPointer) {
        let word = line.prefix { (65...90).contains($0) || (97...122).contains($0) }
        let known = String(decoding: word.prefix(8), as: UTF8.self).uppercased()
        if known == "QUIT" { isOver = true }
        if ["EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"].contains(known) { command = known }
    }

    mutating func hear(_ line: UnsafeRawBufferPointer) {
        if isOver { return }
        if isReplyOver { reply.removeAll(keepingCapacity: true) }
        if reply.count < 8192 { reply += line }
        let digits = line.prefix(3)
        guard digits.count == 3, digits.allSatisfy({ (48...57).contains($0) }) else { return }
        code = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
        isReplyOver = line.count < 4 || line[3] != UInt8(ascii: "-")
    }

    var phase: MailPhase {
        if isWhole { return .message }
        return switch command {
        case "AUTH": .authentication
        case "MAIL": .sender
        case "RCPT": .recipient
        case "DATA": .data
        default: .session
        }
    }
}
