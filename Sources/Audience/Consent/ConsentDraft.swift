// Dated proof that somebody agreed, or stopped agreeing, to be written to.
internal import JSON
internal import Vocabulary
internal import Web

struct ConsentDraft: BodyDecodable {
    let contact: ContactID
    let channel: Channel
    let isOptIn: Bool
    let purpose: String
    let source: String
    let wording: String?
    let reason: String?
    let reasonText: String?
    let evidence: JSONObject
    /// `nil`: now.
    let at: Instant?

    var state: String { isOptIn ? "opted_in" : "opted_out" }
    /// Whether it decides who is written to: all that Muster sends is marketing.
    var isMarketing: Bool { purpose == "marketing" }

    static let reasons = ["too_many", "not_relevant", "never_signed_up", "other"]

    static let schema: Schema = .object([
        .required("contact_id", .string(format: "uuid"), "Whose"),
        .required("channel", .string(oneOf: ["sms", "email"]), "Consent holds for one channel"),
        .required("state", .string(oneOf: ["opted_in", "opted_out"]), "What they said"),
        .optional(
            "purpose", .string(oneOf: ["marketing", "transactional"]),
            "What for; marketing when absent, which alone decides who is written to"),
        .required("source", .string(min: 1, max: 100), "Where they said it: web_form, keyword, paper, call, …"),
        .optional("wording", .nullable(.string(max: 5000)), "The text that they agreed to"),
        .optional("reason", .nullable(.string(oneOf: reasons)), "Why they opted out"),
        .optional("reason_text", .nullable(.string(max: 500)), "Why, in their own words; beside a reason"),
        .optional("evidence", .map(.any, max: 50), "What proves it: page, address, operator, recording"),
        .optional("at", .nullable(.string(format: "date-time")), "When they said it; now when absent"),
    ])

    init(_ body: JSONObject) throws {
        var faults = Faults()
        contact = body.id("contact_id", as: ContactID.self)
        channel = Channel(rawValue: body.string("channel"))!
        isOptIn = body.string("state") == "opted_in"
        purpose = body.optionalString("purpose") ?? "marketing"
        source = storedText(body.string("source")) ?? ""
        if source.isEmpty { faults.add("/source", "empty", "Say where they said it.") }
        wording = body.optionalString("wording").flatMap(storedText)
        reason = body.optionalString("reason")
        reasonText = body.optionalString("reason_text").flatMap(storedText)
        if reason != nil, isOptIn { faults.add("/reason", "not_an_opt_out", "Only an opt-out has a reason.") }
        if reasonText != nil, reason == nil { faults.add("/reason_text", "reason_missing", "Say which reason it explains.") }
        evidence = body["evidence"]?.object ?? [:]
        if JSONValue.object(evidence).text.utf8.count > 16_384 { faults.add("/evidence", "too_long", "At most 16384 bytes.") }
        if JSONValue.object(evidence).text.contains("\\u0000") {
            faults.add("/evidence", "bad_character", "The character U+0000 cannot be stored.")
        }
        at = body.optionalString("at").flatMap { Instant(rfc3339: $0) }
        // Clocks differ by minutes, not by hours.
        if let at, at > .now() + 300 { faults.add("/at", "out_of_range", "Nobody has said anything in the future.") }
        try faults.check()
    }
}
