internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// nginx takes no larger body either.
private let uploadLimit = 100 * 1_048_576

/// Takes the file in pieces, in constant memory, and leaves the work to the queue.
func startImport(_ call: Call) throws -> Response {
    let isMultipart = call.request.mediaType == "multipart/form-data"
    guard isMultipart || ["text/csv", "application/csv", "text/plain"].contains(call.request.mediaType) else {
        throw Problem.unsupportedMediaType("text/csv or multipart/form-data")
    }
    guard let length = call.request.contentLength, length > 0 else {
        throw Problem.badRequest("body_missing", "The body is the file; it is empty.")
    }
    guard length <= uploadLimit else { throw Problem.tooLarge(uploadLimit) }
    var options = try ImportOptions(call)
    let job = try call.transaction(timeoutSeconds: 120) { db in
        if let list = options.list, !(try db.one(ImportSQL.listExists, list)) { throw Problem.notFound("list") }
        let id = try db.one(ImportSQL.create, options.mapping, options.country, options.consent, options.list, call.actor.user)
        var upload = Upload(db, id)
        if isMultipart {
            var parts = try MultipartReader(contentType: call.request.header("content-type") ?? "")
            try call.streamBody { try parts.feed($0) { name, bytes in try upload.takePart(name, bytes) } }
            guard parts.isComplete else { throw Problem.badRequest("body_incomplete", "The multipart body has no end.") }
            if let text = upload.mapping { options.mapping = try ImportOptions.mapping(text, "/mapping") }
        } else {
            try call.streamBody { try upload.take($0) }
        }
        try upload.flush()
        guard upload.bytes > 0 else { throw Problem.badRequest("body_missing", "There is no part `file`, or it is empty.") }
        if isMultipart { try db.run(ImportOptions.setMapping, id, options.mapping) }
        let job = try db.enqueue("import_contacts", payload: ["import_id": .string(id.description)], by: call.actor.user)
        try db.run(ImportSQL.begin, id, job, upload.bytes)
        return job
    }
    return .accepted(job: job, kind: "import_contacts")
}

/// Pieces of the file on their way into the database.
private struct Upload {
    private let db: Connection
    private let id: ImportID
    private var buffer: [UInt8] = []
    private var seq = 0
    private(set) var bytes = 0
    private(set) var mapping: String?
    private static let chunk = 1_048_576

    init(_ db: Connection, _ id: ImportID) {
        self.db = db
        self.id = id
    }
    mutating func take(_ piece: [UInt8]) throws {
        buffer += piece
        bytes += piece.count
        if buffer.count >= Self.chunk { try flush() }
    }
    mutating func takePart(_ name: String, _ piece: [UInt8]) throws {
        switch name {
        case "file": try take(piece)
        case "mapping":
            mapping = (mapping ?? "") + String(decoding: piece, as: UTF8.self)
            if mapping!.utf8.count > 65_536 { throw Problem.tooLarge(65_536) }
        default: throw Problem.invalid("/\(name)", "unknown_member", "Parts are `file` and `mapping`.")
        }
    }
    mutating func flush() throws {
        guard !buffer.isEmpty else { return }
        try db.run(ImportSQL.addChunk, id, seq, buffer)
        seq += 1
        buffer.removeAll(keepingCapacity: true)
    }
}

/// What the query says of the file.
private struct ImportOptions {
    var mapping: JSONValue?
    let country: String?
    let consent: [String]
    let list: ListID?

    static let setMapping = Statement<Int, ImportID, JSONValue?>("""
        UPDATE imports SET mapping = $2 WHERE workspace_id = current_workspace() AND id = $1
        """)

    init(_ call: Call) throws {
        mapping = try call.query("mapping").map { try ImportOptions.mapping($0, "/mapping") }
        country = call.query("default_country")
        if let country, !isKnownCountry(country) {
            throw Problem.invalid("/default_country", "bad_format", "Expected a country code of two capital letters.")
        }
        consent = Set((call.query("consent") ?? "").split(separator: ",").map(String.init)).sorted()
        guard consent.allSatisfy({ Channel(rawValue: $0) != nil }) else {
            throw Problem.invalid("/consent", "not_one_of", "Channels are sms and email, separated by a comma.")
        }
        list = call.query("list_id").flatMap { ListID($0) }
    }

    static func mapping(_ text: String, _ pointer: String) throws -> JSONValue {
        let value: JSONValue
        do { value = try JSONValue(parsing: text) } catch {
            throw Problem.invalid(pointer, error.code, "The mapping is not JSON: \(error.detail)")
        }
        let faults = Schema.map(.nullable(.string(max: 120)), max: CSVReader.maximumColumns).validate(value, at: pointer)
        guard faults.isEmpty else { throw Problem.validation(faults) }
        return value
    }
}

func listImports(_ call: Call) throws -> Response {
    let paging = try call.paging()
    return try call.page(
        ImportSQL.page, paging, try paging.after(0, from: TimestampText.infinity),
        try paging.after(1, from: ImportID(UUID(high: .max, low: .max))), paging.fetchLimit)
}

func readImport(_ call: Call) throws -> Response {
    let id: ImportID = try call.pathID("id")
    guard let found = try call.read({ db in try db.first(ImportSQL.one, id) }) else { throw Problem.notFound("import") }
    return .json(found)
}

func downloadErrors(_ call: Call) throws -> Response {
    let id: ImportID = try call.pathID("id")
    guard try call.read({ db in try db.first(ImportSQL.one, id) }) != nil else { throw Problem.notFound("import") }
    return .stream(contentType: "text/csv; charset=utf-8") { writer in
        try writer.write(csvLine(["line", "column", "code", "detail"]))
        var (line, seq) = (-1, -1)
        while true {
            let rows = try call.read { db in try db.all(ImportSQL.errors, id, line, seq, 1000) }
            guard let last = rows.last else { return }
            (line, seq) = (last.line, last.seq)
            for row in rows { try writer.write(csvLine([String(row.line), row.column ?? "", row.code, row.detail])) }
        }
    }.with("Content-Disposition", "attachment; filename=\"import-errors.csv\"")
}
