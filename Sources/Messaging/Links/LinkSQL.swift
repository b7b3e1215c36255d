internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum LinkSQL {
    /// Before there is a workspace.
    static let forKey = Statement<KnownLink, String>(
        """
        SELECT workspace_id, kind, url, is_expired FROM link_for_key($1)
        """)

    /// - Parameters: key, class of the program, why it is a machine.
    /// - Returns: why it does not count; empty: it does.
    static let record = Statement<String?, String, String, String?>(
        """
        SELECT record_hit($1, $2, $3)
        """)

    /// Links of messages that are being started, in that transaction.
    /// - Parameters: campaign, keys, when they were made, kinds, addresses, messages, the messages' creation times.
    static let insert = Statement<Int, CampaignID, [String], [Instant], [String], [String?], [MessageID], [Instant]>(
        """
        INSERT INTO links (workspace_id, key, created_at, kind, campaign_id, message_id, message_created_at, contact_id, url)
        SELECT current_workspace(), l.key, l.made_at, l.kind, $1, m.id, m.created_at, m.contact_id, l.url
          FROM unnest($2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[])
               AS l (key, made_at, kind, url, message, message_created_at)
          JOIN messages m ON m.workspace_id = current_workspace() AND m.id = l.message AND m.created_at = l.message_created_at
        """)

    /// What a draft does with its links.
    static let track = Statement<Stored, CampaignID, Bool>(
        """
        UPDATE campaigns c SET track_links = $2
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft'
        RETURNING \(CampaignSQL.item), c.version
        """)

    static let tracks = Statement<Bool, CampaignID>(
        """
        SELECT track_links FROM campaigns WHERE workspace_id = current_workspace() AND id = $1
        """)

    // MARK: Hits

    private static let item = """
        json_build_object('id', h.id, 'at', rfc3339(h.at), 'kind', h.kind, 'campaign_id', h.campaign_id, 'message_id', h.message_id,
            'contact_id', h.contact_id, 'agent', h.agent, 'is_machine', h.reason IS NOT NULL, 'reason', h.reason,
            'is_counted', h.is_counted, 'judged_by', h.judged_by, 'judged_at', rfc3339(h.judged_at),
            'url', (SELECT l.url FROM links l WHERE l.workspace_id = current_workspace() AND l.key = h.key LIMIT 1))
        """

    static let hits = Statement<PageRow, LinkHitID, Int>(
        """
        SELECT \(item), h.id::text
          FROM link_hits h
         WHERE h.workspace_id = current_workspace() AND h.id < $1
         ORDER BY h.id DESC
         LIMIT $2
        """)

    static let hitsOfCampaign = Statement<PageRow, LinkHitID, Int, CampaignID>(
        """
        SELECT \(item), h.id::text
          FROM link_hits h
         WHERE h.workspace_id = current_workspace() AND h.campaign_id = $3 AND h.id < $1
         ORDER BY h.id DESC
         LIMIT $2
        """)

    static let judge = Statement<Bool, LinkHitID, Bool>(
        """
        SELECT judge_hit($1, $2)
        """)

    static let read = Statement<JSONText, LinkHitID>(
        """
        SELECT \(item) FROM link_hits h WHERE h.workspace_id = current_workspace() AND h.id = $1
        """)
}

struct KnownLink: RowDecodable {
    let workspace: WorkspaceID
    let kind: String
    let url: String?
    let isExpired: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        kind = try row["kind"]
        url = try row["url"]
        isExpired = try row["is_expired"]
    }
}

/// A link that goes out with a message.
struct NewLink {
    let key: String
    let madeAt: Instant
    /// `nil`: the pixel.
    let url: String?
    var kind: String { url == nil ? "open" : "click" }

    init(_ url: String?, at now: Instant = .now()) {
        key = LinkKey.new(at: now)
        madeAt = now
        self.url = url
    }
}
