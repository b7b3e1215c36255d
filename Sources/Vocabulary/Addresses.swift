// Where people are reached, in the one form that is stored and compared.

/// How a message travels.
public enum Channel: String, Sendable, CaseIterable {
    case sms, email
}

/// A phone number in E.164 form: `+`, then 7 to 15 digits, the first of them not 0 (ITU-T E.164, section 6).
public struct E164: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard (8...16).contains(bytes.count), bytes[0] == UInt8(ascii: "+"), (49...57).contains(bytes[1]),
            bytes[2...].allSatisfy({ (48...57).contains($0) })
        else { return nil }
        description = String(text)
    }
}

/// An e-mail address, trimmed and in lower case. The local part too: no provider of note tells `A@` from `a@`, and
/// two rows for one mailbox would be mailed twice.
public struct EmailAddress: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    /// Accepts what can be delivered on the public internet (RFC 5321 sizes); quoted local parts are refused.
    public init?(_ text: some StringProtocol) {
        let address = text.drop { $0.isWhitespace }
        let trimmed = String(address.reversed().drop { $0.isWhitespace }.reversed()).lowercased()
        let bytes = Array(trimmed.utf8)
        guard (3...254).contains(bytes.count), let at = bytes.lastIndex(of: UInt8(ascii: "@")),
            bytes.firstIndex(of: UInt8(ascii: "@")) == at, (1...64).contains(at),
            !bytes.contains(where: { $0 <= 0x20 || $0 == 0x7F || EmailAddress.refused.contains($0) })
        else { return nil }
        let local = bytes[..<at].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let labels = bytes[(at + 1)...].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard !local.contains(where: \.isEmpty), labels.count >= 2,
            labels.allSatisfy({ (1...63).contains($0.count) && $0.first != 45 && $0.last != 45 })
        else { return nil }
        description = trimmed
    }
    private static let refused: [UInt8] = Array("\"(),:;<>[\\]".utf8)
}

/// An amount in minor units (cents) with its ISO 4217 currency.
public struct Money: Hashable, Sendable {
    public let amount: Int64
    public let currency: String
    public init(amount: Int64, currency: String) {
        self.amount = amount
        self.currency = currency
    }
}
