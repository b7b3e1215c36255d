internal import JSON
internal import Vocabulary

private let bodySchema = Schema.described(
    .string(min: 1, max: 1600), "The text, with variables like {{ first_name | default: \"there\" }}",
    example: "Hi {{ first_name | default: \"there\" }}, your table is ready. Reply STOP to opt out.")

/// A template as it is created.
struct TemplateDraft: BodyDecodable {
    let name: String
    let channel: Channel
    let body: String

    static let schema = Schema.object([
        .required("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("channel", .string(oneOf: ["sms"]), "How it travels; `sms` when absent"),
        .required("body", bodySchema, "The text"),
    ])

    init(_ body: JSONObject) throws {
        name = body.string("name")
        channel = body.optionalString("channel").flatMap(Channel.init(rawValue:)) ?? .sms
        self.body = try checkedText(body.string("body"))
    }
}

struct TemplateChange: BodyDecodable {
    let name: String?
    let body: String?

    static let schema = Schema.object([
        .optional("name", .string(min: 1, max: 200), "Unique in the workspace"),
        .optional("body", bodySchema, "The text"),
    ])

    init(_ body: JSONObject) throws {
        name = body.optionalString("name")
        self.body = try body.optionalString("body").map(checkedText)
    }
}

struct TemplatePreview: BodyDecodable {
    let contact: ContactID?
    static let schema = Schema.object([
        .optional("contact_id", .nullable(.string(format: "uuid")), "For whom; without one, as for a contact of whom nothing is known")
    ])
    init(_ body: JSONObject) throws { contact = body.optionalID("contact_id", as: ContactID.self) }
}

struct TextPreview: BodyDecodable {
    let body: String
    let contact: ContactID?
    static let schema = Schema.object([
        .required("body", bodySchema, "The text"),
        .optional("contact_id", .nullable(.string(format: "uuid")), "For whom; without one, as for a contact of whom nothing is known"),
    ])
    init(_ body: JSONObject) throws {
        self.body = body.string("body")
        contact = body.optionalID("contact_id", as: ContactID.self)
    }
}

/// A text in NFC that parses.
/// - Throws: its faults, at `/body`.
func checkedText(_ text: String) throws -> String {
    let text = normalized(text)
    do {
        _ = try TextTemplate(text)
    } catch {
        throw error.moved(to: "/body")
    }
    return text
}
