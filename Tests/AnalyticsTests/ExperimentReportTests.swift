import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct ExperimentReportTests {
    private let frozenAt = Instant(rfc3339: "2026-11-20T12:00:00Z")!

    @Test func `each variant counts its own people in the test, and nobody who was skipped`() throws {
        try withAnalytics { site throws in
            let contacts = try site.contacts(400)
            let campaign = try experiment(site, test: 5000, measure: "replied")
            var expected: [Int?: [String: Int]] = [:]
            let places = try places(of: contacts, campaign, site)
            for (index, contact) in contacts.enumerated() {
                let place = places[contact]!
                func count(_ measure: String) { expected[place, default: [:]][measure, default: 0] += 1 }
                switch index % 8 {
                case 0:
                    try site.message(
                        LedgerRow(contact: contact, state: "skipped", skipReason: "no_consent", settledAt: frozenAt), of: campaign,
                        frozenAt: frozenAt)
                case 1:
                    try site.message(LedgerRow(contact: contact, state: "pending"), of: campaign, frozenAt: frozenAt)
                    count("recipients")
                    // An answer without a message counts nowhere.
                    try respond("replied", contact, campaign, site)
                default:
                    let isDelivered = index % 8 > 4
                    try site.message(
                        .sent(contact, at: frozenAt + 60, state: isDelivered ? "delivered" : "sent"), of: campaign, frozenAt: frozenAt)
                    for measure in ["recipients", "sent"] + (isDelivered ? ["delivered"] : []) { count(measure) }
                    for (kind, every) in [("replied", place == 1 ? 2 : 5), ("clicked", 3), ("converted", 7), ("opted_out", 11)]
                    where index % every == 0 {
                        try respond(kind, contact, campaign, site)
                        count(kind)
                    }
                }
            }
            let report = try #require(try site.get("/api/analytics/campaigns/\(campaign)").json["experiment"])
            let variants = try #require(report["variants"]?.array)
            #expect(variants.map { $0["name"]?.string } == ["a", "b"], "\(report.text)")
            for (place, told) in [(0, variants[0]), (1, variants[1]), (nil, report["remainder"]!)] as [(Int?, JSONValue)] {
                for measure in ["recipients", "sent", "delivered", "replied", "clicked", "converted", "opted_out"] {
                    #expect(told[measure]?.integer == expected[place]?[measure] ?? 0, "\(measure) \(told.text)")
                }
                #expect(told["opened"] == 0)
            }
            let shares = (0..<2).map { Proportion(count: expected[$0]!["replied"]!, total: expected[$0]!["sent"]!) }
            for (share, told) in zip(shares, variants) {
                #expect(told["rate"]?.real == share.rate && told["interval"] == [.real(share.interval!.low), .real(share.interval!.high)])
            }
            let difference = shares[1].difference(from: shares[0])!
            #expect(report["comparison"]?["better"] == "b" && report["comparison"]?["worse"] == "a", "\(report.text)")
            #expect(report["comparison"]?["interval"] == [.real(difference.low), .real(difference.high)])
            #expect(report["comparison"]?["is_more_than_chance"]?.bool == (difference.low > 0))
            #expect(report["winner"]?.isNull == true && report["measure"] == "replied" && report["test_percent"]?.real == 50)
            try site.db.execute(
                "UPDATE campaign_experiments SET winner = 1, decided_at = now(), decided_by = 'user', reason = 'by_hand', figures = '[]'")
            #expect(try site.get("/api/analytics/campaigns/\(campaign)").json["experiment"]?["winner"] == "b")
        }
    }

    @Test func `without an experiment there is no report, and before anything was sent no rate`() throws {
        try withAnalytics { site throws in
            let plain = try site.campaign(frozenAt: frozenAt)
            #expect(try site.get("/api/analytics/campaigns/\(plain)").json["experiment"]?.isNull == true)
            let campaign = try experiment(site, test: 10_000, measure: nil)
            let report = try #require(try site.get("/api/analytics/campaigns/\(campaign)").json["experiment"])
            #expect(
                report["variants"]?.array?.allSatisfy { $0["sent"] == 0 && $0["rate"]?.isNull == true && $0["interval"]?.isNull == true }
                    == true)
            #expect(report["remainder"]?.isNull == true && report["comparison"]?.isNull == true, "\(report.text)")
        }
    }

    private func experiment(_ site: AnalyticsSite, test: Int, measure: String?) throws -> CampaignID {
        let campaign: CampaignID = try site.db.value(
            """
            INSERT INTO campaigns (workspace_id, name, channel, segment_id, sender_id, body)
            SELECT $1, 'Test', 'sms', uuid_v7(), s.id, 'Hi' FROM senders s WHERE s.workspace_id = $1 RETURNING id
            """, site.workspace.sqlValue)
        try site.db.runDynamic(
            "INSERT INTO campaign_experiments (workspace_id, campaign_id, test_basis_points, winner_by, measure) VALUES ($1, $2, $3, $4, $5)",
            [site.workspace.sqlValue, campaign.sqlValue, test.sqlValue, (test < 10_000 ? "by_hand" : "none").sqlValue, measure.sqlValue])
        try site.db.runDynamic(
            "INSERT INTO campaign_variants (workspace_id, campaign_id, place, name, weight) VALUES ($1, $2, 0, 'a', 1), ($1, $2, 1, 'b', 1)",
            [site.workspace.sqlValue, campaign.sqlValue])
        try site.db.runDynamic(
            "UPDATE campaigns SET status = 'freezing', start_requested_at = $2 WHERE id = $1", [campaign.sqlValue, frozenAt.sqlValue])
        try site.db.runDynamic(
            "UPDATE campaigns SET status = 'sending', frozen_at = $2 WHERE id = $1", [campaign.sqlValue, frozenAt.sqlValue])
        return campaign
    }

    private func places(of contacts: [ContactID], _ campaign: CampaignID, _ site: AnalyticsSite) throws -> [ContactID: Int?] {
        try site.db.transaction { db in
            try db.setWorkspace(site.workspace)
            let places: [Int?] = try db.dynamic(
                "SELECT variant_of($1, c.id) FROM unnest($2::uuid[]) WITH ORDINALITY AS c (id, n) ORDER BY n",
                [campaign.sqlValue, contacts.sqlValue])
            return Dictionary(uniqueKeysWithValues: zip(contacts, places))
        }
    }

    private func respond(_ kind: String, _ contact: ContactID, _ campaign: CampaignID, _ site: AnalyticsSite) throws {
        try site.db.runDynamic(
            "INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at) VALUES ($1, $2, $3, $4, $5)",
            [site.workspace.sqlValue, campaign.sqlValue, kind.sqlValue, contact.sqlValue, (frozenAt + 120).sqlValue])
    }
}
