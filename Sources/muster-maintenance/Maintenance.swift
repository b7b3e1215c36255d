// muster-maintenance CHORE: run by a timer, does one thing, says what it did, ends.
import ArgumentParser
import Audience
import Jobs
import Messaging
import PostgreSQL
import Runtime

/// All chores by name. `rescue` is what several features have to take back.
let chores: [Chore] =
    segmentChores + fieldChores + scoreChores + consentChores + messagingChores.filter { ["rollup", "plan-look-ups"].contains($0.name) }
    + restoreChores + housekeeping + [
        Chore("rescue", "Take back what dead workers held: jobs and messages") { db in
            var counts: [(String, Int)] = []
            for chore in jobsChores + messagingChores where chore.name.hasPrefix("rescue-") {
                counts += try chore.run(db).map { ("\(chore.name.dropFirst(7))_\($0.0)", $0.1) }
            }
            return counts
        }
    ]

private enum LockSQL {
    static let take = Statement<Bool, String>("SELECT pg_try_advisory_lock(hashtextextended('chore ' || $1::text, 0))")
}

@main
struct Maintenance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "muster-maintenance", abstract: "Runs one maintenance chore and ends.",
        discussion: chores.map { "\($0.name): \($0.summary)" }.joined(separator: "\n"))
    @Argument(help: "Which chore.") var chore: String

    func validate() throws {
        guard chores.contains(where: { $0.name == chore }) else {
            throw ValidationError("\(chore) is no chore; those are \(chores.map(\.name).joined(separator: ", "))")
        }
    }

    func run() throws {
        let configuration = try Configuration.load(withSealingKey: false)
        Log.setLevel(configuration.logLevel)
        let db = try Connection(configuration.database, applicationName: "muster-maintenance \(chore)")
        // Two at once would do the same work twice; the second has nothing to say.
        guard try db.one(LockSQL.take, chore) else {
            Log.notice("chore", [("chore", .string(chore)), ("outcome", .string("already running"))])
            return
        }
        do {
            let counts = try chores.first { $0.name == chore }!.run(db)
            Log.notice("chore", [("chore", .string(chore)), ("outcome", .string("done"))] + counts.map { ($0.0, .integer($0.1)) })
        } catch {
            Log.error("chore", [("chore", .string(chore)), ("outcome", .string("failed")), ("error", .string(String(describing: error)))])
            throw ExitCode(1)
        }
    }
}
