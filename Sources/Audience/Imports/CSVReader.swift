// CSV as a stream of bytes: RFC 4180 and what programs make of it. Constant memory, exact places.

/// Something wrong with one row, and where.
public struct CSVFault: Error, Sendable, Hashable {
    public let line: Int
    /// In bytes from 1, where that is known.
    public let column: Int?
    public let code: String
    public let detail: String
}

/// What no row can be read behind.
public struct CSVUnreadable: Error, Sendable {
    public let code: String
    public let detail: String
}

/// One row: its cells lie in one buffer.
public struct CSVRow {
    /// Line of the file, from 1, that the row begins on.
    public let line: Int
    public let bytes: [UInt8]
    let ends: [Int]
    public var count: Int { ends.count }
    public subscript(_ index: Int) -> ArraySlice<UInt8> { bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]] }
}

/// Feed it pieces of any size; rows come out as they are complete.
///
/// Quotes, doubled quotes, line breaks in quotes, CRLF, LF or CR, a byte-order mark, and `,` `;` tab or `|`, found from
/// the first line. A quote inside an unquoted cell is taken as it stands; text behind a closing quote is a fault.
public struct CSVReader {
    public static let maximumColumns = 1000
    public static let maximumCellBytes = 65_536
    /// A header longer than this is no header.
    static let maximumHeaderBytes = 262_144

    private enum State { case cellStart, unquoted, quoted, quoteInQuoted, skipToLineEnd }
    private var state = State.cellStart
    private var delimiter: UInt8?
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    private var line = 1
    private var rowLine = 1
    private var column = 1
    private var quoteLine = 1
    private var lastWasCR = false
    private var pendingStart: [UInt8]? = []
    private var fault: CSVFault?
    private var isFirstRow = true

    public init() {}

    /// - Parameters:
    ///   - row: called for each row that is whole.
    ///   - faulty: called for each row that is not; reading goes on behind it.
    public mutating func feed(
        _ piece: [UInt8], row: (CSVRow) throws -> Void, faulty: (CSVFault) throws -> Void
    ) throws {
        if var start = pendingStart {
            // The first line decides encoding and delimiter, so it is waited for.
            start += piece
            guard start.contains(10) || start.contains(13) || start.count > Self.maximumHeaderBytes else {
                pendingStart = start
                return
            }
            pendingStart = nil
            try begin(&start)
            return try scan(start, row, faulty)
        }
        try scan(piece, row, faulty)
    }

    /// The end of the file: a last row without a line break counts.
    public mutating func finish(row: (CSVRow) throws -> Void, faulty: (CSVFault) throws -> Void) throws {
        if var start = pendingStart {
            pendingStart = nil
            try begin(&start)
            try scan(start, row, faulty)
        }
        if state == .quoted {
            try faulty(CSVFault(
                line: rowLine, column: nil, code: "unbalanced_quote",
                detail: "The quote opened in line \(quoteLine) is never closed; the rest of the file belongs to it."))
            return
        }
        if !bytes.isEmpty || !ends.isEmpty || fault != nil { try endRow(row, faulty) }
    }

    private mutating func begin(_ start: inout [UInt8]) throws {
        if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) {
            throw CSVUnreadable(code: "wrong_encoding", detail: "The file is UTF-16; save it as UTF-8.")
        }
        if start.prefix(200).contains(0) {
            throw CSVUnreadable(code: "wrong_encoding", detail: "The file has U+0000 in its first line; it is no text in UTF-8.")
        }
        if start.starts(with: [0xEF, 0xBB, 0xBF]) { start.removeFirst(3) }
        var counts: [UInt8: Int] = [:]
        var quoted = false
        for byte in start.prefix(Self.maximumHeaderBytes) {
            if byte == 34 { quoted.toggle() }
            if !quoted, byte == 10 || byte == 13 { break }
            if !quoted, [44, 59, 9, 124].contains(byte) { counts[byte, default: 0] += 1 }
        }
        // A comma where nothing speaks for another.
        delimiter = counts.max { ($0.value, $0.key == 44 ? 1 : 0) < ($1.value, $1.key == 44 ? 1 : 0) }?.key ?? 44
        if counts.values.max() ?? 0 >= Self.maximumColumns {
            throw CSVUnreadable(
                code: "too_many_columns", detail: "The first line has more than \(Self.maximumColumns) columns.")
        }
    }

    private mutating func scan(_ piece: [UInt8], _ row: (CSVRow) throws -> Void, _ faulty: (CSVFault) throws -> Void) throws {
        let delimiter = self.delimiter ?? 44
        for byte in piece {
            if byte == 10, lastWasCR {
                // The second half of CRLF.
                lastWasCR = false
                if state == .quoted { bytes.append(byte) }
                continue
            }
            lastWasCR = byte == 13
            switch state {
            case .cellStart, .unquoted:
                if byte == delimiter {
                    try endCell()
                } else if byte == 10 || byte == 13 {
                    try endRow(row, faulty)
                    line += 1
                    rowLine = line
                    column = 0
                } else if byte == 34, state == .cellStart {
                    state = .quoted
                    quoteLine = line
                } else {
                    state = .unquoted
                    bytes.append(byte)
                }
            case .quoted:
                if byte == 34 {
                    state = .quoteInQuoted
                } else {
                    if byte == 10 || byte == 13 {
                        line += 1
                        column = 0
                    }
                    bytes.append(byte)
                }
            case .quoteInQuoted:
                if byte == 34 {
                    bytes.append(34)
                    state = .quoted
                } else if byte == delimiter {
                    try endCell()
                } else if byte == 10 || byte == 13 {
                    try endRow(row, faulty)
                    line += 1
                    rowLine = line
                    column = 0
                } else {
                    fault = CSVFault(
                        line: rowLine, column: column, code: "text_after_quote",
                        detail: "Behind a closing quote stands text; a quote inside a quoted cell is written twice.")
                    state = .skipToLineEnd
                }
            case .skipToLineEnd:
                if byte == 10 || byte == 13 {
                    try endRow(row, faulty)
                    line += 1
                    rowLine = line
                    column = 0
                }
            }
            column += 1
            if bytes.count - (ends.last ?? 0) > Self.maximumCellBytes, fault == nil {
                if state == .quoted {
                    throw CSVUnreadable(
                        code: "cell_too_large",
                        detail: "A quoted cell from line \(quoteLine) on has more than \(Self.maximumCellBytes) bytes; is a closing quote missing?")
                }
                if isFirstRow { throw CSVUnreadable(code: "cell_too_large", detail: "A column name has more than \(Self.maximumCellBytes) bytes.") }
                fault = CSVFault(
                    line: rowLine, column: column, code: "cell_too_large",
                    detail: "A cell has more than \(Self.maximumCellBytes) bytes.")
                bytes.removeAll(keepingCapacity: true)
                ends.removeAll(keepingCapacity: true)
                state = .skipToLineEnd
            }
        }
    }

    private mutating func endCell() throws {
        ends.append(bytes.count)
        state = .cellStart
        if ends.count >= Self.maximumColumns, fault == nil {
            if isFirstRow {
                throw CSVUnreadable(code: "too_many_columns", detail: "The first line has more than \(Self.maximumColumns) columns.")
            }
            fault = CSVFault(line: rowLine, column: column, code: "too_many_cells", detail: "The row has more than \(Self.maximumColumns) cells.")
            state = .skipToLineEnd
        }
    }

    private mutating func endRow(_ row: (CSVRow) throws -> Void, _ faulty: (CSVFault) throws -> Void) throws {
        defer {
            bytes.removeAll(keepingCapacity: true)
            ends.removeAll(keepingCapacity: true)
            fault = nil
            state = .cellStart
        }
        if let fault { return try faulty(fault) }
        ends.append(bytes.count)
        // A blank line is no row.
        if ends.count == 1, bytes.isEmpty { return }
        isFirstRow = false
        try row(CSVRow(line: rowLine, bytes: bytes, ends: ends))
    }
}
