internal import PostgreSQL

extension JobContext {
    /// After a job wrote many rows: what the planner knows of these tables, made anew in a transaction of its own.
    /// - Parameter rows: that were written; a few change no plan.
    public func refreshStatistics(of tables: [String], afterWriting rows: Int) throws {
        guard rows >= 1000 else { return }
        _ = try transaction { db in try db.one(StatisticsSQL.refresh, tables) }
    }
}

private enum StatisticsSQL {
    static let refresh = Statement<Bool, [String]>(
        """
        SELECT refresh_statistics($1) IS NULL
        """)
}
