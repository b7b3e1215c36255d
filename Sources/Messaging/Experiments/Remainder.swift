// Those of an audience who are not in the test of its experiment wait for the winner.
internal import PostgreSQL
internal import Vocabulary

/// Whoever waits is due a thousand years later than without the experiment: no claim sees them, which costs a claim nothing; the
/// campaign does not finish, because they are pending; and the hour that their own clock gives them is not lost. When the winner
/// is known the thousand years are taken off again, a batch in each transaction. No row waits in any other way, so where a
/// release stopped is seen in the ledger itself.
enum Remainder {
    /// A thousand Julian years; hours, unlike days, are as long in every time zone.
    private static let years = "interval '8766000 hours'"
    private static let later = "timestamptz '2900-01-01 00:00:00+00'"

    /// How much later than without an experiment a contact is due, for many rows: what the experiment says is looked up once.
    static func wait(of contact: String, campaign: String) -> String {
        func plan(_ column: String) -> String { "(SELECT p.\(column) FROM experiment_plan(\(campaign)) p)" }
        return """
            CASE WHEN \(plan("test")) < 10000 AND variant_slice(\(campaign), \(plan("test")), \(plan("bounds")), \(contact)) IS NULL
                         THEN \(years) ELSE interval '0' END
            """
    }

    /// Whether pending message `m` waits for a winner.
    static func waits(_ m: String) -> String { "\(m).due_at >= \(later)" }

    /// Takes the wait off some who wait.
    static let release = Statement<Int, CampaignID, Int>(
        """
        UPDATE messages m SET due_at = m.due_at - \(years)
          FROM (SELECT p.id, p.created_at FROM messages p
                 WHERE p.workspace_id = current_workspace() AND p.campaign_id = $1 AND p.state = 'pending' AND \(waits("p"))
                 ORDER BY p.due_at, p.id LIMIT $2 FOR UPDATE SKIP LOCKED) w
         WHERE m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at
        """)

    /// Whether anybody waits.
    static let isWaiting = Statement<Bool, CampaignID>(
        """
        SELECT EXISTS (SELECT FROM messages m
                        WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.state = 'pending' AND \(waits("m")))
        """)
}
