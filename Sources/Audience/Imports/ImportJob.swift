// An import at work: pieces of the file → rows → batches → contacts. Rows count in their order, as if each were
// written by itself: a row of a contact that the batch has already waits for the next batch.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Vocabulary

public let importJobs: [JobHandler] = [JobHandler("import_contacts", maximumAttempts: 5) { try ImportJob($0).run() }]

final class ImportJob {
    private let context: JobContext
    private let id: ImportID
    private var stored: StoredImport!
    private var reader = CSVReader()
    private var builder: RowBuilder?
    private var batch: [(line: Int, cells: [[UInt8]?])] = []
    private var batchIdentities: Set<[UInt8]> = []
    private var errors: [(line: Int, column: String?, code: String, detail: String)] = []
    private var unsavedErrors = 0
    private var result = ImportResult()
    private var bytesRead = 0

    private static let batchRows = 10_000
    /// Kept and downloadable; more than this says the same thing again.
    private static let errorLimit = 10_000
    private static let errorsInResult = 100

    init(_ context: JobContext) throws {
        guard let id = context.payload["import_id"]?.string.flatMap({ ImportID($0) }) else {
            throw JobFailure("bad_payload", "The job names no import.")
        }
        self.context = context
        self.id = id
    }

    /// A run that starts again after a crash reads the file from its start: rows that are in already change nothing,
    /// and are counted as unchanged.
    func run() throws -> JSONValue {
        guard let stored = try context.transaction({ db in
            try db.run(ImportSQL.dropErrors, id)
            return try db.first(ImportSQL.read, id)
        }) else { throw JobFailure("not_found", "The import is gone.") }
        self.stored = stored
        do {
            try readFile()
        } catch let unreadable as CSVUnreadable {
            throw JobFailure(unreadable.code, unreadable.detail)
        }
        try flush(progress: 1)
        try finish()
        return result.json(errors.prefix(Self.errorsInResult).map(Self.json), "/api/imports/\(id)/errors")
    }

    private func readFile() throws {
        var seq = 0
        while let piece = try context.transaction({ db in try db.first(ImportSQL.chunk, id, seq) }) {
            if context.isStopping { throw JobSnooze(seconds: 0) }
            bytesRead += piece.count
            seq += 1
            try reader.feed(piece, row: take, faulty: refuse)
        }
        try reader.finish(row: take, faulty: refuse)
        if builder == nil { throw CSVUnreadable(code: "empty_file", detail: "The file has no header line.") }
    }

    // MARK: Rows

    private func take(_ row: CSVRow) throws {
        guard builder != nil else { return try takeHeader(row) }
        result.rows += 1
        let cells: [[UInt8]?]
        do {
            cells = try builder!.prepared(row)
        } catch {
            return reject(row.line, error.column, error.code, error.detail)
        }
        if builder!.identities.contains(where: batchIdentities.contains) || batch.count >= Self.batchRows {
            try flush(progress: Double(bytesRead) / Double(max(1, stored.bytes)))
        }
        batchIdentities.formUnion(builder!.identities)
        batch.append((row.line, cells))
    }

    private func takeHeader(_ row: CSVRow) throws {
        let names = try (0..<row.count).map { index in
            guard let name = String(validating: row[index], as: UTF8.self) else {
                throw CSVUnreadable(code: "wrong_encoding", detail: "The header is not UTF-8; it looks like Windows-1252 or Latin-1.")
            }
            return storedText(name) ?? ""
        }
        builder = RowBuilder(try ImportMapping(header: names, mapping: stored.mapping?.object), country: stored.country)
    }

    private func refuse(_ fault: CSVFault) throws {
        if builder == nil { throw CSVUnreadable(code: fault.code, detail: "The header cannot be read: \(fault.detail)") }
        result.rows += 1
        reject(fault.line, nil, fault.code, fault.detail)
    }

    private func reject(_ line: Int, _ column: String?, _ code: String, _ detail: String) {
        result.rejected += 1
        if errors.count < Self.errorLimit { errors.append((line, column, code, detail)) }
    }

    // MARK: Batches

    private func flush(progress: Double) throws {
        defer {
            batch.removeAll(keepingCapacity: true)
            batchIdentities.removeAll(keepingCapacity: true)
        }
        try context.transaction { db in
            if !batch.isEmpty { try write(db) }
            try saveErrors(db)
        }
        try context.progress(min(0.99, progress), partial: result.json([], nil))
    }

    private func write(_ db: Connection) throws {
        try db.execute(ImportSQL.stage)
        _ = try db.copyIn(ImportSQL.copy) { copy in
            for row in batch {
                copy.field(String(row.line).utf8)
                for cell in row.cells {
                    copy.separator()
                    if let cell { copy.field(cell) } else { copy.null() }
                }
                try copy.endRow()
            }
        }
        try db.execute("ANALYZE import_rows")
        let matched = try db.runDynamic(ImportSQL.match, [])
        let faults = try db.all(ImportSQL.faults)
        for fault in faults {
            let column = fault.code == "email_taken" ? "email" : "phone"
            reject(fault.line, column, fault.code, "Another contact has this \(column == "email" ? "e-mail address" : "phone number").")
        }
        let updated = try db.run(ImportSQL.update)
        let created = try db.one(ImportSQL.insert)
        for channel in stored.consent { _ = try db.one(ImportSQL.consent, channel, id) }
        if let list = stored.list { try db.run(ImportSQL.addToList, list) }
        result.created += created
        result.updated += updated
        result.unchanged += matched - faults.count - updated
    }

    private func saveErrors(_ db: Connection) throws {
        guard unsavedErrors < errors.count else { return }
        let rows = errors[unsavedErrors...].enumerated().map { index, error -> JSONValue in
            [
                "line": .integer(Int64(error.line)), "seq": .integer(Int64(unsavedErrors + index)),
                "column_name": JSONValue(error.column), "code": .string(error.code), "detail": .string(error.detail),
            ]
        }
        try db.run(ImportSQL.addErrors, id, JSONText(.array(rows)))
        unsavedErrors = errors.count
    }

    private func finish() throws {
        try context.transaction { db in
            if let (keys, masks) = builder?.noted, !keys.isEmpty { _ = try db.one(ContactSQL.noteFields, keys, masks) }
            try db.run(ImportSQL.dropChunks, id)
        }
    }

    private static func json(_ error: (line: Int, column: String?, code: String, detail: String)) -> JSONValue {
        [
            "line": .integer(Int64(error.line)), "column": JSONValue(error.column), "code": .string(error.code),
            "detail": .string(error.detail),
        ]
    }
}

/// What an import did. `rows` = created + updated + unchanged + rejected.
struct ImportResult {
    var rows = 0
    var created = 0
    var updated = 0
    var unchanged = 0
    var rejected = 0

    func json(_ errors: [JSONValue], _ url: String?) -> JSONValue {
        [
            "rows": JSONValue(rows), "created": JSONValue(created), "updated": JSONValue(updated),
            "unchanged": JSONValue(unchanged), "rejected": JSONValue(rejected), "errors": .array(errors),
            "errors_url": JSONValue(url),
        ]
    }
}
