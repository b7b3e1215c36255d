internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

/// An export at work. The file is written inside the transaction that says how much of it counts: the job's row is
/// locked there, so nobody else has the job at that moment.
struct ExportJob {
    private let context: JobContext
    private let id: SegmentActionID
    private let action: StoredAction
    private let format: ExportFormat
    private let columns: [String]
    /// A contact may have a quarter of a megabyte of attributes.
    private static let rowsAtOnce = 200
    static let keptSeconds = 86_400.0

    init(_ context: JobContext, _ id: SegmentActionID, _ action: StoredAction) {
        self.context = context
        self.id = id
        self.action = action
        format = action.parameters["format"]?.string.flatMap(ExportFormat.init(rawValue:)) ?? .csv
        columns = action.parameters.object?.strings("columns") ?? []
    }

    /// - Parameter tell: called after each batch.
    func run(tell: () throws -> Void) throws -> JSONValue {
        if let result = action.result { return result }
        let file = try open()
        while try step(file) { try tell() }
        return try context.transaction { db in
            guard let stored = try db.first(ActionSQL.read, id) else { throw JobFailure("not_found", "The action is gone.") }
            let result: JSONValue = [
                "format": .string(format.rawValue), "rows": JSONValue(stored.counts.unchanged), "bytes": JSONValue(stored.bytes),
                "expires_at": .string((Instant.now() + Self.keptSeconds).description),
                "url": .string("/api/segment-actions/\(id)/download"),
            ]
            try db.run(ActionSQL.setResult, id, result)
            return result
        }
    }

    private func open() throws -> ExportFile {
        let path = context.exports + "/" + ExportFile.name(id, format)
        if action.bytes > 0, let file = try ExportFile.open(path, keeping: action.bytes) { return file }
        // From the start, perhaps for the second time.
        guard let file = try ExportFile.open(path, keeping: 0) else { throw ExportFault(description: "an empty file is too short") }
        try context.transaction { db in
            try db.run(ActSQL.startOver, id)
            try db.run(ActSQL.forgetBatches, id)
            try file.write(format.header(columns))
            try file.save()
            try db.run(ActSQL.written, id, file.size)
        }
        return file
    }

    private func step(_ file: ExportFile) throws -> Bool {
        if context.isStopping { throw JobSnooze(seconds: 0) }
        return try context.transaction { db in
            guard let batch = try db.first(ActionSQL.nextBatch, id), let stored = try db.first(ActionSQL.read, id) else { return false }
            try file.cut(to: stored.bytes)
            var found = 0
            for first in stride(from: 1, through: batch.size, by: Self.rowsAtOnce) {
                for row in try db.all(ActSQL.rows, id, batch.seq, first, first + Self.rowsAtOnce - 1) {
                    try file.write(format.row(try JSONValue(parsing: row.bytes, limits: .trusted), columns))
                    found += 1
                }
            }
            try file.save()
            crashPoint("before_export_commit")
            try db.run(ActSQL.exported, id, batch.seq)
            try db.run(ActSQL.written, id, file.size)
            try db.run(ActionSQL.advance, id, batch.size, 0, 0, found)
            return true
        }
    }
}

/// Files of exports go after a day.
public let exportLoops: [WorkerLoop] = [
    WorkerLoop("exports") { context in
        {
            let removed = removeOldExports(in: context.configuration.exports, olderThanSeconds: Int(ExportJob.keptSeconds))
            if removed > 0 { Log.info("exports removed", [("count", .integer(removed))]) }
            return 600
        }
    }
]
