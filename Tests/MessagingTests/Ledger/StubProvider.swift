import Foundation

/// A provider that does what a test says: HTTP/1.1 on a port of its own, connections kept, a thread for each.
final class StubProvider: @unchecked Sendable {
    enum Answer {
        /// 201 with a sid made of the message's id.
        case accept
        /// The same, counting so many parts.
        case acceptInParts(Int)
        /// Takes the message and closes without a word.
        case acceptAndHangUp
        /// `code` in Twilio's error body.
        case refuse(status: Int, code: Int, headers: String = "")
        case status(Int)
    }
    struct Received: Sendable {
        let to: String
        let body: String
        /// Our message id, from the status callback's URL.
        let message: String
        let authorization: String
    }

    let port: Int
    private let descriptor: Int32
    private let script: @Sendable (Received, Int) -> Answer
    private let lock = NSLock()
    private var accepted: [Received] = []
    private var requests = 0
    /// Open ones only: a number that was closed may be somebody else's by now.
    private var connections: Set<Int32> = []
    private var isStopped = false

    /// - Parameter script: decides on a request, given how many came before it.
    init(_ script: @escaping @Sendable (Received, Int) -> Answer = { _, _ in .accept }) throws {
        self.script = script
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        descriptor = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 128) == 0 && getsockname(listener, $0, &size) == 0
            }
        }
        guard bound else { throw POSIXError(.EADDRINUSE) }
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [weak self] in
            // Ends with `stop`, and only then gives the number back.
            defer { close(listener) }
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0, let self else { return }
                var one: Int32 = 1
                setsockopt(connection, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(4))
                self.lock.withLock { _ = self.connections.insert(connection) }
                Thread.detachNewThread { self.serve(connection) }
            }
        }
    }

    var url: String { "http://127.0.0.1:\(port)" }
    /// What was accepted, whatever was answered.
    var ledger: [Received] { lock.withLock { accepted } }
    /// Whether every connection has ended, and with it all that was sent on it has been read.
    var isIdle: Bool { lock.withLock { connections.isEmpty } }
    var requestCount: Int { lock.withLock { requests } }

    func stop() {
        lock.withLock {
            if isStopped { return }
            isStopped = true
            shutdown(descriptor, Int32(SHUT_RDWR))
            for connection in connections { shutdown(connection, Int32(SHUT_RDWR)) }
        }
    }

    private func serve(_ connection: Int32) {
        defer {
            lock.withLock {
                connections.remove(connection)
                close(connection)
            }
        }
        var buffer: [UInt8] = []
        while let request = next(connection, &buffer) {
            let number = lock.withLock { () -> Int in
                requests += 1
                return requests - 1
            }
            switch script(request, number) {
            case .accept: take(request, 1, connection)
            case .acceptInParts(let parts): take(request, parts, connection)
            case .acceptAndHangUp:
                lock.withLock { accepted.append(request) }
                shutdown(connection, Int32(SHUT_RDWR))
                return
            case .refuse(let status, let code, let headers):
                write(connection, status, "{\"code\":\(code),\"message\":\"no\",\"status\":\(status)}", headers)
            case .status(let status): write(connection, status, "")
            }
        }
    }

    private func take(_ request: Received, _ parts: Int, _ connection: Int32) {
        lock.withLock { accepted.append(request) }
        let sid = "SM" + request.message.filter { $0 != "-" }
        write(connection, 201, "{\"sid\":\"\(sid)\",\"status\":\"queued\",\"num_segments\":\"\(parts)\"}")
    }

    private func next(_ connection: Int32, _ buffer: inout [UInt8]) -> Received? {
        var chunk = [UInt8](repeating: 0, count: 8192)
        while true {
            let text = String(decoding: buffer, as: UTF8.self)
            if let end = text.range(of: "\r\n\r\n") {
                let head = text[..<end.lowerBound]
                func header(_ name: String) -> String? {
                    head.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name + ":") }
                        .map { $0.drop { $0 != ":" }.dropFirst().trimmingCharacters(in: .whitespaces) }
                }
                let length = header("content-length").flatMap { Int($0) } ?? 0
                let start = head.utf8.count + 4
                if buffer.count >= start + length {
                    let form = String(decoding: buffer[start..<(start + length)], as: UTF8.self)
                    buffer.removeFirst(start + length)
                    var fields: [String: String] = [:]
                    for pair in form.split(separator: "&") {
                        let parts = pair.split(separator: "=", maxSplits: 1).map {
                            $0.replacingOccurrences(of: "+", with: " ").removingPercentEncoding ?? ""
                        }
                        fields[parts[0]] = parts.count > 1 ? parts[1] : ""
                    }
                    let message = (fields["StatusCallback"] ?? "").components(separatedBy: "m=").last ?? ""
                    return Received(
                        to: fields["To"] ?? "", body: fields["Body"] ?? "", message: String(message.prefix(36)),
                        authorization: header("authorization") ?? "")
                }
            }
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return nil }
            buffer += chunk[..<count]
        }
    }

    private func write(_ connection: Int32, _ status: Int, _ body: String, _ headers: String = "") {
        let text = "HTTP/1.1 \(status) X\r\nContent-Type: application/json\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        _ = text.withCString { send(connection, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
    }
}
