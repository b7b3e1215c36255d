// What the address of somebody's preference page is made of.
public import Secrets
public import Vocabulary

/// Names a contact and a channel to whoever holds a link from one of our messages, and to nobody else.
///
/// 49 bytes, 66 characters of base64url: 16 of the workspace's id, 16 of the contact's, one of the channel (1 sms, 2 email),
/// and the first 16 of an HMAC-SHA256 over the 33 before. It does not run out: a link must work for 30 days after sending
/// at the least (15 USC 7704(a)(3)), and an old message's must not fail who has had enough.
public struct PreferenceToken: Hashable, Sendable {
    public let workspace: WorkspaceID
    public let contact: ContactID
    public let channel: Channel

    public init(workspace: WorkspaceID, contact: ContactID, channel: Channel) {
        self.workspace = workspace
        self.contact = contact
        self.channel = channel
    }

    /// Reads a token that was made with the same key.
    /// - Returns: `nil` for anything else; how long it takes does not tell how much of it was right.
    public init?(_ text: some StringProtocol, key: SealingKey) {
        guard text.utf8.count == 66, let bytes = base64URLDecode(text), bytes.count == 49,
            constantTimeEqual(Array(bytes[33...]), PreferenceToken.tag(Array(bytes[..<33]), key)),
            let channel = PreferenceToken.channels.first(where: { $0.code == bytes[32] })?.channel
        else { return nil }
        func number(at start: Int) -> UInt64 { bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        self.init(
            workspace: WorkspaceID(UUID(high: number(at: 0), low: number(at: 8))),
            contact: ContactID(UUID(high: number(at: 16), low: number(at: 24))), channel: channel)
    }

    public func text(key: SealingKey) -> String {
        var bytes: [UInt8] = []
        for uuid in [workspace.uuid, contact.uuid] {
            for half in [uuid.high, uuid.low] {
                for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: half >> UInt64(shift))) }
            }
        }
        bytes.append(PreferenceToken.channels.first { $0.channel == channel }!.code)
        return base64URLEncode(bytes + PreferenceToken.tag(bytes, key))
    }

    private static let channels: [(channel: Channel, code: UInt8)] = [(.sms, 1), (.email, 2)]

    private static func tag(_ bytes: [UInt8], _ key: SealingKey) -> [UInt8] {
        Array(Hash.hmacSHA256(key: key.derived("preference-token"), bytes).prefix(16))
    }
}
