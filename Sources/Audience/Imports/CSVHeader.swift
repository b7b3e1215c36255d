// The first line of a file, found before anything is done with the rest.
internal import Web

/// Column names, and how cells are separated.
struct CSVHeader {
    let names: [String]
    let delimiter: UInt8
}

/// Reads a file's pieces up to its header.
struct CSVHeaderReader {
    private struct Found: Error {
        let row: CSVRow
    }
    private var reader = CSVReader()
    private(set) var header: CSVHeader?

    /// - Throws: `CSVUnreadable` when there is no header that can be used.
    mutating func feed(_ piece: [UInt8]) throws {
        try look { reader throws in try reader.feed(piece, row: { throw Found(row: $0) }, faulty: Self.refuse) }
    }

    /// The file has ended.
    mutating func finish() throws {
        try look { reader throws in try reader.finish(row: { throw Found(row: $0) }, faulty: Self.refuse) }
        guard header != nil else { throw CSVUnreadable(code: "empty_file", detail: "The file has no header line.") }
    }

    private mutating func look(_ read: (inout CSVReader) throws -> Void) throws {
        guard header == nil else { return }
        do { try read(&reader) } catch let found as Found {
            header = CSVHeader(names: try Self.names(found.row), delimiter: reader.delimiter)
        }
    }

    private static func refuse(_ fault: CSVFault) throws {
        throw CSVUnreadable(code: fault.code, detail: "The header cannot be read: \(fault.detail)")
    }

    private static func names(_ row: CSVRow) throws -> [String] {
        try (0..<row.count).map { index in
            guard let name = String(validating: row[index], as: UTF8.self) else {
                throw CSVUnreadable(
                    code: "wrong_encoding",
                    detail: "The header is not UTF-8; it looks like Windows-1252 or Latin-1. Save the file as UTF-8.")
            }
            return storedText(name) ?? ""
        }
    }
}
