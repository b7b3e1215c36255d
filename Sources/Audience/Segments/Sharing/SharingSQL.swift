internal import PostgreSQL
internal import Vocabulary
internal import Web

enum SharingSQL {
    /// Why a segment cannot be chosen; empty when it can.
    static let fault = Statement<String, SegmentID>(
        """
        SELECT segment_fault($1)
        """)

    static let isManaged = Statement<Bool, SegmentID>(
        """
        SELECT manages_segment(s) FROM segments s WHERE s.workspace_id = current_workspace() AND s.id = $1
        """)

    static let setSharing = Statement<Int, SegmentID, Bool>(
        """
        UPDATE segments SET is_restricted = $2, version = version + 1, updated_at = now()
         WHERE workspace_id = current_workspace() AND id = $1 AND is_restricted <> $2
        """)

    /// A share never gives what the role does not: only managers change segments, and a client sees no audience at all.
    private static let item = """
        json_build_object('user_id', h.user_id, 'name', m.name, 'email', m.email, 'role', m.role, 'permission', h.permission,
                          'effective', CASE WHEN m.role IN ('owner', 'admin') THEN 'edit' WHEN m.role = 'manager' THEN h.permission
                                            WHEN m.role = 'client' THEN 'none' ELSE 'view' END,
                          'created_at', rfc3339(h.created_at), 'updated_at', rfc3339(h.updated_at))
        """

    static let page = Statement<PageRow, SegmentID, UserID, Int>(
        """
        SELECT \(item), h.user_id
          FROM segment_shares h
          JOIN member_users m ON m.workspace_id = h.workspace_id AND m.user_id = h.user_id
         WHERE h.workspace_id = current_workspace() AND h.segment_id = $1 AND h.user_id > $2
         ORDER BY h.user_id
         LIMIT $3
        """)

    static let share = Statement<Int, SegmentID, UserID, SegmentPermission, UserID?>(
        """
        INSERT INTO segment_shares AS h (workspace_id, segment_id, user_id, permission, created_by)
        SELECT current_workspace(), $1, m.user_id, $3, $4 FROM members m
         WHERE m.workspace_id = current_workspace() AND m.user_id = $2
        ON CONFLICT (workspace_id, segment_id, user_id) DO UPDATE SET permission = excluded.permission, updated_at = now()
        """)

    static let read = Statement<JSONText, SegmentID, UserID>(
        """
        SELECT \(item)
          FROM segment_shares h
          JOIN member_users m ON m.workspace_id = h.workspace_id AND m.user_id = h.user_id
         WHERE h.workspace_id = current_workspace() AND h.segment_id = $1 AND h.user_id = $2
        """)

    static let unshare = Statement<Int, SegmentID, UserID>(
        """
        DELETE FROM segment_shares WHERE workspace_id = current_workspace() AND segment_id = $1 AND user_id = $2
        """)
}
