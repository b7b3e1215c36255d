// What proves to providers of mail that we may send. Kept sealed like those of others.
internal import JSON
internal import Secrets
internal import Vocabulary

struct SendGridCredentials: Sendable {
    let apiKey: String
    /// Verifies signed events: base 64 of DER, as the console shows it. Without it no event is taken.
    let webhookKey: String?
}

struct SMTPCredentials: Sendable {
    /// How the connection to the relay is protected.
    enum Security: String, Sendable, CaseIterable {
        /// TLS after a greeting in the clear (RFC 3207); nothing is said without it.
        case startTLS = "starttls"
        /// TLS from the first byte (RFC 8314).
        case tls
        case none
    }
    let host: String
    let port: Int
    let security: Security
    /// Both or none.
    let username: String?
    let password: String?
}

/// Credentials of a sender, whoever its provider is.
enum ProviderCredentials: Sendable {
    case twilio(SenderCredentials)
    case sendGrid(SendGridCredentials)
    case smtp(SMTPCredentials)

    /// Sealed for one sender of one workspace: copied to another row it does not open.
    func sealed(with key: SealingKey, workspace: WorkspaceID, sender: SenderID) -> [UInt8] {
        var object: JSONObject
        switch self {
        case .twilio(let credentials): return credentials.sealed(with: key, workspace: workspace, sender: sender)
        case .sendGrid(let credentials):
            object = ["api_key": .string(credentials.apiKey)]
            if let webhookKey = credentials.webhookKey { object["webhook_public_key"] = .string(webhookKey) }
        case .smtp(let credentials):
            object = [
                "host": .string(credentials.host), "port": JSONValue(credentials.port), "security": .string(credentials.security.rawValue),
            ]
            if let username = credentials.username, let password = credentials.password {
                object["username"] = .string(username)
                object["password"] = .string(password)
            }
        }
        return key.seal(Array(JSONValue.object(object).text.utf8), context: SenderCredentials.context(workspace, sender))
    }

    /// `nil` when another key sealed them, for another sender or provider, or they were changed.
    init?(opening sealed: [UInt8], of provider: String, with key: SealingKey, workspace: WorkspaceID, sender: SenderID) {
        if provider == "twilio" {
            guard let twilio = SenderCredentials(opening: sealed, with: key, workspace: workspace, sender: sender) else { return nil }
            self = .twilio(twilio)
            return
        }
        guard let plain = key.open(sealed, context: SenderCredentials.context(workspace, sender)),
            case .object(let object)? = try? JSONValue(parsing: plain)
        else { return nil }
        if provider == "sendgrid", let apiKey = object["api_key"]?.string {
            self = .sendGrid(SendGridCredentials(apiKey: apiKey, webhookKey: object["webhook_public_key"]?.string))
        } else if provider == "smtp", let host = object["host"]?.string, let port = object["port"]?.integer,
            let security = object["security"]?.string.flatMap(SMTPCredentials.Security.init)
        {
            self = .smtp(
                SMTPCredentials(
                    host: host, port: port, security: security, username: object["username"]?.string, password: object["password"]?.string))
        } else {
            return nil
        }
    }

    /// Twilio's, for look-ups.
    var accountSID: String? { if case .twilio(let credentials) = self { credentials.accountSID } else { nil } }
}
