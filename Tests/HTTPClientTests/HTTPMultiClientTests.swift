import Foundation
import HTTPClient
import TestSupport
import Testing

@Suite struct HTTPMultiClientTests {
    @Test func `every request has one outcome, over no more connections than allowed`() throws {
        try withServer({ request, _ in .send(answer(200, String(decoding: request.body, as: UTF8.self))) }) { server in
            let client = HTTPMultiClient(connections: 8)
            for tag in 0..<300 { client.submit(HTTPRequest("POST", server.url, body: Array("\(tag)".utf8)), tag: tag) }
            var seen: [Int: String] = [:]
            while client.inFlight > 0 {
                for (tag, outcome) in client.wait(timeoutMilliseconds: 1000) {
                    #expect(seen[tag] == nil)
                    seen[tag] = String(decoding: try outcome.get().body, as: UTF8.self)
                }
            }
            #expect(seen == Dictionary(uniqueKeysWithValues: (0..<300).map { ($0, "\($0)") }))
            #expect(server.connectionCount <= 8)
        }
    }

    @Test func `a slow answer holds up nobody else`() throws {
        try withServer({ request, _ in request.line.contains("slow") ? .after(seconds: 0.5, answer()) : .send(answer()) }) { server in
            let client = HTTPMultiClient(connections: 4)
            client.submit(HTTPRequest("POST", server.url + "/slow"), tag: 0)
            var order: [Int] = []
            for tag in 1...20 { client.submit(HTTPRequest("POST", server.url + "/"), tag: tag) }
            while client.inFlight > 0 { order += client.wait(timeoutMilliseconds: 1000).map(\.tag) }
            #expect(order.count == 21)
            #expect(order.last == 0)
        }
    }

    @Test func `requests that time out end as unknown, those still waiting for a connection as not sent`() throws {
        try withServer({ _, _ in .silence }) { server in
            let client = HTTPMultiClient(connections: 1, limits: HTTPLimits(connectSeconds: 1, totalSeconds: 0.4))
            for tag in 0..<3 { client.submit(HTTPRequest("POST", server.url, body: [1]), tag: tag) }
            var kinds: [Int: HTTPFailure.Kind?] = [:]
            let began = Date()
            while client.inFlight > 0, Date().timeIntervalSince(began) < 5 {
                for (tag, outcome) in client.wait(timeoutMilliseconds: 100) { kinds[tag] = .some(kind(outcome)) }
            }
            #expect(kinds.count == 3)
            let unknown = kinds.values.filter { $0 == .unknown }.count
            // What left is read in the end, also by a server that was slower than the time-out.
            try waitUntil("the server has read what left") { server.received.count >= unknown }
            #expect(unknown == server.received.count)
            #expect(kinds.values.filter { $0 == .notSent }.count == 3 - server.received.count)
        }
    }

    @Test func `waiting ends at the time-out, and at once when nothing is under way`() throws {
        try withServer({ _, _ in .silence }) { server in
            let client = HTTPMultiClient(connections: 1)
            let began = Date()
            #expect(client.wait(timeoutMilliseconds: 2000).isEmpty)
            #expect(Date().timeIntervalSince(began) < 0.5)
            client.submit(HTTPRequest("POST", server.url), tag: 1)
            #expect(client.wait(timeoutMilliseconds: 150).isEmpty)
            #expect((0.1...1).contains(Date().timeIntervalSince(began)))
            #expect(client.inFlight == 1)
            // Dropping it now must not crash.
        }
    }

    @Test func `a request that must not leave has an outcome all the same`() {
        let client = HTTPMultiClient(connections: 1)
        client.submit(HTTPRequest("GET", "http://127.0.0.1:1/", headers: [("X", "\n")]), tag: 9)
        #expect(client.inFlight == 1)
        let done = client.wait(timeoutMilliseconds: 10)
        #expect(done.map(\.tag) == [9])
        #expect(done.map { kind($0.outcome) } == [.notSent])
        #expect(client.inFlight == 0)
    }
}
