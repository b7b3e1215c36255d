// How a segment's size came to be what it is.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func segmentTrend(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let range = call.query("range") ?? "30d"
    return try call.read(timeoutSeconds: 15) { db in
        _ = try db.segment(id, for: .view)
        return .json(try db.one(TrendSQL.trend, id, range, periodDays[range] ?? 30, call.query("group") ?? "day"))
    }
}

enum TrendSQL {
    /// Days and weeks of the workspace's clock, none left out; the last is the one that is under way. A size is that at
    /// the end of its period, found by going back from now: what it is, less those who came later, and with those who left.
    static let trend = Statement<JSONText, SegmentID, String, Int, String>(
        """
        WITH zone AS MATERIALIZED (SELECT timezone AS name FROM workspaces WHERE id = current_workspace()),
             segment AS MATERIALIZED (
                SELECT s.member_count, s.created_at FROM segments s WHERE s.workspace_id = current_workspace() AND s.id = $1),
             steps AS MATERIALIZED (
                SELECT l.at, l.at AT TIME ZONE z.name AS starts, (l.at + ('1 ' || $4::text)::interval) AT TIME ZONE z.name AS ends
                  FROM zone z
                 CROSS JOIN generate_series(date_trunc($4, ((now() AT TIME ZONE z.name)::date - ($3::int - 1))::timestamp),
                                            now() AT TIME ZONE z.name, ('1 ' || $4::text)::interval) AS l (at)),
             changes AS MATERIALIZED (
                SELECT date_trunc($4, h.occurred_at AT TIME ZONE z.name) AS at, count(*) FILTER (WHERE h.change = 'entered') AS entered,
                       count(*) FILTER (WHERE h.change = 'exited') AS exited
                  FROM zone z
                 CROSS JOIN segment_changes h
                 WHERE h.workspace_id = current_workspace() AND h.segment_id = $1
                   AND h.occurred_at >= (SELECT min(starts) FROM steps)
                 GROUP BY 1),
             points AS (
                SELECT t.starts, t.ends, coalesce(c.entered, 0) AS entered, coalesce(c.exited, 0) AS exited,
                       coalesce(sum(coalesce(c.entered, 0) - coalesce(c.exited, 0))
                                OVER (ORDER BY t.at ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 0) AS later
                  FROM steps t LEFT JOIN changes c ON c.at = t.at)
        SELECT json_build_object(
                   'segment_id', $1, 'range', $2::text, 'group', $4, 'timezone', (SELECT name FROM zone),
                   'member_count', s.member_count,
                   'points', (SELECT json_agg(json_build_object(
                                  'at', rfc3339(p.starts), 'entered', p.entered, 'exited', p.exited,
                                  -- Before the segment was there it had no size.
                                  'size', CASE WHEN p.ends > s.created_at THEN s.member_count - p.later END) ORDER BY p.starts)
                                FROM points p))
          FROM segment s
        """)
}
