// A file on its way into the database, in pieces: the process that takes it holds one piece at a time.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

struct ImportUpload {
    /// nginx takes no larger body either.
    static let maximumBytes = 100 * 1_048_576
    private static let pieceBytes = 1_048_576

    private let db: Connection
    private let id: ImportID
    private var buffer: [UInt8] = []
    private var seq = 0
    private(set) var bytes = 0
    /// The part `mapping`, when there is one.
    var mapping: String? { mappingBytes.isEmpty ? nil : String(decoding: mappingBytes, as: UTF8.self) }
    private var mappingBytes: [UInt8] = []
    private var header = CSVHeaderReader()
    /// What is wrong with the file. The rest of the body is read all the same, and forgotten: the web server has it.
    private var problem: Problem?

    init(_ db: Connection, _ id: ImportID) {
        self.db = db
        self.id = id
    }

    /// Reads the request's body, CSV or multipart.
    mutating func receive(_ call: Call) throws {
        guard call.request.mediaType == "multipart/form-data" else {
            return try call.streamBody { try takeFile($0) }
        }
        var parts = try MultipartReader(contentType: call.request.header("content-type") ?? "")
        try call.streamBody { piece in try parts.feed(piece) { name, bytes in try takePart(name, bytes) } }
        guard parts.isComplete else { throw Problem.badRequest("bad_multipart", "The multipart body has no end.") }
    }

    /// The header is found and every column has its place.
    mutating func finish(mapping: JSONObject?) throws {
        if let problem { throw problem }
        guard bytes > 0 else { throw Problem.badRequest("body_missing", "There is no part `file`, or it is empty.") }
        do {
            try header.finish()
            _ = try ImportMapping(header: header.header!.names, mapping: mapping)
        } catch let unreadable as CSVUnreadable { throw Problem(unreadable) }
        try flush()
    }

    private mutating func takeFile(_ piece: [UInt8]) throws {
        guard problem == nil else { return }
        do { try header.feed(piece) } catch let unreadable as CSVUnreadable {
            problem = Problem(unreadable)
            return
        }
        buffer += piece
        bytes += piece.count
        if buffer.count >= Self.pieceBytes { try flush() }
    }

    private mutating func takePart(_ name: String, _ piece: [UInt8]) throws {
        switch name {
        case "file": try takeFile(piece)
        case "mapping":
            if mappingBytes.count + piece.count > 65_536 { problem = .tooLarge(65_536) } else { mappingBytes += piece }
        default: problem = .invalid("/\(name)", "unknown_member", "Parts are `file` and `mapping`.")
        }
    }

    private mutating func flush() throws {
        guard !buffer.isEmpty else { return }
        try db.run(ImportSQL.addChunk, id, seq, buffer)
        seq += 1
        buffer.removeAll(keepingCapacity: true)
    }
}

extension Problem {
    init(_ unreadable: CSVUnreadable) { self = .invalid("", unreadable.code, unreadable.detail) }
}
