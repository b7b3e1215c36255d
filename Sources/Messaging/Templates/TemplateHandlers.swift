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
        let texts = draft.texts
        let stored = try db.one(TemplateSQL.insert, id, draft.name, draft.channel, texts.subject, texts.body, texts.html)
        try db.run(TemplateSQL.keep, id)
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
        let former = try db.one(TemplateSQL.lock, id)
        try call.checkIfMatch(former.version)
        let texts = try change.texts(former)
        let stored = try db.one(TemplateSQL.change, id, change.name, texts.subject, texts.body, texts.html)
        try db.run(TemplateSQL.keep, id)
        try call.audit("template.changed", "template", id.uuid, in: db)
        return .resource(stored)
    }
}

func deleteTemplate(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    return try call.transaction { db in
        try call.checkIfMatch(try db.one(TemplateSQL.lock, id).version)
        try db.run(TemplateSQL.delete, id)
        try call.audit("template.deleted", "template", id.uuid, in: db)
        return .noContent
    }
}

// MARK: Versions

func listTemplateVersions(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    let paging = try call.paging(sorts: ["-version"])
    return try call.read { db in
        _ = try db.one(TemplateSQL.find, id)
        return try call.page(TemplateSQL.versions, paging, id, try paging.after(0, from: Int(Int32.max)), paging.fetchLimit)
    }
}

func readTemplateVersion(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    return try call.read { db in .json(try version(call, of: id, db).item) }
}

/// Its texts become again what they were, as a new version; its name stays.
func restoreTemplateVersion(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    return try call.transaction { db in
        try call.checkIfMatch(try db.one(TemplateSQL.lock, id).version)
        let version = try version(call, of: id, db)
        let stored = try db.one(TemplateSQL.change, id, nil, version.subject, version.body, version.html)
        try db.run(TemplateSQL.keep, id)
        try call.audit("template.restored", "template", id.uuid, details: ["version": .string(call.pathText("version"))], in: db)
        return .resource(stored)
    }
}

private func version(_ call: Call, of id: TemplateID, _ db: Connection) throws -> TemplateVersion {
    guard let number = Int32(call.pathText("version")), let version = try db.first(TemplateSQL.version, id, Int(number)) else {
        throw Problem.notFound("version")
    }
    return version
}

// MARK: Previews

func previewTemplate(_ call: Call) throws -> Response {
    let id: TemplateID = try call.pathID("id")
    let wanted = try call.body(TemplatePreview.self)
    return try call.read { db in
        let stored = try db.one(TemplateSQL.find, id)
        return try preview(call, stored.subject, stored.body, stored.html, wanted.contact, db)
    }
}

func previewText(_ call: Call) throws -> Response {
    let wanted = try call.body(TextPreview.self)
    return try call.read { db in try preview(call, wanted.texts.subject, wanted.texts.body, wanted.texts.html, wanted.contact, db) }
}

/// The texts for one contact, what the text costs to carry as a text message, and the variables, those that no contact
/// has by themselves. A text can name every field, so whoever gives a contact needs to be one who may read them.
private func preview(
    _ call: Call, _ subject: String?, _ body: String, _ html: String?, _ contact: ContactID?, _ db: Connection
) throws -> Response {
    let fields: JSONValue
    if let contact {
        try call.require(.readAudience)
        guard let found = try db.first(TemplateSQL.contact, contact) else { throw Problem.notFound("contact") }
        fields = found
    } else {
        fields = [:]
    }
    var variables: [String: Bool] = [:]
    var unknown: Set<String> = []
    func rendered(_ text: String, _ pointer: String, _ markup: Markup = .plain) throws -> String {
        let template = try TextTemplate(text, markup: markup)
        for (variable, hasFallback) in template.variables {
            variables[variable.description] = (variables[variable.description] ?? true) && hasFallback
        }
        unknown.formUnion(try Readiness.unknownVariables(template, db).map(\.variable.description))
        guard let text = template.text(for: fields) else {
            throw Problem.invalid(pointer, "template_failed", "The text would be endless or too long for this contact.")
        }
        return text
    }
    let text = try rendered(body, "/body")
    let size = MessageSize(text)
    let renderedSubject = try subject.map { try rendered($0, "/subject") }
    let renderedHTML = try html.map { try rendered($0, "/html", .html) }
    return .json([
        "subject": JSONValue(renderedSubject), "text": .string(text), "html": JSONValue(renderedHTML),
        "encoding": .string(size.encoding.rawValue), "units": .integer(Int64(size.units)),
        "parts": .integer(Int64(text.isEmpty ? 0 : size.parts)),
        "forces_ucs2": .array(GSM7.outsiders(in: text).map { .string(String($0)) }),
        "variables": .array(
            variables.sorted { $0.key < $1.key }.map {
                ["name": .string($0.key), "has_default": .bool($0.value), "is_unknown": .bool(unknown.contains($0.key))]
            }),
    ])
}
