// Requests that are right: what handlers see, and what arrives.
import FastCGI
import Glibc
import TestSupport
import Testing

@Suite struct ExchangeTests {
    @Test func `parameters arrive in order, long ones and repeated ones, too`() throws {
        try withServed { served throws in
            let long = String(repeating: "ä", count: 10_000)
            let parameters = [
                ("A", "1"), ("HTTP_X", "one"), ("HTTP_X", "two"), ("EMPTY", ""), ("LONG", long), (String(repeating: "N", count: 300), "="),
            ]
            let answer = try served.ask(request(parameters))
            #expect(answer.text == parameters.map { "\($0)=\($1)\n" }.joined() + "\n")
            #expect(answer.ended == 0)
        }
        try withResponder(threads: 1) { request, _ in
            let found = [
                request.parameter("HTTP_X") ?? "none", request.parameters("HTTP_X").joined(separator: "+"),
                request.parameter("HTTP") ?? "none",
            ]
            try? request.write(Array(found.joined(separator: " ").utf8))
        } test: { served throws in
            #expect(try served.ask(request([("HTTP_X", "one"), ("HTTP_X", "two")])).text == "one one+two none")
        }
    }

    @Test(arguments: [0, 1, 8_000, 8_192, 65_528, 65_535, 65_536, 1_000_000, 5_000_000])
    func `a body arrives exactly, in whatever records it comes`(size: Int) throws {
        try withServed { served throws in
            let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
            for (piece, padding) in [(65_528, 0), (1 + size / 7, 5), (8_191, 255)] as [(Int, UInt8)] {
                let head = begin() + stream(4, pair("CONTENT_LENGTH", "\(size)"))
                let answer = try served.ask(head + stream(5, body, piece: min(piece, 65_535), padding: padding))
                #expect(Array(answer.output.suffix(size)) == body)
                #expect(answer.output.count == "CONTENT_LENGTH=\(size)\n\n".utf8.count + size)
            }
        }
    }

    @Test func `a body can be read in pieces`() throws {
        try withResponder(threads: 1) { request, notes in
            do {
                try request.streamBody(chunk: 1000) { notes.add("\($0.count)") }
                notes.add("end")
            } catch { notes.add("\(error)") }
        } test: { served throws in
            _ = try served.ask(request(body: [UInt8](repeating: 7, count: 2_500)))
            #expect(served.notes.all == ["1000", "1000", "500", "end"])
            _ = try served.ask(request(body: [UInt8](repeating: 7, count: 1_500), announced: 2_500))
            #expect(served.notes.all.suffix(2) == ["1000", "aborted"])
        }
    }

    @Test func `a body larger than the limit is not read, and the answer still arrives`() throws {
        try withResponder(threads: 1) { request, notes in
            do { _ = try request.readBody(limit: 1000) } catch { notes.add("\(error)") }
            try? request.write(Array("too much".utf8))
        } test: { served throws in
            for size in [1_001, 100_000, 20_000_000] {
                let connection = try served.connect()
                // The answer may come before all is sent.
                connection.send(request(body: [UInt8](repeating: 7, count: size), keep: true))
                let answer = try connection.answer()
                #expect(answer.text == "too much" && answer.ended == 0, "\(size) bytes")
            }
            #expect(served.notes.all == Array(repeating: "tooLarge", count: 3))
        }
    }

    @Test(arguments: [true, false])
    func `a kept connection serves one request after another, whether bodies are read or not`(areRead: Bool) throws {
        try withResponder(threads: 1) { request, _ in
            let body = areRead ? try? request.readBody(limit: 1 << 20) : []
            try? request.write(Array("\(body?.count ?? -1)".utf8))
        } test: { served throws in
            let connection = try served.connect()
            // Many around the size in which libfcgi reads: the end of the body is then in a piece of its own.
            for size in [0, 10, 8_192] + Array(8_080...8_200) + [16_300, 65_528, 100_000, 0] {
                guard connection.send(request(body: [UInt8](repeating: 7, count: size), keep: true)) else {
                    Issue.record("closed before the body of \(size) bytes")
                    return
                }
                let answer = try connection.answer()
                #expect(answer.text == (areRead ? "\(size)" : "0") && answer.ended == 0, "\(size) bytes")
            }
        }
    }

    @Test func `the end of a body may come later than the body`() throws {
        try withServed(threads: 1) { served throws in
            let connection = try served.connect()
            for _ in 0..<5 {
                let whole = request(body: [UInt8](repeating: 7, count: 100), keep: true)
                connection.send(Array(whole.dropLast(8)))
                usleep(20_000)
                // Nobody has closed meanwhile.
                #expect(connection.send(Array(whole.suffix(8))))
                #expect(try connection.answer().ended == 0)
            }
        }
    }

    @Test func `without FCGI_KEEP_CONN the connection ends with the answer`() throws {
        try withServed { served throws in
            let connection = try served.connect()
            connection.send(request())
            #expect(try connection.answer().ended == 0)
            let start = monotonicSeconds()
            #expect(try connection.record() == nil)
            #expect(monotonicSeconds() - start < 1)
        }
    }

    @Test func `a client that keeps the connection open after its answer holds no thread`() throws {
        try withServed(threads: 1) { served throws in
            let lazy = try served.connect()
            lazy.send(request())
            #expect(try lazy.answer().ended == 0)
            let start = monotonicSeconds()
            #expect(try served.ask(request()).ended == 0)
            #expect(monotonicSeconds() - start < 1)
        }
    }

    @Test func `an answer streams while it is made`() throws {
        try withResponder(threads: 1) { request, notes in
            for part in ["one", "two"] {
                try? request.write(Array(part.utf8))
                try? request.flush()
                // The second part is made when the client has the first.
                if part == "one" { try? waitUntil("the client has it") { notes.all == ["got it"] } }
            }
        } test: { served throws in
            let connection = try served.connect()
            connection.send(request())
            #expect(try connection.record().map { String(decoding: $0.content, as: UTF8.self) } == "one")
            served.notes.add("got it")
            #expect(try connection.answer().text == "two")
        }
    }

    @Test func `a large answer arrives whole`() throws {
        try withResponder(threads: 1) { request, _ in
            for n in 0..<2_000 { try? request.write([UInt8](repeating: UInt8(n & 255), count: 1 + n)) }
        } test: { served throws in
            let answer = try served.ask(request())
            #expect(answer.output == (0..<2_000).flatMap { [UInt8](repeating: UInt8($0 & 255), count: 1 + $0) })
        }
    }

    @Test func `an answer that is cut off has no end`() throws {
        try withResponder(threads: 1) { request, _ in
            try? request.write(Array("half".utf8))
            try? request.flush()
            request.abort()
        } test: { served throws in
            let answer = try served.ask(request(keep: true))
            #expect(answer.text == "half" && answer.ended == nil)
        }
    }

    @Test func `many connections at once get each its own answer`() throws {
        try withServed(threads: 4) { served throws in
            let wrong = try inParallel(16) { client in
                let connection = try served.connect()
                var wrong = 0
                for turn in 0..<100 {
                    let body = [UInt8](repeating: UInt8(client), count: turn * 173)
                    connection.send(request([("WHO", "\(client) \(turn)")], body: body, keep: true))
                    let answer = try connection.answer()
                    let head = "WHO=\(client) \(turn)\n" + (body.isEmpty ? "" : "CONTENT_LENGTH=\(body.count)\n") + "\n"
                    if answer.output != Array(head.utf8) + body || answer.ended != 0 { wrong += 1 }
                }
                return wrong
            }
            #expect(wrong.allSatisfy { $0 == 0 })
        }
    }

    @Test func `silent connections cost no thread, and are served when they speak`() throws {
        try withServed(threads: 1) { served throws in
            let silent = try (0..<50).map { _ in try served.connect() }
            #expect(try served.ask(request()).ended == 0)
            for connection in silent {
                connection.send(request(keep: true))
                #expect(try connection.answer().ended == 0)
            }
        }
    }

    @Test func `a descriptor that does not listen is refused at the start`() {
        #expect(throws: FastCGIError.notListening) { try FastCGIServer(threads: 1, descriptor: -1) }
    }
}
