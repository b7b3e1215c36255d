// Clients that are slow, that leave, or that lie, on the way through nginx.
import FastCGI
import Glibc
import Synchronization
import TestSupport
import Testing
import Vocabulary

/// A server with contacts, and a key for them.
private func withContacts(
    _ variables: [String: String] = [:], _ body: (ServerUnderTest, _ token: String, _ count: () throws -> Int) throws -> Void
) throws {
    try withServer([.segments], variables: variables) { server throws in
        let owner = try server.database.connect()
        let key = try owner.createAPIKey(in: try owner.createWorkspace())
        try body(server, key.token) { try owner.value("SELECT count(*) FROM contacts") }
    }
}

private func post(_ token: String, _ headers: [String]) -> String {
    ([
        "POST /api/contacts HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: Bearer \(token)",
        "Content-Type: application/json",
    ]
        + headers).joined(separator: "\r\n") + "\r\n\r\n"
}

@Suite struct ClientTests {
    @Test func `a body that is cut short does nothing`() throws {
        try withContacts { server, token, count throws in
            let body = "{\"name\": \"Ada\"}"
            for cut in [0, 1, body.utf8.count - 1] {
                let connection = try RawHTTP(server)
                connection.send(post(token, ["Content-Length: \(body.utf8.count)"]) + body.prefix(cut))
                connection.sendNoMore()
                let answer = connection.answer()
                #expect(!answer.hasPrefix("HTTP/1.1 2"), "\(answer)")
            }
            let chunked = try RawHTTP(server)
            chunked.send(post(token, ["Transfer-Encoding: chunked"]) + "f\r\n" + body.prefix(8))
            chunked.sendNoMore()
            #expect(!chunked.answer().hasPrefix("HTTP/1.1 2"))
            #expect(try count() == 0)
            #expect(try server.send("POST", "/api/contacts", token: token, json: ["name": "Ada"]).status == 201)
        }
    }

    @Test func `a body may come in chunks, and its size is counted then, too`() throws {
        try withContacts { server, token, count throws in
            let small = try RawHTTP(server)
            small.send(post(token, ["Transfer-Encoding: chunked"]) + "8\r\n{\"name\":\r\n7\r\n \"Ada\"}\r\n0\r\n\r\n")
            #expect(small.answer().hasPrefix("HTTP/1.1 201 "))
            let large = try RawHTTP(server)
            large.send(post(token, ["Transfer-Encoding: chunked"]))
            let chunk = "10000\r\n" + String(repeating: " ", count: 65_536) + "\r\n"
            for _ in 0..<17 { guard large.send(chunk) else { break } }
            let answer = large.answer()
            #expect(answer.hasPrefix("HTTP/1.1 413 ") && answer.contains("\"code\":\"too_large\""), "\(answer)")
            #expect(try count() == 1)
        }
    }

    @Test func `lengths that contradict each other are refused`() throws {
        try withContacts { server, token, count throws in
            let body = "{\"name\": \"Ada\"}"
            for headers in [
                ["Content-Length: 15", "Transfer-Encoding: chunked"], ["Content-Length: 15", "Content-Length: 5"], ["Content-Length: -1"],
                ["Content-Length: 15x"], ["Content-Length: 99999999999999999999"], ["Transfer-Encoding: chunked, identity"],
            ] {
                let connection = try RawHTTP(server)
                connection.send(post(token, headers) + body)
                connection.sendNoMore()
                let answer = connection.answer()
                #expect(answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.1 501"), "\(headers): \(answer)")
            }
            #expect(try count() == 0)
        }
    }

    @Test func `slow clients hold up nobody else`() throws {
        // One thread: a single client that it had to wait for would stop everybody.
        try withContacts(["MUSTER_THREADS": "1"]) { server, token, count throws in
            let isOver = Atomic<Bool>(false)
            let slow = try (0..<60).map { _ in try RawHTTP(server) }
            for (index, connection) in slow.enumerated() {
                let request = post(token, ["Content-Length: 500"])
                connection.send(index % 2 == 0 ? String(request.prefix(30)) : request + "{\"name\"")
            }
            let seconds = try inParallel(2) { thread in
                var longest = 0.0
                if thread == 0 {
                    while !isOver.load(ordering: .relaxed) {
                        for connection in slow { connection.send(" ") }
                        usleep(50_000)
                    }
                } else {
                    defer { isOver.store(true, ordering: .relaxed) }
                    for _ in 0..<30 {
                        let start = monotonicSeconds()
                        let answer = try server.send("POST", "/api/contacts", token: token, json: ["name": "Ada"])
                        guard answer.status == 201 else { throw TestSupportError("\(answer.status) \(answer.text)") }
                        longest = max(longest, monotonicSeconds() - start)
                    }
                }
                return longest
            }
            #expect(seconds[1] < 2)
            #expect(try count() == 30)
        }
    }

    @Test func `a session that has ended opens nothing`() throws {
        try withServer([.segments]) { server throws in
            let owner = try server.database.connect()
            let person = try owner.createUser(in: try owner.createWorkspace())
            func status(_ headers: [(String, String)], token: String? = nil) throws -> Int {
                try server.send("GET", "/api/contacts", token: token, headers: headers).status
            }
            #expect(try status([], token: person.token) == 200 && status([("Cookie", "muster=\(person.token)")]) == 200)
            try owner.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
            let refused = try server.send("GET", "/api/contacts", token: person.token)
            #expect(refused.status == 401 && refused.code == "unauthorized" && refused.header("WWW-Authenticate") != nil, "\(refused.text)")
            #expect(try status([("Cookie", "muster=\(person.token)")]) == 401)
        }
    }

    @Test func `headers reach the application under their own names only`() throws {
        try withOwnDatabase { database throws in
            let server = try ServerUnderTest(database, [])
            defer { server.stop() }
            let mirror = try Mirror(server.folder + "/segments-1.sock")
            defer { mirror.stop() }
            try waitUntil("nginx answers") { try server.send("GET", "/api/contacts").status == 200 }
            let lines = [
                "GET /api/contacts HTTP/1.1", "Host: localhost", "Connection: close", "Proxy: http://evil.example.com",
                "X_Workspace_Id: forged",
                "Content_Length: 5", "Authorization_: forged", "Remote-Addr: 10.0.0.1", "Request-Id: forged", "Request_Method: DELETE",
                "X-Workspace-Id: real", "X-Forwarded-For: 10.0.0.1", "Script-Name: /api/keys", "REMOTE_USER: admin",
            ]
            let connection = try RawHTTP(server)
            connection.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
            let seen = connection.answer().split(whereSeparator: \.isNewline)
            func values(_ name: String) -> [String] {
                seen.filter { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
            }
            #expect(values("REQUEST_METHOD") == ["GET"] && values("REMOTE_ADDR") == ["127.0.0.1"] && values("CONTENT_LENGTH") == [""])
            // httpoxy: what the client sent must not be there in any place.
            #expect(!seen.contains { $0.hasPrefix("HTTP_PROXY") })
            #expect(values("HTTP_X_WORKSPACE_ID") == ["real"])
            #expect(!seen.contains { $0.contains("forged") && !$0.hasPrefix("HTTP_REQUEST_ID=") }, "\(seen)")
            #expect(values("REQUEST_ID").count == 1 && values("REQUEST_ID")[0].count == 32 && values("REMOTE_USER") == [""])
        }
    }
}

/// A responder that answers with the parameters it got, one a line.
private final class Mirror: Sendable {
    private let server: FastCGIServer

    init(_ path: String) throws {
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard bound == 0, listen(listener, 64) == 0 else { throw TestSupportError("cannot listen on \(path)") }
        let server = try FastCGIServer(threads: 1, descriptor: listener)
        self.server = server
        startThread {
            server.run {
                { request in
                    let lines = request.parameters.map { "\($0.name)=\($0.value)\n" }.joined()
                    try? request.write(Array("Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n\(lines)".utf8))
                }
            }
            close(listener)
        }
    }

    func stop() { server.stop() }
}
