// Settling receipts: the worker's side of the webhooks.
public import Jobs
internal import PostgreSQL

/// Merges what providers told us into the ledger, workspace by workspace, in batches.
public let deliveryLoops: [WorkerLoop] = [
    WorkerLoop("receipts") { context in
        let batch = 200
        return {
            var isBusy = false
            for workspace in try context.db.all(DeliverySQL.workspacesDue, 100) {
                let settled = try context.db.transaction { db in
                    try db.setWorkspace(workspace)
                    return try db.one(DeliverySQL.settle, batch)
                }
                if settled == batch { isBusy = true }
            }
            return isBusy ? 0 : 0.2
        }
    }
]
