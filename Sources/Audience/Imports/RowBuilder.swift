// From a row of cells to a row of the staging table: checked, normalised, types noted.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// A row's fault: the column's name and why. Values are never repeated: they are people's data.
struct CellFault: Error {
    let column: String?
    let code: String
    let detail: String
}

/// Turns rows into staged rows. Keeps what all rows say of a column's type.
struct RowBuilder {
    let mapping: ImportMapping
    let country: String?
    /// Types that every value of a column converts to so far; `nil` before the first value.
    private(set) var types: [FieldTypes?]
    /// What identifies the row, for finding rows of one contact.
    private(set) var identities: [[UInt8]] = []
    private let attributePrefixes: [[UInt8]]
    private let order: [Int?]

    init(_ mapping: ImportMapping, country: String?) {
        self.mapping = mapping
        self.country = country
        types = mapping.columns.map { _ in nil }
        attributePrefixes = mapping.columns.map { column in
            guard case .attribute(let key)? = column.target else { return [] }
            var text: [UInt8] = []
            writeJSONString(key, into: &text)
            return text + [UInt8(ascii: ":")]
        }
        let fixed: [ImportTarget] = [.externalID, .email, .phone] + ImportMapping.textColumns.map { .text($0) } + [.tags]
        order = fixed.map { target in mapping.columns.firstIndex { $0.target == target } }
    }

    /// Appends the row to a COPY of `import_rows (line, external_id, email, phone, name, …, country, tags, attributes)`.
    mutating func append(_ row: CSVRow, to copy: CopyWriter) throws {
        copy.field(String(row.line).utf8)
        for cell in try prepared(row) {
            copy.separator()
            if let cell { copy.field(cell) } else { copy.null() }
        }
        try copy.endRow()
    }

    /// The staged columns of a row.
    /// - Throws: `CellFault` for the first thing wrong with it.
    mutating func prepared(_ row: CSVRow) throws(CellFault) -> [[UInt8]?] {
        guard row.count == mapping.columns.count else {
            throw CellFault(
                column: nil, code: row.count < mapping.columns.count ? "too_few_cells" : "too_many_cells",
                detail: "The row has \(row.count) cells, the header \(mapping.columns.count).")
        }
        if !isASCII(row.bytes) {
            guard String(validating: row.bytes, as: UTF8.self) != nil else {
                throw CellFault(
                    column: firstBroken(row), code: "wrong_encoding",
                    detail: "The text is not UTF-8; it looks like Windows-1252 or Latin-1.")
            }
        }
        if row.bytes.contains(0) { throw CellFault(column: nil, code: "bad_character", detail: "The character U+0000 cannot be stored.") }
        identities = []
        var cells: [[UInt8]?] = []
        cells.reserveCapacity(order.count + 1)
        for (position, index) in order.enumerated() {
            guard let index, let text = trimmed(row[index]) else {
                cells.append(nil)
                continue
            }
            cells.append(try fixed(position, text, mapping.columns[index].name))
        }
        guard cells[0] != nil || cells[1] != nil || cells[2] != nil else {
            throw CellFault(column: nil, code: "no_identity", detail: "The row has neither external_id nor e-mail nor phone.")
        }
        cells.append(attributes(row))
        return cells
    }

    private mutating func fixed(_ position: Int, _ text: ArraySlice<UInt8>, _ column: String) throws(CellFault) -> [UInt8] {
        let stored: [UInt8]
        switch position {
        case 1:
            guard let address = EmailAddress(String(decoding: text, as: UTF8.self)) else {
                throw CellFault(column: column, code: "bad_email", detail: "This is not an e-mail address.")
            }
            stored = Array(address.description.utf8)
        case 2:
            do {
                stored = Array(try phoneNumber(String(decoding: text, as: UTF8.self), country: country).description.utf8)
            } catch {
                throw CellFault(column: column, code: "bad_phone", detail: error.detail)
            }
        case 9: return tagsLiteral(text)
        default:
            stored = Array(normal(text))
            if stored.count > 1020 { throw CellFault(column: column, code: "too_long", detail: "At most 255 characters.") }
        }
        if position <= 2 { identities.append([UInt8(position)] + stored) }
        return stored
    }

    private mutating func attributes(_ row: CSVRow) -> [UInt8] {
        var json: [UInt8] = [UInt8(ascii: "{")]
        for index in mapping.columns.indices where !attributePrefixes[index].isEmpty {
            guard let text = trimmed(row[index]) else { continue }
            let seen = types[index]
            // Once a column is known to be plain text, nothing more can be learnt.
            if seen?.isEmpty != true {
                let found = FieldTypes(ofText: text)
                types[index] = seen?.intersection(found) ?? found
            }
            if json.count > 1 { json.append(UInt8(ascii: ",")) }
            json += attributePrefixes[index]
            if isCanonicalNumber(text) { json += text } else { writeString(normal(text), &json) }
        }
        json.append(UInt8(ascii: "}"))
        return json
    }

    /// Keys and masks for `note_fields`.
    var noted: (keys: [String], masks: [Int]) {
        var keys: [String] = []
        var masks: [Int] = []
        for (column, types) in zip(mapping.columns, types) {
            guard case .attribute(let key)? = column.target, let types else { continue }
            keys.append("attributes." + key)
            masks.append(types.rawValue)
        }
        return (keys, masks)
    }

    private func firstBroken(_ row: CSVRow) -> String? {
        for index in mapping.columns.indices where index < row.count {
            if String(validating: row[index], as: UTF8.self) == nil { return mapping.columns[index].name }
        }
        return nil
    }
}

// MARK: Bytes

private func isASCII(_ bytes: [UInt8]) -> Bool { !bytes.contains { $0 >= 0x80 } }

/// Without blanks around it; `nil` when nothing is left.
private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var bytes = bytes
    while let first = bytes.first, first == 32 || first == 9 { bytes = bytes.dropFirst() }
    while let last = bytes.last, last == 32 || last == 9 { bytes = bytes.dropLast() }
    return bytes.isEmpty ? nil : bytes
}

private func normal(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    bytes.contains { $0 >= 0x80 } ? Array(normalizedNFC(String(decoding: bytes, as: UTF8.self)).utf8)[...] : bytes
}

private func writeString(_ bytes: ArraySlice<UInt8>, _ json: inout [UInt8]) {
    if bytes.contains(where: { $0 < 0x20 || $0 == 34 || $0 == 92 }) {
        writeJSONString(String(decoding: bytes, as: UTF8.self), into: &json)
    } else {
        json.append(34)
        json += bytes
        json.append(34)
    }
}

/// `a|b;c` as a PostgreSQL array: tags in a cell are separated by a bar or a semicolon.
private func tagsLiteral(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let tags = text.split { $0 == UInt8(ascii: "|") || $0 == UInt8(ascii: ";") }.compactMap { trimmed($0) }
    let unique = Array(Set(tags.map { String(decoding: normal($0), as: UTF8.self) })).sorted()
    guard case .text(let literal) = unique.sqlValue else { return Array("{}".utf8) }
    return Array(literal.utf8)
}
