internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Actions and their audience. What each kind does to a batch is in `ActSQL`, its undoing in `UndoSQL`.
enum ActionSQL {
    static let insert = Statement<SegmentActionID, SegmentID, String, JSONValue, UserID?>(
        """
        INSERT INTO segment_actions (workspace_id, segment_id, kind, parameters, created_by)
        VALUES (current_workspace(), $1, $2, $3, $4) RETURNING id
        """)
    static let begin = Statement<Int, SegmentActionID, JobID>(
        """
        UPDATE segment_actions SET job_id = $2 WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let json = Statement<JSONText, SegmentActionID>(
        """
        SELECT segment_action_json(a) FROM segment_actions a WHERE a.workspace_id = current_workspace() AND a.id = $1
        """)
    /// What whoever asks may do with it, as a rank of `SegmentPermission`.
    static let access = Statement<Int, SegmentActionID>(
        """
        SELECT segment_action_access(a) FROM segment_actions a WHERE a.workspace_id = current_workspace() AND a.id = $1
        """)
    static let kind = Statement<String, SegmentActionID>(
        """
        SELECT kind FROM segment_actions WHERE workspace_id = current_workspace() AND id = $1
        """)
    /// The type that somebody declared for the field and that does not read the value. What is missing to any type, and no
    /// tags, can always be set.
    static let unreadable = Statement<String, String, JSONValue>(
        """
        SELECT f.type FROM fields f JOIN workspaces w ON w.id = f.workspace_id
         WHERE f.workspace_id = current_workspace() AND f.key = $1 AND f.is_declared
           AND $2::jsonb NOT IN ('null', '""', '[]') AND NOT reads_as($2::jsonb, f.type, w.timezone)
        """)
    /// So that two who start the last one that is allowed do not start two. Until the transaction ends.
    static let lockStarts = Statement<Bool>(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('segment actions ' || current_workspace()::text, 0)) IS NULL
        """)
    static let openCount = Statement<Int>(
        """
        SELECT count(*) FROM jobs
         WHERE workspace_id = current_workspace() AND kind = 'act_on_segment' AND state IN ('queued', 'running')
        """)
    static let page = Statement<PageRow, SegmentID, TimestampText, SegmentActionID, Int>(
        """
        SELECT segment_action_json(a), a.created_at, a.id FROM segment_actions a
         WHERE a.workspace_id = current_workspace() AND a.segment_id = $1 AND (a.created_at, a.id) < ($2::timestamptz, $3)
         ORDER BY a.created_at DESC, a.id DESC LIMIT $4
        """)
    static let export = Statement<StoredExport, SegmentActionID>(
        """
        SELECT parameters ->> 'format' AS format, (result ->> 'expires_at')::timestamptz AS until
          FROM segment_actions WHERE workspace_id = current_workspace() AND id = $1 AND kind = 'export' AND undo_job_id IS NULL
        """)

    // MARK: What an action may name

    static let members = Statement<UserID, [UserID]>(
        """
        SELECT user_id FROM members WHERE workspace_id = current_workspace() AND user_id = ANY ($1::uuid[])
        """)
    static let senderExists = Statement<Bool, SenderID>(
        """
        SELECT EXISTS (SELECT FROM senders WHERE workspace_id = current_workspace() AND id = $1)
        """)
    static let attributeKeys = Statement<String>(
        """
        SELECT key FROM fields WHERE workspace_id = current_workspace() ORDER BY key
        """)

    // MARK: The job

    static let read = Statement<StoredAction, SegmentActionID>(
        """
        SELECT a.segment_id, a.kind, a.parameters, a.fixed_at IS NOT NULL AS is_fixed, a.total_count, a.done_count, a.changed_count,
               a.unchanged_count, a.refused_count, a.gone_count, a.bytes, a.result, a.undo_job_id IS NOT NULL AS is_undone,
               a.created_by
          FROM segment_actions a WHERE a.workspace_id = current_workspace() AND a.id = $1
        """)
    static let segmentState = Statement<String, SegmentID>(
        """
        SELECT state FROM segments WHERE workspace_id = current_workspace() AND id = $1
        """)
    /// Fixes the audience: whoever is in the segment at this instant, in the order of their ids.
    static let fixAudience = Statement<Int, SegmentActionID, SegmentID, Int>(
        """
        INSERT INTO segment_action_batches (workspace_id, action_id, seq, contact_ids)
        SELECT current_workspace(), $1, m.seq, array_agg(m.contact_id ORDER BY m.contact_id)
          FROM (SELECT s.contact_id, (row_number() OVER (ORDER BY s.contact_id) - 1) / $3::bigint AS seq
                  FROM segment_members s WHERE s.workspace_id = current_workspace() AND s.segment_id = $2
                   AND EXISTS (SELECT FROM segments g WHERE g.workspace_id = current_workspace() AND g.id = $2)) m
         GROUP BY m.seq
        """)
    static let fixed = Statement<Int, SegmentActionID>(
        """
        UPDATE segment_actions a
           SET fixed_at = now(),
               total_count = (SELECT coalesce(sum(cardinality(b.contact_ids)), 0) FROM segment_action_batches b
                               WHERE b.workspace_id = current_workspace() AND b.action_id = $1)
         WHERE a.workspace_id = current_workspace() AND a.id = $1
        """)
    /// The next batch, unless somebody has asked meanwhile to undo what a job that failed had begun.
    static let nextBatch = Statement<ActionBatch, SegmentActionID>(
        """
        SELECT b.seq, cardinality(b.contact_ids) AS size
          FROM segment_actions a
          JOIN segment_action_batches b ON b.workspace_id = a.workspace_id AND b.action_id = a.id
         WHERE a.workspace_id = current_workspace() AND a.id = $1 AND a.undo_job_id IS NULL AND b.acted_at IS NULL
         ORDER BY b.seq LIMIT 1
        """)
    /// Keeps everybody else from the batch's contacts until the transaction ends, in one order, so that nobody waits in
    /// a circle. The statements after it see what is now certain to stay.
    /// - Returns: how many of them there are still.
    static let lockContacts = Statement<Int, SegmentActionID, Int>(
        """
        WITH locked AS (
            SELECT c.id FROM segment_action_batches b
             CROSS JOIN unnest(b.contact_ids) AS i (contact_id)
              JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = i.contact_id
             WHERE b.workspace_id = current_workspace() AND b.action_id = $1 AND b.seq = $2
             ORDER BY c.id FOR NO KEY UPDATE OF c)
        SELECT count(*) FROM locked
        """)
    static let advance = Statement<Int, SegmentActionID, Int, Int, Int, Int>(
        """
        UPDATE segment_actions
           SET done_count = done_count + $2::bigint, changed_count = changed_count + $3::bigint,
               refused_count = refused_count + $4::bigint, gone_count = gone_count + $2::bigint - $5::bigint,
               unchanged_count = unchanged_count + $5::bigint - $3::bigint - $4::bigint
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let setResult = Statement<Int, SegmentActionID, JSONValue>(
        """
        UPDATE segment_actions SET result = $2 WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let draftCampaign = Statement<CampaignID, String, SegmentID, SenderID?, UserID?>(
        """
        SELECT draft_campaign($1, $2, $3, $4)
        """)

    // MARK: Undoing

    static let lock = Statement<ActionState, SegmentActionID>(
        """
        SELECT EXISTS (SELECT FROM jobs j WHERE j.workspace_id = current_workspace() AND j.id = a.job_id
                          AND j.state IN ('queued', 'running')) AS is_open,
               a.undone_at IS NOT NULL AS is_undone, a.created_at < now() - interval '7 days' AS is_too_old
          FROM segment_actions a WHERE a.workspace_id = current_workspace() AND a.id = $1 FOR NO KEY UPDATE
        """)
    static let beginUndo = Statement<Int, SegmentActionID, JobID>(
        """
        UPDATE segment_actions SET undo_job_id = $2 WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let nextToUndo = Statement<UndoBatch, SegmentActionID>(
        """
        SELECT seq, jsonb_array_length(changes) AS changed FROM segment_action_batches
         WHERE workspace_id = current_workspace() AND action_id = $1 AND acted_at IS NOT NULL AND undone_at IS NULL
         ORDER BY seq LIMIT 1
        """)
    static let advanceUndo = Statement<Int, SegmentActionID, Int, Int>(
        """
        UPDATE segment_actions SET restored_count = restored_count + $2::bigint, kept_count = kept_count + $3::bigint
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let undone = Statement<UndoCounts, SegmentActionID>(
        """
        UPDATE segment_actions SET undone_at = now() WHERE workspace_id = current_workspace() AND id = $1
        RETURNING restored_count AS restored, kept_count AS kept
        """)
    /// No row: a run before has decided about the draft.
    static let undoIsOpen = Statement<Bool, SegmentActionID>(
        """
        SELECT true FROM segment_actions
         WHERE workspace_id = current_workspace() AND id = $1 AND restored_count + kept_count = 0 FOR NO KEY UPDATE
        """)
    static let discarded = Statement<Int, SegmentActionID, Int>(
        """
        UPDATE segment_actions SET restored_count = $2::bigint, kept_count = 1 - $2::bigint
         WHERE workspace_id = current_workspace() AND id = $1
        """)
    static let discardDraft = Statement<Bool, CampaignID>(
        """
        SELECT discard_draft($1)
        """)
}

struct StoredAction: RowDecodable {
    let segment: SegmentID
    let kind: ActionKind
    let parameters: JSONValue
    let isFixed: Bool
    let counts: ActionCounts
    let bytes: Int
    let result: JSONValue?
    let isUndone: Bool
    let createdBy: UserID?
    init(_ row: borrowing Row) throws(PostgresError) {
        let kind: String = try row["kind"]
        guard let known = ActionKind(rawValue: kind) else {
            throw .column(name: "kind", expected: "an action's kind", found: kind)
        }
        self.kind = known
        segment = try row["segment_id"]
        parameters = try row["parameters"]
        isFixed = try row["is_fixed"]
        counts = ActionCounts(
            total: try row["total_count"], done: try row["done_count"], changed: try row["changed_count"],
            unchanged: try row["unchanged_count"], refused: try row["refused_count"], gone: try row["gone_count"])
        bytes = try row["bytes"]
        result = try row["result"]
        isUndone = try row["is_undone"]
        createdBy = try row["created_by"]
    }
}

/// What became of the contacts of an action.
struct ActionCounts {
    let total, done, changed, unchanged, refused, gone: Int
    var fraction: Double { total == 0 ? 1 : Double(done) / Double(total) }
    var json: JSONObject {
        [
            "total": JSONValue(total), "done": JSONValue(done), "changed": JSONValue(changed), "unchanged": JSONValue(unchanged),
            "refused": JSONValue(refused), "gone": JSONValue(gone),
        ]
    }
}

struct ActionBatch: RowDecodable {
    let seq: Int
    let size: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        seq = try row["seq"]
        size = try row["size"]
    }
}

struct ActionState: RowDecodable {
    let isOpen: Bool
    let isUndone: Bool
    let isTooOld: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        isOpen = try row["is_open"]
        isUndone = try row["is_undone"]
        isTooOld = try row["is_too_old"]
    }
}

struct UndoBatch: RowDecodable {
    let seq: Int
    /// Contacts that the action changed.
    let changed: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        seq = try row["seq"]
        changed = try row["changed"]
    }
}

struct UndoCounts: RowDecodable {
    let restored: Int
    let kept: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        restored = try row["restored"]
        kept = try row["kept"]
    }
}

struct StoredExport: RowDecodable {
    let format: ExportFormat
    /// Until when there is a file; `nil` before it is finished.
    let until: Instant?
    init(_ row: borrowing Row) throws(PostgresError) {
        let format: String = try row["format"]
        guard let known = ExportFormat(rawValue: format) else { throw .column(name: "format", expected: "a format", found: format) }
        self.format = known
        until = try row["until"]
    }
}
