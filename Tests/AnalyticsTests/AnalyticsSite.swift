import Analytics
import JSON
import PostgreSQL
import TestSupport
import Vocabulary

/// The routes of events and analytics over real FastCGI, in a workspace with a sender.
final class AnalyticsSite {
    let database: TestDatabase
    /// Of the owner.
    let db: Connection
    let responder: TestResponder
    let workspace: WorkspaceID
    let key: TestKey
    private let sender = SenderID.new()

    fileprivate init(_ database: TestDatabase, timezone: String) throws {
        self.database = database
        db = try database.connect()
        workspace = try db.createWorkspace(timezone: timezone)
        key = try db.createAPIKey(in: workspace)
        responder = try TestResponder(eventRoutes + analyticsRoutes, database)
        try db.runDynamic(
            """
            INSERT INTO senders (workspace_id, id, name, channel, provider, from_number, rate_parts_per_second, account_sid, credentials)
            VALUES ($1, $2, 'Test', 'sms', 'twilio', '+12025550100', 1, 'AC', '')
            """, [workspace.sqlValue, sender.sqlValue])
    }
    fileprivate func stop() { responder.stop() }

    func get(_ target: String) throws -> TestAnswer { try responder.send("GET", target, token: key.token) }
    func post(_ target: String, _ body: JSONValue) throws -> TestAnswer { try responder.send("POST", target, token: key.token, json: body) }

    func contacts(_ count: Int) throws -> [ContactID] {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            return try db.dynamic(
                """
                INSERT INTO contacts (workspace_id, ordinal, external_id, email, phone)
                SELECT $1, o.first + i, 'c' || o.first + i, 'c' || o.first + i || '@example.com', '+1202' || (5550000 + o.first + i)
                  FROM (SELECT take_ordinals($2) AS first) o, generate_series(1, $2::int) i ORDER BY i RETURNING id
                """, [workspace.sqlValue, count.sqlValue])
        }
    }

    /// A campaign whose audience was frozen.
    func campaign(
        frozenAt: Instant, segment: SegmentID = .new(), goal: String? = nil, windowSeconds: Int = 86_400, in other: WorkspaceID? = nil
    ) throws -> CampaignID {
        try db.value(
            """
            INSERT INTO campaigns (workspace_id, name, channel, segment_id, sender_id, body, status, frozen_at, finished_at,
                                   goal_event, attribution_window_seconds)
            VALUES ($1, 'Test', 'sms', $2, $3, 'Hi', 'finished', $4, $4, $5, $6) RETURNING id
            """, (other ?? workspace).sqlValue, segment.sqlValue, sender.sqlValue, frozenAt.sqlValue, goal.sqlValue, windowSeconds.sqlValue)
    }

    /// A message in any state, as its history would have left it.
    func message(_ message: LedgerRow, of campaign: CampaignID, frozenAt: Instant) throws {
        let started = message.sentAt ?? frozenAt
        let wasStarted = !["pending", "skipped"].contains(message.state)
        try db.runDynamic(
            """
            INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, body, parts, state, skip_reason,
                                  attempt, due_at, sid, error_code, unknown_reason, created_at, started_at, sent_at, settled_at)
            VALUES ($1, $2, $3, $4, 'sms', '+12025550123', $5, $6, $7, $8, $9, $10, $11, $12, $13, $10, $14, $15, $16)
            """,
            [
                workspace.sqlValue, campaign.sqlValue, message.contact.sqlValue, sender.sqlValue, (wasStarted ? "Hi" : nil).sqlValue,
                message.parts.sqlValue, message.state.sqlValue, message.skipReason.sqlValue, (wasStarted ? 1 : 0).sqlValue,
                frozenAt.sqlValue, (message.sentAt == nil ? nil : "SM\(UUID.v7())").sqlValue, message.errorCode.sqlValue,
                (message.state == "unknown" ? "no_answer" : nil).sqlValue, (wasStarted ? started : nil).sqlValue,
                message.sentAt.sqlValue, message.settledAt.sqlValue,
            ])
    }
}

/// What the ledger holds of one message.
struct LedgerRow {
    var contact: ContactID
    var state: String
    var skipReason: String?
    var errorCode: Int?
    var parts: Int?
    var sentAt: Instant?
    var settledAt: Instant?

    static func sent(_ contact: ContactID, at: Instant, state: String = "sent") -> LedgerRow {
        LedgerRow(contact: contact, state: state, parts: 1, sentAt: at, settledAt: state == "sent" ? nil : at)
    }
}

func withAnalytics(timezone: String = "UTC", _ body: (AnalyticsSite) throws -> Void) throws {
    try withOwnDatabase { database in
        let site = try AnalyticsSite(database, timezone: timezone)
        defer { site.stop() }
        try body(site)
    }
}
