internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Takes the file in pieces, in constant memory, and leaves the work to the queue.
func startImport(_ call: Call) throws -> Response {
    let length = try checkedLength(call)
    var options = try ImportOptions(call)
    let job = try call.transaction(timeoutSeconds: 120) { db in
        if let list = options.list, !(try db.one(ImportSQL.listExists, list)) { throw Problem.notFound("list") }
        let id = try db.one(ImportSQL.create, options.country, options.consent, options.list, call.actor.user)
        var upload = ImportUpload(db, id)
        try upload.receive(call)
        if let text = upload.mapping { options.mapping = try ImportOptions.mapping(text, "/mapping") }
        try upload.finish(mapping: options.mapping?.object)
        let job = try db.enqueue("import_contacts", payload: ["import_id": .string(id.description)], by: call.actor.user)
        try db.run(ImportSQL.begin, id, job, upload.bytes, options.mapping)
        try call.audit("contacts.import_started", "import", id.uuid, details: ["bytes": JSONValue(length)], in: db)
        return job
    }
    return .accepted(job: job, kind: "import_contacts")
}

/// - Throws: 415 for what is no CSV in UTF-8, 400 without a body, 413 for one that is too large.
private func checkedLength(_ call: Call) throws -> Int {
    guard ["text/csv", "application/csv", "text/plain", "multipart/form-data"].contains(call.request.mediaType) else {
        throw Problem.unsupportedMediaType("text/csv or multipart/form-data")
    }
    let type = call.request.header("content-type")?.lowercased() ?? ""
    if let charset = type.split(separator: ";").map({ $0.drop { $0 == " " } }).first(where: { $0.hasPrefix("charset=") }),
        !["utf-8", "utf8", "us-ascii"].contains(charset.dropFirst(8).filter { $0 != "\"" })
    {
        throw Problem.unsupportedMediaType("text/csv in UTF-8")
    }
    guard let length = call.request.contentLength, length > 0 else {
        throw Problem.badRequest("body_missing", "The body is the file; it is empty.")
    }
    guard length <= ImportUpload.maximumBytes else { throw Problem.tooLarge(ImportUpload.maximumBytes) }
    return length
}

/// What the query says of the file.
private struct ImportOptions {
    var mapping: JSONValue?
    let country: String?
    let consent: [String]
    let list: ListID?

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
        var line = -1
        while true {
            let rows = try call.read { db in try db.all(ImportSQL.errors, id, line, 1000) }
            guard let last = rows.last else { return }
            line = last.line
            for row in rows { try writer.write(csvLine([String(row.line), row.column ?? "", row.code, row.detail])) }
        }
    }.with("Content-Disposition", "attachment; filename=\"import-errors.csv\"")
}
