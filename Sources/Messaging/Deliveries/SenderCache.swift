// Whose callback it is: opened credentials, kept for a moment.
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Synchronization
internal import Vocabulary
internal import Web

/// Senders by id, shared by the threads of a process: a look-up and an AES opening per callback would double its cost.
final class SenderCache: Sendable {
    struct Sender: Sendable {
        let workspace: WorkspaceID
        /// Of Twilio: what its callbacks may be signed with. Empty for others.
        let tokens: [String]
        /// Of SendGrid, where one was given: what verifies its events.
        let webhookKey: String?
    }
    private struct Entry {
        let sender: Sender?
        let at: Instant
    }
    static let shared = SenderCache()
    /// How long a token that was replaced still counts.
    private static let seconds = 15.0
    private static let most = 10_000
    private let entries = Mutex<[SenderID: Entry]>([:])

    /// `nil` for an id that nobody has; that is remembered as well, or probing would cost a look-up each.
    /// - Parameter freshness: how old an entry may be, in seconds.
    func sender(_ id: SenderID, freshness: Double = SenderCache.seconds, _ call: Call) throws -> Sender? {
        if let entry = entries.withLock({ $0[id] }), call.now.seconds(since: entry.at) < freshness { return entry.sender }
        let sender = try call.db.first(DeliverySQL.senderForWebhook, id).map { row in
            guard
                let credentials = ProviderCredentials(
                    opening: row.credentials, of: row.provider, with: call.configuration.sealingKey, workspace: row.workspace, sender: id)
            else {
                // Our fault, so the provider is asked to come again.
                Log.error("credentials do not open", [("sender", .string(id.description))])
                throw Problem.internalError
            }
            return switch credentials {
            case .twilio(let twilio): Sender(workspace: row.workspace, tokens: twilio.signingTokens, webhookKey: nil)
            case .sendGrid(let sendGrid): Sender(workspace: row.workspace, tokens: [], webhookKey: sendGrid.webhookKey)
            case .smtp: Sender(workspace: row.workspace, tokens: [], webhookKey: nil)
            }
        }
        entries.withLock { entries in
            if entries.count >= Self.most { entries.removeAll() }
            entries[id] = Entry(sender: sender, at: call.now)
        }
        return sender
    }
}
