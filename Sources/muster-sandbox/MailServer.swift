// An SMTP relay that writes into the ledger (RFC 5321), in the clear and on loopback only: a thread per connection.
import Glibc
import JSON
import Secrets
import Synchronization
import Vocabulary
import Web

/// Listens from the first time that somebody asks for its port.
final class MailServer: Sendable {
    static let shared = MailServer()
    private let state = Mutex<Int?>(nil)

    /// - Throws: when there is no port left.
    func port() throws -> Int {
        try state.withLock { port in
            if let port { return port }
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, size) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &size) == 0
                }
            }
            guard isBound else { throw Problem.internalError }
            startThread {
                while true {
                    let connection = accept(listener, nil, nil)
                    guard connection >= 0 else { continue }
                    startThread {
                        var session = MailSession(connection)
                        session.serve()
                    }
                }
            }
            port = Int(UInt16(bigEndian: address.sin_port))
            return port!
        }
    }
}

/// One connection, from greeting to QUIT.
private struct MailSession {
    private let connection: Int32
    private var buffer: [UInt8] = []
    private var from: String?
    private var to: String?

    init(_ connection: Int32) { self.connection = connection }

    mutating func serve() {
        defer { close(connection) }
        say("220 sandbox ESMTP")
        while let line = line() {
            let words = line.split(separator: " ").map(String.init)
            switch words.first?.uppercased() ?? "" {
            case "EHLO": say("250-sandbox\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN")
            case "HELO": say("250 sandbox")
            case "AUTH": authenticate(words)
            case "MAIL":
                from = address(line)
                let isTooMany = FaultPlan.hits(Ledger.shared.plan.tooMany, "\(Ledger.shared.nextNumber())", "429")
                say(isTooMany ? "421 4.3.2 too many" : "250 2.1.0 ok")
            case "RCPT":
                let address = address(line) ?? ""
                func hits(_ share: Double, _ kind: String) -> Bool { FaultPlan.hits(share, address, kind) }
                let plan = Ledger.shared.plan
                if EmailAddress(address) == nil || hits(plan.reject, "reject") {
                    say("550 5.1.1 no such user")
                } else if hits(plan.blocked, "blocked") {
                    say("552 5.2.2 mailbox full")
                } else {
                    to = address
                    say("250 2.1.5 ok")
                }
            case "DATA":
                guard from != nil, to != nil else {
                    say("503 5.5.1 need MAIL and RCPT")
                    continue
                }
                say("354 go on")
                guard let data = data(), take(data) else { return }
            case "RSET":
                (from, to) = (nil, nil)
                say("250 2.0.0 ok")
            case "NOOP": say("250 2.0.0 ok")
            case "QUIT":
                say("221 2.0.0 bye")
                return
            default: say("502 5.5.2 what?")
            }
        }
    }

    /// Keeps a mail, or loses it, as the plan says.
    /// - Returns: whether the connection goes on.
    private mutating func take(_ data: [UInt8]) -> Bool {
        let plan = Ledger.shared.plan
        let address = to ?? ""
        func hits(_ share: Double, _ kind: String) -> Bool { FaultPlan.hits(share, address, kind) }
        if plan.delayMilliseconds > 0 { usleep(UInt32(plan.delayMilliseconds) * 1000) }
        if hits(plan.timeoutBefore, "before") { return false }
        if hits(plan.serverError, "500") {
            say("451 4.3.0 try again")
            return true
        }
        Ledger.shared.add(SandboxMessage(relayed: data, from: from ?? "", to: address))
        (from, to) = (nil, nil)
        if hits(plan.timeoutAfter, "after") || hits(plan.reset, "reset") { return false }
        say("250 2.0.0 queued")
        return true
    }

    private mutating func authenticate(_ words: [String]) {
        switch (words.dropFirst().first?.uppercased(), words.count) {
        case ("PLAIN", 3...): break
        case ("PLAIN", _):
            say("334 ")
            _ = line()
        default:
            for prompt in ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"] {
                say("334 \(prompt)")
                _ = line()
            }
        }
        say("235 2.7.0 ok")
    }

    private func address(_ line: String) -> String? {
        guard let start = line.firstIndex(of: "<"), let end = line.lastIndex(of: ">"), start < end else { return nil }
        return String(line[line.index(after: start)..<end])
    }

    private func say(_ text: String) {
        let bytes = Array((text + "\r\n").utf8)
        _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// `nil`: the client has gone.
    private mutating func line() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = buffer[..<end]
                buffer.removeFirst(end + 1)
                return String(decoding: line.last == 13 ? line.dropLast() : line, as: UTF8.self)
            }
            guard receive() else { return nil }
        }
    }

    /// Up to the line with the dot alone, without the dots that were put before others.
    private mutating func data() -> [UInt8]? {
        var data: [UInt8] = []
        while let line = line() {
            if line == "." { return data }
            data += (line.hasPrefix(".") ? String(line.dropFirst()) : line).utf8
            data += [13, 10]
        }
        return nil
    }

    private mutating func receive() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 16_384)
        let count = recv(connection, &chunk, chunk.count, 0)
        if count > 0 { buffer += chunk[..<count] }
        return count > 0
    }
}

extension SandboxMessage {
    /// A mail as a relay gets it: its headers by name, its content as it came.
    fileprivate init(relayed data: [UInt8], from: String, to: String) {
        let text = String(decoding: data, as: UTF8.self)
        // Swift takes CR LF for one character, so the blank line is two of them.
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
        let head = lines.prefix { !$0.isEmpty }
        var headers = JSONObject()
        var last = ""
        for line in head {
            if line.hasPrefix(" "), let value = headers[last]?.string {
                headers[last] = .string(value + String(line))
            } else if let colon = line.firstIndex(of: ":") {
                last = String(line[..<colon])
                headers[last] = .string(String(line[line.index(after: colon)...].drop { $0 == " " }))
            }
        }
        self.init(
            sid: "relayed-" + hexEncode(Random.bytes(8)), account: "smtp", to: to, from: from, body: text, parts: 1, callbackURL: nil,
            acceptedAt: .now(), status: "sent",
            mail: SandboxMail(
                subject: headers["Subject"]?.string ?? "", html: nil, headers: headers, arguments: [:], eventsURL: nil))
    }
}

/// Starts the relay, where it does not run yet.
func openMailServer(_ call: Call) throws -> Response { .json(["port": JSONValue(try MailServer.shared.port())]) }
