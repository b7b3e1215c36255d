@testable import Audience
import Testing

/// What came out of a file: rows as `line: cells`, faults as `line: code`.
private func read(_ text: String, piece: Int = .max) throws -> [String] { try read(Array(text.utf8), piece: piece) }

private func read(_ bytes: [UInt8], piece: Int = .max) throws -> [String] {
    var reader = CSVReader()
    var out: [String] = []
    func row(_ row: CSVRow) {
        out.append("\(row.line): " + (0..<row.count).map { String(decoding: row[$0], as: UTF8.self) }.joined(separator: "¦"))
    }
    func fault(_ fault: CSVFault) { out.append("\(fault.line): !\(fault.code)") }
    var rest = bytes[...]
    while !rest.isEmpty {
        try reader.feed(Array(rest.prefix(piece)), row: row, faulty: fault)
        rest = rest.dropFirst(piece)
    }
    try reader.finish(row: row, faulty: fault)
    return out
}

private func unreadable(_ bytes: [UInt8]) -> String? {
    do {
        _ = try read(bytes)
        return nil
    } catch { return (error as? CSVUnreadable)?.code }
}

@Suite struct CSVReaderTests {
    @Test(arguments: ["\n", "\r\n", "\r"])
    func `rows end with LF, CRLF or CR, and the last one needs none`(end: String) throws {
        #expect(try read("a,b\(end)1,2\(end)\(end)3,4") == ["1: a¦b", "2: 1¦2", "4: 3¦4"])
    }

    @Test func `a quoted cell holds delimiters, line breaks and doubled quotes`() throws {
        #expect(try read("a,b\n\"x, \"\"y\"\"\",\"1\r\n2\"\nz,\"\"\n") == ["1: a¦b", "2: x, \"y\"¦1\r\n2", "4: z¦"])
    }

    @Test func `a quote inside an unquoted cell is taken as it stands`() throws {
        #expect(try read("a,b\n5\" disk,x\"y\"\n") == ["1: a¦b", "2: 5\" disk¦x\"y\""])
    }

    @Test func `text behind a closing quote costs its row and no other`() throws {
        #expect(try read("a,b\n\"bad\" text,1\n2,3\n") == ["1: a¦b", "2: !text_after_quote", "3: 2¦3"])
        #expect(try read("a,b\nx,\"open\n1,\"two\nlines\"\n2,3\n") == ["1: a¦b", "2: !text_after_quote", "3: 1¦two\nlines", "5: 2¦3"])
    }

    @Test func `a quote that is never closed costs its line and no other`() throws {
        #expect(
            try read("a,b\n1,2\nx,\"open\n3,4\n5,\"\"\n6,7") == ["1: a¦b", "2: 1¦2", "3: !unbalanced_quote", "4: 3¦4", "5: 5¦", "6: 6¦7"])
        #expect(try read("a,b\r\nx,\"open\r\n3,4\r\n") == ["1: a¦b", "2: !unbalanced_quote", "3: 3¦4"])
        #expect(try read("a,b\nx,\"open") == ["1: a¦b", "2: !unbalanced_quote"])
    }

    @Test func `a quote that is not closed within a cell's size costs its line, long before the end of the file`() throws {
        let lines = (0..<30_000).map { "\($0),value \($0)" }
        let out = try read("a,b\nx,\"open\n" + lines.joined(separator: "\n"))
        #expect(out.count == 30_002)
        #expect(out[1] == "2: !unbalanced_quote")
        #expect(out[2] == "3: 0¦value 0")
        #expect(out.last == "30002: 29999¦value 29999")
    }

    @Test(arguments: [",", ";", "\t", "|"])
    func `the delimiter is found from the first line`(delimiter: String) throws {
        #expect(try read("a\(delimiter)\"b,c;d\"\(delimiter)e\n1\(delimiter)2\(delimiter)3\n").last == "2: 1¦2¦3")
    }

    @Test func `a byte-order mark is no part of the first name`() throws {
        #expect(try read([0xEF, 0xBB, 0xBF] + Array("a,b\n1,2".utf8)) == ["1: a¦b", "2: 1¦2"])
    }

    @Test func `UTF-16 and a first line with U+0000 are refused as another encoding`() {
        #expect(unreadable([0xFF, 0xFE, 97, 0, 44, 0]) == "wrong_encoding")
        #expect(unreadable([97, 0, 44, 0, 98, 0, 10, 0]) == "wrong_encoding")
        #expect(unreadable(Array("a,b\n1,\u{0}".utf8)) == nil)
    }

    @Test func `ten million columns are refused before they are read`() throws {
        var reader = CSVReader()
        let piece = [UInt8](repeating: 44, count: 262_144)
        var fed = 0
        #expect(throws: CSVUnreadable.self) {
            for _ in 0..<39 {
                try reader.feed(piece, row: { _ in }, faulty: { _ in })
                fed += 1
            }
        }
        #expect(fed <= 1)
        #expect(unreadable(Array(repeating: "a", count: 1001).joined(separator: ",").utf8.map { $0 }) == "too_many_columns")
        #expect(unreadable(Array(repeating: "a", count: 1000).joined(separator: ",").utf8.map { $0 }) == nil)
    }

    @Test func `a huge cell or row costs its row`() throws {
        let huge = String(repeating: "x", count: CSVReader.maximumCellBytes + 1)
        #expect(try read("a,b\n1,\(huge)\n2,3\n") == ["1: a¦b", "2: !cell_too_large", "3: 2¦3"])
        #expect(try read("a,b\n1,\"\(huge)\"\n2,3\n") == ["1: a¦b", "2: !cell_too_large", "3: 2¦3"])
        let wide = Array(repeating: String(repeating: "y", count: 60_000), count: 20).joined(separator: ",")
        #expect(try read("a,b\n\(wide)\n2,3\n") == ["1: a¦b", "2: !row_too_large", "3: 2¦3"])
        #expect(try read("a,b\n\(String(repeating: ",", count: 1500))\n2,3\n") == ["1: a¦b", "2: !too_many_cells", "3: 2¦3"])
    }

    @Test func `lines without a text are no rows`() throws {
        #expect(try read("a,b\n\n,\n\"\",\"\"\n1,\n") == ["1: a¦b", "5: 1¦"])
    }

    @Test func `pieces of any size give the same rows`() throws {
        let texts = [
            "a,b\r\n1,\"x\r\ny\"\r\n\"q\"\"\",2\r\n\"bad\"x,1\r\n3,\"open\r\n4,5\r\n\r\n6,7",
            "\u{FEFF}ä;ö\r1;\"2\r3\"\r\"\";é\n",
        ]
        for text in texts {
            let whole = try read(text)
            for piece in 1...12 { #expect(try read(text, piece: piece) == whole) }
        }
    }

    @Test func `reading goes on at the place of any row`() throws {
        let text = "\u{FEFF}a;b\r\n1;\"x\r\ny\"\r\n\r\n2;3\r\n\"bad\"x;1\r\n4;5\n6;7\r8;9"
        var reader = CSVReader()
        var rows: [(place: CSVPlace, cells: [UInt8])] = []
        let bytes = Array(text.utf8)
        try reader.feed(bytes, row: { rows.append(($0.place, $0.bytes)) }, faulty: { _ in })
        try reader.finish(row: { rows.append(($0.place, $0.bytes)) }, faulty: { _ in })
        #expect(rows.map(\.place.line) == [1, 2, 5, 7, 8, 9])
        for (index, row) in rows.enumerated().dropFirst() {
            var again = CSVReader(at: row.place, delimiter: reader.delimiter)
            var found: [(place: CSVPlace, cells: [UInt8])] = []
            try again.feed(Array(bytes[row.place.byte...]), row: { found.append(($0.place, $0.bytes)) }, faulty: { _ in })
            try again.finish(row: { found.append(($0.place, $0.bytes)) }, faulty: { _ in })
            #expect(found.map(\.place) == rows[index...].map(\.place))
            #expect(found.map(\.cells) == rows[index...].map(\.cells))
        }
    }
}
