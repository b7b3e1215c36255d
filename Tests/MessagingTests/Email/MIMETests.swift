import Foundation
import HTTPClient
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Mails are read back by a reader of their own, written from the RFCs and not from the writer.
@Suite struct MIMETests {
    private func message(_ email: RenderedEmail, name: String? = "Shop", to: String = "ada@example.org") -> MIMEMessage {
        MIMEMessage(
            from: EmailOrigin(address: "team@shop.example", name: name, replyTo: "help@shop.example"), to: to, id: "1@shop.example",
            date: Instant(rfc3339: "2026-11-21T17:24:03Z")!, email: email)
    }
    private func mail(_ subject: String = "Hello", _ text: String = "Hi\n", html: String? = nil) -> RenderedEmail {
        RenderedEmail(subject: subject, text: text, html: html, unsubscribeURL: "https://muster.example/u/T")
    }

    @Test func `a mail has the headers that it must have, each once`() throws {
        let read = try ReadMail(message(mail(html: "<p>Hi</p>")).bytes)
        #expect(
            read.headers.map(\.name) == [
                "Date", "Message-ID", "From", "To", "Reply-To", "Subject", "MIME-Version", "List-Unsubscribe", "List-Unsubscribe-Post",
                "Content-Type",
            ])
        #expect(read["Date"] == "Sat, 21 Nov 2026 17:24:03 +0000" && read["Message-ID"] == "<1@shop.example>")
        #expect(read["From"] == "Shop <team@shop.example>" && read["To"] == "<ada@example.org>")
        #expect(read["List-Unsubscribe"] == "<https://muster.example/u/T>" && read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click")
        #expect(read.parts.map(\.type) == ["text/plain; charset=utf-8", "text/html; charset=utf-8"])
        #expect(read.parts.map(\.text) == ["Hi\n", "<p>Hi</p>"])
    }

    @Test func `text alone is no multipart`() throws {
        let read = try ReadMail(message(mail()).bytes)
        #expect(read["Content-Type"] == "text/plain; charset=utf-8" && read.parts.map(\.text) == ["Hi\n"])
    }

    @Test(
        arguments: [
            "Hello", "Grüße aus Köln", "😀 " + String(repeating: "é", count: 300), "a =?utf-8?B?eA==?= b", "two  blanks",
            String(repeating: "x", count: 900),
            "A quite long subject of plain words that has to be folded at some place because it is longer than a line may be",
            "Hi\r\nBcc: all@example.com", "tab\there", "\u{2028}line",
        ])
    func `a subject arrives as one line, whatever it holds`(_ subject: String) throws {
        let bytes = message(mail(subject)).bytes
        let read = try ReadMail(bytes)
        #expect(read["Subject"].map(decodedWords) == oneLine(subject))
        #expect(read.headers.count == 11 && read["Bcc"] == nil)
        #expect(read.longestLine <= 78 || subject.count == 900, "\(read.longestLine)")
    }

    @Test(arguments: ["Shop", "Shop, Inc.", "The \"Shop\" \\ Co", "Größe & Co", "x\r\nBcc: y", String(repeating: "ü", count: 100)])
    func `a name beside the address arrives`(_ name: String) throws {
        let from = try #require(try ReadMail(message(mail(), name: name).bytes)["From"])
        #expect(from.hasSuffix(" <team@shop.example>"))
        var shown = decodedWords(String(from.dropLast(20)))
        if shown.hasPrefix("\"") {
            shown = shown.dropFirst().dropLast().replacingOccurrences(of: "\\\"", with: "\"").replacingOccurrences(of: "\\\\", with: "\\")
        }
        #expect(shown == oneLine(name))
    }

    @Test func `any text survives the journey, in lines that every server takes`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = Seeded(seed)
        let pieces: [String] = [
            "a", "=", " ", "\t", "\n", "\r\n", ".", "ü", "😀", "e\u{301}", "--=_muster", "From ", "=3D", "\u{0}", "\u{7F}", "word ", "\n.\n",
            "\u{85}",
            String(repeating: "z", count: 80), " \n", "=\n",
        ]
        for _ in 0..<300 {
            let text = (0..<Int.random(in: 0...60, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
            let subject = (0..<Int.random(in: 1...30, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
            let read = try ReadMail(message(mail(subject, text, html: text + "<br>")).bytes)
            let expected = text.replacingOccurrences(of: "\r\n", with: "\n")
            #expect(read.parts.map(\.text) == [expected, expected + "<br>"], "seed \(seed)")
            #expect(read["Subject"].map(decodedWords) == oneLine(subject), "seed \(seed)")
            #expect(read.longestLine <= 78, "seed \(seed): \(read.longestLine)")
        }
    }
}

@Suite struct SMTPClientTests {
    private let client = SMTPClient(name: "muster.example", privateHosts: ["127.0.0.1"])
    private func outcome(_ phase: MailPhase?, _ status: Int, _ reply: String = "", attempt: Int = 1) -> SendOutcome {
        var response = HTTPResponse(status: status, body: Array("\(status) \(reply)\r\n".utf8))
        response.mailPhase = phase
        return client.classify(.success(response), sid: "1@shop.example", attempt: attempt)
    }

    @Test func `each reply means what it must`() {
        #expect(outcome(.message, 250) == .sent(sid: "1@shop.example", status: "sent", parts: nil))
        #expect(outcome(.recipient, 550, "5.1.1 no such user") == .rejected(code: 50101, class: .hard))
        #expect(outcome(.recipient, 550, "5.7.1 policy") == .rejected(code: 50701, class: .content))
        #expect(outcome(.recipient, 552, "5.2.2 full") == .rejected(code: 50202, class: .soft))
        #expect(outcome(.recipient, 550, "no") == .rejected(code: 550, class: .soft))
        #expect(outcome(.message, 554, "5.7.1 spam") == .rejected(code: 50701, class: .content))
        #expect(outcome(.message, 554, "no") == .rejected(code: 554, class: .content))
        #expect(outcome(.sender, 550, "5.1.8 who?") == .rejected(code: 50108, class: .configuration))
        #expect(outcome(.sender, 451) == .retryLater(afterSeconds: nil) && outcome(.recipient, 421) == .retryLater(afterSeconds: nil))
        #expect(outcome(.session, 554) == .retryLater(afterSeconds: nil) && outcome(.authentication, 454) == .retryLater(afterSeconds: nil))
        #expect(outcome(.authentication, 535) == .authenticationFailed && outcome(.sender, 530) == .authenticationFailed)
        #expect(outcome(.refused, 550) == .authenticationFailed)
        #expect(client.classify(.failure(HTTPFailure(.notSent, "")), sid: "", attempt: 1) == .retryLater(afterSeconds: nil))
        #expect(client.classify(.failure(HTTPFailure(.unknown, "")), sid: "", attempt: 1) == .unknown(reason: "no_answer"))
        #expect(outcome(nil, 250) == .unknown(reason: "unreadable_answer"))
    }

    @Test func `a recipient that is put off waits by itself, longer each time, and not for ever`() {
        #expect(
            (1...5).map { outcome(.recipient, 450, "4.2.0 later", attempt: $0) } == [
                .deferred(afterSeconds: 120), .deferred(afterSeconds: 240), .deferred(afterSeconds: 480), .deferred(afterSeconds: 960),
                .rejected(code: 40200, class: .soft),
            ])
        #expect(outcome(.message, 451, attempt: 2) == .deferred(afterSeconds: 240))
    }

    @Test func `only a relay that the operator named may be in our own network`() {
        func request(_ host: String, _ security: SMTPCredentials.Security) -> MailRequest {
            client.send(
                RenderedEmail(subject: "x", text: "x", html: nil, unsubscribeURL: ""), to: "a@b.example", message: .new(),
                EmailOrigin(address: "t@shop.example", name: nil, replyTo: nil),
                SMTPCredentials(host: host, port: 587, security: security, username: nil, password: nil))
        }
        #expect(request("127.0.0.1", .none).allowsPrivateAddress && !request("127.0.0.2", .startTLS).allowsPrivateAddress)
        #expect(request("mail.example", .startTLS).requiresTLS && request("mail.example", .tls).requiresTLS)
        #expect(request("mail.example", .tls).url == "smtps://mail.example:587/muster.example")
    }
}

/// A mail as its recipient reads it.
private struct ReadMail {
    struct Part {
        let type: String
        let text: String
    }
    let headers: [(name: String, value: String)]
    let parts: [Part]
    let longestLine: Int
    subscript(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    init(_ bytes: [UInt8]) throws {
        // Every line ends with CR LF, and neither of them stands alone.
        let data = Data(bytes)
        var lines: [Data] = []
        var rest = data[...]
        while let end = rest.range(of: Data("\r\n".utf8)) {
            lines.append(Data(rest[rest.startIndex..<end.lowerBound]))
            rest = rest[end.upperBound...]
        }
        if !rest.isEmpty { lines.append(Data(rest)) }
        struct Broken: Error {}
        if lines.contains(where: { $0.contains(13) || $0.contains(10) }) { throw Broken() }
        longestLine = lines.map(\.count).max() ?? 0
        let texts = lines.map { String(decoding: $0, as: UTF8.self) }
        let (headers, body) = Self.split(texts)
        self.headers = headers
        let type = headers.first { $0.name == "Content-Type" }?.value ?? ""
        if let boundary = type.range(of: "boundary=\"").map({ String(type[$0.upperBound...].dropLast()) }) {
            var sections: [[String]] = []
            var isOver = false
            for line in body {
                if line == "--\(boundary)--" {
                    isOver = true
                } else if line == "--\(boundary)" {
                    sections.append([])
                } else if !isOver, !sections.isEmpty {
                    sections[sections.count - 1].append(line)
                }
            }
            if !isOver { throw Broken() }
            parts = sections.map { section in
                let (headers, body) = Self.split(section)
                return Part(type: headers[0].value, text: Self.decoded(body))
            }
        } else {
            // The last line ends like the others.
            let whole = bytes.suffix(2) == [13, 10]
            parts = [Part(type: type, text: Self.decoded(whole ? body + [""] : body))]
        }
    }

    private static func split(_ lines: [String]) -> ([(name: String, value: String)], [String]) {
        let end = lines.firstIndex(of: "") ?? lines.count
        var headers: [(name: String, value: String)] = []
        for line in lines[..<end] {
            if line.hasPrefix(" ") {
                headers[headers.count - 1].value += line
            } else if let colon = line.firstIndex(of: ":") {
                headers.append((String(line[..<colon]), String(line[line.index(colon, offsetBy: 2)...])))
            }
        }
        return (headers, end < lines.count ? Array(lines[(end + 1)...]) : [])
    }

    /// Quoted-printable.
    private static func decoded(_ lines: [String]) -> String {
        var bytes: [UInt8] = []
        for (index, line) in lines.enumerated() {
            let ascii = Array(line.utf8)
            var position = 0
            var isSoft = false
            while position < ascii.count {
                if ascii[position] == UInt8(ascii: "=") {
                    if position + 1 == ascii.count {
                        isSoft = true
                        break
                    }
                    bytes.append(UInt8(String(decoding: ascii[position + 1...position + 2], as: UTF8.self), radix: 16)!)
                    position += 3
                } else {
                    bytes.append(ascii[position])
                    position += 1
                }
            }
            if !isSoft, index + 1 < lines.count { bytes.append(10) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// RFC 2047: blanks between encoded words are none of the text.
private func decodedWords(_ text: String) -> String {
    var data = Data()
    var wasEncoded = false
    for (index, word) in text.components(separatedBy: " ").enumerated() {
        if word.hasPrefix("=?utf-8?B?"), word.hasSuffix("?="), word.utf8.count <= 75,
            let bytes = Data(base64Encoded: String(word.dropFirst(10).dropLast(2)))
        {
            if index > 0, !wasEncoded { data.append(32) }
            // No word splits a character.
            #expect(String(data: bytes, encoding: .utf8) != nil)
            data += bytes
            wasEncoded = true
        } else {
            if index > 0 { data.append(32) }
            data += Data(word.utf8)
            wasEncoded = false
        }
    }
    return String(decoding: data, as: UTF8.self)
}
