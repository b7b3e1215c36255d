// The web server's side of FastCGI, written by hand so that it can be wrong on purpose.
import Glibc
import TestSupport

/// One record (FastCGI 1.0, section 3.3).
/// - Parameter announced: the content length in the header, when it is to be a lie.
func record(
    _ type: UInt8, _ content: [UInt8] = [], id: UInt16 = 1, version: UInt8 = 1, padding: UInt8 = 0, announced: Int? = nil
) -> [UInt8] {
    let length = announced ?? content.count
    let header: [UInt8] = [version, type, UInt8(id >> 8), UInt8(id & 255), UInt8(length >> 8 & 255), UInt8(length & 255), padding, 0]
    return header + content + [UInt8](repeating: 0xAA, count: Int(padding))
}

/// - Parameter role: 1 is the responder's.
func begin(id: UInt16 = 1, role: UInt8 = 1, keep: Bool = false) -> [UInt8] {
    record(1, [0, role, keep ? 1 : 0, 0, 0, 0, 0, 0], id: id)
}

/// A name-value pair (section 3.4).
func pair(_ name: String, _ value: String) -> [UInt8] {
    length(name.utf8.count) + length(value.utf8.count) + Array(name.utf8) + Array(value.utf8)
}

/// In four bytes from 128 on.
private func length(_ count: Int) -> [UInt8] {
    guard count >= 128 else { return [UInt8(count)] }
    return [UInt8(count >> 24 | 128), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
}

/// A stream in records of at most `piece` bytes, with the empty record that ends it.
func stream(_ type: UInt8, _ content: [UInt8], id: UInt16 = 1, piece: Int = 65_528, padding: UInt8 = 0) -> [UInt8] {
    var bytes: [UInt8] = []
    for start in stride(from: 0, to: content.count, by: piece) {
        bytes += record(type, Array(content[start..<min(start + piece, content.count)]), id: id, padding: padding)
    }
    return bytes + record(type, id: id)
}

/// A whole request.
func request(_ parameters: [(String, String)] = [], body: [UInt8] = [], keep: Bool = false, announced: Int? = nil) -> [UInt8] {
    let length = body.isEmpty && announced == nil ? [] : [("CONTENT_LENGTH", "\(announced ?? body.count)")]
    return begin(keep: keep) + stream(4, (parameters + length).flatMap { pair($0, $1) }) + stream(5, body)
}

/// What a responder sent for one request.
struct Answer: Equatable {
    var output: [UInt8] = []
    /// The protocol status of FCGI_END_REQUEST; nil when the connection ended before it.
    var ended: UInt8?
    /// Types of records that are neither output nor its end.
    var others: [UInt8] = []
    var text: String { String(decoding: output, as: UTF8.self) }
}

/// A connection to a responder.
final class WebServer {
    private let descriptor: Int32
    private var isOpen = true

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        // A responder that hangs fails the test instead of hanging it.
        var limit = timeval(tv_sec: 15, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard withAddress(path, { connect(descriptor, $0, $1) }) == 0 else { throw TestSupportError("nobody listens on \(path)") }
    }

    deinit { leave() }

    /// - Returns: false when the other side has left.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    func sendNoMore() { shutdown(descriptor, Int32(SHUT_WR)) }

    func leave() {
        guard isOpen else { return }
        isOpen = false
        close(descriptor)
    }

    /// Up to the end of a request, or of the connection.
    func answer() throws -> Answer {
        var answer = Answer()
        while let (type, content) = try record() {
            switch type {
            case 6: answer.output += content
            case 3:
                answer.ended = content.count == 8 ? content[4] : 255
                return answer
            default: answer.others.append(type)
            }
        }
        return answer
    }

    /// - Returns: nil at the end of the connection.
    /// - Throws: when nothing comes for long.
    func record() throws -> (type: UInt8, content: [UInt8])? {
        guard let header = try read(8) else { return nil }
        guard let content = try read(Int(header[4]) << 8 | Int(header[5])), try read(Int(header[6])) != nil else { return nil }
        return (header[1], content)
    }

    private func read(_ count: Int) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let piece = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + got, count - got, 0) }
            if piece < 0, errno == EAGAIN { throw TestSupportError("no answer for 15 seconds") }
            guard piece > 0 else { return nil }
            got += piece
        }
        return bytes
    }
}

func withAddress<T>(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}
