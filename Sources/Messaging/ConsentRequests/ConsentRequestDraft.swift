internal import JSON
internal import Vocabulary
internal import Web

/// What somebody is to agree to, and how they came to be asked.
struct ConsentRequestDraft: BodyDecodable {
    let contact: ContactID
    let channel: Channel
    let purpose: String
    let sender: SenderID
    let wording: String
    let version: String?
    let source: String
    let evidence: JSONObject

    static let states = ["pending", "confirmed", "expired", "cancelled", "refused"]

    static let schema: Schema = .object([
        .required("contact_id", .string(format: "uuid"), "Who is asked"),
        .required("channel", .string(oneOf: ["sms", "email"]), "At which of their addresses, and for which"),
        .optional(
            "purpose", .string(oneOf: ["marketing", "transactional"]),
            "What for; marketing when absent, which alone decides who is written to"),
        .required("sender_id", .string(format: "uuid"), "Who asks; an answer by text counts only to this sender"),
        .required(
            "text", .string(min: 1, max: 600),
            "What they agree to, as it is shown to them: who sends what, and how often. How to confirm and to leave is added"),
        .optional("text_version", .nullable(.string(min: 1, max: 100)), "What you call this version of the text"),
        .required("source", .string(min: 1, max: 100), "Where they asked for it: web_form, paper, call, …"),
        .optional("evidence", .map(.any, max: 50), "What proves that they did: page, address, operator"),
    ])

    init(_ body: JSONObject) throws {
        var faults = Faults()
        contact = body.id("contact_id", as: ContactID.self)
        channel = Channel(rawValue: body.string("channel"))!
        purpose = body.optionalString("purpose") ?? "marketing"
        sender = body.id("sender_id", as: SenderID.self)
        wording = trimmed(body.string("text"))
        if wording.isEmpty { faults.add("/text", "empty", "Say what they agree to.") }
        version = body.optionalString("text_version")
        source = trimmed(body.string("source"))
        if source.isEmpty { faults.add("/source", "empty", "Say where they asked for it.") }
        evidence = body["evidence"]?.object ?? [:]
        let text = JSONValue.object(evidence).text
        if text.utf8.count > 16_384 { faults.add("/evidence", "too_long", "At most 16384 bytes.") }
        if text.contains("\\u0000") { faults.add("/evidence", "bad_character", "The character U+0000 cannot be stored.") }
        try faults.check()
    }
}

/// The messages that ask. They say who asks for what, how to confirm and how to leave, and nothing else.
enum ConsentRequestText {
    static let subject = "Please confirm your subscription"
    /// Stands in the ledger in the line where the mail has its link: who may read messages must not confirm in somebody's name. Our
    /// address is not in it, because it may be another when the mail leaves.
    private static let hiddenLink = "/c/…"

    /// The mail of a request as it leaves, from what the ledger keeps of it. Releases before wrote our address of then into that line.
    static func mail(_ kept: String, token: String, publicURL: String, unsubscribeURL: String) -> RenderedEmail {
        var lines = kept.split(separator: "\n", omittingEmptySubsequences: false)
        if let place = lines.lastIndex(where: { $0.hasSuffix(hiddenLink) }) { lines[place] = "\(publicURL)/c/\(token)" }
        return RenderedEmail(subject: subject, text: lines.joined(separator: "\n") + "\n", html: nil, unsubscribeURL: unsubscribeURL)
    }

    /// - Parameter brand: how people know the workspace.
    static func text(_ channel: Channel, brand: String, wording: String, isReminder: Bool, postalAddress: String) -> String {
        switch channel {
        case .sms:
            "\(brand): \(isReminder ? "A reminder. " : "")\(wording) Reply YES to confirm, STOP to end. Msg & data rates may apply. Reply HELP for help."
        case .email:
            """
            \(brand) was asked to write to this address\(isReminder ? "; this is a reminder, and the last one" : ""). What you would agree to:

            \(wording)

            To confirm, open this page and press the button there:
            \(hiddenLink)

            It works for 7 days from when you were first asked. If you did not ask for this, you need not do anything.

            \(postalAddress)
            """
        }
    }
}
