// How many messages a contact gets in a time: migration 0095 has what decides.
internal import PostgreSQL
internal import Vocabulary

enum FrequencyCaps {
    /// Why message `m` of campaign `p` would be one too many for its contact; NULL: it is not. Preflight asks the same without
    /// a lock; what it tells may have changed by the time that the message is due.
    static let reason = """
        CASE WHEN m.kind = 'campaign' AND NOT p.ignores_caps
              AND (SELECT jsonb_array_length(w.settings -> 'frequency_caps') > 0 FROM workspaces w WHERE w.id = current_workspace())
             THEN cap_reason(m.contact_id, m.channel, p.tags, now()) END
        """

    /// Before the statement that starts messages, in its transaction.
    static let lock = Statement<Int, CampaignID, [MessageID], [Instant]>("SELECT lock_capped($1, $2, $3)")
}
