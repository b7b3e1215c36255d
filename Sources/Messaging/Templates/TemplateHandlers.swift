internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func listTemplates(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (createdAt, id) = try paging.newestFirst(TemplateID.self)
    return try call.page(TemplateSQL.page, paging, createdAt, id, paging.fetchLimit)
}

func createTemplate(_ call: Call) throws -> Response {
    let draft = try call.body(TemplateDraft.self)
    let id = TemplateID.new()
    return try call.transaction { db in
        let stored = try db.one(TemplateSQL.insert, id, draft.name, draft.channel, draft.body)
        try call.audit("template.created", "template", id.uuid, in: db)
        return .created(stored, at: "/api/templates/\(id)")
    }
}

func readTemplate(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    return .resource(try call.read { db in try db.one(TemplateSQL.read, id) })
}

func changeTemplate(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    let change = try call.body(TemplateChange.self)
    return try call.transaction { db in
        try call.checkIfMatch(try db.one(TemplateSQL.lock, id))
        let stored = try db.one(TemplateSQL.change, id, change.name, change.body)
        try call.audit("template.changed", "template", id.uuid, in: db)
        return .resource(stored)
    }
}

func deleteTemplate(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    return try call.transaction { db in
        try call.checkIfMatch(try db.one(TemplateSQL.lock, id))
        try db.run(TemplateSQL.delete, id)
        try call.audit("template.deleted", "template", id.uuid, in: db)
        return .noContent
    }
}

func previewTemplate(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    let wanted = try call.body(TemplatePreview.self)
    return try call.read { db in try preview(try db.one(TemplateSQL.body, id), wanted.contact, db) }
}

func previewText(_ call: Call) throws -> Response {
    let wanted = try call.body(TextPreview.self)
    return try call.read { db in try preview(try checkedText(wanted.body), wanted.contact, db) }
}

/// The text for one contact and what it costs to carry.
private func preview(_ body: String, _ contact: ContactID?, _ db: Connection) throws -> Response {
    let template = try TextTemplate(body)
    let fields: JSONValue
    if let contact {
        guard let found = try db.first(TemplateSQL.contact, contact) else { throw Problem.notFound("contact") }
        fields = found
    } else {
        fields = [:]
    }
    guard let text = template.text(for: fields) else {
        throw Problem.invalid("/body", "template_failed", "The text would be endless or too long for this contact.")
    }
    let size = MessageSize(text)
    return .json([
        "text": .string(text), "encoding": .string(size.encoding.rawValue), "units": .integer(Int64(size.units)),
        "parts": .integer(Int64(text.isEmpty ? 0 : size.parts)),
        "forces_ucs2": .array(GSM7.outsiders(in: text).map { .string(String($0)) }),
        "variables": .array(
            template.variables.map {
                ["name": .string($0.variable.description), "has_default": .bool($0.hasFallback)]
            }),
    ])
}
