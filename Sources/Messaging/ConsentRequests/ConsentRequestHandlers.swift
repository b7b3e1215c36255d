internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

func listConsentRequests(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(ConsentRequestID.self)
    return try call.page(
        ConsentRequestSQL.page, paging, at, id, paging.fetchLimit, call.query("contact_id").flatMap { ContactID($0) }, call.query("state"))
}

func readConsentRequest(_ call: Call) throws -> Response {
    let id: ConsentRequestID = try call.pathID("id")
    return .json(try call.read { db in try db.one(ConsentRequestSQL.read, id) })
}

/// The request and its message, in one transaction: it is asked exactly when there is a request.
func createConsentRequest(_ call: Call) throws -> Response {
    let draft = try call.body(ConsentRequestDraft.self)
    let id = ConsentRequestID.new()
    let stored = try call.transaction { db in
        var faults = Faults()
        let sender = try db.first(SenderSQL.forSending, draft.sender)
        if sender == nil { faults.add("/sender_id", "not_found", "There is no such sender here.") }
        if let sender, sender.channel != draft.channel {
            faults.add("/sender_id", "wrong_channel", "The sender is not one of this channel.")
        }
        let held = try db.all(ConsentRequestSQL.lockAddress, draft.contact, draft.channel)
        if held.isEmpty { faults.add("/contact_id", "not_found", "There is no such contact here.") }
        let address = held.first.flatMap { $0 }
        if !held.isEmpty, address == nil { faults.add("/channel", "no_address", "The contact has no address on this channel.") }
        try faults.check()
        try check(db.one(ConsentRequestSQL.fault, draft.contact, draft.channel, draft.purpose, address!))
        try db.run(
            ConsentRequestSQL.insert, id, draft.contact, draft.channel, draft.purpose, address!, draft.sender, draft.wording,
            draft.version, draft.source, .object(draft.evidence), call.actor.user)
        try ask(id, draft.channel, draft.sender, draft.wording, isReminder: false, call, db)
        try call.audit("consent_request.created", "contact", draft.contact.uuid, details: ["request_id": .string(id.description)], in: db)
        return try db.one(ConsentRequestSQL.read, id)
    }
    return .created(stored, at: "/api/consent-requests/\(id)")
}

/// One more message, with all that held for the first asked again, but for the request that is open.
func remindOfConsentRequest(_ call: Call) throws -> Response {
    let id: ConsentRequestID = try call.pathID("id")
    return .json(
        try call.transaction { db in
            // Contact before request, as whoever asks or leaves takes them.
            let address = try db.one(ConsentRequestSQL.lockPerson, id)
            let request = try db.one(ConsentRequestSQL.lock, id)
            try checkPending(request)
            if request.isReminded { throw Problem.conflict("already_reminded", "They were reminded once; that is all there is.") }
            guard request.mayBeReminded else {
                throw Problem.conflict("too_early", "The first message has to be out for a day before somebody is reminded.")
            }
            guard address == request.address else {
                throw Problem.conflict("address_changed", "The contact has another address by now; ask for consent at that one.")
            }
            try check(db.one(ConsentRequestSQL.refusal, request.contact, request.channel, request.address))
            try db.run(ConsentRequestSQL.remind, id)
            try ask(id, request.channel, request.sender, request.wording, isReminder: true, call, db)
            try call.audit(
                "consent_request.reminded", "contact", request.contact.uuid, details: ["request_id": .string(id.description)], in: db)
            return try db.one(ConsentRequestSQL.read, id)
        })
}

func cancelConsentRequest(_ call: Call) throws -> Response {
    let id: ConsentRequestID = try call.pathID("id")
    return .json(
        try call.transaction { db in
            let request = try db.one(ConsentRequestSQL.lock, id)
            try checkPending(request)
            try db.run(ConsentRequestSQL.cancel, id)
            try call.audit(
                "consent_request.cancelled", "contact", request.contact.uuid, details: ["request_id": .string(id.description)], in: db)
            return try db.one(ConsentRequestSQL.read, id)
        })
}

private func checkPending(_ request: ConsentRequest) throws {
    guard request.state == "pending", !request.isOver else {
        throw Problem.conflict("wrong_state", "The request is \(request.isOver && request.state == "pending" ? "expired" : request.state).")
    }
}

/// - Parameter fault: as `consent_request_fault` or `consent_refusal` gives it.
private func check(_ fault: String?) throws {
    switch fault {
    case nil: break
    case "address_suppressed":
        throw Problem.conflict("address_suppressed", "The address is suppressed; nobody is asked there.")
    case "has_opted_out":
        throw Problem.conflict(
            "has_opted_out", "They have opted out on this channel. They come back by a START, or on their own page; they are not asked to.")
    case "request_open": throw Problem.conflict("request_open", "They have been asked, and their answer is awaited.")
    default: throw Problem.conflict("too_many_requests", "They were asked three times within 30 days.")
    }
}

private func ask(
    _ id: ConsentRequestID, _ channel: Channel, _ sender: SenderID, _ wording: String, isReminder: Bool, _ call: Call, _ db: Connection
) throws {
    let asker = try db.one(ConsentRequestSQL.asker)
    if channel == .email, trimmed(asker.postalAddress ?? "").isEmpty {
        throw Fault(
            pointer: "", code: "postal_address_missing",
            detail: "Every e-mail names a postal address: enter `postal_address` in the settings.")
    }
    // As it is when the message leaves; what stops it then keeps it waiting.
    guard try db.one(SenderSQL.lockStatus, sender) == "active" else {
        throw Problem.conflict("sender_suspended", "The sender is suspended; give it working credentials first.")
    }
    let text = ConsentRequestText.text(
        channel, brand: asker.brand, wording: wording, isReminder: isReminder, postalAddress: asker.postalAddress ?? "")
    try db.run(
        ConsentRequestSQL.insertMessage, MessageID.new(), id, isReminder, try db.one(ConsentRequestSQL.campaign, sender), text,
        channel == .sms ? MessageSize(text).parts : 1)
}

/// Confirming asks for the time itself; this is so that lists say what holds.
let expireConsentRequests = Chore("rescue-consent-requests", "End requests for consent that nobody answered within 7 days") { db in
    [("expired", try db.run(ConsentRequestSQL.expire))]
}
