internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

private let name = Schema.string(min: 1, max: 180)
private let campaign = Schema.string(format: "uuid")
private let sendFor = Member.optional(
    "send_for_seconds", .nullable(.integer(1...2_592_000)),
    "What of an occurrence has not left so long after it is left out; null: the pattern's own send_until holds")

/// A recurring campaign as it is made.
struct RecurringDraft: BodyDecodable {
    let name: String
    let pattern: CampaignID
    let rule: RecurrenceRule
    let sendFor: Int?

    static let schema = Schema.object(
        [
            .required("name", Messaging.name, "For people; campaigns are called after it, with their day"),
            .required("campaign_id", campaign, "The pattern, a draft: each occurrence is a copy of what it then is"),
            .required("every", RecurrenceRule.every, "What is counted"),
            .required("at", RecurrenceRule.at, "The time of day"),
            Messaging.sendFor,
        ] + RecurrenceRule.members)

    init(_ body: JSONObject) {
        name = body.string("name")
        pattern = body.id("campaign_id", as: CampaignID.self)
        rule = RecurrenceRule(body)
        sendFor = body.optionalInteger("send_for_seconds")
    }
}

/// What is absent stays.
struct RecurringChange: BodyDecodable {
    let name: String?
    let pattern: CampaignID?
    let clearsSendFor: Bool
    let sendFor: Int?
    private let body: JSONObject

    static let schema = Schema.object(
        [
            .optional("name", Messaging.name, "For people"),
            .optional("campaign_id", campaign, "The pattern, a draft"),
            .optional("every", RecurrenceRule.every, "What is counted"),
            .optional("at", RecurrenceRule.at, "The time of day"),
            Messaging.sendFor,
        ] + RecurrenceRule.members)

    init(_ body: JSONObject) {
        name = body.optionalString("name")
        pattern = body.optionalID("campaign_id", as: CampaignID.self)
        sendFor = body.optionalInteger("send_for_seconds")
        clearsSendFor = body["send_for_seconds"]?.isNull == true
        self.body = body
    }

    func rule(_ before: RecurrenceRule) -> RecurrenceRule { before.changed(by: body) }
}
