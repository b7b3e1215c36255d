// People who are held out at random, to tell what a campaign adds.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// Two shares, drawn independently of each other: the workspace's, the same people for every campaign (salt from the setting),
/// and the campaign's own (salt: its id). Both are slices that a rule can name: `{"bucket":{"salt":S,"from":0,"to":n-1}}`.
enum Holdout {
    static let most = 50.0

    /// Members of the campaign's segment with their address, the instant at which they are to get it (NULL: at once) and the
    /// reason to leave them out. Drawn last, of those who would have got it otherwise: who is held out and who is not differ
    /// by chance alone.
    static func audience(campaign: String, segment: String, channel: String) -> String {
        """
        SELECT a.contact_id, a.address, a.due_at,
                           CASE WHEN a.reason IS NOT NULL THEN a.reason
                                WHEN \(scope("a.contact_id", campaign)) IS NOT NULL THEN 'holdout' END AS reason
                      FROM (\(LocalSchedule.audience(CampaignSQL.audience(segment: segment, channel: channel), campaign: campaign))) a
        """
    }

    /// As `holdout_scope` (migration 0097) says it, for many rows: what the campaign holds out is looked up once.
    private static func scope(_ contact: String, _ campaign: String) -> String {
        func holdout(_ column: String) -> String { "(SELECT h.\(column) FROM holdout_of(\(campaign)) h)" }
        return """
            CASE WHEN \(holdout("shared")) > 0 AND bucket_of(\(holdout("salt")), \(contact)) < \(holdout("shared")) THEN 'workspace'
                 WHEN \(holdout("own")) > 0 AND bucket_of(\(campaign)::text, \(contact)) < \(holdout("own")) THEN 'campaign' END
            """
    }

    /// For `CampaignSQL.start`: whom the workspace holds out is settled from then on.
    static let settled = """
        (workspace_holdout_basis_points, workspace_holdout_salt) = (SELECT h.basis_points, h.salt FROM workspace_holdout() h)
        """

    /// Arms are compared in one window, which begins with the freezing (`Lift` in the analytics): who gets it when that is
    /// over converts like those held out.
    /// - Parameter sendingSeconds: how long the sender's rate takes.
    static func warn(of campaign: CampaignID, sendingSeconds: Double, _ warnings: inout Faults, _ db: Connection) throws {
        guard let window = try db.first(window, campaign), window.seconds < max(sendingSeconds, window.untilLastClock) else { return }
        warnings.add(
            "/attribution_window_seconds", "window_too_short",
            "Sending takes longer than conversions count; the comparison with those held out would show too little.")
    }

    /// Of a campaign with a goal that somebody is held out of.
    private static let window = Statement<ComparedWindow, CampaignID>(
        """
        SELECT c.attribution_window_seconds::float8 AS seconds,
               coalesce(extract(epoch FROM (c.scheduled_local AT TIME ZONE 'UTC' + interval '12 hours') - c.scheduled_at), 0)::float8
                   AS until_last_clock
          FROM campaigns c CROSS JOIN holdout_of($1) h
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.goal_event IS NOT NULL AND (h.own > 0 OR h.shared > 0)
        """)

    /// How many are in each arm, of an audience that this transaction froze; nothing where nobody is held out.
    static let countArms = Statement<Int, CampaignID>(
        """
        WITH held AS MATERIALIZED (
            SELECT \(scope("m.contact_id", "$1::uuid")) AS arm, count(*) AS contacts FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.skip_reason = 'holdout'
             GROUP BY 1)
        INSERT INTO campaign_arms (workspace_id, campaign_id, arm, contacts)
        SELECT current_workspace(), $1, h.arm, h.contacts FROM held h
        UNION ALL
        SELECT current_workspace(), $1, 'treated', sum(CASE s.measure WHEN 'frozen' THEN s.messages ELSE -s.messages END)
          FROM campaign_stats s
         WHERE s.workspace_id = current_workspace() AND s.campaign_id = $1 AND s.measure IN ('frozen', 'skipped')
        HAVING EXISTS (SELECT FROM held)
        """)
}

struct ComparedWindow: RowDecodable {
    let seconds: Double
    /// From the freezing until the last clocks on earth show the campaign's local time; 0 without one.
    let untilLastClock: Double
    init(_ row: borrowing Row) throws(PostgresError) {
        seconds = try row["seconds"]
        untilLastClock = try row["until_last_clock"]
    }
}
