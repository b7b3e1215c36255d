import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Whether a message at the provider is ours, or none of them is, or nobody can say.
@Suite struct TraceTests {
    private let start = Instant(rfc3339: "2026-11-21T12:00:00Z")!

    private func told(
        _ number: Int, _ body: String = "Hi", after seconds: Double = 1, from: String? = nil, direction: String = "outbound-api"
    ) -> JSONValue {
        [
            "sid": .string("SM" + String(repeating: "\(number)", count: 32)), "body": .string(body), "status": "delivered",
            "date_created": .string(rfc2822(start + seconds)), "from": JSONValue(from), "direction": .string(direction),
        ]
    }

    private func finding(
        _ messages: [JSONValue], taken: [Int] = [], others: [Double] = [], underWay: Bool = false, next: JSONValue = .null
    ) throws -> String {
        let body: JSONValue = ["messages": .array(messages), "next_page_uri": next]
        let list = try #require(TwilioClient.list(.success(.init(status: 200, body: Array(body.text.utf8)))))
        var found = ""
        try withDatabase { db in
            let rows: [SilentMessage] = try db.dynamic(
                """
                SELECT uuid_v7() AS id, now() AS created_at, uuid_v7() AS sender_id, 'AC' AS account_sid, '+12025550100' AS from_number,
                       '+12025550123' AS to_address, 'Hi' AS body, NULL AS sid, NULL AS provider_status, $1::timestamptz AS started_at, 1 AS attempt
                """, [start.sqlValue])
            let trace = Trace(
                rows[0], list, taken: Set(taken.map { "SM" + String(repeating: "\($0)", count: 32) }), others: others.map { start + $0 },
                areOthersUnderWay: underWay)
            found =
                switch trace.finding {
                case .found(let told): "found \(told.sid.last!)"
                case .uncertain: "uncertain"
                case .none: "none"
                }
        }
        return found
    }

    @Test func `the nearest with the same text that is nobody's is ours`() throws {
        #expect(try finding([told(1)]) == "found 1")
        #expect(try finding([told(1, "Sent from your Twilio trial account - Hi")]) == "found 1")
        #expect(try finding([told(2, after: 20), told(1, after: -2)]) == "found 1")
        #expect(try finding([told(2, after: 20), told(1, after: 2)], taken: [1]) == "found 2")
        #expect(try finding([told(1, from: "+12025550100")]) == "found 1")
    }

    @Test func `nothing of that day that could be it is no trace`() throws {
        #expect(try finding([]) == "none")
        #expect(try finding([told(1)], taken: [1]) == "none")
        #expect(try finding([told(1, after: -90_000), told(2, after: 90_000)]) == "none")
        #expect(try finding([told(1, direction: "inbound")]) == "none")
        #expect(try finding([told(1, after: -90_000)], next: "/more") == "none")
    }

    @Test func `whatever may be it leaves it unknown`() throws {
        #expect(try finding([told(1, "Hi!")]) == "uncertain", "the text may have been changed")
        #expect(try finding([told(1, after: 4000)]) == "uncertain", "a clock may be wrong")
        #expect(try finding([told(1, from: "+12025550199")]) == "uncertain", "it came from another number")
        #expect(try finding([told(1)], underWay: true) == "uncertain", "it may be one whose answer is still to come")
        #expect(try finding([told(1, after: 30)], others: [29]) == "uncertain", "it is nearer to another that is unknown")
        #expect(try finding([], next: "/more") == "uncertain", "there is more")
        #expect(try finding([["sid": "?"]]) == "uncertain", "there is something that is not understood")
    }

    @Test func `times are read as the provider writes them`() throws {
        for text in ["Sat, 21 Nov 2026 17:24:03 +0000", "Thu, 29 Feb 2024 00:00:59 +0000", "Wed, 31 Dec 1969 23:59:59 +0000"] {
            #expect(rfc2822(try #require(instant(rfc2822: text))) == text)
        }
        #expect(instant(rfc2822: "Sat, 1 Aug 2026 10:00:00 -0700") == Instant(rfc3339: "2026-08-01T17:00:00Z"))
        for text in ["", "today", "Sat, 21 Nov 2026", "2026-11-21T17:24:03Z", "Sat, 21 Foo 2026 17:24:03 +0000"] {
            #expect(instant(rfc2822: text) == nil, "\(text)")
        }
    }
}
