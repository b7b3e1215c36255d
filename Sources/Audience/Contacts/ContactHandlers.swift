internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listContacts(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: lastContact)
    if let text = call.query("q") {
        return try call.page(ContactSQL.search, paging, at, id, paging.fetchLimit, likePattern(text))
    }
    let (external, email, phone) = (call.query("external_id"), call.query("email"), call.query("phone"))
    if external != nil || email != nil || phone != nil {
        return try call.page(
            ContactSQL.find, paging, external, email.flatMap { EmailAddress($0)?.description }, phone, paging.fetchLimit)
    }
    return try call.page(ContactSQL.page, paging, at, id, paging.fetchLimit)
}

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
    let id = try JSONValue(parsing: contact.json.bytes)["id"]?.string ?? ""
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
            guard let version = try db.first(ContactSQL.readForUpdate, id) else { throw Problem.notFound("contact") }
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
        guard let version = try db.first(ContactSQL.readForUpdate, id) else { throw Problem.notFound("contact") }
        try call.checkIfMatch(version)
        try db.run(ContactSQL.delete, id)
        try call.audit("contact.deleted", "contact", id.uuid, in: db)
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
        case "email_is_unique": throw Problem.conflict("email_taken", "Another contact has this e-mail address.")
        case "phone_is_unique": throw Problem.conflict("phone_taken", "Another contact has this phone number.")
        case "external_id_is_unique": throw Problem.conflict("external_id_taken", "Another contact has this external id.")
        default: throw error
        }
    }
}

/// A LIKE pattern that takes `%`, `_` and `\` literally.
func likePattern(_ text: String) -> String {
    var pattern = "%"
    for character in text {
        if character == "%" || character == "_" || character == "\\" { pattern.append("\\") }
        pattern.append(character)
    }
    return pattern + "%"
}
