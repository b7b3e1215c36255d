// The end: what was accepted is answered, nothing new is accepted, and nobody is left waiting.
import FastCGI
import Glibc
import TestSupport
import Testing

@Suite struct DrainTests {
    @Test func `requests in flight are answered, and who comes later is not accepted`() throws {
        try withResponder(threads: 2) { request, notes in
            notes.add("started")
            try? waitUntil("the drain has begun") { notes.all.contains("draining") }
            usleep(50_000)
            try? request.write(Array("done".utf8))
        } test: { served throws in
            let running = try (0..<2).map { _ in try served.connect() }
            for connection in running { connection.send(request(keep: true)) }
            try waitUntil("both run") { served.notes.all.count == 2 }
            served.stop()
            // The socket is still there, as systemd keeps it for the next process.
            let late = try served.connect()
            late.send(request())
            served.notes.add("draining")
            for connection in running {
                #expect(try connection.answer() == Answer(output: Array("done".utf8), ended: 0))
                // A kept connection is not kept any longer.
                #expect(try connection.record() == nil)
            }
            try served.waitForEnd(seconds: 5)
            #expect(served.notes.all.filter { $0 == "started" }.count == 2)
            #expect(try late.answer().ended == nil)
        }
    }

    @Test func `a request on an accepted connection is answered, even when it has to wait for a thread`() throws {
        try withResponder(threads: 1) { request, notes in
            notes.add("started")
            if notes.all.count == 1 { try? waitUntil("the drain has begun") { notes.all.contains("draining") } }
            try? request.write(Array("done".utf8))
        } test: { served throws in
            let waiting = try served.connect()
            usleep(100_000)
            let running = try served.connect()
            running.send(request())
            try waitUntil("it runs") { served.notes.all.count == 1 }
            waiting.send(request())
            served.stop()
            served.notes.add("draining")
            #expect(try running.answer().text == "done")
            #expect(try waiting.answer().text == "done")
        }
    }

    @Test func `idle connections are closed at once, not when the slowest request has ended`() throws {
        try withResponder(threads: 2) { request, notes in
            if request.parameter("SLOW") != nil {
                notes.add("slow")
                try? waitUntil("the others are gone", seconds: 10) { notes.all.contains("gone") }
            }
            try? request.write(Array("done".utf8))
        } test: { served throws in
            let idle = try (0..<5).map { _ in try served.connect() }
            for connection in idle {
                connection.send(request(keep: true))
                #expect(try connection.answer().ended == 0)
            }
            let slow = try served.connect()
            slow.send(request([("SLOW", "1")], keep: true))
            try waitUntil("it runs") { served.notes.all == ["slow"] }
            let start = monotonicSeconds()
            served.stop()
            for connection in idle { #expect(try connection.record() == nil) }
            #expect(monotonicSeconds() - start < 2)
            served.notes.add("gone")
            #expect(try slow.answer().text == "done")
        }
    }

    @Test func `an idle responder ends at once`() throws {
        try withServed(threads: 8) { served throws in
            let idle = try served.connect()
            idle.send(request(keep: true))
            _ = try idle.answer()
            let start = monotonicSeconds()
            served.stop()
            try served.waitForEnd()
            #expect(monotonicSeconds() - start < 1)
        }
    }

    @Test func `under load every request that was accepted has its whole answer`() throws {
        try withServed(threads: 4) { served throws in
            let results = try inParallel(12) { client in
                var (whole, cut) = (0, 0)
                while let connection = try? served.connect() {
                    connection.send(request([("WHO", "\(client)")]))
                    let answer = try connection.answer()
                    if answer.ended == 0, answer.text == "WHO=\(client)\n\n" {
                        whole += 1
                    } else {
                        // Not accepted any more, if nothing came at all.
                        if answer != Answer() { cut += 1 }
                        break
                    }
                    if client == 0, whole == 50 { served.stop() }
                }
                return (whole, cut)
            }
            #expect(results.allSatisfy { $0.1 == 0 } && results.reduce(0) { $0 + $1.0 } >= 50)
            #expect(served.notes.all.count == results.reduce(0) { $0 + $1.0 })
        }
    }
}
