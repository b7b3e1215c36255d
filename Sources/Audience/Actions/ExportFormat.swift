// What an export writes of a contact.
internal import JSON

enum ExportFormat: String {
    case csv, jsonl

    var contentType: String { self == .csv ? "text/csv; charset=utf-8" : "application/jsonl" }

    /// Columns that every contact has, those first that are written when nobody says which.
    static let usual = [
        "id", "external_id", "email", "phone", "name", "first_name", "last_name", "status", "timezone", "country", "assigned_to",
        "tags", "created_at",
    ]
    static let builtIn = usual + ["updated_at", "last_contacted_at"]

    /// What stands before the first row. An attribute that is called like a field says that it is none.
    func header(_ columns: [String]) -> [UInt8] {
        guard self == .csv else { return [] }
        let names = columns.map { column in
            let name = column.hasPrefix("attributes.") ? String(column.dropFirst("attributes.".count)) : column
            return Self.builtIn.contains(name) ? column : name
        }
        return Array(csvLine(names).utf8)
    }

    func row(_ contact: JSONValue, _ columns: [String]) -> [UInt8] {
        let values = columns.map { column -> JSONValue? in
            // A key of an attribute holds no dot.
            column.split(separator: ".").reduce(.some(contact)) { value, key in value?[String(key)] }
        }
        switch self {
        case .csv: return Array(csvLine(values.map(exportCell)).utf8)
        case .jsonl:
            var object = JSONObject()
            for (column, value) in zip(columns, values) { object[column] = value ?? .null }
            var bytes: [UInt8] = []
            JSONValue.object(object).write(into: &bytes)
            return bytes + [10]
        }
    }
}
