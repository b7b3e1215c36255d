import Foundation

/// An HTTP server that answers as a test says, and keeps a ledger of what reached it.
public final class ScriptedServer: @unchecked Sendable {
    public struct Received: Sendable {
        public let connection: Int
        public let head: String
        public let body: [UInt8]
        public var line: String { String(head.prefix { $0 != "\r\n" }) }
        public func header(_ name: String) -> String? {
            head.components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
                .map { String($0.dropFirst(name.count + 1)).trimmingCharacters(in: .whitespaces) }
        }
    }
    public enum Answer {
        case send(String)
        /// Sends, then ends the connection.
        case sendAndClose(String)
        /// Says nothing until the server stops.
        case silence
        case after(seconds: Double, String)
        /// Byte by byte, with a pause behind each.
        case drip(pause: Double, String)
    }

    public let url: String
    let path: String?
    private let listener: Int32
    private let lock = NSLock()
    private var ledger: [Received] = []
    private var connections = 0
    /// Those that are open: a closed number may already be somebody else's.
    private var open: Set<Int32> = []
    private let script: @Sendable (Received, Int) -> Answer

    /// - Parameter script: decides on a request, given how many came before it.
    public init(unixSocket: String? = nil, _ script: @escaping @Sendable (Received, Int) -> Answer) throws {
        self.script = script
        path = unixSocket
        if let unixSocket {
            unlink(unixSocket)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: unixSocket.utf8) }
            listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            try ScriptedServer.bind(listener, &address)
            url = "http://provider"
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            try ScriptedServer.bind(listener, &address)
            url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        }
        let listener = self.listener
        Thread.detachNewThread { [self] in
            // Ends with `stop`, and only then gives the number back.
            defer { close(listener) }
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                let number = lock.withLock { () -> Int in
                    connections += 1
                    open.insert(connection)
                    return connections
                }
                Thread.detachNewThread { [self] in
                    serve(connection, number)
                    lock.withLock {
                        open.remove(connection)
                        close(connection)
                    }
                }
            }
        }
    }

    public var received: [Received] { lock.withLock { ledger } }
    public var connectionCount: Int { lock.withLock { connections } }

    public func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        lock.withLock { for connection in open { shutdown(connection, Int32(SHUT_RDWR)) } }
        if let path { unlink(path) }
    }

    private static func bind<Address>(_ descriptor: Int32, _ address: inout Address) throws {
        var size = socklen_t(MemoryLayout<Address>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.bind(descriptor, $0, size) == 0 && listen(descriptor, 128) == 0
                    && getsockname(descriptor, $0, &size) == 0
            }
        }
        if !bound { throw POSIXError(.EADDRINUSE) }
    }

    private func serve(_ connection: Int32, _ number: Int) {
        var buffer: [UInt8] = []
        while let request = next(connection, number, &buffer) {
            let before = lock.withLock { () -> Int in
                ledger.append(request)
                return ledger.count - 1
            }
            switch script(request, before) {
            case .send(let text): write(connection, text)
            case .sendAndClose(let text):
                write(connection, text)
                shutdown(connection, Int32(SHUT_RDWR))
                return
            case .silence: continue
            case .after(let seconds, let text):
                Thread.sleep(forTimeInterval: seconds)
                write(connection, text)
            case .drip(let pause, let text):
                for byte in text {
                    guard write(connection, String(byte)) else { return }
                    Thread.sleep(forTimeInterval: pause)
                }
            }
        }
    }

    private func next(_ connection: Int32, _ number: Int, _ buffer: inout [UInt8]) -> Received? {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let end = Data(buffer).range(of: Data("\r\n\r\n".utf8)) {
                let head = Received(connection: number, head: String(decoding: buffer[..<end.lowerBound], as: UTF8.self), body: [])
                let length = head.header("content-length").flatMap { Int($0) } ?? 0
                if buffer.count >= end.upperBound + length {
                    let body = Array(buffer[end.upperBound..<(end.upperBound + length)])
                    buffer.removeFirst(end.upperBound + length)
                    return Received(connection: number, head: head.head, body: body)
                }
            }
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return nil }
            buffer += chunk[..<count]
        }
    }

    /// - Returns: whether somebody still listens.
    @discardableResult
    private func write(_ connection: Int32, _ text: String) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }
}
