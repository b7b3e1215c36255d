internal import JSON
internal import Vocabulary

/// Who did something, as whoever tells it knows them.
enum ContactReference: Hashable {
    case id(String)
    case externalID(String)
    case email(String)
    case phone(String)

    static let names = ["id", "external_id", "email", "phone"]

    fileprivate init(_ name: String, _ value: String) {
        switch name {
        case "id": self = .id(value)
        case "external_id": self = .externalID(value)
        case "email": self = .email(EmailAddress(value)?.description ?? value)
        default: self = .phone(value)
        }
    }
}

/// One event as it is sent.
struct EventDraft {
    let contact: ContactReference
    let name: String
    let occurredAt: Instant
    let properties: JSONObject
    let dedupeKey: String?

    static let schema: Schema = .object([
        .required(
            "contact",
            .object([
                .optional("id", .string(format: "uuid"), "Our id"), .optional("external_id", .string(min: 1, max: 255), "Yours"),
                .optional("email", .string(max: 254, format: "email"), "Any case"),
                .optional("phone", .string(max: 20, format: "e164"), "E.164"),
            ]), "Who did it: exactly one of these"),
        .required("name", .string(min: 1, max: 200), "What: `order.placed`"),
        .optional("occurred_at", .string(format: "date-time"), "Now when absent; at most an hour ahead"),
        .optional("properties", .map(.any, max: 100), "What else there is to say of it"),
        .optional("dedupe_key", .string(min: 1, max: 200), "An event with the same key, whoever's, counts once in 90 days"),
    ])

    /// Clocks differ; what lies further ahead has not happened.
    private static let toleratedSeconds = 3600.0
    private static let earliest = Instant(microseconds: 0)

    /// - Parameters:
    ///   - pointer: where `value` stands in the body.
    ///   - now: of the request; the time of events that name none.
    /// - Throws: every fault of this event.
    init(_ value: JSONValue, at pointer: String, now: Instant) throws(Faults) {
        var faults = Faults()
        for fault in Self.schema.validate(value, at: pointer) { faults.add(fault.pointer, fault.code, fault.detail) }
        try faults.check()
        let body = value.object ?? [:]
        let who = body["contact"]?.object ?? [:]
        let named = ContactReference.names.compactMap { name in who[name]?.string.map { ContactReference(name, $0) } }
        if named.count != 1 {
            faults.add(jsonPointer(pointer, "contact"), "exactly_one", "Name the contact by one of id, external_id, email and phone.")
        }
        name = body.string("name")
        if name.hasPrefix("segment.") {
            faults.add(jsonPointer(pointer, "name"), "reserved_event", "Events `segment.…` are written by segments alone.")
        }
        occurredAt = body.optionalString("occurred_at").flatMap { Instant(rfc3339: $0) } ?? now
        if occurredAt > now + Self.toleratedSeconds || occurredAt < Self.earliest {
            faults.add(jsonPointer(pointer, "occurred_at"), "out_of_range", "From 1970 to an hour from now.")
        }
        properties = body["properties"]?.object ?? [:]
        checkStorable(.object(properties), jsonPointer(pointer, "properties"), depth: 1, &faults)
        dedupeKey = body.optionalString("dedupe_key")
        try faults.check()
        contact = named[0]
    }

    /// As the statement that records events reads it. `index` is its place in the batch.
    func row(_ index: Int) -> JSONValue {
        var row: JSONObject = [
            "n": JSONValue(index), "name": .string(name), "occurred_at": .string(occurredAt.description),
            "properties": .object(properties), "dedupe_key": dedupeKey.map { .string($0) } ?? .null,
        ]
        switch contact {
        case .id(let value): row["id"] = .string(value)
        case .externalID(let value): row["external_id"] = .string(value)
        case .email(let value): row["email"] = .string(value)
        case .phone(let value): row["phone"] = .string(value)
        }
        return .object(row)
    }
}

/// Properties within their limits: five deep, texts of 10,000 characters, nothing that jsonb cannot hold.
private func checkStorable(_ value: JSONValue, _ pointer: String, depth: Int, _ faults: inout Faults) {
    switch value {
    case .string(let text):
        if text.unicodeScalars.contains("\0") { faults.add(pointer, "bad_character", "The character U+0000 cannot be stored.") }
        if text.unicodeScalars.count > 10_000 { faults.add(pointer, "too_long", "At most 10000 characters.") }
    case .array(let values):
        if depth > 5 { return faults.add(pointer, "too_deep", "At most five levels.") }
        for (index, element) in values.enumerated() { checkStorable(element, jsonPointer(pointer, index), depth: depth + 1, &faults) }
    case .object(let object):
        if depth > 5 { return faults.add(pointer, "too_deep", "At most five levels.") }
        for (key, element) in object {
            let place = jsonPointer(pointer, key)
            if key.unicodeScalars.contains("\0") || !(1...100).contains(key.unicodeScalars.count) {
                faults.add(place, "bad_key", "A key has 1 to 100 characters, none of them U+0000.")
            }
            checkStorable(element, place, depth: depth + 1, &faults)
        }
    default: break
    }
}
