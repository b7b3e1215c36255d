// Rows of the ledger's statements.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// A message in this worker's hands, or one that the claim skipped or put off.
struct ClaimedMessage: RowDecodable {
    let id: MessageID
    let createdAt: Instant
    let isTest: Bool
    /// It asks for consent.
    let isRequest: Bool
    let contactID: ContactID?
    let to: String
    /// Of a test or a request only: it was rendered when it was asked for.
    let body: String?
    /// Not to be sent now, or ever.
    let isSkipped: Bool
    /// `nil` when the text reads nothing of the contact.
    let contact: JSONValue?
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        createdAt = try row["created_at"]
        isTest = try row["kind"] == "test"
        isRequest = try row["kind"] == "request"
        contactID = try row["contact_id"]
        to = try row["to_address"]
        body = try row["body"]
        isSkipped = try row["is_skipped"]
        contact = try row["contact"]
    }
}

/// Where `start` put a message.
struct StartedMessage: RowDecodable {
    let id: MessageID
    let state: String
    let attempt: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        state = try row["state"]
        attempt = try row["attempt"]
    }
}

/// How many messages may go now, and when the next one may.
struct PartsLease: RowDecodable {
    let granted: Int
    let waitSeconds: Double
    init(_ row: borrowing Row) throws(PostgresError) {
        granted = try row["granted"]
        waitSeconds = try row["wait_seconds"]
    }
}

struct CampaignToSend: RowDecodable, Hashable {
    let workspace: WorkspaceID
    let campaign: CampaignID
    let sender: SenderID
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        campaign = try row["campaign_id"]
        sender = try row["sender_id"]
    }
}

struct Rescued: RowDecodable {
    /// Claimed messages that are pending again.
    let released: Int
    /// Started ones, now unknown.
    let lost: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        released = try row["released"]
        lost = try row["lost"]
    }
}

struct CampaignText: RowDecodable {
    let body: String
    let version: Int
    let hasBudget: Bool
    let hasMonthlyLimit: Bool
    let tracksLinks: Bool
    let hasExperiment: Bool
    /// It has one of which nothing was started yet.
    let beginsExperiment: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        body = try row["body"]
        version = try row["version"]
        hasBudget = try row["has_budget"]
        hasMonthlyLimit = try row["has_monthly_limit"]
        tracksLinks = try row["track_links"]
        hasExperiment = try row["has_experiment"]
        beginsExperiment = try row["begins_experiment"]
    }
}
