internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What a draft says of time, beside what it says; what is absent stays.
struct CampaignTiming {
    let respectsQuietHours: Bool?
    /// `.some(nil)`: no end.
    let sendUntil: Instant??
    let tags: [String]?
    let ignoresCaps: Bool?

    static let members: [Member] = [
        .optional(
            "respects_quiet_hours", .boolean,
            "Whether recipients are left in peace in the quiet hours of their place, as the workspace's settings say; true when absent"),
        .optional("tags", .array(.string(min: 1, max: 50), max: 20), "Of the campaign; frequency caps may be of a tag"),
        .optional("ignores_caps", .boolean, "For what recipients wait for: neither capped nor counted; false when absent"),
        .optional(
            "send_until", .nullable(.string(format: "date-time")), "What has not left by then is left out; null: it may take any time"),
    ]

    init(_ body: JSONObject) {
        respectsQuietHours = body["respects_quiet_hours"]?.bool
        sendUntil = body["send_until"].map { $0.string.flatMap { Instant(rfc3339: $0) } }
        tags = body["tags"].map { _ in body.strings("tags") }
        ignoresCaps = body["ignores_caps"]?.bool
    }

    private var isEmpty: Bool { respectsQuietHours == nil && sendUntil == nil && tags == nil && ignoresCaps == nil }

    /// Writes it into a draft that was just stored.
    /// - Returns: the draft as it then is.
    func stored(in draft: Stored, _ id: CampaignID, _ db: Connection) throws -> Stored {
        if isEmpty { return draft }
        return try db.one(TimingSQL.set, id, respectsQuietHours, sendUntil != nil, sendUntil ?? nil, tags, ignoresCaps)
    }
}

enum TimingSQL {
    /// Part of a change that has counted the version up. `$3`: whether `$4`, the end, is to be written.
    static let set = Statement<Stored, CampaignID, Bool?, Bool, Instant?, [String]?, Bool?>(
        """
        UPDATE campaigns AS c
           SET respects_quiet_hours = coalesce($2, c.respects_quiet_hours), send_until = CASE WHEN $3 THEN $4 ELSE c.send_until END,
               tags = coalesce($5, c.tags), ignores_caps = coalesce($6, c.ignores_caps)
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft'
        RETURNING \(CampaignSQL.item), c.version
        """)
}
