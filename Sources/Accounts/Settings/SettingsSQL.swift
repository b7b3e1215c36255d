internal import JSON
internal import PostgreSQL

enum SettingsSQL {
    static let read = Statement<Stored>(
        """
        SELECT settings_json(w) AS item, w.version FROM workspaces w WHERE w.id = current_workspace()
        """)
}
