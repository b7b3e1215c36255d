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
        guard let bytes = SignedToken.read(text, names: 33, purpose: Self.purpose, key),
            let channel = PreferenceToken.channels.first(where: { $0.code == bytes[32] })?.channel
        else { return nil }
        self.init(
            workspace: WorkspaceID(SignedToken.uuid(bytes, at: 0)), contact: ContactID(SignedToken.uuid(bytes, at: 16)), channel: channel)
    }

    public func text(key: SealingKey) -> String {
        let code = PreferenceToken.channels.first { $0.channel == channel }!.code
        return SignedToken.text(SignedToken.bytes(workspace.uuid) + SignedToken.bytes(contact.uuid) + [code], purpose: Self.purpose, key)
    }

    private static let channels: [(channel: Channel, code: UInt8)] = [(.sms, 1), (.email, 2)]
    private static let purpose = "preference-token"
}
