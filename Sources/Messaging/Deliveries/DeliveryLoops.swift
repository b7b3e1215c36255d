// Settling receipts: the worker's side of the webhooks.
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

/// Merges what providers told us into the ledger, workspace by workspace, in batches.
public let deliveryLoops: [WorkerLoop] = [
    WorkerLoop("receipts") { context in
        var plannedAt = Instant.steady()
        return {
            if Instant.steady().seconds(since: plannedAt) > Settling.plansLastSeconds {
                try context.db.execute("DISCARD PLANS")
                plannedAt = .steady()
            }
            var isBusy = false
            for workspace in try context.db.all(DeliverySQL.workspacesDue) where !context.isStopping {
                if try Settling.round(workspace, context.db) == Settling.batch { isBusy = true }
            }
            return isBusy ? 0 : 0.2
        }
    }
]

enum Settling {
    /// Large enough to be cheap, small enough that nobody waits long for the messages in it.
    static let batch = 300

    /// How long a plan is used again: one that was made while a table was empty would read all of it when it has filled.
    static let plansLastSeconds = 5.0

    /// One batch of a workspace. A receipt that the database refuses is set aside, so that neither the others nor other
    /// workspaces wait behind it.
    /// - Returns: how many receipts were looked at.
    @discardableResult
    static func round(_ workspace: WorkspaceID, _ db: Connection) throws -> Int {
        do {
            return try settle(workspace, batch, db)
        } catch let error as PostgresError where error.sqlState != nil && !error.isTransient {
            Log.error("receipts not settled", [("workspace", .string(workspace.description)), ("error", .string("\(error)"))])
        }
        var count = 0
        while count < batch {
            do {
                guard try settle(workspace, 1, db) > 0 else { break }
            } catch let error as PostgresError where error.sqlState != nil && !error.isTransient {
                _ = try db.inWorkspace(workspace) { db in try db.run(DeliverySQL.setAside) }
            }
            count += 1
        }
        return count
    }

    private static func settle(_ workspace: WorkspaceID, _ most: Int, _ db: Connection) throws -> Int {
        try db.inWorkspace(workspace, beginning: DeliverySQL.beginSettling) { db in
            let settled = try db.all(DeliverySQL.settle, most)
            for case let failure? in settled.map(\.failure) { try Consequences.draw(from: failure, db) }
            crashPoint("before_receipts_commit")
            return settled.count
        }
    }
}
