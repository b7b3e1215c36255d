internal import JSON
internal import Secrets
internal import Vocabulary
internal import Web

/// What is written of a new webhook.
struct WebhookDraft: BodyDecodable {
    let url: String
    let description: String
    let eventTypes: [String]

    fileprivate static let url = Schema.string(min: 1, max: 2000, format: "uri")
    fileprivate static let description = Schema.string(max: 500)
    fileprivate static let eventTypes = Schema.array(.string(oneOf: WebhookEventType.names), min: 1, max: 100)

    static let schema: Schema = .object([
        .required("url", url, "Where it is called: https, a host of the public internet, port 443, 80 or from 1024"),
        .required("event_types", eventTypes, "What it hears of, of GET /api/webhook-event-types"),
        .optional("description", description, "What it is for"),
    ])

    init(_ body: JSONObject) throws {
        url = body.string("url")
        description = storedText(body.optionalString("description") ?? "")
        eventTypes = Set(body.strings("event_types")).sorted()
    }
}

/// Members of a webhook that are to change; what is absent stays.
struct WebhookChange: BodyDecodable {
    let url: String?
    let description: String?
    let eventTypes: [String]?

    static let schema: Schema = .object([
        .optional("url", WebhookDraft.url, "As when it was made"),
        .optional("event_types", WebhookDraft.eventTypes, "All that it hears of from now on"),
        .optional("description", WebhookDraft.description, "What it is for"),
    ])

    init(_ body: JSONObject) throws {
        url = body.optionalString("url")
        description = body.optionalString("description").map(storedText)
        eventTypes = body["event_types"].map { _ in Set(body.strings("event_types")).sorted() }
    }
}

/// Which deliveries are to be made again.
struct ReplayRequest: BodyDecodable {
    let since: Instant
    static let schema: Schema = .object([
        .required("since", .string(max: 40, format: "date-time"), "All that failed of events from then on")
    ])
    init(_ body: JSONObject) throws {
        guard let since = Instant(rfc3339: body.string("since")) else {
            throw Fault(pointer: "/since", code: "bad_format", detail: "Expected a time as RFC 3339 writes it.")
        }
        self.since = since
    }
}

extension WebhookSecret {
    /// Sealed for one webhook of one workspace: copied to another row it does not open.
    func sealed(with key: SealingKey, workspace: WorkspaceID, webhook: WebhookID) -> [UInt8] {
        key.seal(self.key, context: Self.context(workspace, webhook))
    }

    /// `nil` when another key sealed it, for another webhook, or it was changed.
    init?(opening sealed: [UInt8], with key: SealingKey, workspace: WorkspaceID, webhook: WebhookID) {
        guard let plain = key.open(sealed, context: Self.context(workspace, webhook)) else { return nil }
        self.init(key: plain)
    }

    private static func context(_ workspace: WorkspaceID, _ webhook: WebhookID) -> [UInt8] {
        Array("\(workspace)/webhook/\(webhook)".utf8)
    }
}
