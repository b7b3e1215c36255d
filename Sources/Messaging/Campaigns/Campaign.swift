internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Where a campaign stands; docs/states.md draws the arrows, the database enforces them.
public enum CampaignStatus: String, Sendable, CaseIterable {
    case draft, scheduled, freezing, sending, paused, finished, cancelled
}

/// Where a message stands.
public enum MessageState: String, Sendable, CaseIterable {
    case pending, skipped, claimed, started, unknown, sent, delivered, undelivered, failed
}

/// A campaign as handlers and jobs decide about it.
struct Campaign: RowDecodable {
    let id: CampaignID
    let status: CampaignStatus
    let channel: Channel
    let segment: SegmentID?
    let sender: SenderID?
    let body: String
    let version: Int
    let startRequestedAt: Instant?
    let sendUntil: Instant?
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        let status: String = try row["status"]
        guard let known = CampaignStatus(rawValue: status) else {
            throw .column(name: "status", expected: "a campaign's status", found: status)
        }
        self.status = known
        channel = try row["channel"]
        segment = try row["segment_id"]
        sender = try row["sender_id"]
        body = try row["body"]
        version = try row["version"]
        startRequestedAt = try row["start_requested_at"]
        sendUntil = try row["send_until"]
    }

    /// What the API says when an action does not fit the state.
    func wrongState(for action: String, from allowed: [CampaignStatus]) -> Problem {
        let states = allowed.map { "`\($0.rawValue)`" }.joined(separator: " or ")
        return .conflict("wrong_state", "The campaign is `\(status.rawValue)`; only one that is \(states) can \(action).")
    }
}

private let bodySchema = Schema.described(
    .string(min: 1, max: 200_000), "The text, at most 1,600 characters for sms, with variables like {{ name | default: \"there\" }}",
    example: "Hi {{ name | default: \"there\" }}, the sale ends tonight. Reply STOP to opt out.")
private let tracking = "Whether addresses in the text become short links of this server, which tell who clicked; false when absent"
private let window = Schema.integer(1...2_592_000)

/// A campaign as it is drafted. What is left out must be there before it starts.
struct CampaignDraft: BodyDecodable {
    let name: String
    let channel: Channel
    let segment: SegmentID?
    let sender: SenderID?
    let body: String
    let goalEvent: String?
    let attributionSeconds: Int?
    let timing: CampaignTiming
    let plan: CampaignPlan
    let email: EmailDraft
    let experiment: ExperimentChange
    let template: TemplateChoice
    let tracksLinks: Bool?

    private static let members: [Member] = [
        .required("name", .string(min: 1, max: 200), "For people"),
        .required("channel", .string(oneOf: ["sms", "email"]), "How it travels"),
        .optional("segment_id", .string(format: "uuid"), "Whom it goes to, those whom consent allows"),
        .optional("sender_id", .string(format: "uuid"), "Where it comes from"),
        .optional("body", bodySchema, "The text"),
        .optional("goal_event", .string(min: 1, max: 200), "The event that counts as conversion"),
        .optional("attribution_window_seconds", window, "How long after sending a conversion counts; 7 days when absent"),
        .optional("track_links", .boolean, tracking),
    ]
    static let schema = Schema.object(
        members + TemplateChoice.members + CampaignTiming.members + CampaignPlan.members + EmailDraft.members + ExperimentChange.members)

    init(_ body: JSONObject) throws {
        name = body.string("name")
        channel = Channel(rawValue: body.string("channel"))!
        segment = body.optionalID("segment_id", as: SegmentID.self)
        sender = body.optionalID("sender_id", as: SenderID.self)
        self.body = try body.optionalString("body").map(checkedText) ?? ""
        goalEvent = body.optionalString("goal_event")
        attributionSeconds = body.optionalInteger("attribution_window_seconds")
        timing = CampaignTiming(body)
        plan = try CampaignPlan(body)
        email = try EmailDraft(body)
        experiment = try ExperimentChange(body)
        template = try TemplateChoice(body)
        try email.check(channel, body: self.body)
        tracksLinks = body["track_links"]?.bool
    }
}

struct CampaignChange: BodyDecodable {
    let name: String?
    let segment: SegmentID?
    let sender: SenderID?
    let body: String?
    let goalEvent: String?
    let clearsGoal: Bool
    let attributionSeconds: Int?
    let timing: CampaignTiming
    let plan: CampaignPlan
    let email: EmailDraft
    let experiment: ExperimentChange
    let template: TemplateChoice
    /// The one thing that may change while it is paused.
    let isOnlyBudget: Bool
    let tracksLinks: Bool?

    private static let members: [Member] = [
        .optional("name", .string(min: 1, max: 200), "For people"),
        .optional("segment_id", .string(format: "uuid"), "Whom it goes to"),
        .optional("sender_id", .string(format: "uuid"), "Where it comes from"),
        .optional("body", bodySchema, "The text"),
        .optional("goal_event", .nullable(.string(min: 1, max: 200)), "The event that counts as conversion; null: none"),
        .optional("attribution_window_seconds", window, "How long after sending a conversion counts"),
        .optional("track_links", .boolean, tracking),
    ]
    static let schema = Schema.object(
        members + TemplateChoice.members + CampaignTiming.members + CampaignPlan.members + EmailDraft.members + ExperimentChange.members)

    init(_ body: JSONObject) throws {
        name = body.optionalString("name")
        segment = body.optionalID("segment_id", as: SegmentID.self)
        sender = body.optionalID("sender_id", as: SenderID.self)
        self.body = try body.optionalString("body").map(checkedText)
        goalEvent = body.optionalString("goal_event")
        clearsGoal = body["goal_event"]?.isNull == true
        attributionSeconds = body.optionalInteger("attribution_window_seconds")
        timing = CampaignTiming(body)
        plan = try CampaignPlan(body)
        email = try EmailDraft(body)
        experiment = try ExperimentChange(body)
        template = try TemplateChoice(body)
        isOnlyBudget = body.keys == ["budget"]
        tracksLinks = body["track_links"]?.bool
    }
}

/// A test send to oneself.
struct CampaignTest: BodyDecodable {
    let to: String
    let contact: ContactID?
    let variant: String?

    static let schema = Schema.object([
        .required("to", .string(min: 3, max: 254), "Where to, a number or an e-mail address; a suppressed one gets nothing"),
        .optional("contact_id", .string(format: "uuid"), "Whose data fills the variables; without it, those of nobody"),
        .optional("variant", .string(min: 1, max: 100), "Which variant of the experiment; without it, the campaign's own text"),
    ])

    init(_ body: JSONObject) throws {
        to = body.string("to")
        contact = body.optionalID("contact_id", as: ContactID.self)
        variant = body.optionalString("variant").map { normalized($0) }
    }

    /// Where it goes, as addresses are stored.
    func address(on channel: Channel, _ faults: inout Faults) -> String {
        let address = channel == .sms ? E164(to)?.description : EmailAddress(to)?.description
        if address == nil {
            faults.add("/to", "bad_format", "Expected \(channel == .sms ? "a number in E.164 form" : "an e-mail address").")
        }
        return address ?? ""
    }
}
