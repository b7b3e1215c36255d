// When a message may be sent where its recipient is: SQL for the statement that claims. Migration 0093 has the hours.

enum QuietHours {
    /// Whether message `m` keeps hours. People's tests to themselves may come at any hour, and what asks for consent, which
    /// somebody has just asked for; nobody has just asked for a reminder.
    static let holds = """
        (m.kind = 'campaign' OR m.kind = 'request' AND EXISTS (
                       SELECT FROM consent_request_messages q
                        WHERE q.workspace_id = current_workspace() AND q.message_id = m.id AND q.is_reminder))
        """

    /// A CTE of one row beside `picked`, the due messages of campaign `$1` with `keeps_hours`: until when their places are
    /// quiet, worked out once for each place and not for each message, and when the campaign's time is over.
    static let claimed = """
        hours AS MATERIALIZED (
            SELECT p.send_until,
                   (SELECT quiet_until(p.channel, array_agg(c.timezone), array_agg(left(c.phone, 5)), now())
                      FROM picked m JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = m.contact_id
                     WHERE m.keeps_hours AND p.respects_quiet_hours) AS quiet_until
              FROM campaigns p WHERE p.workspace_id = current_workspace() AND p.id = $1)
        """

    /// From when on contact `c` may get message `m`; NULL: now.
    static let until = """
        CASE WHEN m.keeps_hours
             THEN (h.quiet_until ->> (coalesce(c.timezone, '') || '/' || coalesce(left(c.phone, 5), '')))::timestamptz END
        """

    /// Why message `m` will not be sent at all; NULL: it can wait for its hour.
    static let reason = """
        CASE WHEN NOT m.keeps_hours THEN NULL
             WHEN h.send_until <= now() THEN 'too_late'
             WHEN \(until) >= coalesce(h.send_until, 'infinity') THEN 'quiet_hours' END
        """
}
