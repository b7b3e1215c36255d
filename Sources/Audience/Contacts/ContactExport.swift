// All contacts, streamed from a cursor in constant memory.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

private enum ExportSQL {
    static let next = Statement<ExportRow, ContactID, Int>(
        """
        SELECT c.id, contact_json(c) FROM contacts c
         WHERE c.workspace_id = current_workspace() AND c.id > $1 ORDER BY c.id LIMIT $2
        """)
    static let keys = Statement<String>(
        """
        SELECT substr(key, 12) FROM fields WHERE workspace_id = current_workspace() ORDER BY key
        """)
}

private struct ExportRow: RowDecodable {
    let id: ContactID
    let json: JSONText
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row[index: 0]
        json = try row[index: 1]
    }
}

private let exportColumns = [
    "id", "external_id", "email", "phone", "name", "first_name", "last_name", "status", "timezone", "country", "tags", "created_at",
]

/// A contact may have a quarter of a megabyte of attributes.
private let rowsAtOnce = 200

/// Each page is a transaction of its own: an export of millions must not hold a snapshot open for minutes.
func exportContacts(_ call: Call) throws -> Response {
    let asLines = call.query("format") == "jsonl"
    let keys = try call.read { db in try db.all(ExportSQL.keys) }
    return .stream(contentType: asLines ? "application/jsonl" : "text/csv; charset=utf-8") { writer in
        // An attribute that is called like a field says that it is none, also to a later import.
        let names = keys.map { exportColumns.contains($0) ? "attributes." + $0 : $0 }
        if !asLines { try writer.write(csvLine(exportColumns + names)) }
        var after = ContactID(UUID(high: 0, low: 0))
        while true {
            let rows = try call.read { db in try db.all(ExportSQL.next, after, rowsAtOnce) }
            guard let last = rows.last else { return }
            after = last.id
            for row in rows {
                if asLines {
                    try writer.write(row.json.bytes + [10])
                } else {
                    try writer.write(csvLine(cells(try JSONValue(parsing: row.json.bytes, limits: .trusted), keys)))
                }
            }
        }
    }
}

/// A value as a cell: several texts are joined by `|`, what is missing is empty.
func exportCell(_ value: JSONValue?) -> String {
    switch value {
    case nil, .null: ""
    case .string(let text): text
    case .array(let values): values.map { $0.string ?? $0.text }.joined(separator: "|")
    case .some(let other): other.text
    }
}

private func cells(_ contact: JSONValue, _ keys: [String]) -> [String] {
    exportColumns.map { exportCell(contact[$0]) }
        + keys.map { key in
            var value = contact["attributes"]
            for part in key.split(separator: ".") { value = value?[String(part)] }
            return exportCell(value)
        }
}

/// One line of RFC 4180. A cell that a spreadsheet would take for a formula is prefixed by an apostrophe, unless it
/// is a number or a phone number.
func csvLine(_ cells: [String]) -> String {
    cells.map { cell in
        var cell = cell
        if let first = cell.utf8.first,
            [61, 64, 9, 10, 13].contains(first) || ([43, 45].contains(first) && !isDecimal(Array(cell.utf8)[...]))
        {
            cell = "'" + cell
        }
        guard cell.utf8.contains(where: { [34, 44, 10, 13].contains($0) }) else { return cell }
        // By bytes: a quote with a combining mark behind it is another character, and still a quote to who reads the file.
        var quoted: [UInt8] = [34]
        for byte in cell.utf8 {
            if byte == 34 { quoted.append(34) }
            quoted.append(byte)
        }
        return String(decoding: quoted + [34], as: UTF8.self)
    }.joined(separator: ",") + "\r\n"
}
