// What an import did, and what it could not take.
internal import JSON
internal import PostgreSQL

/// `rows` = created + updated + unchanged + rejected.
struct ImportCounts: Equatable {
    var rows = 0
    var created = 0
    var updated = 0
    var unchanged = 0
    var rejected = 0

    var json: JSONValue {
        [
            "rows": JSONValue(rows), "created": JSONValue(created), "updated": JSONValue(updated),
            "unchanged": JSONValue(unchanged), "rejected": JSONValue(rejected),
        ]
    }

    /// The result of the job.
    func json(_ errors: [RowError], _ url: String) -> JSONValue {
        var object = json.object ?? [:]
        object["errors"] = .array(errors.map { $0.json })
        object["errors_url"] = .string(url)
        return .object(object)
    }
}

/// A row that was not taken: where and why, never its values.
struct RowError {
    let line: Int
    let column: String?
    let code: String
    let detail: String

    init(line: Int, column: String?, code: String, detail: String) {
        self.line = line
        self.column = column
        self.code = code
        self.detail = detail
    }

    /// A fault that only the database could find.
    init(conflict code: String, line: Int) {
        switch code {
        case "email_taken":
            self.init(line: line, column: "email", code: code, detail: "Another contact has this e-mail address.")
        case "phone_taken":
            self.init(line: line, column: "phone", code: code, detail: "Another contact has this phone number.")
        default: self.init(line: line, column: nil, code: code, detail: attributesTooLarge)
        }
    }

    var json: JSONValue {
        ["line": JSONValue(line), "column": JSONValue(column), "code": .string(code), "detail": .string(detail)]
    }
}

extension RowError: RowDecodable {
    init(_ row: borrowing Row) throws(PostgresError) {
        line = try row["line"]
        column = try row["column_name"]
        code = try row["code"]
        detail = try row["detail"]
    }
}
