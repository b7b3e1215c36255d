internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listContacts(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: lastContact)
    let filter = ContactFilter(call)
    if filter.isIdentity {
        return try call.page(
            ContactSQL.find, paging, filter.externalID, filter.email, filter.phone, filter.status, filter.tag, paging.fetchLimit)
    }
    if let text = call.query("q").flatMap(storedText) {
        return try call.page(ContactSQL.search, paging, at, id, paging.fetchLimit, likePattern(text), filter.status, filter.tag)
    }
    if filter.status != nil || filter.tag != nil {
        return try call.page(ContactSQL.filtered, paging, at, id, paging.fetchLimit, filter.status, filter.tag)
    }
    return try call.page(ContactSQL.page, paging, at, id, paging.fetchLimit)
}

/// What a list is narrowed to; values in the form in which they are stored.
private struct ContactFilter {
    let externalID, email, phone, status, tag: String?

    init(_ call: Call) {
        externalID = call.query("external_id").map { storedText($0) ?? "" }
        // What is no address is the address of nobody.
        email = call.query("email").map { EmailAddress($0)?.description ?? $0 }
        phone = call.query("phone").map(phoneQuery)
        status = call.query("status").map(normalizedNFC)
        tag = call.query("tag").map(normalizedNFC)
    }

    var isIdentity: Bool { externalID != nil || email != nil || phone != nil }
}

/// `+` in a query string is a blank; who forgot to escape it meant the plus.
func phoneQuery(_ text: String) -> String { text.hasPrefix(" ") ? "+" + text.dropFirst() : text }

func createContact(_ call: Call) throws -> Response {
    var draft = try call.body(ContactDraft.self)
    let contact = try namingConflicts {
        try call.transaction { db in
            try draft.normalizePhone(country: try db.one(ContactSQL.country))
            try checkZone(draft, db)
            let contact = try db.one(ContactSQL.insert, draft.columns, draft.tags ?? [], JSONText(.object(draft.attributes ?? [:])))
            try noteFields(draft, db)
            return contact
        }
    }
    let id = try JSONValue(parsing: contact.json.bytes, limits: .trusted)["id"]?.string ?? ""
    return .created(contact.json, at: "/api/contacts/\(id)").etag(version: contact.version)
}

func readContact(_ call: Call) throws -> Response {
    let id: ContactID = try call.pathID("id")
    guard let contact = try call.read({ db in try db.first(ContactSQL.read, id) }) else { throw Problem.notFound("contact") }
    return .json(contact.json).etag(version: contact.version)
}

func changeContact(_ call: Call) throws -> Response {
    let id: ContactID = try call.pathID("id")
    var draft = try call.body(ContactDraft.self)
    let contact = try namingConflicts {
        try call.transaction { db in
            guard let version = try db.first(ContactSQL.lock, id) else { throw Problem.notFound("contact") }
            try call.checkIfMatch(version)
            try draft.normalizePhone(country: try db.one(ContactSQL.country))
            try checkZone(draft, db)
            let contact = try db.one(ContactSQL.update, id, draft.columns, draft.tags, JSONText(.object(draft.attributes ?? [:])))
            try noteFields(draft, db)
            return contact
        }
    }
    return .json(contact.json).etag(version: contact.version)
}

func deleteContact(_ call: Call) throws -> Response {
    let id: ContactID = try call.pathID("id")
    try call.transaction { db in
        guard let version = try db.first(ContactSQL.lock, id) else { throw Problem.notFound("contact") }
        try call.checkIfMatch(version)
        try db.run(ContactSQL.delete, id)
        try call.audit("contact.deleted", "contact", id.uuid, in: db)
    }
    return .noContent
}

/// As deletion, and what was kept of the person's addresses besides is a hash from now on (GDPR articles 17 and 21(3)).
func eraseContact(_ call: Call) throws -> Response {
    let id: ContactID = try call.pathID("id")
    try call.refuseIfMatch()
    try call.transaction { db in
        guard try db.first(ContactSQL.lock, id) != nil else { throw Problem.notFound("contact") }
        _ = try db.one(ContactSQL.eraseAddresses, id)
        try db.run(ContactSQL.delete, id)
        try call.audit("contact.erased", "contact", id.uuid, in: db)
    }
    return .noContent
}

// MARK: Small things

let lastContact = ContactID(UUID(high: .max, low: .max))

extension ContactDraft {
    /// The columns that are written, as a JSON object: absent is not mentioned, null is made missing.
    var columns: JSONText {
        var object = JSONObject()
        for (column, value) in texts { object[column] = JSONValue(value) }
        if let email { object["email"] = JSONValue(email) }
        if let phone { object["phone"] = JSONValue(phone) }
        if let assignedTo { object["assigned_to"] = JSONValue(assignedTo?.description) }
        return JSONText(.object(object))
    }
}

private func checkZone(_ draft: ContactDraft, _ db: Connection) throws {
    guard case .some(.some(let zone)) = draft.texts["timezone"] else { return }
    guard try db.one(ContactSQL.zoneExists, zone) else {
        throw Problem.invalid("/timezone", "bad_format", "Expected an IANA zone such as Europe/Berlin.")
    }
}

private func noteFields(_ draft: ContactDraft, _ db: Connection) throws {
    guard let attributes = draft.attributes else { return }
    let types = fieldTypes(of: attributes).sorted { $0.key < $1.key }
    guard !types.isEmpty else { return }
    _ = try db.one(ContactSQL.noteFields, types.map(\.key), types.map(\.value.rawValue))
}

/// Unique keys are facts of the person: the conflict says which.
private func namingConflicts<T>(_ work: () throws -> T) throws -> T {
    do { return try work() } catch let error as PostgresError {
        switch error.constraint {
        case "email_is_unique": throw taken("email", "Another contact has this e-mail address.")
        case "phone_is_unique": throw taken("phone", "Another contact has this phone number.")
        case "external_id_is_unique": throw taken("external_id", "Another contact has this external id.")
        case "assignee_is_a_member": throw Problem.invalid("/assigned_to", "not_a_member", "Nobody in this workspace has this id.")
        case "attributes_are_bounded": throw Problem.invalid("/attributes", "attributes_too_large", attributesTooLarge)
        default: throw error
        }
    }
}

private func taken(_ member: String, _ detail: String) -> Problem {
    var problem = Problem.conflict(member + "_taken", detail)
    problem.faults = [Fault(pointer: "/" + member, code: problem.code, detail: detail)]
    return problem
}

/// A LIKE pattern that takes `%`, `_` and `\` literally.
func likePattern(_ text: String) -> String {
    // Scalars, as PostgreSQL sees them: a wildcard with a combining mark is another character, and still a wildcard.
    var pattern: String.UnicodeScalarView = "%".unicodeScalars
    for scalar in text.unicodeScalars {
        if scalar == "%" || scalar == "_" || scalar == "\\" { pattern.append("\\") }
        pattern.append(scalar)
    }
    return String(pattern) + "%"
}
