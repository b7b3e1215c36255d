// What keeps the queue small and honest, whether or not a worker runs.
internal import PostgreSQL

/// Chores on the queue, for `muster-maintenance`.
public let jobsChores: [Chore] = [
    Chore("rescue-jobs", "Takes back jobs whose worker died") { db in [("rescued", try db.one(JobSQL.rescue))] },
    Chore("purge-jobs", "Deletes jobs that ended more than 30 days ago") { db in
        var count = 0
        while case let batch = try db.run(JobSQL.purge), batch > 0 { count += batch }
        return [("deleted", count)]
    },
]
