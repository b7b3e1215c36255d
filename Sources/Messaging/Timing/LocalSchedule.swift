// A campaign at one time of every contact's own clock: when that is, in the statement that freezes. Migration 0094.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What clocks are to show: a day and a minute, wherever one is.
struct LocalMinute {
    let time: LocalTime
    /// As PostgreSQL and the API write it: `2026-12-24T09:00`.
    let text: String

    /// `nil` for what is no such time.
    init?(_ text: String) {
        let parts = text.split(separator: "T", omittingEmptySubsequences: false)
        guard text.utf8.count == 16, parts.count == 2, let day = Day(String(parts[0])) else { return nil }
        let clock = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        guard clock.count == 2, clock.allSatisfy({ $0.utf8.count == 2 && $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let hour = Int(clock[0]), hour < 24, let minute = Int(clock[1]), minute < 60
        else { return nil }
        let midnight = LocalTime(dayNumber: day.daysSince1970)
        time = LocalTime(microseconds: midnight.microseconds + Int64(hour * 60 + minute) * 60_000_000)
        self.text = text
    }

    private func instant(hoursEast: Int) -> Instant { Instant(microseconds: time.microseconds - Int64(hoursEast) * 3_600_000_000) }

    /// Half an hour before the first clocks on earth show it, those of Kiritimati: time enough to freeze the audience.
    var freezing: Instant { instant(hoursEast: 14) + -1800 }
    /// When the last clocks show it.
    var last: Instant { instant(hoursEast: -12) }
}

enum LocalSchedule {
    /// Later than this nobody gets it for whom the time has passed.
    private static let mostLate = "interval '6 hours'"

    /// An audience (`CampaignSQL.audience`) with the instant at which each is to get it, NULL: at once; and `too_late` for whom
    /// that is over, or comes when the campaign's time is over. The clocks of every place are worked out once, and a row's
    /// instant once: a CTE is not folded into what it stands in, which may still narrow the rows.
    static func audience(_ audience: String, campaign: String) -> String {
        """
        SELECT d.contact_id, d.address, d.due_at,
                           coalesce(d.reason, CASE WHEN d.due_at < d.earliest OR d.due_at >= d.latest THEN 'too_late' END) AS reason
                      FROM (WITH l AS MATERIALIZED (
                                SELECT now() - CASE p.late WHEN 'send' THEN \(mostLate) ELSE interval '0' END AS earliest, p.send_until,
                                       CASE WHEN p.scheduled_local IS NOT NULL THEN local_instants(p.scheduled_local) END AS moments
                                  FROM campaigns p WHERE p.workspace_id = current_workspace() AND p.id = \(campaign))
                            SELECT c.contact_id, c.address, c.reason, \(due) AS due_at, (SELECT l.earliest FROM l) AS earliest,
                                   (SELECT l.send_until FROM l) AS latest
                              FROM (\(audience)) c) d
        """
    }

    /// By their own zone, else when the time has come wherever their number may be, else by the workspace's zone.
    private static let due = """
        coalesce(\(moment) ->> c.timezone, \(moment) ->> left(c.phone, 5), \(moment) ->> left(c.phone, 4),
                                            \(moment) ->> left(c.phone, 3), \(moment) ->> left(c.phone, 2), \(moment) ->> '')::timestamptz
        """
    private static let moment = "(SELECT l.moments FROM l)"

    /// A campaign that is started by hand starts now, for everybody.
    static let forget = Statement<Int, CampaignID>(
        """
        UPDATE campaigns SET scheduled_local = NULL, late = NULL WHERE workspace_id = current_workspace() AND id = $1
        """)
}
