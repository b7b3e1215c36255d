// An import at work: pieces of the file → rows → batches → contacts.
//
// Rows count in their order. Several rows of one contact in a batch become one, later cells first, so that a file that
// says two things of somebody still writes nothing when it comes again.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Vocabulary

public let importJobs: [JobHandler] = [
    JobHandler("import_contacts", maximumAttempts: 5) { context in
        do { return try importContacts(context) } catch let unreadable as CSVUnreadable {
            throw JobFailure(unreadable.code, unreadable.detail)
        }
    }
]

/// Takes up the import where it is: at its start, or behind the last batch that a run before wrote.
private func importContacts(_ context: JobContext) throws -> JSONValue {
    guard let id = context.payload["import_id"]?.string.flatMap({ ImportID($0) }) else {
        throw JobFailure("bad_payload", "The job names no import.")
    }
    func stored() throws -> StoredImport {
        guard let stored = try context.transaction({ db in try db.first(ImportSQL.read, id) }) else {
            throw JobFailure("not_found", "The import is gone.")
        }
        return stored
    }
    let before = try stored()
    if !before.isRead { try ImportJob(context, id, before).run() }
    let counts = try stored().counts
    try context.refreshStatistics(of: ["contacts", "consents", "list_members"], afterWriting: counts.created + counts.updated)
    return try context.transaction { db in
        try db.run(ImportSQL.dropChunks, id)
        return counts.json(try db.all(ImportSQL.errors, id, -1, 100), "/api/imports/\(id)/errors")
    }
}

private final class ImportJob {
    private let context: JobContext
    private let id: ImportID
    private let stored: StoredImport
    private var reader: CSVReader
    private var builder: RowBuilder
    private var batch: ImportBatch
    private var errors: [RowError] = []
    private var counts: ImportCounts
    private var hasHeader: Bool
    /// Kept and downloadable; more than this says the same thing again.
    private static let errorLimit = 10_000

    init(_ context: JobContext, _ id: ImportID, _ stored: StoredImport) throws {
        self.context = context
        self.id = id
        self.stored = stored
        counts = stored.counts
        let header = try ImportJob.header(context, id)
        let mapping = try ImportMapping(header: header.names, mapping: stored.mapping?.object)
        let zones =
            mapping.columns.contains { $0.target == .text("timezone") }
            ? Set(try context.transaction { db in try db.all(ImportSQL.zones) }) : []
        builder = RowBuilder(mapping, country: stored.country, zones: zones)
        batch = ImportBatch(slotCount: builder.slotCount)
        hasHeader = stored.place.byte > 0
        reader = hasHeader ? CSVReader(at: stored.place, delimiter: header.delimiter) : CSVReader()
    }

    private static func header(_ context: JobContext, _ id: ImportID) throws -> CSVHeader {
        var reader = CSVHeaderReader()
        var seq = 0
        while let piece = try context.transaction({ db in try db.first(ImportSQL.chunk, id, seq) }) {
            try reader.feed(piece)
            if let header = reader.header { return header }
            seq += 1
        }
        try reader.finish()
        return reader.header!
    }

    func run() throws {
        var seq = 0
        var read = 0
        while let piece = try context.transaction({ db in try db.first(ImportSQL.chunk, id, seq) }) {
            if context.isStopping { throw JobSnooze(seconds: 0) }
            let done = max(0, min(piece.count, stored.place.byte - read))
            read += piece.count
            seq += 1
            if done < piece.count { try reader.feed(done > 0 ? Array(piece[done...]) : piece, row: take, faulty: refuse) }
            try context.progress(min(0.99, Double(read) / Double(max(1, stored.bytes))), partial: counts.json)
        }
        try reader.finish(row: take, faulty: refuse)
        try flush(upTo: CSVPlace(byte: stored.bytes, line: 0))
    }

    // MARK: Rows

    private func take(_ row: CSVRow) throws {
        guard hasHeader else {
            hasHeader = true
            return
        }
        if batch.isFull { try flush(upTo: row.place) }
        do {
            let identities = try builder.build(row, into: &batch)
            if !batch.takeRow(line: row.line, identities: identities) {
                batch.dropRow()
                try flush(upTo: row.place)
                let identities = try builder.build(row, into: &batch)
                precondition(batch.takeRow(line: row.line, identities: identities), "an empty batch takes any row")
            }
        } catch let fault as CellFault {
            reject(RowError(line: row.line, column: fault.column, code: fault.code, detail: fault.detail))
        }
    }

    private func refuse(_ fault: CSVFault) {
        let columns = builder.mapping.columns
        let column = fault.cell.flatMap { columns.indices.contains($0 - 1) ? columns[$0 - 1].name : nil }
        reject(RowError(line: fault.line, column: column, code: fault.code, detail: fault.detail))
    }

    private func reject(_ error: RowError) {
        counts.rows += 1
        counts.rejected += 1
        if counts.rejected <= Self.errorLimit { errors.append(error) }
    }

    // MARK: Batches

    /// Writes the batch and how far the file is in, in one transaction.
    private func flush(upTo place: CSVPlace) throws {
        let before = (counts, errors)
        for attempt in 1... {
            do {
                try context.transaction { db in
                    if batch.count > 0 { try write(db) }
                    try saveErrors(db)
                    try db.run(
                        ImportSQL.advance, id, place.byte, place.line, counts.rows, counts.created, counts.updated,
                        counts.unchanged, counts.rejected)
                }
                break
            } catch PostgresError.statement(let state, _) where Self.isRace(state) && attempt < 5 {
                // Somebody gave a contact an address of ours meanwhile, or waited for us as we for them.
                (counts, errors) = before
            }
        }
        batch.removeAll()
        errors.removeAll(keepingCapacity: true)
    }

    private static func isRace(_ state: SQLState) -> Bool {
        state == .uniqueViolation || state == .deadlockDetected || state == .foreignKeyViolation
    }

    private func write(_ db: Connection) throws {
        try db.execute(ImportSQL.stage)
        _ = try db.copyIn(ImportSQL.copy) { copy in try builder.write(batch, to: copy) }
        try db.execute(ImportSQL.analyze)
        _ = try db.one(ImportSQL.lockOutOthers)
        try db.run(ImportSQL.match)
        let faults = Dictionary(uniqueKeysWithValues: try db.all(ImportSQL.faults).map { ($0.line, $0.code) })
        let updated = Set(try db.all(ImportSQL.update))
        let created = Set(try db.all(ImportSQL.insert))
        count(faults, updated: updated, created: created)
        for channel in stored.consent { _ = try db.one(ImportSQL.consent, channel, id) }
        if let list = stored.list { try db.run(ImportSQL.addToList, list) }
        let (keys, masks) = builder.noted
        if !keys.isEmpty { _ = try db.one(ContactSQL.noteFields, keys, masks) }
    }

    private func count(_ faults: [Int: String], updated: Set<Int>, created: Set<Int>) {
        for (row, line) in batch.lines.enumerated() {
            let merged = batch.merged[row] ?? []
            if let code = faults[line] {
                for line in [line] + merged.map(\.line) { reject(RowError(conflict: code, line: line)) }
                continue
            }
            counts.rows += 1 + merged.count
            if created.contains(line) {
                counts.created += 1
            } else if updated.contains(line) {
                counts.updated += 1
            } else {
                counts.unchanged += 1
            }
            for later in merged {
                let isChange = later.changed && (created.contains(line) || updated.contains(line))
                if isChange { counts.updated += 1 } else { counts.unchanged += 1 }
            }
        }
    }

    private func saveErrors(_ db: Connection) throws {
        guard !errors.isEmpty else { return }
        try db.run(ImportSQL.addErrors, id, JSONText(.array(errors.map(\.json))))
    }
}
