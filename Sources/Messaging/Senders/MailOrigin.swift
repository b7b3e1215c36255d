// What a sender of mail is told besides its credentials, and those of providers of mail as they come in.
internal import JSON
internal import Runtime
internal import Secrets
internal import Vocabulary

/// The address that mail comes from.
struct MailOrigin {
    let address: String?
    let name: String?
    let replyTo: String?

    static let members: [Member] = [
        .optional(
            "from_email", .string(max: 254, format: "email"), "E-mail: the address that it comes from, of a domain that you authenticated"),
        .optional("from_name", .string(min: 1, max: 100), "E-mail: the name beside it"),
        .optional("reply_to", .string(max: 254, format: "email"), "E-mail: where answers go; the address itself when absent"),
    ]

    init(_ body: JSONObject, _ faults: inout Faults) {
        address = body.optionalString("from_email").flatMap { EmailAddress($0) }?.description
        name = body.optionalString("from_name")
        replyTo = body.optionalString("reply_to").flatMap { EmailAddress($0) }?.description
        // They stand in headers as they are: no other alphabet there without SMTPUTF8, which few servers speak.
        for (member, value) in [("from_email", address), ("reply_to", replyTo)] where value?.utf8.allSatisfy({ $0 < 0x80 }) == false {
            faults.add("/\(member)", "bad_character", "Only ASCII; write the domain in Punycode (xn--…).")
        }
        if let name, oneLine(name) != name { faults.add("/from_name", "bad_character", "No line breaks or other control characters.") }
    }

    private var isEmpty: Bool { address == nil && name == nil && replyTo == nil }

    /// A number is Twilio's, an address is the others'.
    func check(_ provider: String, hasNumber: Bool, _ faults: inout Faults) {
        if provider == "twilio", !isEmpty { faults.add("/from_email", "email_only", "A sender of text messages has a number.") }
        if provider != "twilio", hasNumber { faults.add("/from", "sms_only", "A sender of mail has an address, `from_email`.") }
    }
}

extension ProviderCredentials {
    static let mailMembers: [Member] = [
        .optional("api_key", .string(min: 8, max: 200), "SendGrid: a key that may send mail (scope mail.send)"),
        .optional(
            "webhook_public_key", .nullable(.string(min: 50, max: 500)),
            "SendGrid: the verification key of the signed event webhook; without it no event is taken"),
        .optional("host", .string(min: 1, max: 253), "SMTP: the relay's name or address"),
        .optional("port", .integer(1...65_535), "SMTP: its port; 587 when absent"),
        .optional(
            "security", .string(oneOf: SMTPCredentials.Security.allCases.map(\.rawValue)),
            "SMTP: `starttls` (when absent), `tls` from the first byte, or `none` for a relay that the operator named"),
        .optional("username", .nullable(.string(min: 1, max: 200)), "SMTP: goes with password"),
        .optional("password", .nullable(.string(min: 1, max: 200)), "SMTP: goes with username"),
    ]

    /// Of a body that fits the schema. `nil` where something is missing, which `faults` then tells.
    init?(_ object: JSONObject, of provider: String, _ faults: inout Faults) {
        func required(_ name: String) -> String? {
            if let value = object.optionalString(name) { return value }
            faults.add("/credentials/\(name)", "required", "`\(name)` is required.")
            return nil
        }
        for name in ["api_key", "webhook_public_key", "host", "username", "password"] {
            guard let text = object.optionalString(name), !text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { continue }
            faults.add("/credentials/\(name)", "bad_character", "Only visible ASCII characters.")
        }
        switch provider {
        case "twilio": self = .twilio(readCredentials(object, &faults))
        case "sendgrid":
            let webhookKey = object.optionalString("webhook_public_key")
            if let webhookKey, base64Decode(webhookKey).flatMap(VerifyingKey.init(der:)) == nil {
                faults.add(
                    "/credentials/webhook_public_key", "bad_format", "Expected a P-256 key in base 64, as SendGrid's console shows it.")
            }
            guard let apiKey = required("api_key") else { return nil }
            self = .sendGrid(SendGridCredentials(apiKey: apiKey, webhookKey: webhookKey))
        default:
            let (username, password) = (object.optionalString("username"), object.optionalString("password"))
            if (username == nil) != (password == nil) {
                faults.add("/credentials/\(username == nil ? "username" : "password")", "required", "`username` goes with `password`.")
            }
            guard let host = required("host") else { return nil }
            if !host.utf8.allSatisfy(isOfHost) {
                faults.add("/credentials/host", "bad_format", "Expected the name of a host, or an address.")
            }
            self = .smtp(
                SMTPCredentials(
                    host: host, port: object.optionalInteger("port") ?? 587,
                    security: object.optionalString("security").flatMap(SMTPCredentials.Security.init) ?? .startTLS, username: username,
                    password: password))
        }
    }
}

extension ProviderCredentials {
    /// - Throws: a fault for a relay that would get passwords and mail in the clear, unless the operator named it.
    func check(_ configuration: Configuration) throws {
        guard case .smtp(let relay) = self, relay.security == .none, !configuration.smtpPrivateHosts.contains(relay.host.lowercased())
        else {
            return
        }
        throw Fault(
            pointer: "/credentials/security", code: "insecure_relay", detail: "Without TLS only hosts that the operator named may be used.")
    }
}

/// Of a name or an IPv4 address: nothing that would make another URL of it.
private func isOfHost(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == UInt8(ascii: "-")
        || byte == UInt8(ascii: ".")
}
