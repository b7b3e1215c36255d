// A database that was restored to an earlier instant sends nothing until somebody has it reconciled.
public import Jobs
internal import PostgreSQL
internal import Runtime

/// For an operator; no timer runs them. `reconcile-restore` is the worker's: it opens credentials and asks providers.
public let restoreChores: [Chore] = [
    Chore("reconcile-restore", "After a restore: ask the providers what was sent since, and let sending go on") { db in
        try Reconciliation(db, Configuration.load()).run()
    },
    Chore("hold-sending", "Send nothing until reconcile-restore has run: for data of an earlier time that look like the present") { db in
        _ = try db.one(RestoreSQL.hold)
        return [("held", 1)]
    },
    Chore("release-sending", "Send on this server although it is another one: nothing was sent since, or this one may send it again") {
        db in
        _ = try db.one(RestoreSQL.release)
        return [("held", try db.one(RestoreSQL.isHeld) ? 1 : 0)]
    },
]

/// Says again and again why nothing leaves.
public let restoreLoops: [WorkerLoop] = [
    WorkerLoop("restored") { context in
        return {
            if try context.db.one(RestoreSQL.isHeld) {
                Log.warning(
                    "sending is held",
                    [
                        ("reason", .string("the database was restored or copied")),
                        ("advice", .string("muster-maintenance reconcile-restore")),
                    ])
            }
            return 60
        }
    }
]
