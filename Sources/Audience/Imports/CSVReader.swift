// CSV as a stream of bytes: RFC 4180 and what programs make of it. Constant memory, exact places.

/// Something wrong with one row, and where.
public struct CSVFault: Error, Sendable, Hashable {
    /// Line of the file, from 1, that the row begins on.
    public let line: Int
    /// The cell, from 1, where that is known.
    public let cell: Int?
    public let code: String
    public let detail: String
}

/// What no row can be read behind.
public struct CSVUnreadable: Error, Sendable {
    public let code: String
    public let detail: String
}

/// A place between two rows, to go on from.
public struct CSVPlace: Sendable, Hashable {
    /// Bytes of the file before it.
    public var byte = 0
    public var line = 1
}

/// One row: its cells lie in one buffer.
public struct CSVRow: Sendable {
    /// Where the row begins.
    public let place: CSVPlace
    public let bytes: [UInt8]
    let ends: [Int]
    public var line: Int { place.line }
    public var count: Int { ends.count }
    public subscript(_ index: Int) -> ArraySlice<UInt8> { bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]] }
}

/// Feed it pieces of any size; rows come out as they are complete.
///
/// Quotes, doubled quotes, line breaks in quotes, CRLF, LF or CR, a byte-order mark, and `,` `;` tab or `|`, found from
/// the first line. A quote inside an unquoted cell is taken as it stands; text behind a closing quote is a fault.
///
///                 quote            quote
///     cellStart ────────► quoted ─────────► quoteInQuoted ──► cellStart, at a delimiter or line end
///         │ other         ▲    │ ◄───────────┘ quote: one that is doubled
///         ▼               └────┘ other       └─ other: fault, the rest of the line is skipped
///     unquoted ──► cellStart, at a delimiter or line end
///
/// A quote that is not closed within `maximumCellBytes`, or at all, or only in the middle of a later line's cell, costs
/// its own line and no more: what was read since that line's end is read again as rows.
public struct CSVReader {
    public static let maximumColumns = 1000
    public static let maximumCellBytes = 65_536
    static let maximumRowBytes = 1_048_576
    /// A header longer than this is no header.
    static let maximumHeaderBytes = 262_144

    private enum State { case cellStart, unquoted, quoted, quoteInQuoted, skipToLineEnd }
    private var state = State.cellStart
    public private(set) var delimiter: UInt8 = 44
    /// The first line decides encoding and delimiter, so it is waited for.
    private var pendingStart: [UInt8]? = []
    private var isFirstRow = true
    /// Where the next byte is.
    private var here: CSVPlace
    private var rowPlace: CSVPlace
    private var lastWasCR = false
    // The row at work: its cells, and what is wrong with it.
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    private var fault: CSVFault?
    // The quoted cell at work, from its first line break on.
    private var quoteLine = 1
    private var again: [UInt8] = []
    private var againPlace: CSVPlace?
    private var againFollowsCR = false

    public init() {
        here = CSVPlace()
        rowPlace = here
    }

    /// Goes on in the middle of a file, behind its header.
    public init(at place: CSVPlace, delimiter: UInt8) {
        here = place
        rowPlace = place
        self.delimiter = delimiter
        pendingStart = nil
        isFirstRow = false
    }

    /// - Parameters:
    ///   - row: called for each row that is whole.
    ///   - faulty: called for each row that is not; reading goes on behind it.
    public mutating func feed(
        _ piece: [UInt8], row: (CSVRow) throws -> Void, faulty: (CSVFault) throws -> Void
    ) throws {
        guard var start = pendingStart else { return try scan(piece, row, faulty) }
        start += piece
        guard start.contains(10) || start.contains(13) || start.count > Self.maximumHeaderBytes else {
            pendingStart = start
            return
        }
        try begin(start, row, faulty)
    }

    /// The end of the file: a last row without a line break counts.
    public mutating func finish(row: (CSVRow) throws -> Void, faulty: (CSVFault) throws -> Void) throws {
        if let start = pendingStart { try begin(start, row, faulty) }
        while state == .quoted {
            guard let rest = try refuseOpenQuote("is never closed", faulty) else { return }
            try scan(rest, row, faulty)
        }
        if !bytes.isEmpty || !ends.isEmpty || fault != nil { try endRow(row, faulty) }
    }

    // MARK: The first line

    private mutating func begin(
        _ start: [UInt8], _ row: (CSVRow) throws -> Void, _ faulty: (CSVFault) throws -> Void
    ) throws {
        pendingStart = nil
        if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) {
            throw CSVUnreadable(code: "wrong_encoding", detail: "The file is UTF-16; save it as UTF-8.")
        }
        let hasMark = start.starts(with: [0xEF, 0xBB, 0xBF])
        var counts: [UInt8: Int] = [:]
        var quoted = false
        for byte in start.prefix(Self.maximumHeaderBytes) {
            if byte == 34 { quoted.toggle() }
            if !quoted, byte == 10 || byte == 13 { break }
            if byte == 0 {
                throw CSVUnreadable(
                    code: "wrong_encoding", detail: "The first line has U+0000 in it: the file is UTF-16, or no text. Save it as UTF-8.")
            }
            if !quoted, [44, 59, 9, 124].contains(byte) { counts[byte, default: 0] += 1 }
        }
        // A comma where nothing speaks for another.
        delimiter = counts.max { ($0.value, $0.key == 44 ? 1 : 0) < ($1.value, $1.key == 44 ? 1 : 0) }?.key ?? 44
        if counts.values.max() ?? 0 >= Self.maximumColumns { throw Self.tooManyColumns }
        if hasMark { here.byte += 3 }
        rowPlace = here
        try scan(hasMark ? Array(start.dropFirst(3)) : start, row, faulty)
    }

    private static let tooManyColumns = CSVUnreadable(
        code: "too_many_columns", detail: "The first line has more than \(maximumColumns) columns.")

    // MARK: Bytes

    private mutating func scan(
        _ piece: [UInt8], _ row: (CSVRow) throws -> Void, _ faulty: (CSVFault) throws -> Void
    ) throws {
        var next: [UInt8]? = piece
        while let piece = next {
            next = try piece.withUnsafeBufferPointer { try scan($0, row, faulty) }
        }
    }

    /// - Returns: what is to be read next, when an open quote sent us back; `nil` when the piece is read.
    private mutating func scan(
        _ piece: UnsafeBufferPointer<UInt8>, _ row: (CSVRow) throws -> Void, _ faulty: (CSVFault) throws -> Void
    ) throws -> [UInt8]? {
        var index = 0
        while index < piece.count {
            let byte = piece[index]
            let isLineEnd = byte == 10 || byte == 13
            if byte == 10, lastWasCR {
                // The second half of CRLF.
                lastWasCR = false
                if state == .quoted { keep(byte) }
                if state == .cellStart, ends.isEmpty { rowPlace.byte += 1 }
                advance(1, &index)
                continue
            }
            lastWasCR = byte == 13
            switch state {
            case .cellStart where byte == 34:
                state = .quoted
                quoteLine = here.line
                advance(1, &index)
            case .cellStart, .unquoted:
                if byte == delimiter {
                    advance(1, &index)
                    try endCell()
                } else if isLineEnd {
                    try endLine(&index, row, faulty)
                } else {
                    state = .unquoted
                    var end = index + 1
                    while end < piece.count, piece[end] != delimiter, piece[end] != 10, piece[end] != 13 { end += 1 }
                    bytes.append(contentsOf: UnsafeBufferPointer(rebasing: piece[index..<end]))
                    advance(end - index, &index)
                }
            case .quoted:
                if byte == 34 {
                    state = .quoteInQuoted
                    if againPlace != nil { again.append(byte) }
                    advance(1, &index)
                } else {
                    keep(byte)
                    advance(1, &index)
                    if isLineEnd {
                        here.line += 1
                        if againPlace == nil {
                            againPlace = here
                            againFollowsCR = byte == 13
                        }
                    }
                }
            case .quoteInQuoted:
                if byte == 34 {
                    keep(34)
                    state = .quoted
                    advance(1, &index)
                } else if byte == delimiter {
                    advance(1, &index)
                    try endCell()
                } else if isLineEnd {
                    try endLine(&index, row, faulty)
                } else if againPlace != nil, !isFirstRow {
                    // More likely that the quote was never meant to be open than that a later line's belongs to it.
                    let rest = try giveUp(
                        "text_after_quote", "The quote opened in line \(quoteLine) closes in the middle of a later cell.", faulty)
                    return (rest ?? []) + piece[index...]
                } else {
                    refuse("text_after_quote", "Behind a closing quote stands text; a quote inside a quoted cell is written twice.")
                }
            case .skipToLineEnd:
                if isLineEnd { try endLine(&index, row, faulty) } else { advance(1, &index) }
            }
            if bytes.count - (ends.last ?? 0) > Self.maximumCellBytes, state != .skipToLineEnd {
                if isFirstRow {
                    throw CSVUnreadable(code: "cell_too_large", detail: "A column name has more than \(Self.maximumCellBytes) bytes.")
                }
                if state == .quoted, againPlace != nil {
                    let rest = try refuseOpenQuote("is not closed within \(Self.maximumCellBytes) bytes", faulty)
                    return (rest ?? []) + piece[index...]
                }
                refuse("cell_too_large", "A cell has more than \(Self.maximumCellBytes) bytes.")
            } else if bytes.count > Self.maximumRowBytes, state != .skipToLineEnd {
                refuse("row_too_large", "The row has more than \(Self.maximumRowBytes) bytes.")
            }
        }
        return nil
    }

    private mutating func advance(_ count: Int, _ index: inout Int) {
        index += count
        here.byte += count
    }

    /// A byte of a quoted cell, kept for the case that its quote is never closed.
    private mutating func keep(_ byte: UInt8) {
        bytes.append(byte)
        if againPlace != nil { again.append(byte) }
    }

    private mutating func endCell() throws {
        ends.append(bytes.count)
        state = .cellStart
        forgetQuote()
        guard ends.count >= Self.maximumColumns else { return }
        if isFirstRow { throw Self.tooManyColumns }
        refuse("too_many_cells", "The row has more than \(Self.maximumColumns) cells.")
    }

    private mutating func endLine(
        _ index: inout Int, _ row: (CSVRow) throws -> Void, _ faulty: (CSVFault) throws -> Void
    ) throws {
        advance(1, &index)
        here.line += 1
        try endRow(row, faulty)
    }

    private mutating func endRow(_ row: (CSVRow) throws -> Void, _ faulty: (CSVFault) throws -> Void) throws {
        let place = rowPlace
        defer { startRow() }
        if let fault { return try faulty(fault) }
        ends.append(bytes.count)
        // A line without a text is no row: spreadsheets leave many at the end.
        if bytes.isEmpty { return }
        isFirstRow = false
        try row(CSVRow(place: place, bytes: bytes, ends: ends))
    }

    private mutating func startRow() {
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        fault = nil
        state = .cellStart
        rowPlace = here
        forgetQuote()
    }

    private mutating func forgetQuote() {
        if againPlace != nil { again.removeAll(keepingCapacity: true) }
        againPlace = nil
    }

    /// Gives the row up; its line is skipped.
    private mutating func refuse(_ code: String, _ detail: String) {
        fault = CSVFault(line: rowPlace.line, cell: ends.count + (code == "too_many_cells" ? 0 : 1), code: code, detail: detail)
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        forgetQuote()
        state = .skipToLineEnd
    }

    /// Gives up the row whose quote stays open, and goes back to the end of the quote's line.
    /// - Returns: what was read since; `nil` when the file ended on that line.
    private mutating func refuseOpenQuote(_ what: String, _ faulty: (CSVFault) throws -> Void) throws -> [UInt8]? {
        try giveUp("unbalanced_quote", "The quote opened in line \(quoteLine) \(what).", faulty)
    }

    private mutating func giveUp(_ code: String, _ detail: String, _ faulty: (CSVFault) throws -> Void) throws -> [UInt8]? {
        if isFirstRow { throw CSVUnreadable(code: code, detail: detail) }
        let fault = CSVFault(line: rowPlace.line, cell: ends.count + 1, code: code, detail: detail)
        let (place, rest) = (againPlace, again)
        if let place { here = place }
        lastWasCR = againFollowsCR && place != nil
        startRow()
        try faulty(fault)
        return place == nil ? nil : rest
    }
}
