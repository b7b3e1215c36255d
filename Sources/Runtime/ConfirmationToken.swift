// What the address of the page is made of on which somebody confirms their consent.
public import Secrets
public import Vocabulary

/// Names a request for consent to whoever got it by e-mail, and to nobody else.
///
/// 48 bytes, 64 characters of base64url: 16 of the workspace's id, 16 of the request's, and the first 16 of an HMAC-SHA256 over
/// the 32 before. What it is good for ends with the request.
public struct ConfirmationToken: Hashable, Sendable {
    public let workspace: WorkspaceID
    public let request: ConsentRequestID

    public init(workspace: WorkspaceID, request: ConsentRequestID) {
        self.workspace = workspace
        self.request = request
    }

    /// Reads a token that was made with the same key.
    /// - Returns: `nil` for anything else; how long it takes does not tell how much of it was right.
    public init?(_ text: some StringProtocol, key: SealingKey) {
        guard let bytes = SignedToken.read(text, names: 32, purpose: Self.purpose, key) else { return nil }
        self.init(workspace: WorkspaceID(SignedToken.uuid(bytes, at: 0)), request: ConsentRequestID(SignedToken.uuid(bytes, at: 16)))
    }

    public func text(key: SealingKey) -> String {
        SignedToken.text(SignedToken.bytes(workspace.uuid) + SignedToken.bytes(request.uuid), purpose: Self.purpose, key)
    }

    private static let purpose = "confirmation-token"
}
