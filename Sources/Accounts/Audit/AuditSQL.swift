internal import PostgreSQL
internal import Vocabulary
internal import Web

enum AuditSQL {
    static let page = Statement<PageRow, TimestampText, UUID, Int>(
        """
        SELECT json_build_object('id', id, 'occurred_at', rfc3339(occurred_at), 'user_id', actor_user_id,
                                 'api_key_id', actor_api_key_id, 'action', action, 'subject_type', subject_type,
                                 'subject_id', subject_id, 'details', details, 'request_id', request_id),
               occurred_at, id
          FROM audit_log
         WHERE workspace_id = current_workspace()
           AND (occurred_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY occurred_at DESC, id DESC
         LIMIT $3
        """)

    static let pageOfSubject = Statement<PageRow, TimestampText, UUID, Int, UUID>(
        """
        SELECT json_build_object('id', id, 'occurred_at', rfc3339(occurred_at), 'user_id', actor_user_id,
                                 'api_key_id', actor_api_key_id, 'action', action, 'subject_type', subject_type,
                                 'subject_id', subject_id, 'details', details, 'request_id', request_id),
               occurred_at, id
          FROM audit_log
         WHERE workspace_id = current_workspace() AND subject_id = $4
           AND (occurred_at, id) < ($1::timestamptz, $2::uuid)
         ORDER BY occurred_at DESC, id DESC
         LIMIT $3
        """)
}
