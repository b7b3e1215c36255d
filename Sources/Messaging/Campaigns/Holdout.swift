// People who are held out at random, to tell what a campaign adds.
internal import PostgreSQL
internal import Vocabulary

/// Two shares, drawn independently of each other: the workspace's, the same people for every campaign (salt from the setting),
/// and the campaign's own (salt: its id). Both are slices that a rule can name: `{"bucket":{"salt":S,"from":0,"to":n-1}}`.
enum Holdout {
    static let most = 50.0

    /// Members of the campaign's segment with their address and the reason to leave them out. Drawn last, of those who
    /// would have got it otherwise: who is held out and who is not differ by chance alone.
    static func audience(campaign: String, segment: String, channel: String) -> String {
        """
        SELECT a.contact_id, a.address, a.phone, a.timezone,
                           CASE WHEN a.reason IS NOT NULL THEN a.reason
                                WHEN \(scope("a.contact_id", campaign)) IS NOT NULL THEN 'holdout' END AS reason
                      FROM (\(CampaignSQL.audience(segment: segment, channel: channel))) a
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
