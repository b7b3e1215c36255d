// What proves to the provider that we may, and to us that the provider calls. Kept sealed, never shown.
internal import JSON
public import Secrets
public import Vocabulary

/// Credentials of a Twilio account, or subaccount: it signs its callbacks with its own token.
public struct SenderCredentials: Sendable, Hashable {
    public let accountSID: String
    public let authToken: String
    /// During a rotation both tokens may sign callbacks.
    public let secondaryAuthToken: String?
    /// Preferred for calls, where there is one: it can be revoked by itself.
    public let apiKey: (sid: String, secret: String)?

    public init(accountSID: String, authToken: String, secondaryAuthToken: String? = nil, apiKey: (sid: String, secret: String)? = nil) {
        self.accountSID = accountSID
        self.authToken = authToken
        self.secondaryAuthToken = secondaryAuthToken
        self.apiKey = apiKey
    }

    /// User and password for HTTP Basic.
    public var basicAuth: (user: String, password: String) {
        if let apiKey { (apiKey.sid, apiKey.secret) } else { (accountSID, authToken) }
    }
    /// Tokens that callbacks may be signed with.
    public var signingTokens: [String] { [authToken] + (secondaryAuthToken.map { [$0] } ?? []) }

    /// Sealed for one sender of one workspace: copied to another row it does not open.
    public func sealed(with key: SealingKey, workspace: WorkspaceID, sender: SenderID) -> [UInt8] {
        var object: JSONObject = ["account_sid": .string(accountSID), "auth_token": .string(authToken)]
        if let secondaryAuthToken { object["secondary_auth_token"] = .string(secondaryAuthToken) }
        if let apiKey {
            object["api_key_sid"] = .string(apiKey.sid)
            object["api_key_secret"] = .string(apiKey.secret)
        }
        return key.seal(Array(JSONValue.object(object).text.utf8), context: Self.context(workspace, sender))
    }

    /// `nil` when another key sealed them, for another sender, or they were changed.
    public init?(opening sealed: [UInt8], with key: SealingKey, workspace: WorkspaceID, sender: SenderID) {
        guard let plain = key.open(sealed, context: Self.context(workspace, sender)),
            case .object(let object)? = try? JSONValue(parsing: plain),
            let accountSID = object["account_sid"]?.string, let authToken = object["auth_token"]?.string
        else { return nil }
        var apiKey: (sid: String, secret: String)?
        if let sid = object["api_key_sid"]?.string, let secret = object["api_key_secret"]?.string { apiKey = (sid, secret) }
        self.init(
            accountSID: accountSID, authToken: authToken,
            secondaryAuthToken: object["secondary_auth_token"]?.string, apiKey: apiKey)
    }

    static func context(_ workspace: WorkspaceID, _ sender: SenderID) -> [UInt8] {
        Array("\(workspace)/\(sender)".utf8)
    }

    public static func == (a: SenderCredentials, b: SenderCredentials) -> Bool {
        a.accountSID == b.accountSID && a.authToken == b.authToken && a.secondaryAuthToken == b.secondaryAuthToken
            && a.apiKey?.sid == b.apiKey?.sid && a.apiKey?.secret == b.apiKey?.secret
    }
    public func hash(into hasher: inout Hasher) { hasher.combine(accountSID) }
}

extension SenderCredentials: CustomStringConvertible {
    /// Safe to show and to log.
    public var description: String { "credentials of \(accountSID)" }
}
