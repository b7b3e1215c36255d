internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum AlertSQL {
    private static let item = """
        json_build_object('id', a.id, 'segment_id', a.segment_id, 'kind', a.kind, 'threshold', a.threshold, 'is_armed', a.is_armed,
                          'last_fired_at', rfc3339(a.last_fired_at), 'last_figures', a.last_figures, 'created_by', a.created_by,
                          'created_at', rfc3339(a.created_at), 'version', a.version)
        """

    static let page = Statement<PageRow, SegmentID, UUID, Int>(
        """
        SELECT \(item), a.id
          FROM segment_alerts a
         WHERE a.workspace_id = current_workspace() AND a.segment_id = $1 AND a.id < $2
         ORDER BY a.id DESC
         LIMIT $3
        """)

    static let read = Statement<Stored, SegmentID, UUID>(
        """
        SELECT \(item) AS item, a.version
          FROM segment_alerts a
         WHERE a.workspace_id = current_workspace() AND a.segment_id = $1 AND a.id = $2 FOR NO KEY UPDATE
        """)

    static let count = Statement<Int, SegmentID>(
        """
        SELECT count(*) FROM segment_alerts WHERE workspace_id = current_workspace() AND segment_id = $1
        """)

    static let insert = Statement<UUID, SegmentID, AlertKind, Double, UserID?>(
        """
        INSERT INTO segment_alerts (workspace_id, segment_id, kind, threshold, created_by)
        VALUES (current_workspace(), $1, $2, $3, $4) RETURNING id
        """)

    /// An alert tells of what is to come: one whose condition holds already waits until it has ended.
    static let arm = Statement<Int, SegmentID, UUID>(
        """
        UPDATE segment_alerts a SET is_armed = NOT j.holds
          FROM judged_segment_alerts($1, ARRAY[$2::uuid]) j
         WHERE a.workspace_id = current_workspace() AND a.id = $2 AND j.id = a.id
        """)

    static let change = Statement<Int, SegmentID, UUID, Double>(
        """
        UPDATE segment_alerts SET threshold = $3, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND segment_id = $1 AND id = $2
        """)

    static let delete = Statement<Int, SegmentID, UUID>(
        """
        DELETE FROM segment_alerts WHERE workspace_id = current_workspace() AND segment_id = $1 AND id = $2
        """)

    /// Of all segments that whoever asks may see, newest first.
    static let notifications = Statement<PageRow, TimestampText, UUID, Int>(
        """
        SELECT json_build_object('id', n.id, 'segment_id', n.segment_id, 'segment_name', s.name, 'alert_id', n.alert_id, 'kind', n.kind,
                                 'threshold', n.threshold, 'figures', n.figures, 'fired_at', rfc3339(n.fired_at)),
               n.fired_at, n.id
          FROM segment_notifications n
          JOIN segments s ON s.workspace_id = n.workspace_id AND s.id = n.segment_id
         WHERE n.workspace_id = current_workspace() AND segment_access(s) > 0 AND (n.fired_at, n.id) < ($1::timestamptz, $2)
         ORDER BY n.fired_at DESC, n.id DESC
         LIMIT $3
        """)
}
