internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func pageOfConsent(_ call: Call) throws -> Response {
    let paging = try call.paging(sorts: ["-recorded_at"])
    let last = try paging.after(0, from: EventID(UUID(high: .max, low: .max)))
    if let contact = call.query("contact_id").flatMap({ ContactID($0) }) {
        return try call.page(ConsentSQL.ledgerOfContact, paging, contact, call.query("channel"), last, paging.fetchLimit)
    }
    return try call.page(ConsentSQL.ledger, paging, call.query("channel"), last, paging.fetchLimit)
}

/// An opt-out also suppresses the address, so that it outlives the contact: whoever is deleted and imported again is
/// not written to. An opt-in lifts only such a suppression, never one that the person or a provider asked for.
func recordConsent(_ call: Call) throws -> Response {
    let draft = try call.body(ConsentDraft.self)
    let recorded = try call.transaction { db in
        guard let person = try db.first(ConsentSQL.addresses, draft.contact) else {
            throw Problem.invalid("/contact_id", "unknown_contact", "There is no such contact here.")
        }
        let event = try db.one(
            ConsentSQL.record, draft.contact, draft.channel.rawValue, draft.state, draft.source, draft.wording,
            JSONText(.object(draft.evidence)), draft.at ?? call.now, draft.purpose, draft.reason, draft.reasonText,
            call.actor.apiKey == nil ? "user" : "api_key", call.actor.apiKey?.uuid ?? call.actor.user?.uuid)
        // What was told late may be overtaken by what is known already.
        if draft.isMarketing, let address = person.address(draft.channel),
            try db.one(ConsentSQL.state, draft.contact, draft.channel.rawValue) == draft.state
        {
            if draft.isOptIn {
                try db.run(ConsentSQL.lift, draft.channel.rawValue, address)
            } else {
                _ = try db.one(ConsentSQL.suppress, draft.channel.rawValue, address)
            }
        }
        try call.audit(
            "consent.recorded", "contact", draft.contact.uuid,
            details: ["channel": .string(draft.channel.rawValue), "state": .string(draft.state)], in: db)
        return try db.one(ConsentSQL.event, event)
    }
    return .created(recorded, at: "/api/contacts/\(draft.contact)/consent")
}

func readConsent(_ call: Call) throws -> Response {
    let id: ContactID = try call.pathID("id")
    guard let states = try call.read({ db in try db.first(ConsentSQL.states, id) }) else { throw Problem.notFound("contact") }
    return .json(states)
}
