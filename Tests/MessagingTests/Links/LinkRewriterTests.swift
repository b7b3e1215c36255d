import JSON
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct LinkRewriterTests {
    private let rewriter = LinkRewriter(publicURL: "https://muster.example")

    /// Each address by its number, and what was taken for one.
    private func plain(_ text: String) -> (String, [String]) {
        var found: [String] = []
        let written = rewriter.plain(text) { url in
            found.append(url)
            return "KEY\(found.count)"
        }
        return (written.replacing("https://muster.example/l/", with: "~"), found)
    }

    @Test(arguments: plainCases)
    func `addresses in a text become short ones, and nothing else does`(_ text: String, _ expected: String?, _ urls: [String]) {
        let (written, found) = plain(text)
        #expect(written == expected ?? text.replacing("https://muster.example/l/", with: "~"))
        #expect(found == urls)
    }

    @Test func `the same address twice is one link, and a text is counted as long as it will be`() {
        let text = "https://a.example/1 https://a.example/2 https://a.example/1"
        let (written, links) = rewriter.plain(text)
        #expect(links.map(\.url) == ["https://a.example/1", "https://a.example/2"])
        #expect(Set(links.map(\.key)).count == 2)
        #expect(rewriter.counted(text).count == written.count && written.split(separator: " ").first == written.split(separator: " ").last)
        let home = LinkRewriter(publicURL: "http://localhost:8480")
        #expect(home.plain(text).text == text && home.plain(text).links.isEmpty && home.counted(text) == text)
    }

    @Test func `keys have the month in front and never come twice`() throws {
        let november = try #require(Instant(rfc3339: "2026-11-21T00:00:00Z"))
        let keys = (0..<2000).map { _ in LinkKey.new(at: november) }
        #expect(Set(keys).count == 2000)
        #expect(keys.allSatisfy { LinkKey.isPossible($0) && $0.first == keys[0].first })
        #expect(LinkKey.new(at: try #require(Instant(rfc3339: "2026-12-01T00:00:00Z"))).first != keys[0].first)
        for wrong in ["", "0000000000", "00000000000000", "00000000000/", "0000000000ü", "00000000000 "] {
            #expect(!LinkKey.isPossible(wrong))
        }
    }

    private func html(_ html: String, pixel: String? = nil) -> (String, [String]) {
        var found: [String] = []
        let written = rewriter.html(html, pixel: pixel) { url in
            found.append(url)
            return "K\(found.count)"
        }
        return (written.replacing("https://muster.example/l/", with: "~"), found)
    }

    @Test(arguments: htmlCases)
    func `links in HTML become short ones, and nothing else does`(_ text: String, _ expected: String?, _ urls: [String]) {
        let (written, found) = html(text)
        #expect(written == expected ?? text)
        #expect(found == urls)
    }

    @Test func `the pixel stands at the end of the body`() {
        let image = "<img src=\"https://muster.example/o/PIX\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0\">"
        #expect(html("<body>x</body></html>", pixel: "PIX").0 == "<body>x\(image)</body></html>")
        #expect(html("<p>x</p>", pixel: "PIX").0 == "<p>x</p>\(image)")
        let (_, links) = rewriter.html(
            "<a href=\"https://a.example\">x</a><a href=\"https://b.example\">x</a>", besides: rewriter.plain("https://a.example").links)
        #expect(links.map(\.url) == ["https://a.example", "https://b.example", nil] && links.map(\.kind) == ["click", "click", "open"])
    }

    @Test func `both parts of a mail have the same links, the link to leave stays, and the provider tracks nothing besides`() throws {
        let leave = "https://muster.example/u/T"
        let mail = RenderedEmail(
            subject: "S", text: "https://a.example\n\nUnsubscribe: \(leave)\n",
            html: "<a href=\"https://a.example\">x</a><a href=\"\(leave)\">Unsubscribe</a>", unsubscribeURL: leave)
        let (tracked, links) = rewriter.email(mail)
        #expect(links.map(\.url) == ["https://a.example", nil])
        let short = rewriter.shortURL(links[0].key)
        #expect(tracked.text == "\(short)\n\nUnsubscribe: \(leave)\n" && tracked.unsubscribeURL == leave)
        #expect(tracked.html?.hasPrefix("<a href=\"\(short)\">x</a><a href=\"\(leave)\">Unsubscribe</a><img src=\"") == true)
        func settings(_ mail: RenderedEmail) throws -> JSONValue? {
            let origin = EmailOrigin(address: "a@b.example", name: nil, replyTo: nil)
            let request = SendGridClient(baseURL: "").send(mail, to: "x@y.example", message: .new(), sender: .new(), origin, apiKey: "k")
            return try JSONValue(parsing: request.body)["tracking_settings"]
        }
        #expect(try settings(tracked)?["click_tracking"]?["enable"] == false && settings(tracked)?["open_tracking"]?["enable"] == false)
        #expect(try settings(mail)?["click_tracking"] == ["enable_text": false])
    }

    @Test func `no text makes the rewriter hang or crash, and without addresses nothing changes`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var dice = Seeded(seed)
        let pieces = [
            "<a", " href=", "\"", "'", ">", "<", "https://", "http", "a.example", "&amp;", "<!--", "-->", "<style", "</body", "é", "(", ")",
            ".", " ",
        ]
        for _ in 0..<4000 {
            let text = (0..<Int.random(in: 0...14, using: &dice)).map { _ in pieces.randomElement(using: &dice)! }.joined()
            let (written, found) = html(text)
            _ = plain(text)
            if found.isEmpty { #expect(written == text, "seed \(seed)") }
        }
    }
}

/// A text, what becomes of it (`nil`: it stays), and the addresses that were found.
private let plainCases: [(text: String, written: String?, urls: [String])] = [
    ("See https://a.example/x?y=1&z=2#w now", "See ~KEY1 now", ["https://a.example/x?y=1&z=2#w"]),
    ("HTTP://A.example.", "~KEY1.", ["http://A.example"]),
    ("(https://a.example/b_(c)), https://b.example!?", "(~KEY1), ~KEY2!?", ["https://a.example/b_(c)", "https://b.example"]),
    ("“https://a.example” https://ü.example/é", "“~KEY1” ~KEY2", ["https://a.example", "https://%C3%BC.example/%C3%A9"]),
    ("https://a.example\u{a0}x\nhttps://b.example", "~KEY1\u{a0}x\n~KEY2", ["https://a.example", "https://b.example"]),
    ("xhttps://a.example ftp://b.example https:// http:/a javascript:x mailto:a@b.example a.example", nil, []),
    ("https://muster.example/u/abc https://muster.example", nil, []),
    ("https://muster.example.evil.example", "~KEY1", ["https://muster.example.evil.example"]),
    ("", nil, []), ("http", nil, []), ("https:/", nil, []),
]

/// A text, what becomes of it (`nil`: it stays), and the addresses that were found.
private let htmlCases: [(text: String, written: String?, urls: [String])] = [
    (
        "<a href=\"https://a.example/?x=1&amp;y=2\">https://a.example</a>", "<a href=\"~K1\">https://a.example</a>",
        ["https://a.example/?x=1&y=2"]
    ),
    ("<A class='b' HREF = 'http://a.example' >x</A>", "<A class='b' HREF = '~K1' >x</A>", ["http://a.example"]),
    ("<a href=https://a.example>x</a>", "<a href=~K1>x</a>", ["https://a.example"]),
    ("<a data-muster-no-track href=\"https://a.example\">x</a>", nil, []),
    ("<a href=\"https://a.example\" data-muster-no-track=\"\">x</a>", nil, []),
    ("<a href=\"https://muster.example/u/x\">bye</a><a href=\"mailto:a@b.example\">x</a><a href=\"#top\">x</a>", nil, []),
    ("<abbr href=\"https://a.example\"><img src=\"https://a.example\"><link href=\"https://a.example\">", nil, []),
    ("<!-- <a href=\"https://a.example\"> --><style>a{x:\"<a href='https://b.example'>\"}</style>", nil, []),
    ("<a title=\"a > b\" href=\"https://a.example\">x", "<a title=\"a > b\" href=\"~K1\">x", ["https://a.example"]),
    ("<a href=\"https://a.example", "<a href=\"~K1", ["https://a.example"]), ("<a href=", nil, []), ("<a", nil, []), ("<", nil, []),
]
