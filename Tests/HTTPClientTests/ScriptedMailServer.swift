import Foundation

/// An SMTP server that replies as a test says, and keeps what reached it.
final class ScriptedMailServer: @unchecked Sendable {
    enum Answer {
        /// As a server that has nothing against it.
        case usual
        case reply(String)
        /// Ends the connection without a word.
        case hangUp
        /// Replies, then ends the connection.
        case replyAndHangUp(String)
        /// Says nothing until the client has had enough.
        case silence
    }
    struct Mail: Sendable {
        let connection: Int
        let from: String
        let to: String
        /// Without the dots that were put before others.
        let data: String
    }

    let url: String
    private let listener: Int32
    private let lock = NSLock()
    private var mails: [Mail] = []
    private var said: [String] = []
    private var count = 0
    private let script: @Sendable (String, Int) -> Answer

    /// - Parameter script: decides on a line of a connection, both as they come; `.` is the end of a message.
    init(_ script: @escaping @Sendable (String, Int) -> Answer = { _, _ in .usual }) throws {
        self.script = script
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 64) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw POSIXError(.EADDRINUSE) }
        url = "smtp://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/client.example"
        Thread.detachNewThread { [self] in
            defer { close(descriptor) }
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else { return }
                let number = lock.withLock { () -> Int in
                    count += 1
                    return count
                }
                Thread.detachNewThread { self.serve(connection, number) }
            }
        }
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }
    var ledger: [Mail] { lock.withLock { mails } }
    var lines: [String] { lock.withLock { said } }
    var connections: Int { lock.withLock { count } }

    private func serve(_ connection: Int32, _ number: Int) {
        defer { close(connection) }
        var buffer: [UInt8] = []
        var (from, to) = ("", "")
        func say(_ text: String) {
            let bytes = Array((text + "\r\n").utf8)
            _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
        func line() -> String? {
            var chunk = [UInt8](repeating: 0, count: 8192)
            while true {
                if let end = buffer.firstIndex(of: 10) {
                    let line = String(decoding: buffer[..<end].filter { $0 != 13 }, as: UTF8.self)
                    buffer.removeFirst(end + 1)
                    return line
                }
                let count = recv(connection, &chunk, chunk.count, 0)
                guard count > 0 else { return nil }
                buffer += chunk[..<count]
            }
        }
        /// Whether the conversation goes on, and whether the usual is to be done.
        func plays(_ text: String) -> (goesOn: Bool, isUsual: Bool) {
            lock.withLock { said.append(text) }
            switch script(text, number) {
            case .usual: return (true, true)
            case .reply(let reply):
                say(reply)
                return (true, false)
            case .replyAndHangUp(let reply):
                say(reply)
                return (false, false)
            case .hangUp: return (false, false)
            case .silence:
                while line() != nil {}
                return (false, false)
            }
        }
        let greeting = plays("")
        guard greeting.goesOn else { return }
        if greeting.isUsual { say("220 server.example ESMTP") }
        while let text = line() {
            let step = plays(text)
            guard step.goesOn else { return }
            guard step.isUsual else { continue }
            switch text.prefix(4) {
            case "EHLO": say("250-server.example\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN")
            case "AUTH": say("235 2.7.0 ok")
            case "MAIL":
                from = text
                say("250 2.1.0 ok")
            case "RCPT":
                to = text
                say("250 2.1.5 ok")
            case "DATA":
                say("354 go on")
                var data = ""
                while let next = line() {
                    if next == "." { break }
                    data += (next.hasPrefix(".") ? String(next.dropFirst()) : next) + "\n"
                }
                let end = plays(".")
                // Whoever is not told has it nevertheless; whoever is told otherwise has it not.
                if end.isUsual || !end.goesOn { lock.withLock { mails.append(Mail(connection: number, from: from, to: to, data: data)) } }
                guard end.goesOn else { return }
                if end.isUsual { say("250 2.0.0 queued") }
            case "QUIT":
                say("221 bye")
                return
            default: say("502 5.5.2 what?")
            }
        }
    }
}
