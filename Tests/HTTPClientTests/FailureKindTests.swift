import Foundation
import HTTPClient
import TestSupport
import Testing

/// What is called not sent may be sent again, so it must be provable; and nothing may be sent twice by itself.
@Suite struct FailureKindTests {
    let quick = HTTPLimits(connectSeconds: 0.5, totalSeconds: 0.6)

    @Test(arguments: [
        "http://127.0.0.1:1/", "http://nobody.invalid/", "http://", "file:///etc/hostname", "gopher://127.0.0.1/",
        "http://127.0.0.1:99999/", "not a url", "http://a b/",
    ])
    func `where no connection stands, nothing was sent`(url: String) {
        #expect(kind(HTTPClient(limits: quick).send(HTTPRequest("POST", url, body: [1]))) == .notSent)
    }

    @Test func `a failed TLS handshake has sent nothing`() throws {
        // Speaks no TLS: it waits for the end of an HTTP head, which does not come.
        try withServer({ _, _ in .send(answer()) }) { server in
            let url = server.url.replacingOccurrences(of: "http:", with: "https:")
            #expect(kind(HTTPClient(limits: quick).send(HTTPRequest("POST", url, body: [1]))) == .notSent)
            #expect(server.connectionCount == 1)
            #expect(server.received.isEmpty)
        }
    }

    @Test func `no answer in time leaves it unknown`() throws {
        try withServer({ _, _ in .silence }) { server in
            let began = Date()
            #expect(kind(HTTPClient(limits: quick).send(HTTPRequest("POST", server.url, body: [1]))) == .unknown)
            #expect((0.5...3).contains(Date().timeIntervalSince(began)))
            #expect(server.received.count == 1)
        }
    }

    @Test func `an answer that drips is waited for no longer than one that does not come`() throws {
        try withServer({ _, _ in .drip(pause: 0.05, answer(201, String(repeating: "x", count: 1000))) }) { server in
            let began = Date()
            #expect(kind(HTTPClient(limits: quick).send(HTTPRequest("POST", server.url, body: [1]))) == .unknown)
            #expect((0.5...3).contains(Date().timeIntervalSince(began)))
            let client = HTTPMultiClient(connections: 1, limits: quick)
            client.submit(HTTPRequest("POST", server.url, body: [1]), tag: 7)
            let outcomes = client.wait(timeoutMilliseconds: 3000)
            #expect(outcomes.map(\.tag) == [7] && outcomes.allSatisfy { kind($0.outcome) == .unknown })
            #expect(server.received.count == 2)
        }
    }

    @Test(arguments: ["", "HTT", "HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{\"s", "\u{16}\u{03}nonsense\r\n\r\n"])
    func `an answer that breaks off leaves it unknown`(half: String) throws {
        try withServer({ _, _ in .sendAndClose(half) }) { server in
            #expect(kind(HTTPClient(limits: quick).send(HTTPRequest("POST", server.url, body: [1]))) == .unknown)
            #expect(server.received.count == 1)
        }
    }

    @Test(arguments: [[1], []] as [[UInt8]])
    func `a POST on a kept connection that ends without an answer is not sent again`(body: [UInt8]) throws {
        try withServer({ _, number in number == 0 ? .send(answer()) : number == 1 ? .sendAndClose("") : .send(answer()) }) { server in
            let client = HTTPClient()
            #expect(kind(client.send(HTTPRequest("POST", server.url, body: body))) == nil)
            #expect(kind(client.send(HTTPRequest("POST", server.url, body: body))) == .unknown)
            #expect(server.received.count == 2)
            // And the client is as good as new.
            #expect(kind(client.send(HTTPRequest("POST", server.url, body: body))) == nil)
        }
    }

    @Test func `nor by the send loop's client`() throws {
        try withServer({ request, number in request.line.contains("lost") ? .sendAndClose("") : .send(answer()) }) { server in
            let client = HTTPMultiClient(connections: 1)
            var outcomes: [Int: HTTPFailure.Kind?] = [:]
            for (tag, path) in ["/a", "/lost", "/b", "/lost", "/c"].enumerated() {
                client.submit(HTTPRequest("POST", server.url + path, body: [1]), tag: tag)
                while client.inFlight > 0 {
                    for (tag, outcome) in client.wait(timeoutMilliseconds: 1000) { outcomes[tag] = .some(kind(outcome)) }
                }
            }
            #expect(outcomes == [0: nil, 1: .unknown, 2: nil, 3: .unknown, 4: nil])
            #expect(server.received.count == 5)
        }
    }

    @Test func `a GET on a kept connection that ended is asked again`() throws {
        try withServer({ _, number in number == 1 ? .sendAndClose("") : .send(answer(200, "\(number)")) }) { server in
            let client = HTTPClient()
            _ = try client.send(HTTPRequest("GET", server.url)).get()
            let second = try client.send(HTTPRequest("GET", server.url)).get()
            #expect(second.body == Array("2".utf8))
        }
    }

    @Test func `a connection that was closed while idle is replaced, and the POST sent once`() throws {
        try withServer({ _, _ in .sendAndClose(answer()) }) { server in
            let client = HTTPClient()
            for _ in 0..<5 {
                #expect(kind(client.send(HTTPRequest("POST", server.url, body: [1]))) == nil)
                Thread.sleep(forTimeInterval: 0.02)
            }
            #expect(server.received.count == 5)
        }
    }
}
