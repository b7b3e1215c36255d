import HTTPClient
import JSON
import Testing

@testable import Accounts

@Suite struct WebhookURLTests {
    @Test(arguments: [
        "https://example.com", "HTTPS://Example.COM/hooks?a=b%20c&d", "https://example.com:443/", "https://example.com:8443/x",
        "https://a-b.c_d.example.co.uk/", "https://xn--bcher-kva.example/", "https://8.8.8.8/", "https://[2606:4700::1111]:8080/x",
        "https://1e100.net/", "https://example.com:80/",
    ])
    func `a host of the public internet is taken`(url: String) throws {
        try WebhookURL.check(url)
    }

    @Test(arguments: [
        ("http://example.com/", "not_https"), ("ftp://example.com/", "not_https"), ("https:/example.com", "not_https"),
        ("example.com", "not_https"), ("//example.com", "not_https"), ("https:example.com", "not_https"),
        ("file:///etc/passwd", "not_https"), ("unix:///run/muster.sock", "not_https"),
        ("https://user:pass@example.com/", "credentials_in_url"), ("https://example.com@127.0.0.1/", "credentials_in_url"),
        ("https://example.com\\@127.0.0.1/", "bad_character"), ("https://exa mple.com/", "bad_character"),
        ("https://example.com/\r\nHost: x", "bad_character"), ("https://b\u{FC}cher.example/", "bad_character"),
        ("https://example.com/#x", "bad_format"), ("https://", "bad_format"), ("https:///x", "bad_format"),
        ("https://example..com/", "bad_format"), ("https://.example.com/", "bad_format"), ("https://example.com./", "bad_format"),
        ("https://-a.example/", "bad_format"), ("https://ex%61mple.com/", "bad_format"), ("https://[::1/", "bad_format"),
        ("https://[fe80::1%25eth0]/", "bad_format"), ("https://[1.2.3.4]/", "bad_format"), ("https://a,b.example/", "bad_format"),
        ("https://example.com:/", "bad_port"), ("https://example.com:22/", "bad_port"), ("https://example.com:0/", "bad_port"),
        ("https://example.com:65536/", "bad_port"), ("https://example.com:+443/", "bad_port"), ("https://example.com:4a/", "bad_port"),
        ("https://localhost/", "not_public"), ("https://LOCALHOST/", "not_public"), ("https://a.localhost/", "not_public"),
        ("https://intranet/", "not_public"), ("https://db.internal/", "not_public"), ("https://printer.local/", "not_public"),
        ("https://x.onion/", "not_public"), ("https://1.0.0.127.in-addr.arpa/", "not_public"),
        ("https://127.0.0.1/", "not_public"), ("https://10.1.2.3/", "not_public"), ("https://169.254.169.254/latest", "not_public"),
        ("https://2130706433/", "not_public"), ("https://0x7f000001/", "not_public"), ("https://0177.0.0.1/", "not_public"),
        ("https://127.1/", "not_public"), ("https://0x7f.0.0.1/", "not_public"), ("https://127.0.0.0x1/", "not_public"),
        ("https://8.8.8/", "not_public"), ("https://8.8.8.08/", "not_public"), ("https://256.8.8.8/", "not_public"),
        ("https://[::1]/", "not_public"), ("https://[::]/", "not_public"), ("https://[::ffff:8.8.8.8]/", "not_public"),
        ("https://[64:ff9b::808:808]/", "not_public"), ("https://[2002:7f00:1::]/", "not_public"), ("https://[fd00::1]/", "not_public"),
    ])
    func `whatever may lead elsewhere is refused, with its reason`(url: String, code: String) throws {
        let fault = try #require(throws: Fault.self) { try WebhookURL.check(url) }
        #expect(fault.pointer == "/url" && fault.code == code, "\(url): \(fault.code)")
    }

    @Test func `development allows its own house, but nothing malformed`() throws {
        try WebhookURL.check("http://127.0.0.1:8080/x", allowsPrivate: true)
        try WebhookURL.check("https://localhost/", allowsPrivate: true)
        for url in ["http://a@127.0.0.1/", "ftp://127.0.0.1/", "http://127.0.0.1:22/", "http:// /"] {
            #expect(throws: Fault.self) { try WebhookURL.check(url, allowsPrivate: true) }
        }
        #expect(throws: Fault.self) { try WebhookURL.check("https://example.com/" + String(repeating: "x", count: 1981)) }
    }
}

@Suite struct WebhookScheduleTests {
    @Test func `ten attempts in some three days, each after the pause of the schedule and at most a tenth longer`() {
        let shortest = (1..<10).map { WebhookSchedule.pause(after: $0, chance: 0) }
        #expect(shortest == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400])
        #expect(WebhookSchedule.pause(after: 10, chance: 0.5) == nil && WebhookSchedule.pause(after: 11, chance: 0) == nil)
        for attempt in 1..<10 {
            let (low, high) = (WebhookSchedule.pause(after: attempt, chance: 0)!, WebhookSchedule.pause(after: attempt, chance: 0.999)!)
            #expect(low < high && high <= low * 1.1)
        }
    }

    @Test func `a receiver gets the pause that it asks for where that is longer, a day at most`() {
        #expect(WebhookSchedule.pause(after: 1, retryAfter: 60, chance: 0) == 60)
        #expect(WebhookSchedule.pause(after: 4, retryAfter: 60, chance: 0) == 7200)
        #expect(WebhookSchedule.pause(after: 1, retryAfter: 1e9, chance: 0) == 86_400)
        #expect(WebhookSchedule.pause(after: 10, retryAfter: 60, chance: 0) == nil)
    }
}

@Suite struct WebhookOutcomeTests {
    private func outcome(_ status: Int, _ headers: [(String, String)] = [], body: String = "") -> WebhookOutcome {
        WebhookOutcome(.success(HTTPResponse(status: status, headers: headers.map { (name: $0.0, value: $0.1) }, body: Array(body.utf8))))
    }

    @Test func `only 2xx is success, 410 is for good, and everything else is tried again`() {
        for status in [200, 201, 202, 204, 299] { #expect(outcome(status).verdict == .delivered && outcome(status).error == nil) }
        #expect(outcome(410).verdict == .gone)
        for status in [100, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 418, 500, 501] {
            #expect(outcome(status).verdict == .failed(rest: nil) && outcome(status).error?.contains("\(status)") == true, "\(status)")
        }
        let failure = WebhookOutcome(.failure(HTTPFailure(.unknown, "Timeout was reached")))
        #expect(failure.verdict == .failed(rest: nil) && failure.status == nil && failure.error == "No answer: Timeout was reached.")
    }

    @Test func `whoever is too busy rests for as long as they ask, half a minute when they do not, an hour at most`() {
        for status in [429, 502, 503, 504] {
            #expect(outcome(status).verdict == .failed(rest: 30))
            #expect(outcome(status, [("Retry-After", "120")]).verdict == .failed(rest: 120))
            #expect(outcome(status, [("retry-after", "86400")]).verdict == .failed(rest: 3600))
            for odd in ["-1", "soon", "nan", "inf", ""] {
                #expect(outcome(status, [("Retry-After", odd)]).verdict == .failed(rest: 30), "\(odd)")
            }
        }
        #expect(outcome(500, [("Retry-After", "120")]).verdict == .failed(rest: nil))
    }

    @Test func `a KiB of the answer is kept, and it can be stored`() {
        #expect(outcome(200, body: String(repeating: "x", count: 5000)).answer?.utf8.count == 1024)
        #expect(outcome(200).answer == nil)
        #expect(outcome(500, body: "a\0b").answer == "ab")
    }
}
