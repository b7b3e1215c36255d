// Random contacts: dirty values, deeds, and a past.
@testable import Audience
import Foundation
import JSON
import Vocabulary

/// SplitMix64: a seed that is printed is a run that can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Makes values, contacts and rules.
struct RuleDice {
    var generator: SeededGenerator
    /// What there is in the workspace, as ids. Rules read what there is.
    var segments: [String] = []
    var lists: [String] = []
    var campaigns: [String] = []
    /// While a `where` is made, fields are properties.
    var isInsideEvent = false

    static let now = Instant(rfc3339: "2026-11-21T12:34:56.5Z")!
    static let types: [String: String] = [
        "attributes.t": "text", "attributes.n": "number", "attributes.b": "boolean", "attributes.d": "date",
        "attributes.m": "time", "attributes.g": "tags", "attributes.o.k": "text", "attributes.o.n": "number", "email": "email",
        "phone": "phone", "status": "text", "tags": "tags", "last_contacted_at": "time", "created_at": "time",
    ]
    static let recorded = types.keys.filter { !["last_contacted_at", "created_at", "email", "phone"].contains($0) }.sorted()
    static let eventNames = ["order", "visit", "message.opened", "message.clicked"]
    /// On the edges of windows, and near them.
    static let moments =
        (instants + [
            "2024-02-29T12:00:00Z", "2025-11-21T12:34:56.5Z", "2026-08-21T11:34:56.5Z", "2026-10-21T11:34:56.5Z", "2026-10-22T12:34:56.5Z",
            "2026-11-07T12:34:56.5Z", "2026-11-20T00:34:56.5Z", "2026-11-20T12:34:56.5Z", "2026-11-21T11:04:56.5Z",
            "2026-11-21T12:34:46.5Z",
            "2026-11-21T12:34:56.5Z", "2026-11-01T04:00:00Z", "2026-10-01T04:00:00Z", "2026-01-01T05:00:00Z", "2026-11-20T05:00:00Z",
        ]).map { Instant(rfc3339: $0)! }

    static let texts = [
        "abc", "ABC", "bc", "a", "Straße", "İstanbul", "istanbul", "ΣΊΣΥΦΟΣ", "σίσυφοσ", "é", "É", "😀", "100%", "a_b", "\\", "1",
        "1.5", "true", "[", "-", "x y", "%", "\u{212B}", "ǅ", "NULL", "{}", "\"", "'; DROP TABLE contacts; --",
    ]
    static let days = [
        "2024-02-29", "2023-03-01", "2026-03-08", "2026-11-01", "2026-11-20", "2026-11-21", "2026-11-22", "2025-11-21",
        "2026-12-31", "1969-12-31", "2026-01-31",
    ]
    static let instants = [
        "2026-11-21T03:30:00Z", "2026-11-21T03:30:00+05:30", "2026-11-20T23:59:59.999999Z", "2026-03-08T05:00:00Z",
        "2026-03-08T03:59:59-05:00", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-21T12:34:56Z",
    ]
    static let localTimes = ["2026-03-08T12:00", "2026-11-01T23:30:00", "2026-11-20 22:30:00.5", "2026-10-21T00:00"]
    static let dirt: [JSONValue] = [
        .null, "", true, false, 0, 1, -1, 1.5, 3.0, 1e20, 0.1, -2.5e-7, 9_007_199_254_740_993, "1", "0", "yes", "No", "TRUE", "12.50", "+7",
        "5.", ".5", "1e3", "1e400", "1e4000", "NaN", "Infinity", "-", "2023-02-29", "2026-13-01", "2026-02-30T10:00", "2026-11-21T24:00",
        "0000-01-01", [], ["a"], ["A", "b"], ["a", 1], [1, 2], ["k": "v"], ["x y", "%"], [["a"]], ["abc", "É"], ["NULL", "a,b", "\"{"],
    ]

    mutating func pick<T>(_ values: [T]) -> T { values.randomElement(using: &generator)! }
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
    mutating func several<T>(_ values: [T]) -> [T] { (0...Int.random(in: 0...2, using: &generator)).map { _ in pick(values) } }

    mutating func value() -> JSONValue {
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<4: pick(Self.dirt)
        case 4..<7: .string(pick(Self.texts).precomposedStringWithCanonicalMapping)
        case 7: .string(pick(Self.days))
        case 8: .string(pick(Self.instants))
        default: .string(pick(Self.localTimes))
        }
    }

    mutating func id() -> String {
        let hex = (0..<2).map { _ in String(format: "%016llx", generator.next()) }.joined()
        let digits = Array(hex)
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
    }

    // MARK: Contacts

    mutating func contact(_ number: Int = 0) -> NaiveContact {
        var contact = NaiveContact()
        contact.id = id()
        contact.created = pick(Self.moments)
        contact.columns["created_at"] = .string(contact.created.description)
        var attributes = JSONObject()
        for key in ["t", "n", "b", "d", "m", "g"] where chance(85) { attributes[key] = value() }
        if chance(70) { attributes["o"] = nested() }
        contact.attributes = .object(attributes)
        contact.columns["tags"] = .array(chance(50) ? [] : several(Self.texts).map { .string($0.precomposedStringWithCanonicalMapping) })
        if chance(60) { contact.columns["last_contacted_at"] = .string(pick(Self.instants)) }
        if chance(60) { contact.columns["status"] = .string(pick(["New", "new", "abc", "100%"])) }
        if chance(50) { contact.columns["email"] = .string("u\(number)@\(pick(["example.com", "Example.com", "mail.example.com"]))") }
        if chance(50) { contact.columns["phone"] = .string(pick(["+1204", "+1212", "+1876", "+49", "+44"]) + String(5_550_000 + number)) }
        if chance(60) { contact.zone = pick(["Asia/Tokyo", "America/New_York", "Europe/Berlin", "Not/AZone"]) }
        deeds(&contact)
        past(&contact)
        return contact
    }

    private mutating func nested() -> JSONValue { chance(70) ? ["k": value(), "n": value()] : value() }

    private mutating func deeds(_ contact: inout NaiveContact) {
        for _ in 0..<Int.random(in: 0...7, using: &generator) {
            var properties: JSONObject = ["amount": value(), "kind": value()]
            if chance(50) { properties["o"] = ["k": value()] }
            if chance(50) { properties["when"] = .string(pick(Self.instants)) }
            if !campaigns.isEmpty, chance(80) { properties["campaign_id"] = .string(chance(80) ? pick(campaigns) : pick(Self.texts)) }
            contact.events.append(
                .init(id: id(), name: pick(Self.eventNames), at: pick(Self.moments), properties: .object(properties)))
        }
        for list in lists where chance(40) { contact.lists.insert(list) }
        for channel in ["sms", "email"] where chance(60) { contact.consents[channel] = pick(["opted_in", "opted_out"]) }
        for campaign in campaigns where chance(60) {
            let (sent, settled) = (pick(Self.moments), pick(Self.moments))
            contact.messages.append(
                pick([
                    .init(campaign: campaign, state: "pending"), .init(campaign: campaign, state: "sent", sent: sent),
                    .init(campaign: campaign, state: "delivered", sent: sent, settled: settled),
                    .init(campaign: campaign, state: "undelivered", sent: sent, settled: settled),
                    .init(campaign: campaign, state: "failed", settled: settled),
                    .init(campaign: campaign, state: "failed", sent: sent, settled: settled),
                ]))
        }
        for campaign in campaigns {
            for kind in ["replied", "clicked", "opted_out", "converted"] where chance(15) {
                contact.responses.append(.init(campaign: campaign, kind: kind, at: pick(Self.moments)))
            }
            if chance(20) { contact.replies.append(.init(campaign: campaign, kind: pick(["stop", "none"]), at: pick(Self.moments))) }
        }
    }

    /// What the fields were, back from what they are; and stays in segments.
    private mutating func past(_ contact: inout NaiveContact) {
        let since = Self.moments.filter { $0 >= contact.created && $0 <= Self.now }
        for key in [
            "status", "tags", "attributes.t", "attributes.n", "attributes.b", "attributes.d", "attributes.m", "attributes.g",
            "attributes.o",
        ] where chance(40) {
            var after = key.hasPrefix("attributes.") ? contact.attributes[String(key.dropFirst(11))] : contact.columns[key]
            for at in Set(several(since)).sorted(by: >) {
                let before: JSONValue? =
                    switch key {
                    case "status": chance(20) ? nil : .string(pick(["New", "abc", "1"]))
                    case "tags": .array(several(Self.texts).map { .string($0.precomposedStringWithCanonicalMapping) })
                    case "attributes.o": chance(20) ? nil : nested()
                    default: chance(20) ? nil : value()
                    }
                if before == after { continue }
                contact.changes.append(.init(key: key, at: at, before: before, after: after))
                after = before
            }
        }
        for segment in segments where chance(60) {
            let turns = Set(several(since) + several(since)).sorted()
            contact.stays[segment] = stride(from: 0, to: turns.count, by: 2).map {
                .init(from: turns[$0], to: $0 + 1 < turns.count ? turns[$0 + 1] : nil)
            }
        }
    }
}
