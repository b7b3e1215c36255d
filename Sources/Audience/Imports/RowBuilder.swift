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
///
/// Slots of a staged row: external id, e-mail, phone; the texts of `ImportMapping.textColumns`; tags; then one per
/// attribute column, each a JSON value.
struct RowBuilder {
    let mapping: ImportMapping
    private let country: String?
    /// Names of time zones; needed where a column fills `timezone`.
    private let zones: Set<String>
    /// Types that every value of a column converts to so far; `nil` before the first value.
    private var types: [FieldTypes?]
    /// Column of each slot; `nil` for built-in fields that the file lacks.
    private let columnOfSlot: [Int?]
    /// `"key":` of each attribute.
    private let keys: [[UInt8]]

    private static let fixed: [ImportTarget] =
        [.externalID, .email, .phone] + ImportMapping.textColumns.map { .text($0) } + [.tags]
    private static let tags = fixed.count - 1
    private static let zone = fixed.firstIndex(of: .text("timezone"))!
    private static let country = fixed.firstIndex(of: .text("country"))!

    init(_ mapping: ImportMapping, country: String?, zones: Set<String>) {
        self.mapping = mapping
        self.country = country
        self.zones = zones
        types = mapping.columns.map { _ in nil }
        let attributes = mapping.columns.indices.filter { mapping.columns[$0].target?.attributeKey != nil }
        columnOfSlot = Self.fixed.map { target in mapping.columns.firstIndex { $0.target == target } } + attributes
        keys = attributes.map { column in
            var text: [UInt8] = []
            writeJSONString(mapping.columns[column].target?.attributeKey ?? "", into: &text)
            return text + [UInt8(ascii: ":")]
        }
    }

    var slotCount: Int { columnOfSlot.count }

    /// Begins a row of the batch with the checked cells.
    /// - Returns: what identifies its contact: external id, e-mail, phone, in this order.
    /// - Throws: the first thing wrong with it; the batch is then as before.
    mutating func build(_ row: CSVRow, into batch: inout ImportBatch) throws(CellFault) -> [[UInt8]] {
        guard row.count == mapping.columns.count else {
            throw CellFault(
                column: nil, code: row.count < mapping.columns.count ? "too_few_cells" : "too_many_cells",
                detail: "The row has \(row.count) cells, the header \(mapping.columns.count).")
        }
        try checkText(row)
        batch.startRow()
        do throws(CellFault) {
            return try buildCells(row, &batch)
        } catch {
            batch.dropRow()
            throw error
        }
    }

    private mutating func buildCells(_ row: CSVRow, _ batch: inout ImportBatch) throws(CellFault) -> [[UInt8]] {
        var identities: [[UInt8]] = []
        for slot in Self.fixed.indices {
            guard let column = columnOfSlot[slot], let text = trimmed(row[column]) else { continue }
            let stored = try value(slot, text, mapping.columns[column].name)
            if slot < 3 { identities.append([UInt8(slot)] + stored) }
            batch.set(slot, stored)
        }
        guard !identities.isEmpty else {
            throw CellFault(column: nil, code: "no_identity", detail: "The row has neither external_id nor e-mail nor phone.")
        }
        buildAttributes(row, &batch)
        guard batch.size(Self.fixed.count..<slotCount) <= maximumAttributeBytes else {
            throw CellFault(column: nil, code: "attributes_too_large", detail: attributesTooLarge)
        }
        return identities
    }

    private func checkText(_ row: CSVRow) throws(CellFault) {
        // One pass finds whether there is anything to look at: most files are ASCII.
        var (high, zero) = (UInt8(0), false)
        for byte in row.bytes {
            high |= byte
            zero = zero || byte == 0
        }
        if zero { throw CellFault(column: nil, code: "bad_character", detail: "The character U+0000 cannot be stored.") }
        guard high >= 0x80, String(validating: row.bytes, as: UTF8.self) == nil else { return }
        let broken = mapping.columns.indices.first { String(validating: row[$0], as: UTF8.self) == nil }
        throw CellFault(
            column: broken.map { mapping.columns[$0].name }, code: "wrong_encoding",
            detail: "The text is not UTF-8; it looks like Windows-1252 or Latin-1.")
    }

    private func value(_ slot: Int, _ text: ArraySlice<UInt8>, _ column: String) throws(CellFault) -> [UInt8] {
        func fault(_ code: String, _ detail: String) -> CellFault { CellFault(column: column, code: code, detail: detail) }
        switch slot {
        case 1:
            guard let address = EmailAddress(String(decoding: text, as: UTF8.self)) else {
                throw fault("bad_email", "This is not an e-mail address.")
            }
            return Array(address.description.utf8)
        case 2:
            do {
                return Array(try phoneNumber(String(decoding: text, as: UTF8.self), country: country).description.utf8)
            } catch { throw fault("bad_phone", error.detail) }
        case Self.tags:
            return tagsLiteral(text)
        case Self.zone:
            let name = String(decoding: text, as: UTF8.self)
            guard zones.contains(name) else { throw fault("bad_timezone", "Expected an IANA zone such as Europe/Berlin.") }
        case Self.country:
            let code = String(decoding: text, as: UTF8.self).uppercased()
            guard isKnownCountry(code) else { throw fault("bad_country", "Expected a country code of two letters.") }
            return Array(code.utf8)
        default: break
        }
        let stored = Array(normal(text))
        guard stored.count <= 255 || String(decoding: stored, as: UTF8.self).unicodeScalars.count <= 255 else {
            throw fault("too_long", "At most 255 characters.")
        }
        return stored
    }

    private mutating func buildAttributes(_ row: CSVRow, _ batch: inout ImportBatch) {
        for slot in Self.fixed.count..<slotCount {
            let column = columnOfSlot[slot]!
            guard let text = trimmed(row[column]) else { continue }
            // Once a column is known to be plain text, nothing more can be learnt.
            let seen = types[column]
            if seen?.isEmpty != true {
                let found = FieldTypes(ofText: text)
                types[column] = seen?.intersection(found) ?? found
            }
            if isCanonicalNumber(text) {
                batch.set(slot, text)
            } else {
                batch.set(slot) { writeJSONString(normal(text), &$0) }
            }
        }
    }

    /// Appends the batch to a COPY of `ImportSQL.copy`.
    func write(_ batch: ImportBatch, to copy: CopyWriter) throws {
        for row in 0..<batch.count {
            copy.field(String(batch.lines[row]).utf8)
            copy.separator()
            copy.field(UUID.v7().description.utf8)
            for slot in Self.fixed.indices {
                copy.separator()
                if let cell = batch.cell(row, slot) { copy.field(cell) } else { copy.null() }
            }
            copy.separator()
            var isFirst = true
            for slot in Self.fixed.count..<slotCount {
                guard let cell = batch.cell(row, slot) else { continue }
                copy.field(CollectionOfOne(UInt8(ascii: isFirst ? "{" : ",")))
                isFirst = false
                copy.field(keys[slot - Self.fixed.count])
                copy.field(cell)
            }
            copy.field((isFirst ? "{}" : "}").utf8)
            try copy.endRow()
        }
    }

    /// Keys and masks for `note_fields`.
    var noted: (keys: [String], masks: [Int]) {
        var keys: [String] = []
        var masks: [Int] = []
        for (column, types) in zip(mapping.columns, types) {
            guard let key = column.target?.attributeKey, let types else { continue }
            keys.append("attributes." + key)
            masks.append(types.rawValue)
        }
        return (keys, masks)
    }
}

// MARK: Bytes

/// Without blanks around it; `nil` when nothing is left.
private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var bytes = bytes
    while let first = bytes.first, isBlank(first) { bytes = bytes.dropFirst() }
    while let last = bytes.last, isBlank(last) { bytes = bytes.dropLast() }
    return bytes.isEmpty ? nil : bytes
}

private func isBlank(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

private func normal(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    bytes.contains { $0 >= 0x80 } ? Array(normalizedNFC(String(decoding: bytes, as: UTF8.self)).utf8)[...] : bytes
}

private func writeJSONString(_ bytes: ArraySlice<UInt8>, _ json: inout [UInt8]) {
    if bytes.contains(where: { $0 < 0x20 || $0 == 34 || $0 == 92 }) {
        return writeJSONString(String(decoding: bytes, as: UTF8.self), into: &json)
    }
    json.append(34)
    json.append(contentsOf: bytes)
    json.append(34)
}

/// `a|b;c` as a PostgreSQL array: tags in a cell are separated by a bar or a semicolon.
private func tagsLiteral(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let tags = text.split { $0 == UInt8(ascii: "|") || $0 == UInt8(ascii: ";") }.compactMap { trimmed($0) }
    let unique = Array(Set(tags.map { String(decoding: normal($0), as: UTF8.self) })).sorted()
    guard case .text(let literal) = unique.sqlValue else { return Array("{}".utf8) }
    return Array(literal.utf8)
}
