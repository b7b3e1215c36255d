// Peers that get it wrong, and peers that leave. After each of them the responder answers a good request.
import FastCGI
import Glibc
import TestSupport
import Testing

/// What no handler may ever see as a request.
private let malformed: [(what: String, bytes: [UInt8])] = [
    ("another version", record(1, [0, 1, 0, 0, 0, 0, 0, 0], version: 2)),
    ("another version later", begin() + record(4, pair("A", "1"), version: 0)),
    ("text", Array("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".utf8)),
    ("no begin", stream(4, pair("A", "1")) + stream(5, [])),
    ("a body at once", stream(5, [1, 2, 3])),
    ("an end at once", record(3, [0, 0, 0, 0, 0, 0, 0, 0])),
    ("a short begin", record(1, [0, 1, 0, 0])),
    ("a long begin", record(1, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0])),
    ("a begin without id that is more than a question", begin(id: 0) + stream(4, pair("A", "1"), id: 7)),
    ("two begins", begin() + begin() + stream(4, pair("A", "1")) + stream(5, [])),
    ("a body instead of parameters", begin() + stream(5, [1, 2, 3])),
    ("a body among the parameters", begin() + record(4, pair("A", "1")) + stream(5, []) + record(4)),
    ("a type that does not exist", begin() + record(4, pair("A", "1")) + record(77, [1]) + record(4) + record(5)),
    ("parameters of another request", begin() + stream(4, pair("A", "1"), id: 2) + stream(5, [], id: 2)),
    ("requests that are interleaved", begin() + begin(id: 2) + stream(4, pair("A", "1")) + stream(4, pair("A", "2"), id: 2)),
    ("the empty end of another request", begin() + record(4, id: 2) + stream(4, pair("A", "1")) + stream(5, [])),
    ("a name without its value", begin() + stream(4, [4, 4] + Array("NAME".utf8))),
    ("a name that is longer than the rest", begin() + stream(4, [100, 1] + Array("NAME".utf8))),
    ("lengths that are cut off", begin() + stream(4, [0x80, 0x00])),
    ("a name of 2 GB", begin() + record(4, [0xFF, 0xFF, 0xFF, 0xFF, 1] + Array("NAME".utf8))),
    ("a value of 2 GB", begin() + record(4, [1, 0xFF, 0xFF, 0xFF, 0xF0] + Array("NAME".utf8))),
    ("a name and a value of 1 GB", begin() + record(4, [0xC0, 0, 0, 0, 0xC0, 0, 0, 0])),
    ("more parameters than a head has", begin() + (0..<3).flatMap { _ in record(4, [UInt8](repeating: 0, count: 65_534)) }),
    ("an aborted head", begin() + record(4, pair("A", "1")) + record(2) + record(4) + record(5)),
    ("a question inside a head", begin() + record(9, pair("FCGI_MAX_CONNS", ""), id: 0) + stream(4, pair("A", "1"))),
    ("a question inside a body", begin() + stream(4, pair("A", "1")) + record(9, pair("\0", ""), id: 0) + stream(5, [])),
    ("a question whose name is cut off", record(9, [14, 0, 70], id: 0)),
]

@Suite struct MalformedTests {
    @Test(arguments: malformed.indices)
    func `what is malformed ends its connection and reaches no handler`(index: Int) throws {
        let (what, bytes) = malformed[index]
        try withServed(threads: 1) { served throws in
            let connection = try served.connect()
            connection.send(bytes)
            // The client waits for its answer, as a web server does.
            let start = monotonicSeconds()
            let answer = try connection.answer()
            #expect(answer.output.isEmpty, "\(what): \(answer.text)")
            #expect(monotonicSeconds() - start < 5, "\(what)")
            #expect(served.notes.all.isEmpty, "\(what): \(served.notes.all)")
            #expect(try served.ask(request([("GOOD", "1")])).text == "GOOD=1\n\n", "\(what)")
        }
    }

    @Test func `whoever leaves in the middle of a head has asked for nothing`() throws {
        try withServed(threads: 1) { served throws in
            let whole =
                begin() + record(4, pair("A", "1") + pair("LONG", String(repeating: "x", count: 200)))
                + record(4, pair("B", "2")) + record(4)
            for count in 0..<whole.count {
                let connection = try served.connect()
                connection.send(Array(whole[..<count]))
                connection.leave()
            }
            #expect(try served.ask(request()).ended == 0)
            #expect(served.notes.all == ["body 0"])
        }
    }

    @Test func `a head that comes byte by byte is a head`() throws {
        try withServed(threads: 1) { served throws in
            let connection = try served.connect()
            for byte in request([("A", "1")], body: [7, 7, 7]) {
                connection.send([byte])
                usleep(500)
            }
            #expect(try connection.answer().output == Array("A=1\nCONTENT_LENGTH=3\n\n".utf8) + [7, 7, 7])
        }
    }

    @Test func `a body that is cut short, aborted or disturbed is no body`() throws {
        let head = begin(keep: true) + stream(4, pair("CONTENT_LENGTH", "100"))
        let part = record(5, [UInt8](repeating: 7, count: 60))
        let ends: [(String, [UInt8])] = [
            ("the client leaves", []), ("the stream ends", record(5)), ("the request is aborted", record(2)),
            ("the record is cut off", Array(record(5, [UInt8](repeating: 7, count: 40)).dropLast(20))),
            ("another version", record(5, [1], version: 9)), ("parameters follow", record(4, [1, 1, 65, 66])),
            (
                "the empty record of another request hides the rest",
                record(5, id: 2) + record(5, [UInt8](repeating: 7, count: 40)) + record(5)
            ),
        ]
        for (what, end) in ends {
            try withServed(threads: 1) { served throws in
                let connection = try served.connect()
                connection.send(head + part + end)
                connection.sendNoMore()
                // Whoever still listens is told.
                #expect(try connection.answer().text == "aborted", "\(what)")
                #expect(served.notes.all == ["aborted"], "\(what)")
                #expect(try served.ask(request()).ended == 0, "\(what)")
            }
        }
    }

    @Test func `more body than announced is not handed out, and is not the next request`() throws {
        try withServed(threads: 1) { served throws in
            let connection = try served.connect()
            connection.send(request(body: Array("good".utf8) + request([("EVIL", "1")]), keep: true, announced: 4))
            #expect(try connection.answer().text == "CONTENT_LENGTH=4\n\ngood")
            connection.send(request(keep: true))
            #expect(try connection.answer().text == "\n")
            #expect(served.notes.all == ["body 4", "body 0"])
        }
    }

    @Test func `a length that is no number is no body`() throws {
        try withServed(threads: 1) { served throws in
            for length in ["", "-1", "ten", "1e3", "99999999999999999999"] {
                #expect(try served.ask(request([("CONTENT_LENGTH", length)])).ended == 0)
            }
            #expect(served.notes.all == Array(repeating: "body 0", count: 5))
        }
    }

    @Test func `a client that leaves in the middle of its answer ends nothing but its answer`() throws {
        try withResponder(threads: 1) { request, notes in
            do {
                for _ in 0..<2_000 { try request.write([UInt8](repeating: 7, count: 10_000)) }
                notes.add("written")
            } catch { notes.add("\(error)") }
        } test: { served throws in
            for _ in 0..<3 {
                let connection = try served.connect()
                connection.send(request(keep: true))
                _ = try connection.record()
                connection.leave()
            }
            #expect(try served.ask(request()).output.count == 20_000_000)
            #expect(served.notes.all == ["clientGone", "clientGone", "clientGone", "written"])
        }
    }

    @Test func `questions about the application are answered before a request`() throws {
        try withServed(threads: 3) { served throws in
            let connection = try served.connect()
            connection.send(record(9, pair("FCGI_MPXS_CONNS", "") + pair("FCGI_MAX_CONNS", "") + pair("OTHER", ""), id: 0, padding: 3))
            let values = try connection.record()
            #expect(values?.type == 10 && values?.content == pair("FCGI_MAX_CONNS", "3") + pair("FCGI_MPXS_CONNS", "0"))
            connection.send(record(42, [1, 2, 3], id: 0))
            let unknown = try connection.record()
            #expect(unknown?.type == 11 && unknown?.content == [42, 0, 0, 0, 0, 0, 0, 0])
            connection.send(request([("A", "1")]))
            #expect(try connection.answer().text == "A=1\n\n")
        }
    }

    @Test func `repeated and broken names in a question do no harm`() throws {
        try withServed(threads: 1) { served throws in
            let connection = try served.connect()
            connection.send(record(9, (0..<500).flatMap { _ in pair("FCGI_MAX_CONNS", "") + pair("FCGI_MAX_REQS", "x") }, id: 0))
            #expect(try connection.record()?.content == pair("FCGI_MAX_CONNS", "1") + pair("FCGI_MAX_REQS", "1"))
            connection.send(record(9, pair("\0", "") + pair("FCGI_MAX_CONNS\0", "\0"), id: 0))
            #expect(try connection.record()?.content == [])
            #expect(try served.ask(request()).ended == 0)
        }
    }

    @Test(arguments: [0, 2, 3, 9] as [UInt8])
    func `another role is refused as such`(role: UInt8) throws {
        try withServed(threads: 1) { served throws in
            #expect(try served.ask(begin(role: role) + stream(4, pair("A", "1")) + stream(5, [])).ended == 3)
            #expect(served.notes.all.isEmpty)
            #expect(try served.ask(request()).ended == 0)
        }
    }

    @Test func `random bytes and damaged requests never end or block a responder`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = Seeded(seed)
        try withServed(threads: 2) { served throws in
            for round in 0..<400 {
                let connection = try served.connect()
                connection.send(round % 4 == 0 ? noise(&random) : damagedRequest(&random))
                // Some leave at once, some wait for an answer, as far as there is one.
                if Bool.random(using: &random) {
                    connection.leave()
                } else {
                    connection.sendNoMore()
                    _ = try connection.answer()
                }
            }
            #expect(try served.ask(request([("GOOD", "1")])).text == "GOOD=1\n\n", "seed \(seed)")
        }
    }
}

private func noise(_ random: inout Seeded) -> [UInt8] {
    (0..<Int.random(in: 1...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
}

private func damagedRequest(_ random: inout Seeded) -> [UInt8] {
    let body = [UInt8](repeating: 7, count: Int.random(in: 0...20_000, using: &random))
    let header = String(repeating: "x", count: Int.random(in: 0...500, using: &random))
    var bytes = request([("A", "1"), ("HTTP_X", header)], body: body, keep: Bool.random(using: &random))
    for _ in 0..<Int.random(in: 1...8, using: &random) {
        // Mostly where headers and lengths are.
        let end = Bool.random(using: &random) ? min(60, bytes.count) : bytes.count
        bytes[Int.random(in: 0..<end, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    guard Int.random(in: 0..<3, using: &random) == 0 else { return bytes }
    return Array(bytes[..<Int.random(in: 1...bytes.count, using: &random)])
}
