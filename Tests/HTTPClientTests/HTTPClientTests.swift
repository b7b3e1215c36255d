import Foundation
import HTTPClient
import TestSupport
import Testing

@Suite struct HTTPClientTests {
    @Test func `a request arrives as it was made, and its answer comes back`() throws {
        try withServer({ _, _ in .send(answer(201, "{\"sid\":\"é\"}", "X-One: 1\r\nx-two:  2  \r\nX-Empty:\r\n")) }) { server in
            let response = try HTTPClient().send(
                HTTPRequest(
                    "POST", server.url + "/a%2Fb?c='d", headers: [("Content-Type", "text/plain"), ("X-Empty", "")],
                    body: [0, 1, 255], user: "AC1", password: "p:w")
            ).get()
            let request = try #require(server.received.first)
            #expect(request.line == "POST /a%2Fb?c='d HTTP/1.1")
            #expect(request.body == [0, 1, 255])
            #expect(request.header("content-type") == "text/plain")
            #expect(request.header("x-empty") == "")
            #expect(request.header("authorization") == "Basic " + Data("AC1:p:w".utf8).base64EncodedString())
            #expect(request.header("expect") == nil)
            #expect(response.status == 201)
            #expect(response.header("X-TWO")?.trimmingCharacters(in: .whitespaces) == "2")
            #expect(response.header("x-empty") == "")
            #expect(response.header("x-none") == nil)
            #expect(String(decoding: response.body, as: UTF8.self) == "{\"sid\":\"é\"}")
        }
    }

    @Test(arguments: [204, 301, 302, 307, 400, 404, 429, 500, 503])
    func `any status is an answer, and no redirect is followed`(status: Int) throws {
        try withServer({ _, _ in .send(answer(status, "", "Location: /elsewhere\r\n")) }) { server in
            let response = try HTTPClient().send(HTTPRequest("GET", server.url + "/")).get()
            #expect(response.status == status)
            #expect(server.received.count == 1)
        }
    }

    @Test func `a large body goes out at once, without asking for 100 Continue`() throws {
        try withServer({ request, _ in .send(answer(200, "\(request.body.count)")) }) { server in
            let response = try HTTPClient().send(
                HTTPRequest("POST", server.url + "/", body: [UInt8](repeating: 7, count: 3_000_000))
            ).get()
            #expect(String(decoding: response.body, as: UTF8.self) == "3000000")
            #expect(server.received.first?.header("expect") == nil)
        }
    }

    @Test func `a unix socket stands in for the host`() throws {
        let path = NSTemporaryDirectory() + "/muster-http-\(getpid()).sock"
        try withServer(unixSocket: path, { _, _ in .send(answer(200, "here")) }) { server in
            let response = try HTTPClient().send(HTTPRequest("GET", server.url + "/x", unixSocket: path)).get()
            #expect(String(decoding: response.body, as: UTF8.self) == "here")
            #expect(server.received.first?.header("host") == "provider")
        }
    }

    @Test func `one connection serves one request after another`() throws {
        try withServer({ _, _ in .send(answer(200, "x")) }) { server in
            let client = HTTPClient()
            for _ in 0..<20 { _ = try client.send(HTTPRequest("POST", server.url + "/", body: [1])).get() }
            #expect(server.received.count == 20)
            #expect(server.connectionCount == 1)
        }
    }

    @Test func `a line break in a header never leaves`() throws {
        try withServer({ _, _ in .send(answer()) }) { server in
            for header in [("X-A", "1\r\nX-B: 2"), ("X-A\n", "1"), ("X", "\0")] {
                let outcome = HTTPClient().send(HTTPRequest("GET", server.url + "/", headers: [header]))
                #expect(kind(outcome) == .notSent)
            }
            #expect(kind(HTTPClient().send(HTTPRequest("GET / HTTP/1.1\r\nX: y\r\n\r\nGET", server.url + "/"))) == .notSent)
            #expect(server.received.isEmpty)
        }
    }

    @Test func `an answer beyond the limit is cut off, in its body and in its headers`() throws {
        let limits = HTTPLimits(responseBytes: 1000)
        try withServer({ _, number in
            number == 0
                ? .send(answer(200, String(repeating: "x", count: 1000)))
                : number == 1
                    ? .send(answer(200, String(repeating: "x", count: 1001)))
                    : .send(answer(200, "", String(repeating: "X-Long: \(String(repeating: "y", count: 1000))\r\n", count: 100)))
        }) { server in
            let client = HTTPClient(limits: limits)
            let whole = try client.send(HTTPRequest("GET", server.url + "/")).get()
            #expect(whole.body.count == 1000)
            for _ in 0..<2 {
                let outcome = client.send(HTTPRequest("GET", server.url + "/"))
                #expect(throws: HTTPFailure.self) { try outcome.get() }
                #expect(kind(outcome) == .unknown)
            }
        }
    }
}

/// `nil` for an answer.
func kind(_ outcome: Result<HTTPResponse, HTTPFailure>) -> HTTPFailure.Kind? {
    if case .failure(let failure) = outcome { failure.kind } else { nil }
}
