internal import JSON
internal import PostgreSQL
internal import Web

enum SettingsSQL {
    static let read = Statement<Stored>(
        """
        SELECT (settings_json(w)::jsonb || timing_settings(w))::json AS item, w.version FROM workspaces w WHERE w.id = current_workspace()
        """)

    /// Before the workspace's row is locked: those who start messages take the locks in this order.
    static let holdStarts = Statement<Bool>("SELECT hold_starts(current_workspace()) IS NULL")
}
