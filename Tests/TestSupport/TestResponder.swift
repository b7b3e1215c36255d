// Routes served by real FastCGI on a socket of the test, and a client that speaks to them as nginx would.
import Glibc
import JSON
import Runtime
import Vocabulary
import Web

/// What came back.
public struct TestAnswer: Sendable {
    public let status: Int
    public let headers: [(name: String, value: String)]
    public let body: [UInt8]
    public func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }
    public var text: String { String(decoding: body, as: UTF8.self) }
    /// The body as JSON; null when it is none.
    public var json: JSONValue { (try? JSONValue(parsing: body, limits: .trusted)) ?? .null }
    /// `code` of a problem, or of its only fault.
    public var code: String? { json["errors"]?.array?.first?["code"]?.string ?? json["code"]?.string }
}

/// A responder in this process, whose threads use a database as the role `muster_responder`.
public final class TestResponder: Sendable {
    private let responder: Responder
    private let path: String

    /// - Parameter variables: further `MUSTER_*` variables of its configuration.
    public init(_ routes: [Route], _ database: TestDatabase, threads: Int = 2, _ variables: [String: String] = [:]) throws {
        path = "/tmp/muster-responder.\(UUID.v7()).sock"
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard withAddress(path, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw TestSupportError("cannot listen on \(path)")
        }
        let given = ["MUSTER_THREADS": "\(threads)", "MUSTER_LOG_LEVEL": "error"].merging(variables) { $1 }
        let configuration = try testConfiguration(database: database.conninfo(as: .responder), given)
        Log.setLevel(configuration.logLevel)
        let responder = try Responder("test", routes, configuration, descriptor: listener)
        self.responder = responder
        startThread {
            responder.run()
            // Not before its threads have left: the number would be somebody else's, and they would accept there.
            close(listener)
        }
    }

    public func stop() {
        responder.stop()
        unlink(path)
    }

    /// One request on a connection of its own.
    /// - Parameters:
    ///   - target: path and query, percent-encoded.
    ///   - token: a session token or an API key.
    ///   - announced: Content-Length, when it is not the body's own.
    public func send(
        _ method: String, _ target: String, token: String? = nil, headers: [(String, String)] = [],
        contentType: String? = nil, body: [UInt8] = [], announced: Int? = nil
    ) throws -> TestAnswer {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var parameters = [
            ("REQUEST_METHOD", method), ("REQUEST_URI", target), ("DOCUMENT_URI", decoded(parts[0])),
            ("QUERY_STRING", parts.count > 1 ? String(parts[1]) : ""), ("REMOTE_ADDR", "127.0.0.1"),
            ("CONTENT_TYPE", contentType ?? ""), ("CONTENT_LENGTH", body.isEmpty && announced == nil ? "" : "\(announced ?? body.count)"),
        ]
        if let token { parameters.append(("HTTP_AUTHORIZATION", "Bearer \(token)")) }
        for (name, value) in headers {
            parameters.append(("HTTP_" + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined(), value))
        }
        return try exchange(parameters, body)
    }

    /// A request with a JSON body.
    public func send(
        _ method: String, _ target: String, token: String? = nil, headers: [(String, String)] = [], json: JSONValue
    ) throws -> TestAnswer {
        try send(method, target, token: token, headers: headers, contentType: "application/json", body: Array(json.text.utf8))
    }

    /// A path as nginx hands it over.
    private func decoded(_ path: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = path.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let code = UInt8(String(rest.prefix(2)) ?? "", radix: 16), rest.count >= 2 {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: FastCGI 1.0, sections 3 and 5

    private func exchange(_ parameters: [(String, String)], _ body: [UInt8]) throws -> TestAnswer {
        let connection = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(connection) }
        guard withAddress(path, { connect(connection, $0, $1) }) == 0 else { throw TestSupportError("nobody listens on \(path)") }
        var bytes = record(1, [0, 1, 0, 0, 0, 0, 0, 0][...])
        var pairs: [UInt8] = []
        for (name, value) in parameters { pairs += length(name) + length(value) + Array(name.utf8) + Array(value.utf8) }
        bytes += stream(4, pairs) + stream(5, body)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(connection, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL)) }
            // It may have answered, and closed, before it read all.
            guard count > 0 else { break }
            sent += count
        }
        if !body.isEmpty { shutdown(connection, Int32(SHUT_WR)) }
        return try answer(in: received(connection))
    }

    private func record(_ type: UInt8, _ content: ArraySlice<UInt8>) -> [UInt8] {
        [1, type, 0, 1, UInt8(content.count >> 8), UInt8(content.count & 255), 0, 0] + content
    }

    private func stream(_ type: UInt8, _ content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = content[...]
        while !rest.isEmpty {
            bytes += record(type, rest.prefix(65_528))
            rest = rest.dropFirst(65_528)
        }
        return bytes + record(type, [])
    }

    private func length(_ text: String) -> [UInt8] {
        let count = text.utf8.count
        if count < 128 { return [UInt8(count)] }
        return [UInt8(count >> 24 | 128), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
    }

    private func received(_ connection: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while case let count = recv(connection, &piece, piece.count, 0), count > 0 { bytes += piece[..<count] }
        return bytes
    }

    private func answer(in records: [UInt8]) throws -> TestAnswer {
        var output: [UInt8] = []
        var rest = records[...]
        var isComplete = false
        while rest.count >= 8 {
            let start = rest.startIndex
            let count = Int(rest[start + 4]) << 8 | Int(rest[start + 5])
            let content = rest.dropFirst(8).prefix(count)
            if rest[start + 1] == 6 { output += content }
            if rest[start + 1] == 3 { isComplete = true }
            rest = rest.dropFirst(8 + count + Int(rest[start + 6]))
        }
        guard isComplete else { throw TestSupportError("the answer was cut off after \(output.count) bytes") }
        return try parsed(output)
    }

    private func parsed(_ output: [UInt8]) throws -> TestAnswer {
        var headers: [(name: String, value: String)] = []
        var index = 0
        while let end = output[index...].firstIndex(of: 10) {
            let line = String(decoding: output[index..<end].filter { $0 != 13 }, as: UTF8.self)
            index = end + 1
            if line.isEmpty { break }
            let pair = line.split(separator: ":", maxSplits: 1).map(String.init)
            headers.append((pair[0], String(pair.count > 1 ? pair[1].drop { $0 == " " } : "")))
        }
        let status = headers.first { $0.name == "Status" }.flatMap { Int($0.value.prefix(3)) }
        return TestAnswer(status: status ?? 0, headers: headers, body: Array(output[index...]))
    }
}

private func withAddress<T>(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}
