import JSON
import Testing
import Vocabulary

@testable import Messaging

/// Which of the messages that wait for a number were sent already.
@Suite struct SightingTests {
    /// - Returns: letters of those that were found with the number of the provider's message, then of those in doubt.
    private func sighting(_ waiting: [String?], shown: [String], unknown: [String] = []) -> String {
        let ids = waiting.map { _ in MessageID.new() }
        let messages = shown.enumerated().compactMap { index, body in
            TwilioMessage([
                "sid": .string("SM" + String(repeating: "\(index)", count: 32)), "to": "+12025550123", "body": .string(body),
                "status": "delivered", "direction": "outbound-api",
                "date_created": .string(rfc2822(Instant(rfc3339: "2026-11-21T12:00:00Z")! + Double(index))),
            ])
        }
        let sighting = Sighting(
            waiting: zip(ids, waiting).map { Sighting.Waiting(id: $0, text: $1) }, shown: messages.reversed(), unknown: unknown,
            isOf: { $0.body == $1 })
        func letter(_ id: MessageID) -> String { String(Array("abc")[ids.firstIndex(of: id)!]) }
        return (sighting.found.map { letter($0.id) + String($0.as.sid.last!) }.sorted() + ["/"] + sighting.inDoubt.map(letter).sorted())
            .joined()
    }

    @Test func `what the provider has was sent, what it has not waits on`() {
        #expect(sighting(["Hi"], shown: []) == "/")
        #expect(sighting(["Hi"], shown: ["Hi"]) == "a0/")
        #expect(sighting(["Hi", "Offer"], shown: ["Hi"]) == "a0/")
        #expect(sighting(["Hi", "Offer"], shown: ["Offer", "Hi"]) == "a1b0/")
    }

    @Test func `of more that wait than the provider has of a text, none is certain`() {
        #expect(sighting(["Hi", "Hi"], shown: ["Hi"]) == "/ab")
        #expect(sighting(["Hi", "Hi", "Offer"], shown: ["Hi", "Offer"]) == "c1/ab")
        #expect(sighting(["Hi", "Hi"], shown: ["Hi", "Hi"]) == "a0b1/")
        #expect(sighting(["Hi"], shown: ["Hi"], unknown: ["Hi"]) == "/a")
        #expect(sighting(["Hi"], shown: ["Hi", "Hi"], unknown: ["Hi"]) == "a0/")
    }

    @Test func `a text that is nobody's may have been that of one that waits`() {
        #expect(sighting(["Hi Ada"], shown: ["Hi Grace"]) == "/a")
        #expect(sighting([nil], shown: ["Hi"]) == "/a")
        #expect(sighting([nil], shown: []) == "/")
        #expect(sighting(["Hi", "Offer"], shown: ["Hi", "Sale"]) == "a0/b")
        #expect(sighting(["Hi"], shown: ["Offer"], unknown: ["Offer"]) == "/")
    }
}
