// The boundary to the providers: how a sender's messages leave, and what their answers mean.
internal import HTTPClient
internal import Runtime
internal import Secrets
internal import Vocabulary

/// The providers that there are.
struct Providers: Sendable {
    let twilio: TwilioClient
    let sendGrid: SendGridClient
    let smtp: SMTPClient
    let publicURL: String

    init(_ configuration: Configuration) {
        twilio = TwilioClient(baseURL: configuration.twilioURL)
        sendGrid = SendGridClient(baseURL: configuration.sendGridURL)
        publicURL = configuration.publicURL
        let host = configuration.publicOrigin.split(separator: "/").last?.split(separator: ":").first
        smtp = SMTPClient(name: host.map(String.init) ?? "localhost", privateHosts: configuration.smtpPrivateHosts)
    }
}

/// A sender at its provider, with opened credentials.
enum SenderRoute: Sendable {
    case twilio(SenderCredentials, TwilioClient.Origin)
    case sendGrid(SendGridCredentials, EmailOrigin)
    case smtp(SMTPCredentials, EmailOrigin)

    /// What leaves.
    enum Request {
        case http(HTTPRequest)
        case mail(MailRequest)
    }

    /// `nil` when the credentials do not open: another key sealed them.
    init?(_ row: SenderRow, _ workspace: WorkspaceID, _ key: SealingKey) {
        let opened = ProviderCredentials(
            opening: row.sealedCredentials, of: row.provider, with: key, workspace: workspace, sender: row.id)
        let mail = row.fromEmail.map { EmailOrigin(address: $0, name: row.fromName, replyTo: row.replyTo) }
        switch (opened, mail) {
        case (.twilio(let credentials), _):
            guard let origin = row.from.map({ .number($0) }) ?? row.messagingServiceSID.map({ TwilioClient.Origin.messagingService($0) })
            else { return nil }
            self = .twilio(credentials, origin)
        case (.sendGrid(let credentials), let origin?): self = .sendGrid(credentials, origin)
        case (.smtp(let credentials), let origin?): self = .smtp(credentials, origin)
        default: return nil
        }
    }

    /// - Returns: `nil` for a text without what its channel needs.
    func request(_ message: ReadyMessage, attempt: Int, sender: SenderID, _ providers: Providers) -> Request? {
        switch self {
        case .twilio(let credentials, let origin):
            let callback = TwilioClient.statusCallback(
                publicURL: providers.publicURL, sender: sender, message: message.id, attempt: attempt)
            return .http(
                providers.twilio.createMessage(credentials, from: origin, to: message.to, body: message.text, statusCallback: callback))
        case .sendGrid(let credentials, let origin):
            return message.email.map {
                .http(providers.sendGrid.send($0, to: message.to, message: message.id, sender: sender, origin, apiKey: credentials.apiKey))
            }
        case .smtp(let relay, let origin):
            return message.email.map { .mail(providers.smtp.send($0, to: message.to, message: message.id, origin, relay)) }
        }
    }

    var isRelay: Bool { if case .smtp = self { true } else { false } }

    /// How many messages may be on their way at once.
    var mostAtOnce: Int { if case .smtp = self { SMTPClient.mostAtOnce } else { SendLoop.connections } }

    func classify(_ outcome: Result<HTTPResponse, HTTPFailure>, of attempt: Attempt, _ providers: Providers) -> SendOutcome {
        switch self {
        case .twilio: providers.twilio.classify(outcome)
        case .sendGrid: providers.sendGrid.classify(outcome)
        case .smtp(_, let origin):
            providers.smtp.classify(outcome, sid: SMTPClient.id(of: attempt.message, origin), attempt: attempt.number)
        }
    }
}
