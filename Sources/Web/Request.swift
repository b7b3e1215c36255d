// What came from nginx, decoded once and only as far as it is asked for.
internal import FastCGI

/// One HTTP request. Header names are looked up in any case; repeated headers are joined with a comma, cookies with
/// a semicolon (RFC 9110, section 5.3; RFC 9113, section 8.2.3).
public final class Request {
    public let method: String
    /// Decoded and normalised by nginx (`DOCUMENT_URI`): what routes match.
    public let path: String
    /// The parts of `path`. A slash that was sent as %2F is a character of its part: nginx has decoded it, and only the
    /// address as it was sent tells it from those between parts.
    lazy var pathParts: [String] = {
        let parts = path.split(separator: "/").map(String.init)
        let sent = rawURI.utf8.prefix { $0 != UInt8(ascii: "?") }
        let isEncoded = zip(sent, sent.dropFirst()).contains { $0 == UInt8(ascii: "2") && ($1 | 32) == UInt8(ascii: "f") }
        guard isEncoded else { return parts }
        let decoded = sent.split(separator: UInt8(ascii: "/")).map { part in
            // Outside a query a plus is one.
            percentDecoded(part.flatMap { $0 == UInt8(ascii: "+") ? Array("%2B".utf8) : [$0] })
        }
        // Where nginx did more than decode, such as going up at `..`, what it made of the path holds.
        return decoded.flatMap { $0.split(separator: "/").map(String.init) } == parts ? decoded : parts
    }()
    /// As the client sent it (`REQUEST_URI`): what provider signatures cover.
    public let rawURI: String
    public let rawQuery: String
    /// The peer as nginx knows it, after `real_ip` where that is configured.
    public let remoteAddress: String
    /// Percent-decoded pairs in the order of the query; `+` is a space.
    public lazy var query: [(name: String, value: String)] = formPairs(rawQuery)
    /// `nil` without a body or with chunks of unknown length.
    public let contentLength: Int?
    let transport: FastCGIRequest

    init(_ transport: FastCGIRequest) {
        self.transport = transport
        method = transport.parameter("REQUEST_METHOD") ?? "GET"
        rawURI = transport.parameter("REQUEST_URI") ?? "/"
        path = transport.parameter("DOCUMENT_URI") ?? "/"
        rawQuery = transport.parameter("QUERY_STRING") ?? ""
        remoteAddress = transport.parameter("REMOTE_ADDR") ?? ""
        contentLength = transport.parameter("CONTENT_LENGTH").flatMap { Int($0) }
    }

    public func header(_ name: String) -> String? {
        switch name.lowercased() {
        case "content-type": return transport.parameter("CONTENT_TYPE").flatMap { $0.isEmpty ? nil : $0 }
        case "cookie": return joined(transport.parameters("HTTP_COOKIE"), "; ")
        default:
            let key = "HTTP_" + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
            return joined(transport.parameters(key), ", ")
        }
    }

    func parameter(_ name: String) -> String? { transport.parameter(name) }

    public func cookie(_ name: String) -> String? {
        guard let header = header("cookie") else { return nil }
        for pair in header.split(separator: ";") {
            let pair = pair.drop { $0 == " " }
            if pair.hasPrefix(name), pair.dropFirst(name.count).first == "=" {
                return String(pair.dropFirst(name.count + 1))
            }
        }
        return nil
    }

    /// The media type of the body without its parameters, in lower case.
    public var mediaType: String {
        guard let type = header("content-type") else { return "" }
        let bare = type.split(separator: ";", maxSplits: 1).first.map(String.init) ?? ""
        return bare.filter { $0 != " " }.lowercased()
    }

    private func joined(_ values: [String], _ separator: String) -> String? {
        values.isEmpty ? nil : values.count == 1 ? values[0] : values.joined(separator: separator)
    }
}

/// Decodes `application/x-www-form-urlencoded` (WHATWG URL, section 5.1). Broken escapes stay as they are; bytes that
/// are not UTF-8 become U+FFFD.
public func formPairs(_ text: String) -> [(name: String, value: String)] {
    text.utf8.split(separator: UInt8(ascii: "&")).map { pair in
        let name = pair.prefix { $0 != UInt8(ascii: "=") }
        return (percentDecoded(name), percentDecoded(pair.dropFirst(name.count + 1)))
    }
}

func percentDecoded(_ text: some Collection<UInt8>) -> String {
    func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(text.count)
    var rest = text.makeIterator()
    var pending: [UInt8] = []
    func next() -> UInt8? { pending.isEmpty ? rest.next() : pending.removeFirst() }
    while let byte = next() {
        switch byte {
        case UInt8(ascii: "+"): decoded.append(UInt8(ascii: " "))
        case UInt8(ascii: "%"):
            guard let high = next() else { decoded.append(byte); break }
            guard let low = next() else { decoded += [byte, high]; break }
            if let h = digit(high), let l = digit(low) {
                decoded.append(h << 4 | l)
            } else {
                decoded.append(byte)
                pending = [high, low] + pending
            }
        default: decoded.append(byte)
        }
    }
    return String(decoding: decoded, as: UTF8.self)
}
