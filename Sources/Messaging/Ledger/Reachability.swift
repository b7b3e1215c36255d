// Who may get a message: one piece of SQL for preflight, freezing, claiming and starting, so that they cannot differ.

/// Consent lies outside the rule of a segment: nothing that a rule says gets around this.
enum Reachability {
    /// The address of contact `c` on `channel`. Within a workspace no two contacts share one (unique keys of
    /// `contacts`), so no address is written to twice by one campaign.
    static func address(_ c: String, channel: String) -> String {
        "CASE \(channel) WHEN 'sms' THEN \(c).phone ELSE \(c).email END"
    }

    /// Joins that `reason` reads: consent `k` of `contact` and suppression `s` of `address` on `channel`.
    static func joins(contact: String, address: String, channel: String) -> String {
        """
        LEFT JOIN consents k ON k.workspace_id = current_workspace() AND k.contact_id = \(contact) AND k.channel = \(channel)
             LEFT JOIN suppressions s ON s.workspace_id = current_workspace() AND s.channel = \(channel) AND s.address = \(address)
        """
    }

    /// Why not; NULL when they may be written to. A number that turned out not to exist is told apart from a choice.
    static let reason = """
        CASE WHEN s.reason = 'invalid' THEN 'invalid_address'
             WHEN s.reason = 'opt_out' OR k.state = 'opted_out' THEN 'opted_out'
             WHEN s.reason IS NOT NULL THEN 'suppressed'
             WHEN k.state IS NULL AND \(isOptIn) THEN 'no_consent' END
        """

    /// Whether the workspace writes only to those who said yes; some may write to all who did not say no.
    private static let isOptIn = """
        (SELECT coalesce(w.settings ->> 'consent_mode', 'opt_in') = 'opt_in' FROM workspaces w WHERE w.id = current_workspace())
        """
}
