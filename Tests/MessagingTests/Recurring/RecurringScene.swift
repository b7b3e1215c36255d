import JSON
import PostgreSQL
import TestSupport
import Vocabulary

@testable import Messaging

extension MessagingSite {
    static let recurring = "/api/recurring-campaigns"

    /// Every day at nine in Paris, of the scene's campaign, unless `more` says something else.
    func recur(_ more: JSONObject = [:], as user: TestUser? = nil) throws -> TestAnswer {
        var body: JSONObject = [
            "name": "Offers", "campaign_id": .string(scene.campaign.description), "every": "day", "at": "09:00",
            "time_zone": "Europe/Paris",
        ]
        for member in more { body[member.key] = member.value }
        return try post(Self.recurring, .object(body), as: user)
    }

    /// The path of a new one.
    func recurringPath(_ more: JSONObject = [:]) throws -> String {
        let answer = try recur(more)
        guard let id = answer.json["id"]?.string else { throw TestSupportError(answer.text) }
        return Self.recurring + "/" + id
    }

    /// As if the next occurrence were so long ago.
    func isDue(since ago: String = "1 second") throws {
        try owner.execute("UPDATE recurring_campaigns SET next_at = now() - interval '\(ago)' WHERE status = 'active'")
    }

    /// What a worker does about those that are due. Returns how many there were.
    @discardableResult
    func settle() throws -> Int { try settleDue(try database.connect(as: .worker)) }

    func occurrences() throws -> [String] {
        try owner.dynamic(
            """
            SELECT coalesce(o.skip_reason, c.status) FROM recurring_occurrences o LEFT JOIN campaigns c ON c.id = o.campaign_id
             ORDER BY o.occurs_at
            """, [])
    }

    func campaigns() throws -> Int { try owner.value("SELECT count(*) FROM campaigns") }
    func notices() throws -> [JSONValue] {
        try owner.dynamic("SELECT to_jsonb(n) FROM notices n WHERE n.kind = 'recurring_campaign.skipped' ORDER BY n.id", [])
    }
}

@discardableResult
func settleDue(_ db: Connection) throws -> Int {
    let due = try db.all(DueOccurrenceSQL.due)
    for one in due { try DueOccurrence.settle(one.recurring, in: one.workspace, db) }
    return due.count
}
