import JSON
import PostgreSQL
import TestSupport
import Vocabulary

@testable import Messaging

extension Scene {
    /// Gives the draft an experiment.
    /// - Parameter variants: name, weight, and the text, unless it is the campaign's own.
    func addExperiment(
        _ db: Connection, _ variants: [(String, Int, String?)] = [("a", 1, "A {{ first_name }}"), ("b", 1, "B {{ first_name }}")],
        test: Int = 10_000, winner: WinnerBy = .none, measure: Measure? = nil, after: Int? = nil
    ) throws {
        try db.inWorkspace(workspace) { db in
            try db.run(ExperimentSQL.set, campaign, test, winner.rawValue, measure?.rawValue, after)
            let none = variants.map { _ in nil as String? }
            try db.run(ExperimentSQL.addVariants, campaign, variants.map(\.0), variants.map(\.1), variants.map(\.2), none, none, none)
        }
    }

    /// An automatic winner of whom somebody has replied to.
    func addTest(_ db: Connection, percent: Int = 40) throws {
        try addExperiment(db, test: percent * 100, winner: .automatic, measure: .replied, after: 3600)
    }

    /// By first name: which variant everybody has now, and whether they are in the test.
    func places(_ db: Connection) throws -> [String: (place: Int?, isInTest: Bool)] {
        let rows: [JSONValue] = try db.inWorkspace(workspace) { db in
            try db.dynamic(
                """
                SELECT json_build_object('name', c.first_name, 'place', variant_of($1, c.id),
                           'test', variant_slice($1, p.test, p.bounds, c.id) IS NOT NULL)
                  FROM contacts c CROSS JOIN experiment_plan($1) p
                """, [campaign.sqlValue])
        }
        return Dictionary(uniqueKeysWithValues: rows.map { ($0["name"]!.string!, ($0["place"]!.integer, $0["test"] == true)) })
    }

    /// As if the test had begun two hours ago.
    func letTimePass(_ db: Connection) throws {
        try db.runDynamic(
            "UPDATE campaign_experiments SET begun_at = now() - interval '2 hours' WHERE campaign_id = $1", [campaign.sqlValue])
    }

    /// Somebody of everybody who was sent this variant replies: one in so many.
    func reply(_ db: Connection, to place: Int, oneIn: Int = 1) throws {
        _ = try db.inWorkspace(workspace) { db in
            try db.runDynamic(
                """
                INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
                SELECT current_workspace(), $1, 'replied', m.contact_id, now()
                  FROM (SELECT m.contact_id, row_number() OVER (ORDER BY m.contact_id) AS n FROM messages m
                         WHERE m.campaign_id = $1 AND m.sent_at IS NOT NULL AND variant_of($1, m.contact_id) = $2) m
                 WHERE m.n % $3 = 0
                """, [campaign.sqlValue, place.sqlValue, oneIn.sqlValue])
        }
    }

    /// Whether the provider got from everybody whom it got anything of exactly the text of their variant, once.
    func isRight(_ ledger: [StubProvider.Received], _ db: Connection) throws -> Bool {
        let places = try places(db)
        return Set(ledger.map(\.to)).count == ledger.count
            && ledger.allSatisfy { received in
                let name = "P\(Int(received.to.dropFirst(5))! - 5_550_000)"
                return places[name]?.place.map { received.body == "\(["A", "B", "C"][$0]) \(name)" } ?? false
            }
    }

    func experiment(_ db: Connection) throws -> JSONValue {
        try db.value("SELECT to_json(e) FROM campaign_experiments e WHERE campaign_id = $1", campaign.sqlValue)
    }

    /// How many experiments the workers have to look at again.
    func open(_ db: Connection) throws -> Int {
        try db.value("SELECT count(*) FROM campaign_experiments WHERE released_at IS NULL AND winner_by <> 'none'")
    }

    func waiting(_ db: Connection) throws -> Int {
        try db.value("SELECT count(*) FROM messages m WHERE campaign_id = $1 AND \(Remainder.waits("m"))", campaign.sqlValue)
    }
}
