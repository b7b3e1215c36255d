// multipart/form-data as a stream (RFC 7578): parts come out in pieces, nothing is kept but what may be a boundary.
internal import Web

struct MultipartReader {
    private enum State { case preamble, headers, content, done }
    private let boundary: [UInt8]
    private var state = State.preamble
    private var buffer: [UInt8] = []
    private var name = ""

    /// - Throws: 400 when the content type names no boundary.
    init(contentType: String) throws {
        let parts = contentType.split(separator: ";").map { $0.drop { $0 == " " } }
        guard let parameter = parts.first(where: { $0.lowercased().hasPrefix("boundary=") }) else {
            throw Problem.badRequest("bad_multipart", "The Content-Type names no boundary.")
        }
        let value = parameter.dropFirst(9).filter { $0 != "\"" }
        guard (1...70).contains(value.utf8.count) else { throw Problem.badRequest("bad_multipart", "A boundary has 1 to 70 characters.") }
        boundary = Array("\r\n--\(value)".utf8)
        // The first boundary may have nothing before it.
        buffer = [13, 10]
    }

    var isComplete: Bool { state == .done }

    /// - Parameter part: gets the part's name and the next piece of its content.
    mutating func feed(_ piece: [UInt8], _ part: (String, [UInt8]) throws -> Void) throws {
        buffer += piece
        while true {
            switch state {
            case .done:
                buffer.removeAll()
                return
            case .preamble, .content:
                guard let found = find(boundary) else {
                    // Keep what may be the beginning of a boundary.
                    let safe = buffer.count - boundary.count
                    if safe > 0 {
                        if state == .content { try part(name, Array(buffer[..<safe])) }
                        buffer.removeFirst(safe)
                    }
                    return
                }
                guard buffer.count >= found + boundary.count + 2 else {
                    if state == .content, found > 0 { try part(name, Array(buffer[..<found])) }
                    buffer.removeFirst(found)
                    return
                }
                if state == .content, found > 0 { try part(name, Array(buffer[..<found])) }
                let end = buffer[(found + boundary.count)..<(found + boundary.count + 2)]
                buffer.removeFirst(found + boundary.count + 2)
                state = Array(end) == [45, 45] ? .done : .headers
            case .headers:
                guard let end = find([13, 10, 13, 10]) else {
                    if buffer.count > 8192 { throw Problem.badRequest("bad_multipart", "The headers of a part are too long.") }
                    return
                }
                let headers = String(decoding: buffer[..<end], as: UTF8.self)
                buffer.removeFirst(end + 4)
                guard let found = partName(headers) else { throw Problem.badRequest("bad_multipart", "A part has no name.") }
                name = found
                state = .content
            }
        }
    }

    private func find(_ pattern: [UInt8]) -> Int? {
        guard buffer.count >= pattern.count else { return nil }
        var index = 0
        let last = buffer.count - pattern.count
        while index <= last {
            guard let start = buffer[index...last].firstIndex(of: pattern[0]) else { return nil }
            if buffer[start..<(start + pattern.count)].elementsEqual(pattern) { return start }
            index = start + 1
        }
        return nil
    }

    private func partName(_ headers: String) -> String? {
        for line in headers.split(whereSeparator: \.isNewline) where line.lowercased().hasPrefix("content-disposition:") {
            for parameter in line.split(separator: ";").dropFirst() {
                let pair = parameter.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != "\"" && $0 != " " } }
                if pair.count == 2, pair[0].lowercased() == "name" { return String(pair[1]) }
            }
        }
        return nil
    }
}
