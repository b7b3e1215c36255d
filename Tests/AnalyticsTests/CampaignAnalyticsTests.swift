import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing

import Vocabulary

/// A campaign of random messages over a few days, and what a naive recount of them says.
private struct History {
    var rows: [LedgerRow] = []
    var responses: [(kind: String, contact: ContactID, at: Vocabulary.Instant)] = []
    let frozenAt: Vocabulary.Instant

    init(_ contacts: [ContactID], frozenAt: Vocabulary.Instant, hours: Double, _ random: inout SystemRandomNumberGenerator) {
        self.frozenAt = frozenAt
        for contact in contacts {
            let sentAt = frozenAt + Double.random(in: 0...hours * 3600, using: &random)
            let settledAt = sentAt + Double.random(in: 0...hours * 3600, using: &random)
            let parts = Int.random(in: 1...4, using: &random)
            let code = [30003, 30005, 30006, nil].randomElement(using: &random)!
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                let reason = ["no_consent", "suppressed", "opted_out"].randomElement(using: &random)!
                rows.append(LedgerRow(contact: contact, state: "skipped", skipReason: reason, settledAt: frozenAt))
            case 1: rows.append(LedgerRow(contact: contact, state: "pending"))
            case 2: rows.append(LedgerRow(contact: contact, state: "unknown", parts: parts))
            case 3: rows.append(LedgerRow(contact: contact, state: "failed", errorCode: 21211, parts: parts, settledAt: sentAt))
            case 4:
                rows.append(
                    LedgerRow(contact: contact, state: "failed", errorCode: code, parts: parts, sentAt: sentAt, settledAt: settledAt))
            case 5:
                rows.append(
                    LedgerRow(contact: contact, state: "undelivered", errorCode: code, parts: parts, sentAt: sentAt, settledAt: settledAt))
            case 6: rows.append(LedgerRow(contact: contact, state: "sent", parts: parts, sentAt: sentAt))
            default: rows.append(LedgerRow(contact: contact, state: "delivered", parts: parts, sentAt: sentAt, settledAt: settledAt))
            }
            if rows.last?.state == "delivered", Bool.random(using: &random) {
                let kind = ["replied", "opted_out", "complained", "converted", "clicked"].randomElement(using: &random)!
                responses.append((kind, contact, settledAt + Double.random(in: 0...hours * 3600, using: &random)))
            }
        }
    }

    func store(in site: AnalyticsSite, as campaign: CampaignID) throws {
        try site.db.transaction { db in
            for row in rows { try site.message(row, of: campaign, frozenAt: frozenAt) }
            for response in responses {
                try db.runDynamic(
                    "INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at) VALUES ($1, $2, $3, $4, $5)",
                    [site.workspace.sqlValue, campaign.sqlValue, response.kind.sqlValue, response.contact.sqlValue, response.at.sqlValue])
            }
        }
    }

    /// Everything that happened: what, and when.
    var facts: [(measure: String, at: Vocabulary.Instant)] {
        rows.flatMap { row -> [(String, Vocabulary.Instant)] in
            var facts: [(String, Vocabulary.Instant)] = []
            if let at = row.sentAt { facts.append(("sent", at)) }
            if let at = row.settledAt, row.state != "skipped" { facts.append((row.state, at)) }
            return facts
        } + responses.map { ($0.kind, $0.at) }
    }

    func count(_ measure: String) -> Int { facts.count { $0.measure == measure } }
}

private let measures = ["sent", "delivered", "undelivered", "failed", "replied", "clicked", "opted_out", "complained", "converted"]

@Suite struct CampaignAnalyticsTests {
    @Test(arguments: ["Asia/Kolkata", "America/New_York", "UTC"])
    func `every number equals a recount of the ledger, in total and on the timeline`(zone: String) throws {
        try withAnalytics(timezone: zone) { site in
            var random = SystemRandomNumberGenerator()
            // The clocks of New York go back in the night to the 1st of November.
            let frozenAt = Vocabulary.Instant(rfc3339: "2026-10-30T21:47:00Z")!
            let history = History(try site.contacts(160), frozenAt: frozenAt, hours: 40, &random)
            let campaign = try site.campaign(frozenAt: frozenAt)
            try history.store(in: site, as: campaign)
            let answer = try site.get("/api/campaigns/\(campaign)/analytics")
            #expect(answer.status == 200)
            let body = answer.json
            #expect(body["recipients"]?.integer == history.rows.count)
            for measure in measures { #expect(body[measure]?.integer == history.count(measure), "\(measure)") }
            #expect(body["unknown"]?.integer == history.rows.count { $0.state == "unknown" })
            #expect(body["waiting"]?.integer == history.rows.count { $0.state == "pending" })
            #expect(body["parts"]?.integer == history.rows.reduce(0) { $0 + ($1.sentAt == nil ? 0 : $1.parts ?? 0) })
            let skipped = Dictionary(grouping: history.rows.compactMap(\.skipReason)) { $0 }.mapValues { JSONValue(Optional($0.count)) }
            #expect(Dictionary(uniqueKeysWithValues: (body["skipped"]?.object ?? [:]).map { ($0.key, $0.value) }) == skipped)
            let failed = history.rows.filter { ["failed", "undelivered"].contains($0.state) }
            let codes = Dictionary(grouping: failed, by: \.errorCode).mapValues(\.count)
            let told = (body["failures"]?.array ?? []).map { ($0["code"]?.integer, $0["count"]?.integer ?? 0) }
            #expect(Dictionary(uniqueKeysWithValues: told) == codes)
            for group in ["hour", "day", "week", "month"] {
                try expectTimeline(site, "/api/analytics/campaigns/\(campaign)?group=\(group)", group, zone, history)
            }
        }
    }

    /// Points by Foundation's calendar, which has its own idea of zones.
    private func expectTimeline(_ site: AnalyticsSite, _ target: String, _ group: String, _ zone: String, _ history: History) throws {
        var calendar = Calendar(identifier: .iso8601)
        calendar.timeZone = TimeZone(identifier: zone)!
        let component: Calendar.Component = ["hour": .hour, "day": .day, "week": .weekOfYear, "month": .month][group]!
        var expected: [Vocabulary.Instant: [String: Int]] = [:]
        for fact in history.facts {
            let date = Date(timeIntervalSince1970: Double(fact.at.microseconds) / 1_000_000)
            let start = calendar.dateInterval(of: component, for: date)!.start
            expected[Vocabulary.Instant(microseconds: Int64(start.timeIntervalSince1970 * 1_000_000)), default: [:]][
                fact.measure, default: 0] += 1
        }
        let body = try site.get(target).json
        #expect(body["timezone"]?.string == zone && body["group"]?.string == group)
        let points = body["timeline"]?.array ?? []
        let at = points.compactMap { $0["at"]?.string.flatMap { Vocabulary.Instant(rfc3339: $0) } }
        #expect(
            at == at.sorted() && Set(at).count == at.count && at.first == expected.keys.min() && at.last == expected.keys.max(), "\(group)")
        // Without gaps: each begins where the one before ends.
        for (earlier, later) in zip(at, at.dropFirst()) {
            let date = Date(timeIntervalSince1970: Double(earlier.microseconds) / 1_000_000)
            let end = calendar.dateInterval(of: component, for: date)!.end.timeIntervalSince1970
            #expect(Double(later.microseconds) / 1_000_000 == end, "\(group)")
        }
        for (point, instant) in zip(points, at) {
            for measure in measures {
                #expect(point[measure]?.integer == expected[instant]?[measure] ?? 0, "\(group) \(instant) \(measure)")
            }
        }
    }

    @Test func `rates are fractions of what was sent, and null where nothing was`() throws {
        try withAnalytics { site in
            let frozenAt = Vocabulary.Instant(rfc3339: "2026-11-20T10:00:00Z")!
            let contacts = try site.contacts(5)
            let campaign = try site.campaign(frozenAt: frozenAt)
            let empty = try site.get("/api/campaigns/\(campaign)/analytics").json
            #expect(empty["rates"]?.object?.count == 7 && empty["rates"]?.object?.allSatisfy { $0.value == .null } == true)
            #expect(empty["timeline"] == [] && empty["previous"] == .null && empty["recipients"] == 0)
            for contact in contacts[0..<3] {
                try site.message(.sent(contact, at: frozenAt + 1, state: "delivered"), of: campaign, frozenAt: frozenAt)
            }
            try site.message(.sent(contacts[3], at: frozenAt + 1), of: campaign, frozenAt: frozenAt)
            try site.message(
                LedgerRow(contact: contacts[4], state: "failed", errorCode: 21211, parts: 1, settledAt: frozenAt), of: campaign,
                frozenAt: frozenAt)
            let rates = try site.get("/api/campaigns/\(campaign)/analytics").json["rates"]
            #expect(rates?["delivery_rate"]?.real == 0.75 && rates?["failure_rate"]?.real == 0.2 && rates?["reply_rate"]?.real == 0)
        }
    }

    @Test func `the campaign before is the last one on the same segment`() throws {
        try withAnalytics { site in
            let (segment, other) = (SegmentID.new(), SegmentID.new())
            func day(_ day: Int) -> Vocabulary.Instant { Vocabulary.Instant(rfc3339: "2026-11-\(day)T10:00:00Z")! }
            let first = try site.campaign(frozenAt: day(10), segment: segment)
            _ = try site.campaign(frozenAt: day(11), segment: other)
            let second = try site.campaign(frozenAt: day(12), segment: segment)
            try site.message(.sent(try site.contacts(1)[0], at: day(10) + 5), of: first, frozenAt: day(10))
            let previous = try site.get("/api/campaigns/\(second)/analytics").json["previous"]
            #expect(previous?["campaign_id"]?.string == first.description && previous?["sent"] == 1)
            #expect(try site.get("/api/campaigns/\(first)/analytics").json["previous"] == .null)
        }
    }
}
