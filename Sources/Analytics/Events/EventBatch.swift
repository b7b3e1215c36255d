internal import JSON
internal import Vocabulary
internal import Web

/// One event as it is sent.
struct EventDraft {
    let contact: (id: String?, externalID: String?, email: String?, phone: String?)
    let name: String
    let occurredAt: Instant?
    let properties: JSONObject
    let dedupeKey: String?

    static let members: [Member] = [
        .required("contact", .object([
            .optional("id", .string(format: "uuid"), "Our id"), .optional("external_id", .string(min: 1, max: 255), "Yours"),
            .optional("email", .string(max: 254, format: "email"), "Any case"),
            .optional("phone", .string(max: 20, format: "e164"), "E.164"),
        ]), "Who did it: one of these"),
        .required("name", .string(min: 1, max: 200), "What: `order.placed`"),
        .optional("occurred_at", .string(format: "date-time"), "Now when absent"),
        .optional("properties", .map(.any, max: 100), "What else there is to say of it"),
        .optional("dedupe_key", .string(min: 1, max: 200), "A second event with it changes nothing"),
    ]

    init(_ body: JSONObject) {
        let who = body["contact"]?.object ?? [:]
        contact = (
            who.optionalString("id"), who.optionalString("external_id"),
            who.optionalString("email").flatMap { EmailAddress($0)?.description }, who.optionalString("phone")
        )
        name = body.string("name")
        occurredAt = body.optionalString("occurred_at").flatMap { Instant(rfc3339: $0) }
        properties = body["properties"]?.object ?? [:]
        dedupeKey = body.optionalString("dedupe_key")
    }
}

/// One event, or a batch.
struct EventBatch: BodyDecodable {
    let events: [EventDraft]
    let isBatch: Bool

    static let schema: Schema = .oneOf([
        .object([.required("events", .array(.object(EventDraft.members), min: 1, max: 1000), "Up to 1,000")]),
        .object(EventDraft.members),
    ])

    init(_ body: JSONObject) throws {
        if let list = body["events"]?.array {
            isBatch = true
            events = list.compactMap(\.object).map(EventDraft.init)
        } else {
            isBatch = false
            events = [EventDraft(body)]
        }
        var faults = Faults()
        for (index, event) in events.enumerated() {
            let pointer = isBatch ? "/events/\(index)" : ""
            let named = [event.contact.id, event.contact.externalID, event.contact.email, event.contact.phone].compactMap { $0 }
            if named.isEmpty { faults.add(pointer + "/contact", "required", "Name the contact by id, external_id, email or phone.") }
        }
        try faults.check()
    }
}
