import JSON
import PostgreSQL
import Secrets
import TestSupport
import Vocabulary

@testable import Messaging

/// A workspace with a sender, a segment and its members: what a campaign needs.
struct Scene {
    let workspace: WorkspaceID
    private(set) var sender: SenderID
    let segment: SegmentID
    private(set) var campaign: CampaignID
    let contacts: [ContactID]
    static let key = SealingKey([UInt8](repeating: 7, count: 32))!

    /// - Parameters:
    ///   - consenting: how many of the contacts have opted in; the rest have said nothing.
    ///   - rate: of the sender, in parts per second.
    init(
        _ db: Connection, contacts count: Int = 3, consenting: Int? = nil, rate: Double = 1000,
        body: String = "Hi {{ first_name | default: \"there\" }}"
    ) throws {
        workspace = try db.createWorkspace()
        sender = SenderID.new()
        segment = SegmentID.new()
        campaign = CampaignID.new()
        let (workspace, sender, segment, campaign) = (workspace, sender, segment, campaign)
        contacts = try db.transaction { db in
            try db.setWorkspace(workspace)
            let credentials = SenderCredentials(accountSID: "AC" + String(repeating: "0", count: 32), authToken: "token-of-a-test")
            try db.runDynamic(
                """
                INSERT INTO senders (workspace_id, id, name, channel, provider, from_number, rate_parts_per_second, account_sid, credentials)
                VALUES ($1, $2, 'Test', 'sms', 'twilio', '+12025550100', $3, 'AC', $4)
                """,
                [
                    workspace.sqlValue, sender.sqlValue, rate.sqlValue,
                    credentials.sealed(with: Self.key, workspace: workspace, sender: sender).sqlValue,
                ])
            try db.runDynamic(
                """
                INSERT INTO segments (workspace_id, id, name, rule, state, calculated_at)
                VALUES ($1, $2, 'Test', '{}', 'ready', now())
                """, [workspace.sqlValue, segment.sqlValue])
            let ids: [ContactID] = try db.dynamic(
                """
                INSERT INTO contacts (workspace_id, ordinal, phone, first_name, attributes)
                SELECT $1, take_ordinals(1) + 1, '+1202' || lpad((5550000 + i)::text, 7, '0'), 'P' || i, jsonb_build_object('city', 'Berlin')
                  FROM generate_series(1, $2::int) i ORDER BY i RETURNING id
                """, [workspace.sqlValue, count.sqlValue])
            try db.runDynamic(
                "INSERT INTO segment_members (workspace_id, segment_id, contact_id, entered_at) SELECT $1, $2, unnest($3::uuid[]), now()",
                [workspace.sqlValue, segment.sqlValue, ids.sqlValue])
            try db.runDynamic(
                "SELECT record_consent(c, 'sms', 'opted_in', 'test') FROM unnest($1::uuid[]) c",
                [Array(ids.prefix(consenting ?? count)).sqlValue])
            try db.runDynamic(
                """
                INSERT INTO campaigns (workspace_id, id, name, channel, segment_id, sender_id, body)
                VALUES ($1, $2, 'Test', 'sms', $3, $4, $5)
                """, [workspace.sqlValue, campaign.sqlValue, segment.sqlValue, sender.sqlValue, body.sqlValue])
            return ids
        }
    }

    /// The same with a campaign more.
    func withAnotherCampaign(_ db: Connection) throws -> Scene {
        var scene = self
        scene.campaign = CampaignID.new()
        try db.runDynamic(
            """
            INSERT INTO campaigns (workspace_id, id, name, channel, segment_id, sender_id, body) VALUES ($1, $2, 'Test', 'sms', $3, $4, 'Hi')
            """, [workspace.sqlValue, scene.campaign.sqlValue, segment.sqlValue, sender.sqlValue])
        return scene
    }

    /// The same with a relay of its own, and a campaign by it.
    func withAnotherRelay(_ db: Connection, _ relay: SMTPCredentials) throws -> Scene {
        var scene = try withAnotherCampaign(db)
        scene.sender = SenderID.new()
        let credentials = ProviderCredentials.smtp(relay).sealed(with: Self.key, workspace: workspace, sender: scene.sender)
        try db.runDynamic(
            """
            INSERT INTO senders (workspace_id, id, name, channel, provider, from_email, from_name, rate_parts_per_second, credentials)
            SELECT workspace_id, $2::uuid, $2::uuid::text, 'email', 'smtp', 'team@shop.example', 'Shop', rate_parts_per_second, $3
              FROM senders WHERE id = $1
            """, [sender.sqlValue, scene.sender.sqlValue, credentials.sqlValue])
        try db.runDynamic(
            "UPDATE campaigns SET sender_id = $2, channel = 'email', subject = 'News' WHERE id = $1",
            [scene.campaign.sqlValue, scene.sender.sqlValue])
        return scene
    }

    /// Starts the campaign and freezes its audience, as the handler and the job do. Returns how many rows there are.
    @discardableResult
    func freeze(_ db: Connection, _ channel: Channel = .sms) throws -> Int {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            _ = try db.one(CampaignSQL.start, campaign)
            _ = try db.one(CampaignSQL.planSetWise)
            let count = try db.run(CampaignSQL.insertAudience, campaign, segment, sender, channel)
            try db.run(Holdout.countArms, campaign)
            try db.run(CampaignSQL.freeze, campaign)
            return count
        }
    }

    /// Becomes the worker in this workspace until the transaction ends.
    func work(_ db: Connection) throws {
        try db.act(as: .worker)
        try db.setWorkspace(workspace)
    }

    func claim(_ db: Connection, limit: Int = 100, lease: UUID = .v7(), seconds: Double = 60) throws -> [ClaimedMessage] {
        try db.all(LedgerSQL.claim, campaign, limit, lease, seconds, true)
    }

    func start(_ db: Connection, _ messages: [ClaimedMessage], lease: UUID, seconds: Double = 60) throws -> [StartedMessage] {
        try db.all(
            LedgerSQL.start, campaign, lease, messages.map(\.id), messages.map(\.createdAt), messages.map { _ in "Hi" },
            messages.map { _ in 1 }, seconds, false)
    }

    /// Claims and starts everything that is due.
    func startAll(_ db: Connection) throws -> [(message: ClaimedMessage, attempt: Int)] {
        let lease = UUID.v7()
        let claimed = try claim(db, lease: lease).filter { !$0.isSkipped }
        let started = try start(db, claimed, lease: lease)
        return claimed.compactMap { message in
            started.first { $0.id == message.id && $0.state == "started" }.map { (message, $0.attempt) }
        }
    }

    func states(_ db: Connection) throws -> [String: Int] {
        let rows: [JSONValue] = try db.dynamic(
            "SELECT json_build_object('state', state || coalesce('/' || skip_reason, ''), 'count', count(*)) FROM messages WHERE campaign_id = $1 GROUP BY state, skip_reason",
            [campaign.sqlValue])
        return Dictionary(uniqueKeysWithValues: rows.map { ($0["state"]!.string!, $0["count"]!.integer!) })
    }

    /// Why campaigns were paused by themselves, as their team was told.
    func toldPauses(_ db: Connection) throws -> [String] {
        try db.dynamic("SELECT subject ->> 'reason' FROM notices WHERE kind = 'campaign.paused' ORDER BY id", [])
    }

    func status(_ db: Connection) throws -> String {
        try db.value("SELECT status FROM campaigns WHERE id = $1", campaign.sqlValue)
    }
}
