// Whose callback it is: opened credentials, kept for a moment.
internal import PostgreSQL
internal import Secrets
internal import Synchronization
internal import Vocabulary
internal import Web

/// Senders by id, shared by the threads of a process. An entry lives 15 seconds, so a rotated token is known that
/// soon; a look-up and an AES opening per callback would double its cost.
final class SenderCache: Sendable {
    struct Sender: Sendable {
        let workspace: WorkspaceID
        let tokens: [String]
    }
    private struct Entry {
        let sender: Sender?
        let until: Instant
    }
    static let shared = SenderCache()
    private static let seconds = 15.0
    private static let most = 10_000
    private let entries = Mutex<[SenderID: Entry]>([:])

    /// `nil` for an id that nobody has; that is remembered as well, or probing would cost a look-up each.
    func sender(_ id: SenderID, _ call: Call) throws -> Sender? {
        if let entry = entries.withLock({ $0[id] }), entry.until > call.now { return entry.sender }
        let row = try call.db.first(DeliverySQL.senderForWebhook, id)
        let sender = row.flatMap { row -> Sender? in
            guard let credentials = SenderCredentials(
                opening: row.credentials, with: call.configuration.sealingKey, workspace: row.workspace, sender: id)
            else { return nil }
            return Sender(workspace: row.workspace, tokens: credentials.signingTokens)
        }
        entries.withLock { entries in
            if entries.count >= Self.most { entries.removeAll() }
            entries[id] = Entry(sender: sender, until: call.now + Self.seconds)
        }
        return sender
    }
}
