// What stands at the start of a connection, looked at before libfcgi takes it.
//
// libfcgi trusts its peer: it takes parameters that were cut off for complete ones, skips a record too many behind an
// empty record of another request, ends the process when there is no memory for a length that somebody made up, and
// overruns a buffer when GET_VALUES repeats a name. So it is given whole and valid heads only.

/// FastCGI 1.0, section 8.
enum RecordType {
    static let begin: UInt8 = 1
    static let end: UInt8 = 3
    static let parameters: UInt8 = 4
    static let input: UInt8 = 5
    static let getValues: UInt8 = 9
    static let getValuesResult: UInt8 = 10
    static let unknownType: UInt8 = 11
}

enum RequestHead: Equatable {
    /// A request with all its parameters. `isWhole`: its body has come to its end, too, so reading it never waits.
    case complete(isWhole: Bool)
    /// Nothing is wrong with what is there so far.
    case incomplete
    case malformed
    /// A request for an authorizer or a filter, or for nobody.
    case unknownRole(id: UInt16)
    /// A question about the application itself, of `length` bytes with header and padding.
    case management(type: UInt8, names: [String], length: Int)

    /// nginx takes no more than 64 KiB of parameters.
    static let maximumBytes = 128 << 10

    init(_ bytes: UnsafeRawBufferPointer) {
        var rest = Records(bytes)
        guard let first = rest.next() else {
            self = rest.isBroken ? .malformed : .incomplete
            return
        }
        if first.id == 0 {
            self = first.isWhole ? Self.question(first, bytes) : .incomplete
            return
        }
        guard first.type == RecordType.begin, first.length == 8 else {
            self = .malformed
            return
        }
        guard first.isWhole else {
            self = .incomplete
            return
        }
        guard bytes[8] == 0, bytes[9] == 1 else {
            self = .unknownRole(id: first.id)
            return
        }
        var parameters: [UInt8] = []
        while let record = rest.next() {
            // One request at a time: our answer to FCGI_MPXS_CONNS is no.
            guard record.id == first.id, record.type == RecordType.parameters else {
                self = .malformed
                return
            }
            if record.length == 0 {
                guard pairs(parameters, areComplete: true), let isWhole = rest.endsBody(of: first.id) else {
                    self = .malformed
                    return
                }
                self = .complete(isWhole: isWhole)
                return
            }
            parameters += UnsafeRawBufferPointer(rebasing: bytes[record.content])
        }
        // Early, so that nobody waits for the end of something that cannot become valid.
        let mayBecomeValid = !rest.isBroken && pairs(parameters, areComplete: false) && bytes.count < Self.maximumBytes
        self = mayBecomeValid ? .incomplete : .malformed
    }

    private static func question(_ record: Record, _ bytes: UnsafeRawBufferPointer) -> RequestHead {
        guard record.type == RecordType.getValues else { return .management(type: record.type, names: [], length: record.end) }
        var names: [String] = []
        let isValid = pairs(Array(bytes[record.content]), areComplete: true) { names.append(String(decoding: $0, as: UTF8.self)) }
        guard isValid else { return .malformed }
        return .management(type: record.type, names: names, length: record.end)
    }

    /// The answer to a management record (sections 4.1 and 4.2).
    static func answer(toManagement type: UInt8, _ names: [String], threads: Int) -> [UInt8] {
        guard type == RecordType.getValues else { return header(RecordType.unknownType, 0, 8) + [type, 0, 0, 0, 0, 0, 0, 0] }
        let known = [("FCGI_MAX_CONNS", "\(threads)"), ("FCGI_MAX_REQS", "\(threads)"), ("FCGI_MPXS_CONNS", "0")]
        var content: [UInt8] = []
        for (name, value) in known where names.contains(name) {
            content += [UInt8(name.utf8.count), UInt8(value.utf8.count)] + Array(name.utf8) + Array(value.utf8)
        }
        return header(RecordType.getValuesResult, 0, content.count) + content
    }

    /// The end of a request whose role is not ours (section 5.5: FCGI_UNKNOWN_ROLE).
    static func refusal(ofRole id: UInt16) -> [UInt8] { header(RecordType.end, id, 8) + [0, 0, 0, 0, 3, 0, 0, 0] }

    private static func header(_ type: UInt8, _ id: UInt16, _ length: Int) -> [UInt8] {
        [1, type, UInt8(id >> 8), UInt8(id & 255), UInt8(length >> 8), UInt8(length & 255), 0, 0]
    }
}

/// One record, of which the content may not have come yet.
private struct Record {
    let type: UInt8
    let id: UInt16
    let length: Int
    /// What is there of the content.
    let content: Range<Int>
    /// Behind the padding.
    let end: Int
    let isWhole: Bool
}

/// The records that begin in some bytes.
private struct Records {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0
    /// A record has another version than 1.
    private(set) var isBroken = false

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// `nil` at a header that has not come, and at a broken one.
    mutating func next() -> Record? {
        guard offset < bytes.count else { return nil }
        guard bytes[offset] == 1 else {
            isBroken = true
            return nil
        }
        guard bytes.count - offset >= 8 else { return nil }
        func number(_ at: Int) -> Int { Int(bytes[offset + at]) << 8 | Int(bytes[offset + at + 1]) }
        let (start, length) = (offset + 8, number(4))
        let end = start + length + Int(bytes[offset + 6])
        defer { offset = end }
        return Record(
            type: bytes[offset + 1], id: UInt16(number(2)), length: length,
            content: start..<min(start + length, bytes.count), end: end, isWhole: end <= bytes.count)
    }

    /// Whether what follows is the request's body up to its end.
    /// - Returns: `nil` when there is a question in it, of which libfcgi would try to make an answer.
    mutating func endsBody(of id: UInt16) -> Bool? {
        while let record = next() {
            if record.id == 0 { return nil }
            guard record.id == id, record.type == RecordType.input, record.isWhole else { return false }
            if record.length == 0 { return true }
        }
        return false
    }
}

/// Walks name-value pairs (section 3.4).
/// - Returns: whether they are valid: not cut off when they should be complete, no length that no head may have.
private func pairs(_ bytes: [UInt8], areComplete: Bool, _ name: (ArraySlice<UInt8>) -> Void = { _ in }) -> Bool {
    var offset = 0
    func length() -> Int? {
        guard offset < bytes.count else { return nil }
        guard bytes[offset] >= 128 else {
            defer { offset += 1 }
            return Int(bytes[offset])
        }
        guard bytes.count - offset >= 4 else { return nil }
        defer { offset += 4 }
        return bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) } & 0x7FFF_FFFF
    }
    while offset < bytes.count {
        guard let nameLength = length(), let valueLength = length() else { return !areComplete }
        guard nameLength + valueLength <= RequestHead.maximumBytes else { return false }
        guard bytes.count - offset >= nameLength + valueLength else { return !areComplete }
        name(bytes[offset..<offset + nameLength])
        offset += nameLength + valueLength
    }
    return true
}
