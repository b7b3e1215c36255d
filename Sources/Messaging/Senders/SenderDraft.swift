internal import JSON
internal import Secrets
internal import Vocabulary

private let senderRate = Schema.described(
    .number,
    "Message parts per second, more than 0 and at most 10,000: about 1 for a long code, 100 for a short code; of e-mail, messages",
    example: 10)
private let senderNumber = Schema.described(.string(format: "e164"), "A number of the account", example: "+12025550100")
private let senderService = Schema.described(
    .string(min: 34, max: 34), "A Messaging Service of the account: MG and 32 hexadecimal digits",
    example: "MG0123456789abcdef0123456789abcdef")
private let senderCredentials = Schema.object(
    [
        .optional("account_sid", .string(min: 34, max: 34), "Twilio: AC and 32 hexadecimal digits"),
        .optional("auth_token", .string(min: 8, max: 100), "Twilio: signs callbacks; also used for calls when there is no API key"),
        .optional("secondary_auth_token", .nullable(.string(min: 8, max: 100)), "Accepted in callbacks while tokens are rotated"),
        .optional("api_key_sid", .nullable(.string(min: 34, max: 34)), "SK and 32 hexadecimal digits"),
        .optional("api_key_secret", .nullable(.string(min: 8, max: 100)), "Goes with api_key_sid"),
    ] as [Member] + ProviderCredentials.mailMembers)

/// A sender as it is created.
struct SenderDraft: BodyDecodable {
    let name: String
    let provider: String
    let from: String?
    let service: String?
    let mail: MailOrigin
    let rate: Double
    let credentials: ProviderCredentials

    static let schema = Schema.object(
        [
            .required("name", .string(min: 1, max: 200), "Unique in the workspace"),
            .required("channel", .string(oneOf: ["sms", "email"]), "How it sends"),
            .required("provider", .string(oneOf: ["twilio", "sendgrid", "smtp"]), "Through whom: `twilio` for sms, the others for email"),
            .optional("from", .nullable(senderNumber), "Twilio: this or messaging_service_sid"),
            .optional("messaging_service_sid", .nullable(senderService), "Twilio: this or from"),
            .required("rate_parts_per_second", senderRate, "How fast it may send"),
            .required("credentials", senderCredentials, "Kept sealed; never come back"),
        ] as [Member] + MailOrigin.members)

    init(_ body: JSONObject) throws {
        var faults = Faults()
        name = body.string("name")
        provider = body.string("provider")
        from = body.optionalString("from")
        service = body.optionalString("messaging_service_sid")
        rate = body["rate_parts_per_second"]!.real!
        mail = MailOrigin(body, &faults)
        let isText = provider == "twilio"
        if body.string("channel") != (isText ? "sms" : "email") {
            faults.add("/channel", "wrong_channel", "This provider serves \(isText ? "sms" : "email").")
        }
        if isText, (from == nil) == (service == nil) {
            faults.add("/from", "one_of_two", "Name either `from` or `messaging_service_sid`.")
        }
        if !isText, mail.address == nil { faults.add("/from_email", "required", "Mail needs an address to come from.") }
        mail.check(provider, hasNumber: from != nil || service != nil, &faults)
        check(&faults, service: service, rate: rate)
        let read = ProviderCredentials(body["credentials"]!.object!, of: provider, &faults)
        try faults.check()
        credentials = read!
    }
}

/// What may change of a sender. New credentials, or `"status": "active"`, end a suspension.
struct SenderChange: BodyDecodable {
    let name: String?
    let from: String?
    let service: String?
    let mail: MailOrigin
    let rate: Double?
    private let rawCredentials: JSONObject?
    let reactivates: Bool

    static let schema = Schema.object(
        [
            .optional("name", .string(min: 1, max: 200), "Unique in the workspace"),
            .optional("from", senderNumber, "Replaces the origin"),
            .optional("messaging_service_sid", senderService, "Replaces the origin"),
            .optional("rate_parts_per_second", senderRate, "How fast it may send"),
            .optional("credentials", senderCredentials, "Replace the old ones; end a suspension"),
            .optional("status", .string(oneOf: ["active"]), "Ends a suspension"),
        ] as [Member] + MailOrigin.members)

    init(_ body: JSONObject) throws {
        var faults = Faults()
        name = body.optionalString("name")
        from = body.optionalString("from")
        service = body.optionalString("messaging_service_sid")
        rate = body["rate_parts_per_second"]?.real
        if from != nil, service != nil {
            faults.add("/from", "one_of_two", "Name either `from` or `messaging_service_sid`.")
        }
        check(&faults, service: service, rate: rate)
        mail = MailOrigin(body, &faults)
        rawCredentials = body["credentials"]?.object
        reactivates = body.optionalString("status") == "active" || rawCredentials != nil
        try faults.check()
    }

    /// The new credentials, where there are any; which members they have depends on the sender's provider.
    /// - Throws: their faults, and those of an origin that this provider has no use for.
    func credentials(for provider: String) throws -> ProviderCredentials? {
        var faults = Faults()
        mail.check(provider, hasNumber: from != nil || service != nil, &faults)
        let read = rawCredentials.flatMap { ProviderCredentials($0, of: provider, &faults) }
        try faults.check()
        return read
    }
}

private func check(_ faults: inout Faults, service: String?, rate: Double?) {
    if let service, !isSID(service, "MG") {
        faults.add("/messaging_service_sid", "bad_format", "Expected MG and 32 hexadecimal digits.")
    }
    if let rate, !(rate >= 0.01 && rate <= 10_000) {
        faults.add("/rate_parts_per_second", "out_of_range", "From 0.01 to 10,000 parts per second.")
    }
}

/// Twilio's.
func readCredentials(_ object: JSONObject, _ faults: inout Faults) -> SenderCredentials {
    for name in ["account_sid", "auth_token"] where object.optionalString(name) == nil {
        faults.add("/credentials/\(name)", "required", "`\(name)` is required.")
    }
    let accountSID = object.optionalString("account_sid") ?? ""
    if !accountSID.isEmpty, !isSID(accountSID, "AC") {
        faults.add("/credentials/account_sid", "bad_format", "Expected AC and 32 hexadecimal digits.")
    }
    for name in ["auth_token", "secondary_auth_token", "api_key_secret"] {
        if let secret = object.optionalString(name), !secret.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
            faults.add("/credentials/\(name)", "bad_character", "Only visible ASCII characters.")
        }
    }
    var apiKey: (sid: String, secret: String)?
    switch (object.optionalString("api_key_sid"), object.optionalString("api_key_secret")) {
    case (let sid?, let secret?):
        if !isSID(sid, "SK") { faults.add("/credentials/api_key_sid", "bad_format", "Expected SK and 32 hexadecimal digits.") }
        apiKey = (sid, secret)
    case (nil, nil): break
    case (nil, _): faults.add("/credentials/api_key_sid", "required", "`api_key_secret` goes with `api_key_sid`.")
    case (_, nil): faults.add("/credentials/api_key_secret", "required", "`api_key_sid` goes with `api_key_secret`.")
    }
    return SenderCredentials(
        accountSID: accountSID, authToken: object.optionalString("auth_token") ?? "",
        secondaryAuthToken: object.optionalString("secondary_auth_token"), apiKey: apiKey)
}

/// Twilio's ids: two letters and 32 hexadecimal digits.
func isSID(_ text: String, _ prefix: String) -> Bool {
    let bytes = Array(text.utf8)
    return bytes.count == 34 && text.hasPrefix(prefix)
        && bytes[2...].allSatisfy { (48...57).contains($0) || (97...102).contains($0) || (65...70).contains($0) }
}
