internal import JSON
internal import Vocabulary

private let bodySchema = Schema.described(
    .string(min: 1, max: 100_000),
    "The text, with variables like {{ first_name | default: \"there\" }}; of a text message at most 1,600 characters",
    example: "Hi {{ first_name | default: \"there\" }}, your table is ready. Reply STOP to opt out.")
private let subjectSchema = Schema.string(min: 1, max: 500)
private let htmlSchema = Schema.string(min: 1, max: 200_000)

/// What a template says, in NFC and parsed.
struct TemplateTexts {
    let subject: String?
    let body: String
    let html: String?

    /// - Throws: all their faults at once, those of the channel too.
    init(_ channel: Channel, subject: String?, body: String, html: String?) throws {
        var faults = Faults()
        func checked(_ text: String, _ pointer: String, _ markup: Markup = .plain) throws -> String {
            do {
                return try checkedText(text, at: pointer, markup)
            } catch let found as Faults {
                for fault in found.list { faults.add(fault.pointer, fault.code, fault.detail) }
                return text
            }
        }
        self.subject = try subject.map { try checked($0, "/subject") }
        self.body = try checked(body, "/body")
        self.html = try html.map { try checked($0, "/html", .html) }
        switch channel {
        case .email: if subject == nil { faults.add("/subject", "required", "An e-mail has a subject.") }
        case .sms:
            if subject != nil { faults.add("/subject", "not_for_channel", "Only e-mails have a subject.") }
            if html != nil { faults.add("/html", "not_for_channel", "Only e-mails have HTML.") }
            if body.unicodeScalars.count > longestText {
                faults.add("/body", "too_long", "A text message has at most \(longestText) characters.")
            }
        }
        try faults.check()
    }
}

/// A template as it is created.
struct TemplateDraft: BodyDecodable {
    let name: String
    let channel: Channel
    let texts: TemplateTexts

    static let schema = Schema.object([
        .required("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("channel", .string(oneOf: ["sms", "email"]), "How it travels; `sms` when absent"),
        .optional("subject", subjectSchema, "Of an e-mail, which has to have one"),
        .required("body", bodySchema, "The text; of an e-mail its plain part"),
        .optional("html", htmlSchema, "Of an e-mail; what variables write is escaped"),
    ])

    init(_ body: JSONObject) throws {
        name = body.string("name")
        channel = body.optionalString("channel").flatMap(Channel.init(rawValue:)) ?? .sms
        texts = try TemplateTexts(
            channel, subject: body.optionalString("subject"), body: body.string("body"), html: body.optionalString("html"))
    }
}

struct TemplateChange: BodyDecodable {
    let name: String?
    private let subject: String?
    private let body: String?
    private let html: String?
    private let clearsHTML: Bool

    static let schema = Schema.object([
        .optional("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("subject", subjectSchema, "Of an e-mail"),
        .optional("body", bodySchema, "The text; of an e-mail its plain part"),
        .optional("html", .nullable(htmlSchema), "Of an e-mail; null: plain text only"),
    ])

    init(_ body: JSONObject) throws {
        name = body.optionalString("name")
        subject = body.optionalString("subject")
        self.body = body.optionalString("body")
        html = body.optionalString("html")
        clearsHTML = body["html"]?.isNull == true
    }

    /// What the template then says.
    func texts(_ stored: StoredTemplate) throws -> TemplateTexts {
        try TemplateTexts(
            stored.channel, subject: subject ?? stored.subject, body: body ?? stored.body,
            html: html ?? (clearsHTML ? nil : stored.html))
    }
}

private let contactMember = Member.optional(
    "contact_id", .nullable(.string(format: "uuid")), "For whom; without one, as for a contact of whom nothing is known")

struct TemplatePreview: BodyDecodable {
    let contact: ContactID?
    static let schema = Schema.object([contactMember])
    init(_ body: JSONObject) throws { contact = body.optionalID("contact_id", as: ContactID.self) }
}

struct TextPreview: BodyDecodable {
    let texts: TemplateTexts
    let contact: ContactID?
    static let schema = Schema.object([
        .optional("subject", subjectSchema, "Of an e-mail; with it, the texts are those of an e-mail"),
        .required("body", bodySchema, "The text"),
        .optional("html", htmlSchema, "Of an e-mail"),
        contactMember,
    ])
    init(_ body: JSONObject) throws {
        let subject = body.optionalString("subject")
        texts = try TemplateTexts(
            subject == nil ? .sms : .email, subject: subject, body: body.string("body"), html: body.optionalString("html"))
        contact = body.optionalID("contact_id", as: ContactID.self)
    }
}

/// A text in NFC that parses.
/// - Throws: its faults, at `pointer`.
func checkedText(_ text: String, at pointer: String, _ markup: Markup = .plain) throws -> String {
    let text = normalized(text)
    do {
        _ = try TextTemplate(text, markup: markup)
    } catch {
        throw error.moved(to: pointer)
    }
    return text
}

func checkedText(_ text: String) throws -> String { try checkedText(text, at: "/body") }
