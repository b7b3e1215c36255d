import Foundation
import Testing

@testable import HTTPClient

@Suite struct MailTests {
    private func mail(
        _ server: ScriptedMailServer, to: String = "ada@example.org", _ text: String = "Subject: x\r\n\r\nHi\r\n", user: String? = nil,
        tls: Bool = false, isPrivate: Bool = true
    ) -> MailRequest {
        MailRequest(
            url: server.url, requiresTLS: tls, user: user, password: user.map { _ in "secret" }, from: "team@shop.example", to: to,
            message: Array(text.utf8), allowsPrivateAddress: isPrivate)
    }

    /// What comes of one mail.
    private func send(_ request: MailRequest, limits: HTTPLimits = HTTPLimits()) -> Result<HTTPResponse, HTTPFailure> {
        let client = HTTPMultiClient(connections: 4, limits: limits)
        client.submit(request, tag: 1)
        while true {
            if let done = client.wait(timeoutMilliseconds: 1000).first { return done.outcome }
        }
    }

    private func reply(_ outcome: Result<HTTPResponse, HTTPFailure>) -> String {
        switch outcome {
        case .success(let answer): "\(answer.mailPhase.map { "\($0)" } ?? "none") \(answer.status)"
        case .failure(let failure): "\(failure.kind)"
        }
    }

    @Test func `a mail arrives as it was written, its dots too`() throws {
        let server = try ScriptedMailServer()
        defer { server.stop() }
        let text = ".first\r\nSubject: x\r\n\r\n.\r\n..two\r\nend.\r\n.last"
        #expect(reply(send(mail(server, text))) == "message 250")
        let taken = try #require(server.ledger.first)
        #expect(taken.data == text.replacingOccurrences(of: "\r\n", with: "\n") + "\n")
        #expect(taken.from.hasPrefix("MAIL FROM:<team@shop.example>") && taken.to == "RCPT TO:<ada@example.org>")
        #expect(server.lines.contains("EHLO client.example"))
    }

    @Test func `a large mail arrives whole`() throws {
        let server = try ScriptedMailServer()
        defer { server.stop() }
        let text = "Subject: x\r\n\r\n" + String(repeating: String(repeating: "y", count: 70) + "\r\n.\r\n", count: 5000)
        #expect(reply(send(mail(server, text))) == "message 250")
        #expect(server.ledger.first?.data == text.replacingOccurrences(of: "\r\n", with: "\n"))
    }

    @Test func `connections are kept for further mails, and no more are opened than are needed`() throws {
        let server = try ScriptedMailServer()
        defer { server.stop() }
        let client = HTTPMultiClient(connections: 3)
        var answers = 0
        for number in 0..<30 { client.submit(mail(server, to: "p\(number)@example.org"), tag: number) }
        while client.inFlight > 0 {
            for done in client.wait(timeoutMilliseconds: 1000) {
                #expect(reply(done.outcome) == "message 250")
                answers += 1
            }
        }
        #expect(answers == 30 && Set(server.ledger.map(\.to)).count == 30)
        #expect(server.connections <= 8, "\(server.connections)")
    }

    @Test func `a server that hangs holds up no other, and no request`() throws {
        let (silent, quick) = (try ScriptedMailServer { line, _ in line == "." ? .silence : .usual }, try ScriptedMailServer())
        defer {
            silent.stop()
            quick.stop()
        }
        let client = HTTPMultiClient(connections: 4, limits: HTTPLimits(totalSeconds: 5))
        client.submit(mail(silent), tag: 0)
        for number in 1...10 { client.submit(mail(quick), tag: number) }
        var answered: Set<Int> = []
        while answered.count < 10 {
            let done = client.wait(timeoutMilliseconds: 1000)
            for done in done { #expect(reply(done.outcome) == "message 250" && answered.insert(done.tag).inserted) }
        }
        #expect(!answered.contains(0) && client.inFlight == 1)
    }

    @Test(
        arguments: [
            ("", "session 554", "554 no"), ("EHLO", "session 421", "421 no"), ("MAIL", "sender 550", "550 5.1.8 no"),
            ("MAIL", "sender 452", "452 no"), ("RCPT", "recipient 550", "550 5.1.1 no"), ("RCPT", "recipient 450", "450 4.2.0 later"),
            ("DATA", "data 554", "554 no"), (".", "message 554", "554 5.7.1 no"), (".", "message 451", "451-4.3.0 a\r\n451 4.3.0 b"),
        ])
    func `a refusal is told with what it was to`(_ command: String, _ expected: String, _ answer: String) throws {
        let server = try ScriptedMailServer { line, _ in
            (command.isEmpty ? line.isEmpty : line.hasPrefix(command)) ? .reply(answer) : line.hasPrefix("HELO") ? .reply(answer) : .usual
        }
        defer { server.stop() }
        let outcome = send(mail(server))
        #expect(reply(outcome) == expected)
        if case .success(let response) = outcome {
            #expect(
                String(decoding: response.body, as: UTF8.self).hasPrefix(answer.prefix(8)),
                "\(String(decoding: response.body, as: UTF8.self))")
        }
        #expect(server.ledger.isEmpty)
    }

    @Test(arguments: [("", "notSent"), ("MAIL", "notSent"), ("RCPT", "notSent"), ("DATA", "notSent"), (".", "unknown")])
    func `a server that hangs up before the end was said has nothing, behind it nobody knows`(_ command: String, _ expected: String) throws
    {
        let server = try ScriptedMailServer { line, _ in (command.isEmpty ? line.isEmpty : line.hasPrefix(command)) ? .hangUp : .usual }
        defer { server.stop() }
        #expect(reply(send(mail(server))) == expected)
        #expect(server.ledger.count == (command == "." ? 1 : 0))
    }

    @Test func `a server that is silent behind the end leaves unknown`() throws {
        let server = try ScriptedMailServer { line, _ in line == "." ? .silence : .usual }
        defer { server.stop() }
        var limits = HTTPLimits()
        limits.mailSeconds = 0.5
        #expect(reply(send(mail(server), limits: limits)) == "unknown")
        let early = try ScriptedMailServer { line, _ in line.hasPrefix("RCPT") ? .silence : .usual }
        defer { early.stop() }
        #expect(reply(send(mail(early), limits: limits)) == "notSent")
    }

    @Test func `one recipient that is refused costs the next mail of the connection nothing`() throws {
        let server = try ScriptedMailServer { line, _ in line == "RCPT TO:<p1@example.org>" ? .reply("550 5.1.1 no") : .usual }
        defer { server.stop() }
        let client = HTTPMultiClient(connections: 1)
        var replies: [Int: String] = [:]
        for number in 0..<3 {
            client.submit(mail(server, to: "p\(number)@example.org"), tag: number)
            while client.inFlight > 0 { for done in client.wait(timeoutMilliseconds: 1000) { replies[done.tag] = reply(done.outcome) } }
        }
        #expect(replies == [0: "message 250", 1: "recipient 550", 2: "message 250"])
    }

    @Test func `a password is said to a server that knows who it is, and only under TLS where that is wanted`() throws {
        let server = try ScriptedMailServer()
        defer { server.stop() }
        #expect(reply(send(mail(server, user: "me"))) == "message 250")
        #expect(server.lines.contains { $0.hasPrefix("AUTH PLAIN") })
        let wrong = try ScriptedMailServer { line, _ in line.hasPrefix("AUTH") ? .reply("535 5.7.8 no") : .usual }
        defer { wrong.stop() }
        #expect(reply(send(mail(wrong, user: "me"))) == "authentication 535")
        // A server without STARTTLS, or somebody between who took it out.
        let plain = try ScriptedMailServer()
        defer { plain.stop() }
        #expect(reply(send(mail(plain, user: "me", tls: true))) == "refused 530")
        #expect(!plain.lines.contains { $0.hasPrefix("AUTH") || $0.hasPrefix("MAIL") }, "\(plain.lines)")
    }

    @Test(arguments: [
        "10.1.2.3", "100.64.0.1", "192.88.99.1", "[2001:2::1]", "[2001:db8::1]", "[3fff::1]", "[64:ff9b::a00:1]", "[64:ff9b:1::101:101]",
        "[::ffff:127.0.0.1]", "[2002:a00:1::]", "[fe80::1]",
    ])
    func `no relay is looked for at an address with a special purpose`(host: String) throws {
        let server = try ScriptedMailServer()
        defer { server.stop() }
        var named = mail(server, isPrivate: false)
        named.url = named.url.replacingOccurrences(of: "127.0.0.1", with: host)
        #expect(reply(send(named)) == "refused 550")
    }

    @Test func `a private address is not talked to, however it is called`() throws {
        let server = try ScriptedMailServer()
        defer { server.stop() }
        #expect(reply(send(mail(server, isPrivate: false))) == "refused 550")
        var named = mail(server, isPrivate: false)
        named.url = named.url.replacingOccurrences(of: "127.0.0.1", with: "localhost")
        #expect(reply(send(named)) == "refused 550")
        #expect(server.connections == 0)
    }

    @Test(arguments: ["a@b.example>\r\nRCPT TO:<c@d.example", "a@b.example\nDATA", "a b@c.example"])
    func `an address that would be another command does not leave`(_ address: String) throws {
        let server = try ScriptedMailServer()
        defer { server.stop() }
        #expect(reply(send(mail(server, to: address))) == "notSent")
        #expect(server.connections == 0)
    }
}
