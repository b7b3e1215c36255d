// A responder in this process, on a socket of its own.
import FastCGI
import Glibc
import Synchronization
import TestSupport
import Vocabulary

/// What handlers noticed, in the order in which they did.
final class Notes: Sendable {
    private let notes = Mutex<[String]>([])
    func add(_ note: String) { notes.withLock { $0.append(note) } }
    var all: [String] { notes.withLock { $0 } }
}

final class Served: Sendable {
    let path = "/tmp/muster-fastcgi.\(UUID.v7()).sock"
    let notes = Notes()
    private let server: FastCGIServer
    private let hasEnded = Atomic<Bool>(false)

    init(threads: Int, _ handle: @escaping @Sendable (FastCGIRequest, Notes) -> Void) throws {
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard withAddress(path, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw TestSupportError("cannot listen on \(path)")
        }
        let server = try FastCGIServer(threads: threads, descriptor: listener)
        self.server = server
        startThread { [self] in
            let notes = self.notes
            server.run { { request in handle(request, notes) } }
            // As a process does when it ends; systemd would keep the socket.
            close(listener)
            hasEnded.store(true, ordering: .sequentiallyConsistent)
        }
    }

    func connect() throws -> WebServer { try WebServer(path) }

    /// One request on a connection of its own.
    func ask(_ bytes: [UInt8]) throws -> Answer {
        let connection = try connect()
        connection.send(bytes)
        return try connection.answer()
    }

    func stop() { server.stop() }

    func waitForEnd(seconds: Double = 15) throws {
        try waitUntil("the responder has ended", seconds: seconds) { hasEnded.load(ordering: .sequentiallyConsistent) }
    }
}

/// Answers with the parameters it got, one a line, and the body after an empty line; or with what was wrong with it.
@Sendable func echo(_ request: FastCGIRequest, _ notes: Notes) {
    do {
        let body = try request.readBody(limit: 32 << 20)
        notes.add("body \(body.count)")
        for (name, value) in request.parameters where name != "FCGI_ROLE" { try request.write(Array("\(name)=\(value)\n".utf8)) }
        try request.write([10])
        try request.write(body)
    } catch {
        notes.add("\(error)")
        try? request.write(Array("\(error)".utf8))
    }
}

/// A responder with a handler of the test's own.
func withResponder(
    threads: Int, _ handle: @escaping @Sendable (FastCGIRequest, Notes) -> Void, test: (Served) throws -> Void
) throws {
    let served = try Served(threads: threads, handle)
    defer {
        served.stop()
        unlink(served.path)
    }
    try test(served)
}

/// A responder that echoes.
func withServed(threads: Int = 2, _ test: (Served) throws -> Void) throws {
    try withResponder(threads: threads, echo, test: test)
}
